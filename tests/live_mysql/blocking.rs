//! Handshakes that are broken off: servers count them, and block a host that has too many of them (manual, "DNS Lookups and the
//! Host Cache"). They do not count what comes from 127.0.0.1 or from hosts without a name, so there is another address here.

use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use attache_kit::mysql::Setup;
use attache_kit::*;

use crate::raw::Raw;
use crate::servers::Db;

const HERE: &str = "10.66.0.1";
const NAME_IT: &str = "ip addr add \"$1/32\" dev lo && hosts=$(mktemp) && echo \"$1 here.test\" > \"$hosts\" && \
    chmod 644 \"$hosts\" && mount --bind \"$hosts\" /etc/hosts && rm \"$hosts\"";

#[test]
fn no_client_and_no_wrong_password_makes_the_server_block_us() {
    let test = "blocking::no_client_and_no_wrong_password_makes_the_server_block_us";
    for flavour in Flavour::ALL {
        let _ = available(namespace::inside(test, &format!("{flavour:?}"), "", || blocks_nobody(flavour)));
    }
}

fn blocks_nobody(flavour: Flavour) {
    let named = Command::new("sh").args(["-c", NAME_IT, "sh", HERE]).status().unwrap();
    assert!(named.success());
    let pki = Pki::new();
    let setup = Setup::new().tls(&pki.server()).resolve_names().set("bind-address", "0.0.0.0");
    let setup = setup.set("performance-schema", "ON").set("max-connect-errors", "3");
    let Some(server) = available(Mysql::start(flavour, setup)) else { return };
    let db = Db { pki, server };
    db.account("knocking");

    let house = route(&db, SECRET).start();
    for act in [knock, come_and_go, go_amid_the_login] {
        (0..5).for_each(|_| act(&house));
        assert_eq!(broken_off(&db), "0");
    }
    assert_eq!(Raw::log_in(house.addr(), "knocking").unwrap().value("select 1"), "1");

    // Some are sent and rejected, the others are not sent.
    let rejected = route(&db, "wrong").upstream("wait: 0s").start();
    for _ in 0..8 {
        assert_eq!(Raw::log_in(rejected.addr(), "knocking").err().expect("a refusal").number, 1045);
    }
    (0..5).for_each(|_| knock(&rejected));
    assert_eq!(broken_off(&db), "0");
    assert_eq!(Raw::log_in(house.addr(), "knocking").unwrap().value("select 1"), "1");

    // And the server does count.
    drop(TcpStream::connect((HERE, db.server.port())).unwrap());
    eventually("it to be counted", SOON, || (broken_off(&db) == "1").then_some(()));
}

fn route(db: &Db, password: &str) -> Route {
    let secret = Mounted::new(&[("username", "knocking"), ("password", password)]);
    let route = Route::new(env!("CARGO_BIN_EXE_attache"), "mysql").secret(&Arc::new(secret));
    route.endpoints([format!("{HERE}:{}", db.server.port())]).verified(&db.pki).unprobed()
}

fn knock(house: &House) {
    drop(Raw::greeted(house.addr()).unwrap());
}

fn come_and_go(house: &House) {
    drop(TcpStream::connect(house.addr()).unwrap());
}

fn go_amid_the_login(house: &House) {
    Raw::greeted(house.addr()).unwrap().answer("knocking");
}

/// What the server has counted once everybody has gone.
fn broken_off(db: &Db) -> String {
    let others = format!(
        "select count(*) from {} where user not in ('root', 'event_scheduler')",
        db.server.connections()
    );
    eventually("everybody to go", SOON, || (db.server.sql(&others) == "0").then_some(()));
    db.server.sql("select coalesce(sum(count_handshake_errors), 0) from performance_schema.host_cache")
}
