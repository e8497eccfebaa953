//! What a client hears when the server says no, or nothing more.

use std::thread;

use attache_kit::*;
use serde_json::Value;

use crate::clients::Client;
use crate::house::*;
use crate::raw::Raw;
use crate::servers::{self, Db};
use crate::ways::Way;

#[test]
fn the_servers_own_refusals_pass_verbatim() {
    for db in servers::each() {
        db.account("verbatim");
        db.server.sql("GRANT ALL ON `no_such_database`.* TO 'verbatim'@'%'");
        let way = Way::of(db, "verbatim", db.route("verbatim").start());
        let house = way.house.as_ref().unwrap();
        for (database, number, sqlstate, text) in [
            ("no_such_database", 1049, "42000", "Unknown database 'no_such_database'".to_owned()),
            ("mysql", 1044, "42000", "Access denied for user 'verbatim'@'%' to database 'mysql'".to_owned()),
        ] {
            let report = house.refusal(database);
            assert_eq!((report.sequence, report.code()), (2, (number, sqlstate)), "{report:?}");
            assert_eq!(report.text, text);
            for client in [Client::MariaDb, Client::MySql] {
                if available(client.is_installed()).is_none() {
                    continue;
                }
                let said = way.run(client.program(&way).unwrap().arg(format!("--database={database}")), b"");
                assert_eq!(said.stderr.trim(), format!("ERROR {number} ({sqlstate}): {text}"), "{client:?}");
            }
        }
        let rejected = |line: &Value| line["message"] == "credential rejected";
        assert_eq!(house.attache.count(rejected), 0, "a client must not make the credential look rejected");
        assert_eq!(way.query("select 1"), "1");
    }
}

#[test]
fn too_many_connections_of_the_account_is_the_servers_word() {
    for db in servers::each() {
        db.account("full_account");
        db.server.sql("ALTER USER 'full_account'@'%' WITH MAX_USER_CONNECTIONS 1");
        let house = db.route("full_account").unprobed().start();
        let mut one = house.raw("full_account");
        let report = house.refusal("full_account");
        assert_eq!((report.sequence, report.code()), (2, (1226, "42000")), "{report:?}");
        assert!(report.text.contains("max_user_connections"), "{report:?}");
        assert_eq!(one.value("select 1"), "1");
    }
}

/// Of the last connection a server makes one for its administrator: it greets before it refuses. Behind that it does
/// not even greet, and what it says before TLS could be anybody's: the number passes, the words are ours.
#[test]
fn too_many_connections_of_the_server_is_told_with_the_servers_number() {
    for flavour in Flavour::ALL {
        let Some(db) = Db::own(flavour) else { continue };
        db.account("full_server");
        let house = db.route("full_server").unprobed().start();
        assert_eq!(house.raw("full_server").value("select 1"), "1");
        db.server.sql("SET GLOBAL max_connections = 10");
        let mut held = Vec::new();
        let report = loop {
            match Raw::log_in(house.addr(), "full_server") {
                Ok(session) => held.push(session),
                Err(report) => break report,
            }
            assert!(held.len() <= 11, "{flavour:?} has no limit");
        };
        assert_eq!(report.code(), (1040, "08004"), "{report:?}");
        assert_eq!((report.sequence, report.text.as_str()), (2, "Too many connections"));

        // Those that are greeted count. A place may become free again while the server lets go of one it refused.
        let mut greeted = Vec::new();
        let report = eventually("the server to greet nobody", SOON, || {
            greeted.extend(Raw::greeted(db.server.addr()).ok());
            let report = house.refusal("full_server");
            (report.sequence == 0).then_some(report)
        });
        assert_eq!(report.code(), (1040, ""), "{report:?}");
        assert_eq!(report.text, "Too many connections");
        let line = house.attache.wait_for("the end", SOON, |line| line["result"] == "server_refused");
        assert_eq!(line["ended_by"], "upstream", "{line}");
        assert_eq!(held[0].value("select 1"), "1");
    }
}

