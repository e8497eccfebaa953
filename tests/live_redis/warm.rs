//! Links that are logged in before a session needs them. Each serves one session: what a reset leaves of a connection would
//! reach the next one.

use attache_kit::{House, SOON, eventually};

use crate::house::Clients;
use crate::servers::{self, Db};

/// A route that keeps two links.
fn warm(db: &Db) -> House {
    db.route().key("pool: { warm: 2 }").start()
}

fn waits(house: &House, count: usize) {
    eventually("the links to wait", SOON, || {
        (house.metric("attache_links", &[("state", "warm")]) == count as f64).then_some(())
    });
}

fn takes(house: &House, result: &str) -> f64 {
    house.metric("attache_pool_takes_total", &[("result", result)])
}

#[test]
fn sessions_find_a_link_that_nobody_has_used() {
    let Some(db) = servers::shared() else { return };
    let house = warm(db);
    let mut ids = Vec::new();
    for number in 0..10 {
        if number > 0 {
            waits(&house, 2);
        }
        let mut session = house.raw();
        let info = session.ask(&["CLIENT", "INFO"]);
        assert!(info.contains(" db=0 ") && info.contains(" name= ") && info.contains(" user=app "), "{info}");
        let id = session.ask(&["CLIENT", "ID"]);
        assert!(!ids.contains(&id), "{ids:?}");
        ids.push(id);
        assert_eq!(session.ask(&["SELECT", "3"]), "+OK\r\n");
        assert_eq!(session.ask(&["CLIENT", "SETNAME", "mine"]), "+OK\r\n");
    }
    assert_eq!((takes(&house, "hit"), takes(&house, "miss")), (9.0, 1.0));
}

#[test]
fn a_link_that_the_server_has_closed_is_never_handed_out() {
    let Some(db) = Db::own() else { return };
    let house = warm(&db);
    assert_eq!(house.raw().ask(&["PING"]), "+PONG\r\n");
    for _ in 0..5 {
        waits(&house, 2);
        db.server.command(&["CLIENT", "KILL", "USER", "app"]);
        assert_eq!(house.raw().ask(&["PING"]), "+PONG\r\n");
    }
}
