//! PostgreSQL's own programs, none of which knows a password: they work as they do without Attaché.

use std::fs;
use std::process::Command;

use attache_kit::*;

use crate::house::*;
use crate::raw::{self, Raw};
use crate::servers::{self, Db};

const COPY_BYTES: usize = 100_000_000;

#[test]
fn pgbench_runs_in_every_mode() {
    for db in servers::each() {
        let account = db.account("bench");
        let house = db.route(&account).start();
        house.run(house.tool("pgbench", "bench").args(["-i", "-q", "-s", "1"])).ok();
        for mode in ["simple", "extended", "prepared"] {
            let mut pgbench = house.tool("pgbench", "bench");
            let said = house.run(pgbench.args(["-n", "-M", mode, "-c", "4", "-j", "2", "-t", "50"])).ok();
            assert!(said.contains("number of transactions actually processed: 200/200"), "{mode}: {said}");
            assert!(said.contains("number of failed transactions: 0 "), "{mode}: {said}");
        }
        // A connection for each transaction.
        let mut pgbench = house.tool("pgbench", "bench");
        let said = house.run(pgbench.args(["-n", "-S", "-C", "-c", "4", "-t", "10"])).ok();
        assert!(said.contains("actually processed: 40/40"), "{said}");
    }
}

#[test]
fn pgbench_sends_ahead() {
    let script = tempfile::NamedTempFile::new().unwrap();
    let lines = ["\\startpipeline"]
        .into_iter()
        .chain(std::iter::repeat_n("insert into ahead (n) values (1);", 50))
        .chain(["\\endpipeline"]);
    fs::write(script.path(), lines.collect::<Vec<_>>().join("\n")).unwrap();
    for db in servers::each() {
        let account = db.account("bench_ahead");
        let house = db.route(&account).start();
        house.query("bench_ahead", "create table ahead (n int)");
        for mode in ["extended", "prepared"] {
            let mut pgbench = house.tool("pgbench", "bench_ahead");
            pgbench.args(["-n", "-M", mode, "-c", "2", "-t", "10", "-f"]).arg(script.path());
            house.run(&mut pgbench).ok();
        }
        assert_eq!(house.query("bench_ahead", "select count(*) from ahead"), "2000");
    }
}

/// Debian's programs are of version 15, and dump nothing newer.
#[test]
fn a_dump_that_is_restored_has_the_same_contents() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("dump");
    db.server.database("dump_again", "dump");
    let house = db.route(&account).start();
    house.query(
        "dump",
        "create table line (n int primary key, text text not null, at timestamptz default now());
         create index on line (text);
         create view odd as select * from line where n % 2 = 1;
         insert into line select n, repeat(md5(n::text), 10) from generate_series(1, 20000) n;
         create sequence counter start 42; select nextval('counter');",
    );
    let dump = tempfile::NamedTempFile::new().unwrap();
    let mut pg_dump = house.tool("pg_dump", "dump");
    house.run(pg_dump.args(["-Fc", "-f"]).arg(dump.path())).ok();
    let mut pg_restore = house.tool("pg_restore", "dump_again");
    house.run(pg_restore.args(["--exit-on-error", "-d", "dump_again"]).arg(dump.path())).ok();
    let contents = |database: &str| house.run(&mut house.tool("pg_dump", database)).ok();
    let (before, after) = (contents("dump"), contents("dump_again"));
    assert!(before.len() > 5_000_000, "{}", before.len());
    assert!(without_tokens(&before) == without_tokens(&after), "the contents differ");
}

/// Newer releases begin and end a dump with a line of chance.
fn without_tokens(dump: &str) -> Vec<&str> {
    dump.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict")).collect()
}