#[test]
fn too_many_sessions_is_ours() {
    for db in servers::each() {
        db.account("full_route");
        let house = db.route("full_route").key("client: { max_sessions: 1 }").start();
        let one = house.raw("full_route");
        // Before the greeting there is no place for an SQLSTATE.
        house.refuses("full_route", (1040, ""), "too_many_sessions");
        let way = Way::of(db, "full_route", house);
        let why = Client::of(db.flavour()).log_in(&way).unwrap_err();
        assert!(why.contains("ERROR 1040") && why.contains("attache: too many sessions"), "{why}");
        drop(one);
        eventually("the place to be free again", SOON, || Raw::log_in(way.addr, "full_route").ok());
    }
}

#[test]
fn a_server_that_is_not_there_is_told_before_the_greeting() {
    let nobody = ports::reserve();
    let house = route_to(nobody.addr(), "app").upstream("wait: 300ms").start();
    let report = house.refusal("app");
    assert_eq!((report.sequence, report.code()), (0, (1105, "")), "{report:?}");
    let line = house.ended(report.session());
    assert_eq!((&line["stage"], &line["result"]), (&"dial".into(), &"connect_refused".into()), "{line}");
    for secret in ["localhost", "127.0.0.1", &nobody.number().to_string(), "/"] {
        assert!(!report.text.contains(secret), "{report:?}");
    }
}

#[test]
fn every_client_shows_what_attache_says_before_its_greeting() {
    let Some(db) = servers::of(Flavour::MariaDb) else { return };
    let nobody = ports::reserve();
    let house = route_to(nobody.addr(), "app").unprobed().upstream("wait: 0s").start();
    let way = Way::of(db, "app", house);
    for client in Client::ALL {
        if available(client.is_installed()).is_none() {
            continue;
        }
        let why = client.log_in(&way).expect_err("there is no server");
        let number = why.contains("1105") || why.contains("ER_UNKNOWN_ERROR");
        assert!(number && why.contains("attache: the database cannot be reached"), "{client:?}: {why}");
    }
}

#[test]
fn a_server_that_comes_back_in_time_is_never_missed() {
    for flavour in Flavour::ALL {
        let Some(mut db) = Db::own(flavour) else { continue };
        db.account("returning");
        let house = db.route("returning").unprobed().start();
        db.server.stop();
        thread::scope(|scope| {
            let client = scope.spawn(|| house.raw("returning").value("select 1"));
            house.attache.wait_for("a retry", SOON, |line| line["message"] == "trying again");
            db.server.start_again();
            assert_eq!(client.join().unwrap(), "1");
        });
    }
}

/// A server goes in order, and by violence: between two statements, and within one.
#[test]
fn a_client_always_hears_that_its_server_has_gone() {
    const STOPS: [fn(&mut Mysql); 2] = [Mysql::stop, Mysql::crash];
    for flavour in Flavour::ALL {
        let Some(mut db) = Db::own(flavour) else { continue };
        db.account("going");
        let house = db.route("going").unprobed().start();
        for stop in STOPS {
            let mut idle = house.raw("going");
            assert_eq!(idle.value("select 1"), "1");
            let mut busy = house.raw("going");
            busy.ask("select sleep(60) from dual where 1 = 1");
            running(&db);
            stop(&mut db.server);
            for client in [&mut idle, &mut busy] {
                let report = client.last_words();
                assert!(GONE.contains(&report.number), "{flavour:?}: {report:?}");
                assert_eq!(report.number == 1105, report.text.starts_with("attache: "), "{report:?}");
            }
            db.server.start_again();
        }
    }
}

/// Ours; or the server's own: shutdown in progress, interrupted, killed (MariaDB), killed (MySQL).
const GONE: [u16; 5] = [1105, 1053, 1317, 1927, 3169];

