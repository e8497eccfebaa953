//! One side goes, and the other hears of it.

use attache_kit::{SOON, Signal};

use crate::house::Clients;
use crate::servers::{self, Db};

#[test]
fn a_client_hears_that_the_server_goes_and_works_with_the_next_one() {
    let Some(mut db) = Db::own() else { return };
    let house = db.route().start();
    let mut session = house.raw();
    assert_eq!(session.ask(&["SET", "endings", "1"]), "+OK\r\n");
    db.server.restart();
    let (said, line) = house.farewell(&mut session);
    assert!(said.starts_with("-LOADING attache: "), "{said}");
    assert_eq!(line["ended_by"], "upstream", "{line}");
    let mut session = house.raw();
    assert_eq!(session.ask(&["EXISTS", "endings"]), ":0\r\n", "the server is a fresh one");
    assert_eq!(session.ask(&["ACL", "WHOAMI"]), "$3\r\napp\r\n");
}

#[test]
fn at_the_end_a_transaction_is_finished_and_an_idle_client_is_told() {
    let Some(db) = servers::shared() else { return };
    let mut house = db.route().top("drain: { deadline: 10s }").start();
    let (mut idle, mut busy) = (house.raw(), house.raw());
    assert_eq!(idle.ask(&["PING"]), "+PONG\r\n");
    assert_eq!(busy.ask(&["MULTI"]), "+OK\r\n");
    assert_eq!(busy.ask(&["PING"]), "+QUEUED\r\n");
    house.attache.signal(Signal::TERM);
    let said = idle.last_words();
    assert!(said.starts_with("-ERR attache: "), "{said}");
    assert_eq!(busy.ask(&["EXEC"]), "*1\r\n+PONG\r\n");
    let said = busy.last_words();
    assert!(said.starts_with("-ERR attache: "), "{said}");
    assert!(house.attache.wait_exit(SOON).success());
}
