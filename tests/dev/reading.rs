//! `--read-only`: what would write is refused by the server or in its name, and everything else goes on.

use std::process::Command;

use attache_kit::{Flavour, Mysql, Pki, Process, available, eventually, tools};
use mysql_async::prelude::Queryable;

use crate::house::{Cache, SECRET, SOON, code, dev, mysql, psql, serve, server};

/// What one of the printed variables says.
fn export(process: &Process, name: &str) -> String {
    eventually("the directions", SOON, || {
        let text = process.stdout();
        let value = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(&format!("export {name}="))?.to_owned().into());
        value.filter(|_| text.contains("Ctrl-C ends it."))
    })
}

#[test]
fn postgres_reads_and_does_not_write_whatever_the_session_asks_for() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    server.postgres.sql_in("app", "create table if not exists seat (belt int); grant all on seat to app");
    let file = server.password("reading", SECRET);
    let url = server.url("app") + "&options=-c%20default_transaction_read_only%3Doff";
    let process = serve(&[&url, "--password-file", &file, "--read-only", "--listen", "127.0.0.1:0"]);
    let port = export(&process, "PGPORT");
    assert!(process.stdout().contains(", read-only"), "{}", process.stdout());
    let ask = |script: &str| {
        let mut command = Command::new(&psql);
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "x",
            "-d",
            "x",
            "-XAtq",
            "-v",
            "VERBOSITY=verbose",
        ]);
        tools::run(&mut command, script.as_bytes(), SOON)
    };
    let ran = ask("select count(*) from seat; begin; select 2; commit; begin read only; select 3; commit;");
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("0\n2\n3\n", ""));
    let ran = ask("insert into seat values (1);");
    assert!(ran.stderr.contains("25006: cannot execute INSERT in a read-only transaction"), "{}", ran.stderr);
    for way in [
        "begin read write",
        "begin isolation level serializable, /* */ read write",
        "set transaction read write",
        "set session characteristics as transaction read write",
        "set default_transaction_read_only = off",
        "reset all; set session transaction_read_only to 'off'",
        "select set_config('default_transaction_read_only', 'off', false)",
        "do $$ begin perform set_config('transaction_read_only', 'off', true); insert into seat values (1); end $$",
    ] {
        let ran = ask(&format!("{way}; insert into seat values (1); commit;\nselect 'goes on';"));
        assert!(
            ran.stderr.contains("25006: ") && ran.stdout.ends_with("goes on\n"),
            "{way}: {} {}",
            ran.stdout,
            ran.stderr
        );
    }
    let ran = ask("select 1; begin read write;\nselect 2;");
    assert!(
        ran.stderr.contains("25006: attache: READ WRITE is refused, because this route is read-only"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("HINT:  It is a seat belt"), "{}", ran.stderr);
    // What puts a session back as it was leaves it as the login made it.
    let ran = ask("discard all; reset default_transaction_read_only; show default_transaction_read_only;");
    assert_eq!(ran.stdout, "on\n");
    assert_eq!(server.postgres.sql_in("app", "select count(*) from seat").trim(), "0");
}

#[test]
fn prepared_statements_of_postgres_are_looked_at_as_well() {
    let (Some(server), Some(mut pgbench)) = (server(), available(tools::postgres_tool("pgbench"))) else {
        return;
    };
    let file = server.password("prepared", SECRET);
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    std::fs::write(&script, "\\startpipeline\nselect 1;\nbegin read write;\nselect 2;\n\\endpipeline\n")
        .unwrap();
    let process =
        serve(&[&server.url("app"), "--password-file", &file, "--read-only", "--listen", "127.0.0.1:0"]);
    pgbench.args(["-n", "-M", "prepared", "-t", "1", "-f", script.to_str().unwrap()]);
    pgbench.args(["-h", "127.0.0.1", "-p", &export(&process, "PGPORT"), "-U", "x", "x"]);
    let ran = tools::run(&mut pgbench, b"", SOON);
    assert!(ran.stderr.contains("attache: READ WRITE is refused"), "{}", ran.stderr);
}

#[test]
fn mariadb_and_mysql_read_and_do_not_write_whatever_the_session_asks_for() {
    for flavour in Flavour::ALL {
        if let Some((mysql, pki)) = mysql(flavour) {
            only_reads(mysql, pki);
        }
    }
}

