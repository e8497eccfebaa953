//! A cancel request reaches the backend that it means, and nobody else hears of it.

use std::net::SocketAddr;
use std::process::Stdio;

use attache_kit::*;
use attache_wire::testing::contains;
use rustix::process::{Pid, kill_process};

use crate::house::*;
use crate::raw::{self, Message, PROTOCOL_3_0, PROTOCOL_3_2, Raw};
use crate::servers::{self, Db};

const SLEEP: &str = "select pg_sleep(60)";
const CANCELLED: &str = "57014";
/// Octets of a key, without the process id.
const OLD_KEY_LEN: usize = 4;

#[test]
fn the_interrupt_key_of_psql_cancels() {
    for db in servers::each() {
        let account = db.account("cancel_psql");
        let house = db.route(&account).start();
        let mut psql = house.psql("cancel_psql");
        let psql =
            psql.args(["-c", SLEEP]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let psql = psql.spawn().unwrap();
        sleeping(db, "cancel_psql", 1);
        kill_process(Pid::from_child(&psql), Signal::INT).unwrap();
        let ended = psql.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        house.heard(&said);
        assert!(said.contains("canceling statement due to user request"), "{said}");
    }
}

/// Waits until so many sessions of a role sleep.
fn sleeping(db: &Db, role: &str, count: usize) {
    let sql = format!(
        "select count(*) from pg_stat_activity where usename = '{role}' and state = 'active' and wait_event = 'PgSleep'"
    );
    eventually("the statement to run", SOON, || (db.server.sql(&sql) == count.to_string()).then_some(()));
}

#[test]
fn of_two_sessions_the_right_one_is_cancelled() {
    for db in servers::each() {
        let account = db.account("cancel_right");
        let house = db.route(&account).start();
        let (mut one, mut other) = (house.raw("cancel_right"), house.raw("cancel_right"));
        one.send(&raw::query(SLEEP));
        other.send(&raw::query(SLEEP));
        sleeping(db, "cancel_right", 2);
        cancel(house.addr(), &other.key());
        assert_cancelled(&mut other);
        sleeping(db, "cancel_right", 1);
        assert!(one.is_silent());
        cancel(house.addr(), &one.key());
        assert_cancelled(&mut one);
        assert_eq!(one.value("select 1"), "1", "the session goes on");
    }
}

/// Sends a cancel request. Whatever becomes of it, the sender hears nothing but the end.
fn cancel(addr: SocketAddr, key: &[u8]) {
    let mut errand = Raw::connect(addr);
    errand.send(&raw::cancel(key));
    assert_eq!(errand.rest(), b"");
}

fn assert_cancelled(raw: &mut Raw) {
    let messages = raw.until(b'Z');
    let errors: Vec<_> = messages.iter().filter(|message| message.tag == b'E').map(Message::report).collect();
    assert_eq!(errors[0].code(), CANCELLED, "{messages:?}");
}

#[test]
fn a_cancel_request_is_encrypted_as_its_session_is() {
    for db in servers::each() {
        let account = db.account("cancel_tls");
        let relay = Relay::to(db.server.addr());
        let house = db.route(&account).over(relay.addr()).unprobed().start();
        let mut session = house.raw("cancel_tls");
        session.send(&raw::query(SLEEP));
        sleeping(db, "cancel_tls", 1);
        cancel(house.addr(), &session.key());
        assert_cancelled(&mut session);
        eventually("the errand to be over", SOON, || (relay.live() == 1).then_some(()));
        assert_eq!(relay.connections(), 2);
        // One connection after the other, whatever of the first was recorded late.
        let sent = relay.sent(Direction::ToServer);
        let questions = sent.windows(9).filter(|bytes| **bytes == [0, 0, 0, 8, 4, 210, 22, 47, 0x16]).count();
        assert_eq!(questions, 2, "SSLRequest, then TLS");
        assert!(!contains(&sent, session.key()));
    }
}

#[test]
fn an_unknown_key_is_dropped_in_silence() {
    for db in servers::each() {
        let account = db.account("cancel_unknown");
        let relay = Relay::to(db.server.addr());
        let house = db.route(&account).over(relay.addr()).unprobed().start();
        let mut session = house.raw("cancel_unknown");
        session.send(&raw::query(SLEEP));
        sleeping(db, "cancel_unknown", 1);
        let mut wrong = session.key();
        *wrong.last_mut().unwrap() ^= 1;
        cancel(house.addr(), &wrong);
        cancel(house.addr(), &[7; 4 + 256]);
        assert_eq!(relay.connections(), 1, "the server is not bothered");
        let unknown = |line: &serde_json::Value| line["result"] == "unknown_errand";
        eventually("both to be logged", SOON, || (house.attache.count(unknown) == 2).then_some(()));
        sleeping(db, "cancel_unknown", 1);
        cancel(house.addr(), &session.key());
        assert_cancelled(&mut session);
    }
}

#[test]
fn a_key_is_worth_nothing_after_its_session() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("cancel_late");
    let house = db.route(&account).unprobed().start();
    let mut session = house.raw("cancel_late");
    let key = session.key();
    session.send(&raw::message(b'X', b""));
    assert_eq!(session.rest(), b"");
    house.attache.wait_for("the end", SOON, |line| line["result"] == "ok");
    cancel(house.addr(), &key);
    house.attache.wait_for("the errand", SOON, |line| line["result"] == "unknown_errand");
}

#[test]
fn protocol_3_2_has_longer_keys() {
    for db in servers::each() {
        let account = db.account("cancel_3_2");
        let house = db.route(&account).start();
        let parameters = [("user", "nobody"), ("database", "cancel_3_2")];
        let mut session = Raw::log_in_as(house.addr(), PROTOCOL_3_2, &parameters);
        let key_len = session.key().len() - 4;
        match db.version() {
            Version::V15 => {
                assert_eq!(key_len, OLD_KEY_LEN);
                let told = session.greeting.iter().find(|message| message.tag == b'v').expect("negotiation");
                assert_eq!(told.body[..4], PROTOCOL_3_0.to_be_bytes());
            }
            Version::V18 => {
                assert!(key_len > OLD_KEY_LEN, "{key_len}");
                assert!(session.greeting.iter().all(|message| message.tag != b'v'));
            }
        }
        session.send(&raw::query(SLEEP));
        sleeping(db, "cancel_3_2", 1);
        cancel(house.addr(), &session.key());
        assert_cancelled(&mut session);
    }
}

#[test]
fn a_client_that_asks_for_encryption_first_may_cancel_too() {
    let Some(db) = servers::of(Version::V18) else { return };
    let account = db.account("cancel_asking");
    let house = db.route(&account).start();
    let mut session = house.raw("cancel_asking");
    session.send(&raw::query(SLEEP));
    sleeping(db, "cancel_asking", 1);
    let mut errand = Raw::connect(house.addr());
    errand.send(&[0, 0, 0, 8, 4, 210, 22, 47]);
    assert_eq!(errand.read_exact(1), b"N");
    errand.send(&raw::cancel(&session.key()));
    assert_eq!(errand.rest(), b"");
    assert_cancelled(&mut session);
}