#[test]
fn a_copy_of_100_mb_comes_back_as_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    fs::write(&there, lines_of(COPY_BYTES)).unwrap();
    for db in servers::each() {
        let account = db.account("copy");
        let house = db.route(&account).start();
        house.query("copy", "create unlogged table line (text text)");
        let mut psql = house.psql("copy");
        // Another scan of the same table would let ours begin in its middle.
        psql.env("PGOPTIONS", "-c synchronize_seqscans=off");
        psql.args(["-c", &format!("\\copy line from '{}'", there.display())]);
        psql.args(["-c", &format!("\\copy line to '{}'", back.display())]);
        house.run(&mut psql).ok();
        assert!(fs::read(&there).unwrap() == fs::read(&back).unwrap(), "on {:?}", db.version());
        house.query("copy", "drop table line");
        let both_ways = |line: &serde_json::Value| {
            ["to_upstream", "to_client"].iter().all(|way| line[way].as_u64() > Some(COPY_BYTES as u64))
        };
        house.attache.wait_for("the bytes to be counted", SOON, both_ways);
    }
}

/// Text that does not repeat, from a generator that needs no state but a number.
fn lines_of(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(count + 100);
    while bytes.len() < count {
        for _ in 0..6 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(format!("{state:016x}").bytes());
        }
        bytes.push(b'\n');
    }
    bytes
}

#[test]
fn changes_are_streamed_to_pg_recvlogical() {
    for db in servers::each() {
        let account = db.account("recvlogical");
        db.server.sql("alter role recvlogical replication");
        let house = db.route(&account).start();
        house.query("recvlogical", "create table line (text text); create publication lines for table line");
        let stream = |arguments: &[&str]| {
            let mut tool = house.tool("pg_recvlogical", "recvlogical");
            house.run(tool.args(["-w", "-d", "recvlogical", "-S", "live_slot"]).args(arguments)).ok()
        };
        stream(&["--create-slot", "-P", "pgoutput"]);
        house.query(
            "recvlogical",
            "insert into line select 'change number ' || n from generate_series(1, 500) n",
        );
        let end = house.query("recvlogical", "select pg_current_wal_lsn()");
        let options = ["-o", "proto_version=1", "-o", "publication_names=lines"];
        let said = stream(&[&["--start", "--no-loop", "-f", "-", "-E", &end], &options[..]].concat());
        assert!(said.contains("change number 1") && said.contains("change number 500"), "{}", said.len());
        stream(&["--drop-slot"]);
    }
}

#[test]
fn a_base_backup_is_complete() {
    // The shared server has the databases of all tests.
    let Some(db) = Db::own(Version::V15) else { return };
    let account = db.account("basebackup");
    db.server.sql("alter role basebackup replication");
    let house = db.route(&account).start();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("backup");
    let mut pg_basebackup = house.tool("pg_basebackup", "basebackup");
    house.run(pg_basebackup.args(["-w", "-N", "-c", "fast", "-X", "stream", "-D"]).arg(&target)).ok();
    let mut verify = tools::postgres_tool("pg_verifybackup").unwrap();
    house.run(verify.arg(&target)).ok();
}

#[test]
fn a_notification_arrives_while_its_listener_is_idle() {
    for db in servers::each() {
        let account = db.account("notify");
        let house = db.route(&account).start();
        let mut listener = house.raw("notify");
        listener.query("listen orders");
        house.query("notify", "notify orders, 'number 17'");
        let message = listener.message().expect("a notification");
        assert_eq!(message.tag, b'A');
        assert_eq!(message.body[4..], *b"orders\0number 17\0");
    }
}

#[test]
fn large_objects_come_back_as_they_went() {
    let folder = tempfile::tempdir().unwrap();
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    fs::write(&there, lines_of(3_000_000)).unwrap();
    for db in servers::each() {
        let account = db.account("large");
        let house = db.route(&account).start();
        let script = format!(
            "\\lo_import '{}'\n\\lo_export :LASTOID '{}'\n\\lo_unlink :LASTOID\n",
            there.display(),
            back.display()
        );
        house.run_with(&mut house.psql("large"), script.as_bytes(), LONG).ok();
        assert!(fs::read(&there).unwrap() == fs::read(&back).unwrap(), "on {:?}", db.version());
    }
}

