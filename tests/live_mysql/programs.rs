//! The servers' own programs on every way: statements, dumps, files, replication.

use attache_kit::*;

use crate::servers;
use crate::ways::{self, Files, Way};

#[test]
fn the_servers_own_client_works() {
    for way in ways::each("client") {
        assert_eq!(
            way.query("select 1 + 1, 'gruß'; select database()"),
            format!("2\tgruß\n{}", way.database)
        );
        let failed = way.run(way.program().args(["-e", "select * from no_such_table"]), b"");
        assert!(failed.stderr.contains("ERROR 1146 (42S02)"), "{}", failed.stderr);
    }
}

/// Rows of every kind that a dump must carry: text beyond ASCII, bytes, NULL, a value that fills packets.
fn fill(way: &Way) {
    way.query(
        "create table customer (id int primary key auto_increment, name varchar(200), photo longblob, born date);
         insert into customer (name, photo, born) values ('Grüße \\'n\\' 日本', x'00ff0a5c27', '2026-02-28'), (null, null, null);
         insert into customer (name, photo) values ('large', repeat(x'0027ff5c', 5000000));
         create table line (customer int, n int, foreign key (customer) references customer (id));
         insert into line select id, 7 from customer;
         create view large as select id from customer where length(photo) > 100",
    );
}

#[test]
fn a_dump_comes_back_with_equal_checksums() {
    for way in ways::each("dump") {
        fill(&way);
        // For a dump in one transaction, which starts with a flush.
        way.db.server.sql(&format!("GRANT RELOAD ON *.* TO '{}'@'%'", way.account));
        let checksums = "checksum table customer, line";
        let before = way.query(checksums);
        let mut dump = way.tool("dump");
        dump.args(["--single-transaction", "--no-tablespaces", "--hex-blob", "--max-allowed-packet=64M"]);
        if way.flavour() == Flavour::MySql {
            // Else the dump sets what only an administrator may.
            dump.arg("--set-gtid-purged=OFF");
        }
        let text = way.run(dump.arg(&way.database), b"").ok();
        assert!(text.contains("Dump completed"), "the dump has no end");

        way.query("drop view large; drop table line, customer");
        way.run(way.program().arg("--max-allowed-packet=64M"), text.as_bytes()).ok();
        assert_eq!(way.query(checksums), before);
        assert_eq!(way.query("select count(*) from large"), "1");
    }
}

/// What MariaDB says to a client that cannot send files, and what MySQL does.
const NOT_ALLOWED: [&str; 2] = ["ERROR 4166 (HY000)", "ERROR 3948 (42000)"];

#[test]
fn a_file_of_the_client_is_loaded_where_that_is_allowed() {
    let refused = servers::each().map(|db| Way::through(db, "infile_not", Files::Refused));
    let allowed = servers::each().map(|db| Way::through(db, "infile", Files::Allowed));
    let direct = servers::each().map(|db| Way::direct(db, "infile"));
    for way in direct.chain(allowed).chain(refused) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines: String = (0..100_000).map(|n| format!("{n}\tvalue {n}\n")).collect();
        std::fs::write(file.path(), lines).unwrap();
        way.query("create table many (n int, t varchar(50))");
        let load = format!("load data local infile '{}' into table many", file.path().display());
        let ran = way.run(way.program().args(["--local-infile=1", "-e", &load]), b"");
        assert_eq!(ran.status.success(), way.local_infile, "{}", ran.stderr);
        if !way.local_infile {
            assert!(
                ran.stderr.contains(NOT_ALLOWED[usize::from(way.flavour() == Flavour::MySql)]),
                "{}",
                ran.stderr
            );
        }
        let loaded = if way.local_infile { "100000" } else { "0" };
        assert_eq!(way.query("select count(*) from many"), loaded);
    }
}

#[test]
fn a_replica_reads_the_binary_log() {
    for way in ways::each("binlog") {
        let rights = match way.flavour() {
            Flavour::MariaDb => "REPLICATION SLAVE, BINLOG MONITOR",
            Flavour::MySql => "REPLICATION SLAVE, REPLICATION CLIENT",
        };
        way.db.server.sql(&format!("GRANT {rights} ON *.* TO '{}'@'%'", way.account));
        // In front of it are the other tests, and the making of their accounts.
        let (file, position) = end_of_log(&way);
        way.query("create table in_the_log (n int)");
        let mut binlog = way.tool("binlog");
        binlog.args(["--read-from-remote-server", "--to-last-log", &position, &file]);
        let said = way.run(&mut binlog, b"").ok();
        assert!(said.contains("create table in_the_log"), "{said}");
    }
}

fn end_of_log(way: &Way) -> (String, String) {
    let status = way.db.server.sql(match way.flavour() {
        Flavour::MariaDb => "SHOW MASTER STATUS",
        Flavour::MySql => "SHOW BINARY LOG STATUS",
    });
    let mut columns = status.split('\t');
    let (file, position) = (columns.next().unwrap(), columns.next().unwrap());
    (file.to_owned(), format!("--start-position={position}"))
}

#[test]
fn mysql_sees_attributes_of_connections_and_of_statements() {
    for way in ways::to(Flavour::MySql, "attributes") {
        let name = "select attr_value from performance_schema.session_account_connect_attrs
                    where attr_name = 'program_name' and processlist_id = connection_id()";
        assert_eq!(way.query(name), "mysql");
        let statement = "query_attributes trace 4711\nselect mysql_query_attribute_string('trace');\n";
        let ran = way.run(way.program().arg("--commands"), statement.as_bytes());
        assert_eq!(ran.ok(), "4711\n");
    }
}

#[test]
fn a_session_that_was_reset_has_forgotten() {
    for way in ways::to(Flavour::MySql, "reset") {
        let statements = "set @mine = 7; select @mine;\nresetconnection\nselect @mine, database();\n";
        let ran = way.run(way.program().arg("--commands"), statements.as_bytes());
        assert_eq!(ran.ok(), format!("7\nNULL\t{}\n", way.database));
    }
}