fn only_reads(mysql: &Mysql, pki: &Pki) {
    mysql.sql_in("app", "drop table if exists seat; create table seat (belt int)");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password").display().to_string();
    std::fs::write(&file, SECRET).unwrap();
    let url = format!("mysql://app@localhost:{}/app?ssl-ca={}", mysql.port(), pki.ca().display());
    let process = serve(&[&url, "--password-file", &file, "--read-only", "--listen", "127.0.0.1:0"]);
    let port = export(&process, "MYSQL_TCP_PORT");
    let ask = |script: &str| {
        let mut command = Command::new("mysql");
        command.args(["--no-defaults", "-h", "127.0.0.1", "-P", &port, "--loose-skip-ssl", "-BNf"]);
        tools::run(&mut command, script.as_bytes(), SOON)
    };
    let ran = ask(
        "select count(*) from seat; start transaction; select 2; commit; start transaction read only; select 3;",
    );
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("0\n2\n3\n", ""));
    let ran =
        ask("insert into seat values (1); create table other (x int); drop table seat; select 'goes on';");
    assert_eq!(ran.stderr.matches("ERROR 1792 (25006)").count(), 3, "{}", ran.stderr);
    assert_eq!(ran.stdout, "goes on\n");
    for way in [
        "start transaction read write",
        "set transaction read write",
        "set session tx_read_only = 0",
        "set @@session.tx_read_only = off",
        "/*!50605 set tx_read_only = 0 */",
        "set statement tx_read_only = 0 for insert into seat values (1)",
        "prepare s from 'start transaction read write'",
        "set global read_only = 0",
    ] {
        let ran = ask(&format!("{way}; insert into seat values (1); select 'goes on';"));
        let told = ran.stderr.contains("ERROR 1792 (25006)") && ran.stderr.contains("attache: ");
        assert!(told && ran.stdout.ends_with("goes on\n"), "{way}: {} {}", ran.stdout, ran.stderr);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options =
            mysql_async::OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port.parse().unwrap());
        let mut connection = mysql_async::Conn::new(options).await.unwrap();
        // As prepared statements, with a login in the midst of the session behind which it still only reads.
        for _ in 0..2 {
            let refused = connection.exec_drop("start transaction read write", ()).await.unwrap_err();
            // MySQL does not prepare what raises our error, and says so instead.
            let ours = ["attache: READ WRITE is refused", "1295"];
            assert!(ours.iter().any(|ours| refused.to_string().contains(ours)), "{refused}");
            let refused = connection.exec_drop("insert into seat values (?)", (1,)).await.unwrap_err();
            assert!(refused.to_string().contains("1792"), "{refused}");
            connection.change_user(mysql_async::ChangeUserOpts::default()).await.unwrap();
        }
        let _ = connection.reset().await;
        let refused = connection.query_drop("insert into seat values (1)").await.unwrap_err();
        assert!(refused.to_string().contains("1792"), "{refused}");
        connection.disconnect().await.unwrap();
    });
    assert_eq!(mysql.sql_in("app", "select count(*) from seat").trim(), "0");
}

#[test]
fn redis_reads_and_does_not_write_by_what_the_server_says_of_its_commands() {
    let Some(cache) = Cache::shared() else { return };
    cache.redis.command(&["SET", "seat", "belt"]);
    cache.redis.command(&["SADD", "set", "a", "b"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password").display().to_string();
    std::fs::write(&file, SECRET).unwrap();
    let process =
        serve(&[&cache.url("app@", 0), "--password-file", &file, "--read-only", "--listen", "127.0.0.1:0"]);
    let url = export(&process, "REDIS_URL");
    let ask = |script: &str| {
        let mut command = Command::new("redis-cli");
        tools::run(command.args(["--no-auth-warning", "-u", &url]), script.as_bytes(), SOON).ok()
    };
    let reading = "get seat\nscard set\nmulti\nget seat\nexec\neval_ro 'return redis.call(\"get\", KEYS[1])' 1 seat\n\
                   config get maxmemory-policy\nclient setname x\nclient getname\nobject encoding set\n";
    let read = "belt\n2\nOK\nQUEUED\nbelt\nbelt\nmaxmemory-policy\nnoeviction\nOK\nx\nhashtable\n";
    assert_eq!(ask(reading), read);
    for line in [
        "set seat x",
        "SREM set a",
        "flushall",
        "eval 'return 1' 0",
        "evalsha abc 0",
        "publish x y",
        "config set maxmemory 1gb",
        "bgsave",
        "client kill id 1",
        "zremrangebyscore z 0 1",
        "georadiusbymember g m 1 km",
        "nonsense",
        "a-command-with-a-name-that-is-longer-than-any-other",
        "sort set alpha store other",
        "getex seat ex 1",
    ] {
        let told = ask(&format!("{line}\nget seat\n"));
        assert!(
            told.starts_with("NOPERM attache: this route is read-only") && told.contains("\nbelt\n"),
            "{line}: {told}"
        );
    }
    let told = ask("multi\nget seat\nset seat x\nexec\nget seat\n");
    assert!(
        told.contains("NOPERM attache:") && told.contains("EXECABORT") && told.ends_with("belt\n"),
        "{told}"
    );
    assert_eq!(cache.redis.command(&["GET", "seat"]).trim(), "belt");
}

#[test]
fn a_protocol_that_nothing_is_known_of_is_not_said_to_be_read_only() {
    let ran = dev(&["tcp://db:1", "--read-only", "--", "true"]);
    assert_eq!(code(&ran), Some(2));
    assert!(ran.stderr.contains("--read-only has no effect"), "{}", ran.stderr);
}
