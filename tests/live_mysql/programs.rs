//! The servers' own programs on every way: statements, dumps, files, replication.

use attache_kit::*;

use crate::clients::{LONG, SOON};
use crate::ways::{self, Way};

#[test]
fn the_servers_own_client_works() {
    for way in ways::each("client") {
        assert_eq!(
            way.query("select 1 + 1, 'gruß'; select database()"),
            format!("2\tgruß\n{}", way.database)
        );
        let failed = tools::run(way.program().args(["-e", "select * from no_such_table"]), b"", SOON);
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
        let text = tools::run(dump.arg(&way.database), b"", LONG).ok();
        assert!(text.contains("Dump completed"), "the dump has no end");

        way.query("drop view large; drop table line, customer");
        tools::run(way.program().arg("--max-allowed-packet=64M"), text.as_bytes(), LONG).ok();
        assert_eq!(way.query(checksums), before);
        assert_eq!(way.query("select count(*) from large"), "1");
    }
}

#[test]
fn a_file_of_the_client_is_loaded_where_that_is_allowed() {
    for way in ways::each("infile") {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines: String = (0..100_000).map(|n| format!("{n}\tvalue {n}\n")).collect();
        std::fs::write(file.path(), lines).unwrap();
        way.query("create table many (n int, t varchar(50))");
        let load = format!("load data local infile '{}' into table many", file.path().display());
        let ran = tools::run(way.program().args(["--local-infile=1", "-e", &load]), b"", LONG);
        assert_eq!(ran.status.success(), way.local_infile, "{}", ran.stderr);
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
        way.query("create table in_the_log (n int)");
        let mut binlog = way.tool("binlog");
        binlog.args(["--read-from-remote-server", "--to-last-log", "binlog.000001"]);
        let said = tools::run(&mut binlog, b"", LONG).ok();
        assert!(said.contains("create table in_the_log"), "{said}");
    }
}

#[test]
fn mysql_sees_attributes_of_connections_and_of_statements() {
    for way in ways::to(Flavour::MySql, "attributes") {
        let name = "select attr_value from performance_schema.session_account_connect_attrs
                    where attr_name = 'program_name' and processlist_id = connection_id()";
        assert_eq!(way.query(name), "mysql");
        let statement = "query_attributes trace 4711\nselect mysql_query_attribute_string('trace');\n";
        let ran = tools::run(way.program().arg("--commands"), statement.as_bytes(), SOON);
        assert_eq!(ran.ok(), "4711\n");
    }
}

#[test]
fn a_session_that_was_reset_has_forgotten() {
    for way in ways::to(Flavour::MySql, "reset") {
        let statements = "set @mine = 7; select @mine;\nresetconnection\nselect @mine, database();\n";
        let ran = tools::run(way.program().arg("--commands"), statements.as_bytes(), SOON);
        assert_eq!(ran.ok(), format!("7\nNULL\t{}\n", way.database));
    }
}
