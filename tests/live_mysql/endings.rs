//! The end of the process: idle sessions are told, transactions are finished.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use attache_kit::*;

use crate::house::*;
use crate::servers;
use crate::ways::Way;

const STOPPED: (u16, &str) = (1053, "08S01");

fn terminate(house: &House) {
    house.attache.signal(Signal::TERM);
    house.attache.wait_for("that it drains", SOON, |line| line["message"] == "draining");
}

#[test]
fn a_drain_tells_idle_clients_and_lets_transactions_finish() {
    for db in servers::each() {
        db.account("draining");
        let mut house = db.route("draining").top("drain: { deadline: 10s }").start();
        let mut idle = house.raw("draining");
        assert_eq!(idle.value("select 1"), "1");
        let mut busy = house.raw("draining");
        busy.value("create table line (n int)");
        assert!(busy.query("begin").1 || busy.query("insert into line values (1)").1);
        terminate(&house);
        assert_eq!(house.raw("draining").value("select 1"), "1", "new sessions are served");

        let report = idle.last_words();
        assert_eq!(report.code(), STOPPED, "{report:?}");
        assert!(report.text.starts_with("attache: the proxy is being stopped"), "{report:?}");
        assert!(busy.query("insert into line values (2)").1, "the transaction is still open");
        assert!(!busy.query("commit").1);
        assert_eq!(busy.last_words().code(), STOPPED);
        assert_eq!(house.attache.wait_exit(SOON).code(), Some(0));
        assert_eq!(db.server.sql("select count(*) > 0 from draining.line"), "1");
    }
}

#[test]
fn the_deadline_ends_what_is_left() {
    for db in servers::each() {
        db.account("drain_cut");
        let mut house = db.route("drain_cut").top("drain: { deadline: 1s }").start();
        let mut open = house.raw("drain_cut");
        open.value("create table line (n int)");
        open.query("begin");
        open.query("insert into line values (1)");
        let mut asking = house.raw("drain_cut");
        asking.ask("select sleep(3600)");
        terminate(&house);
        assert_eq!(open.last_words().code(), STOPPED);
        assert_eq!(asking.last_words().code(), STOPPED);
        assert_eq!(house.attache.wait_exit(SOON).code(), Some(0));
        let gone = || (db.server.sessions_of("drain_cut") == 0).then_some(());
        eventually("the server to have nobody", SOON, gone);
        assert_eq!(db.server.sql("select count(*) from drain_cut.line"), "0", "it was rolled back");
    }
}

/// Connects, waits for a line, and asks something.
const IDLE_PYMYSQL: &str = r#"
import json, os, sys, pymysql
way = json.loads(os.environ["WAY"])
session = pymysql.connect(host=way["host"], port=way["port"], user="anybody", ssl_disabled=True)
print("in", flush=True)
sys.stdin.readline()
try:
    session.cursor().execute("select 1")
except pymysql.err.OperationalError as error:
    print(*error.args)
"#;

const IDLE_MYSQLCLIENT: &str = r#"
import json, os, sys, MySQLdb
way = json.loads(os.environ["WAY"])
session = MySQLdb.connect(host=way["host"], port=way["port"], user="anybody", ssl_mode="DISABLED")
print("in", flush=True)
sys.stdin.readline()
try:
    session.cursor().execute("select 1")
except MySQLdb.OperationalError as error:
    print(*error.args)
"#;

const IDLE_MYSQL2: &str = r#"
const mysql = require("mysql2/promise");
const { host, port } = JSON.parse(process.env.WAY);
(async () => {
  const session = await mysql.createConnection({ host, port, user: "anybody" });
  session.connection.on("error", error => { console.log(error.errno || error.code, error.message); process.exit(0); });
  console.log("in");
})();
"#;

/// A driver that does not listen while it is idle finds our words in place of the reply to its next statement.
#[test]
fn drivers_show_why_their_idle_session_was_ended() {
    for db in servers::each() {
        let (Some(pymysql), Some(mysqlclient)) = (available(tools::python()), available(tools::python()))
        else {
            return;
        };
        let Some(mysql2) = available(tools::node()) else { return };
        db.account("drain_driver");
        let house = db.route("drain_driver").top("drain: { deadline: 2s }").start();
        let way = Way::of(db, "drain_driver", house);
        let house = way.house.as_ref().unwrap();
        let clients = [
            (pymysql, "-c", IDLE_PYMYSQL),
            (mysqlclient, "-c", IDLE_MYSQLCLIENT),
            (mysql2, "-e", IDLE_MYSQL2),
        ];
        let clients = clients.map(|(program, option, text)| Idle::start(program, &[option, text], &way));
        terminate(house);
        eventually("the sessions to end", SOON, || {
            (db.server.sessions_of("drain_driver") == 0).then_some(())
        });
        for client in clients {
            let said = client.ask();
            assert!(said.contains("attache: the proxy is being stopped"), "{said}");
            house.heard(&said);
        }
    }
}

/// A client that has logged in and waits.
struct Idle {
    client: Child,
    said: BufReader<ChildStdout>,
}

impl Idle {
    fn start(mut program: Command, arguments: &[&str], way: &Way) -> Idle {
        program.args(arguments).env("WAY", way.json().to_string());
        let mut client = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(client.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "in\n");
        Idle { client, said }
    }

    /// What comes of its next statement.
    fn ask(mut self) -> String {
        // A driver that listens has gone by now.
        let _ = self.client.stdin.take().unwrap().write_all(b"\n");
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        assert!(self.client.wait().unwrap().success(), "{said}");
        said
    }
}