fn running(db: &Db) {
    let sql = "select count(*) from information_schema.processlist where info like 'select sleep(60)%'";
    eventually("the statement to run", SOON, || (db.server.sql(sql) == "1").then_some(()));
}

#[test]
fn a_cut_between_two_packets_is_told_and_one_within_a_packet_is_not() {
    for db in servers::each() {
        db.account("cut");
        db.route("cut").start().raw("cut");
        let relay = Relay::to(db.server.addr());
        let house = db.route("cut").over(relay.addr()).tls("off").unprobed().start();
        let mut idle = house.raw("cut");
        relay.cut();
        let report = idle.last_words();
        assert_eq!(report.code(), (1105, "08S01"), "{report:?}");

        let mut client = house.raw("cut");
        relay.set(Fault::Close { after: 1_500_000, direction: Direction::ToClient });
        client.ask("select repeat('x', 1000000) from (select 1 union select 2 union select 3) three");
        let torn = thread::spawn(move || while client.packet().is_some() {}).join();
        assert!(torn.is_err(), "our words in half a row would be taken for data");
    }
}

#[test]
fn a_session_that_an_administrator_ends_is_told() {
    for db in servers::each() {
        db.account("killed");
        let house = db.route("killed").unprobed().start();
        let mut client = house.raw("killed");
        let id = client.value("select connection_id()");
        assert_eq!(id, client.id.to_string(), "the greeting names the server's own thread");
        db.server.sql(&format!("KILL {id}"));
        let report = client.last_words();
        assert!(GONE.contains(&report.number), "{report:?}");
    }
}

/// A change of user in which we have asked for another answer, and got what is none.
#[test]
fn an_error_within_a_change_of_user_bears_the_next_number() {
    let Some(db) = servers::of(Flavour::MariaDb) else { return };
    db.account("asked_twice");
    let house = db.route("asked_twice").unprobed().start();
    let mut client = house.raw("asked_twice");
    client.send(0, b"\x11nobody\0\0asked_twice\0\x2d\0caching_sha2_password\0");
    let (number, question) = client.packet().expect("a question");
    assert_eq!((number, question[0]), (1, 0xfe), "{}", question.escape_ascii());
    client.send(7, &[7; 32]);
    let report = client.last_words();
    assert_eq!((report.sequence, report.code()), (3, (1835, "HY000")), "{report:?}");
}

#[test]
fn errors_in_a_session_are_the_servers_own() {
    for db in servers::each() {
        db.account("statement_errors");
        let house = db.route("statement_errors").start();
        let mut client = house.raw("statement_errors");
        for (sql, code) in [
            ("select * from no_such_table", (1146, "42S02")),
            ("selekt 1", (1064, "42000")),
            ("signal sqlstate '45000' set mysql_errno = 4711", (4711, "45000")),
        ] {
            client.ask(sql);
            let report = client.reply().unwrap_err();
            assert_eq!((report.sequence, report.code()), (1, code), "{report:?}");
        }
        assert_eq!(client.value("select 1"), "1");
        drop(client);
        house.attache.wait_for("the end", SOON, |line| line["message"] == "session ended");
        assert!(!house.attache.stderr().contains("selekt"), "a statement is in the log");
    }
}

/// A statement that is too long to be looked at: known from its length, before any of it is held.
#[test]
fn a_session_that_only_reads_is_told_when_a_statement_is_too_long() {
    for db in servers::each() {
        db.account("reads_little");
        let house = db.route("reads_little").unprobed().key("options: { read_only: true }").start();
        let mut session = house.raw("reads_little");
        session.send_raw(b"\x01\0\x40\0\x03select");
        let report = session.last_words();
        assert_eq!(report.code(), (1835, "HY000"), "{report:?}");
        assert_eq!(house.ended(report.session())["result"], "too_long");
        assert_eq!(house.raw("reads_little").value(&format!("select {}1", " ".repeat(1 << 20))), "1");
    }
}
