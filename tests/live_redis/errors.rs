//! What is refused, and in which words.

use std::sync::Arc;

use attache_kit::Mounted;

use crate::house::Clients;
use crate::servers::{self, USER};

#[test]
fn a_command_that_would_tell_a_login_is_refused_and_the_session_goes_on() {
    let Some(db) = servers::shared() else { return };
    let house = db.route().start();
    let mut session = house.raw();
    for words in [
        &["ACL", "LIST"][..],
        &["ACL", "GETUSER", USER],
        &["ACL", "SETUSER", "other", "on"],
        &["CONFIG", "GET", "requirepass"],
        &["CONFIG", "GET", "*"],
        &["CONFIG", "SET", "requirepass", "mine"],
        &["DEBUG", "SLEEP", "0"],
        &["MODULE", "LIST"],
        &["REPLICAOF", "127.0.0.1", "1"],
    ] {
        let said = session.ask(words);
        assert!(said.starts_with("-NOPERM attache: this route does not allow the '"), "{words:?}: {said}");
        assert_eq!(session.ask(&["PING", "still"]), "$5\r\nstill\r\n", "after {words:?}");
    }
    assert_eq!(session.ask(&["CONFIG", "GET", "port"]).lines().nth(2), Some("port"));
    assert!(!db.server.command(&["ACL", "USERS"]).contains("other"));
}

#[test]
fn a_refused_command_makes_a_transaction_fail() {
    let Some(db) = servers::shared() else { return };
    let house = db.route().start();
    let mut session = house.raw();
    assert_eq!(session.ask(&["MULTI"]), "+OK\r\n");
    assert_eq!(session.ask(&["SET", "errors:multi", "1"]), "+QUEUED\r\n");
    assert!(session.ask(&["ACL", "LIST"]).starts_with("-NOPERM"));
    assert!(session.ask(&["EXEC"]).starts_with("-EXECABORT"));
    assert_eq!(session.ask(&["EXISTS", "errors:multi"]), ":0\r\n");
}

#[test]
fn a_route_may_allow_what_is_refused() {
    let Some(db) = servers::shared() else { return };
    let house = db.route().key("options: { allow_commands: [module], reset: refuse }").start();
    let mut session = house.raw();
    assert_eq!(session.ask(&["MODULE", "LIST"]), "*0\r\n");
    assert!(session.ask(&["RESET"]).starts_with("-NOPERM attache: this route does not allow the 'reset'"));
    assert_eq!(session.ask(&["ACL", "WHOAMI"]), "$3\r\napp\r\n");
}

#[test]
fn a_wrong_password_is_an_error_for_the_client_and_a_cause_in_the_log() {
    const WRONG: &str = "a-password-that-is-wrong";
    let Some(db) = servers::shared() else { return };
    let secret = Arc::new(Mounted::new(&[("username", USER), ("password", WRONG)]));
    let house = db.route().secret(&secret).start();
    let mut session = house.raw();
    session.send(&["PING"]);
    let (said, line) = house.farewell(&mut session);
    assert!(said.starts_with("-WRONGPASS attache: "), "{said}");
    assert_eq!(line["result"], "credential_rejected", "{line}");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("WRONGPASS invalid username-password pair"), "{line}");
    for text in [said, house.attache.stderr(), house.attache.stdout()] {
        assert!(!text.contains(WRONG), "{text}");
    }
}