#[test]
fn what_is_sent_ahead_of_the_login_is_answered_after_it() {
    for db in servers::each() {
        let account = db.account("ahead");
        let house = db.route(&account).start();
        let mut client = Raw::connect(house.addr());
        let startup = raw::startup(raw::PROTOCOL_3_0, &[("user", "nobody"), ("database", "ahead")]);
        client.send(&[startup, raw::query("select 'one'"), raw::query("select 'two'")].concat());
        client.until(b'Z');
        for word in ["one", "two"] {
            let answer = client.until(b'Z');
            assert!(answer[1].tag == b'D' && answer[1].body.ends_with(word.as_bytes()), "{answer:?}");
        }
    }
}

#[test]
fn a_thousand_statements_in_one_write_are_answered_in_order() {
    for db in servers::each() {
        let account = db.account("pipeline");
        let house = db.route(&account).start();
        let mut client = house.raw("pipeline");
        let batch: Vec<u8> = (0..1000).flat_map(|n| extended(&format!("select {n}"))).collect();
        client.send(&[batch, raw::message(b'S', b"")].concat());
        let rows: Vec<_> = client.until(b'Z').into_iter().filter(|message| message.tag == b'D').collect();
        let numbers =
            rows.iter().map(|row| String::from_utf8_lossy(&row.body[6..]).parse::<usize>().unwrap());
        assert!(numbers.eq(0..1000));
    }
}

/// Parse, Bind and Execute of the unnamed statement, without parameters.
fn extended(sql: &str) -> Vec<u8> {
    let parse = raw::message(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"].concat());
    [parse, raw::message(b'B', &[0; 8]), raw::message(b'E', &[0; 5])].concat()
}

#[test]
fn psql_shows_what_the_server_says_besides_rows() {
    for db in servers::each() {
        let account = db.account("psql_says");
        let house = db.route(&account).start();
        let script = "do $$ begin raise notice 'a notice'; end $$;\nselect 1/0;\n\\conninfo\n";
        let mut psql = house.psql("psql_says");
        let ran = house.run_with(psql.args(["-v", "ON_ERROR_STOP=0"]), script.as_bytes(), LONG);
        assert!(ran.stderr.contains("NOTICE:  a notice"), "{}", ran.stderr);
        assert!(ran.stderr.contains("ERROR:  division by zero"), "{}", ran.stderr);
        assert!(ran.stdout.contains("connected to database \"psql_says\""), "{}", ran.stdout);
    }
}

#[test]
fn many_sessions_at_once_each_have_their_own_backend() {
    for db in servers::each() {
        let account = db.account("many");
        let house = db.route(&account).start();
        let mut sessions: Vec<_> = (0..40).map(|_| house.raw("many")).collect();
        let pids: std::collections::BTreeSet<_> =
            sessions.iter_mut().map(|session| session.value("select pg_backend_pid()")).collect();
        assert_eq!(pids.len(), sessions.len());
        let told = sessions.iter().map(|session| session.pid().to_string()).collect();
        assert_eq!(pids, told, "the greeting names the backend");
        drop(sessions);
        gone(db, "many");
    }
}

/// A client that leaves without a word leaves nothing behind.
fn gone(db: &Db, role: &str) {
    let sql =
        format!("select count(*) from pg_stat_activity where usename = '{role}' and application_name = ''");
    eventually("the backends to go", SOON, || (db.server.sql(&sql) == "0").then_some(()));
}

#[test]
fn a_unix_socket_serves_as_well() {
    let Some(db) = servers::of(Version::V18) else { return };
    let account = db.account("unix");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join(".s.PGSQL.5432");
    let house = db.route(&account).listen(format!("unix:{}", socket.display())).start();
    let mut psql: Command = house.psql("unix");
    psql.env("PGHOST", folder.path()).env("PGPORT", "5432").args(["-c", "select current_user"]);
    assert_eq!(house.run(&mut psql).ok(), "unix\n");
}
