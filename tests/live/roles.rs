//! Primary and replica: which server a session ends up on, and what it notices of a promotion.

mod failover;
mod house;
mod old;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attache_kit::*;
use serde_json::Value;

use crate::house::{SECRET, SOON};
use house::House;

const WHERE: &str = "select pg_is_in_recovery()";

struct Pair {
    primary: Postgres,
    standby: Postgres,
    pki: Pki,
    secret: Mounted,
}

impl Pair {
    fn start(version: Version) -> Option<Pair> {
        let pki = Pki::new();
        let primary = available(Postgres::start(version, Setup::new().tls(&pki.server())))?;
        primary.role("app", SECRET, Encryption::Scram);
        primary.sql("GRANT pg_write_all_data TO app; ALTER ROLE app REPLICATION; CREATE TABLE t (n int)");
        let standby = available(Postgres::standby_of(&primary))?;
        let secret = Mounted::new(&[("username", "app"), ("password", SECRET)]);
        Some(Pair { primary, standby, pki, secret })
    }

    fn house(&self, ports: [u16; 2], more: &str) -> House {
        let upstream = format!(
            "{{ endpoints: [\"localhost:{}\", \"localhost:{}\"], tls: {{ ca: {} }}, {more} }}",
            ports[0],
            ports[1],
            self.pki.ca().display()
        );
        House::start(&upstream, &self.secret, &[])
    }

    fn orders(&self) -> [[u16; 2]; 2] {
        let (primary, standby) = (self.primary.port(), self.standby.port());
        [[primary, standby], [standby, primary]]
    }
}

#[test]
fn a_session_lands_on_a_server_of_the_routes_role_however_the_endpoints_are_ordered() {
    for version in Version::ALL {
        let Some(pair) = Pair::start(version) else { return };
        for order in pair.orders() {
            for (role, in_recovery) in [("primary", "f"), ("replica", "t"), ("prefer-replica", "t")] {
                let house = pair.house(order, &format!("role: {role}"));
                for _ in 0..3 {
                    assert_eq!(house.query(WHERE), in_recovery, "{version:?} {order:?} {role}");
                }
            }
            let house = pair.house(order, "probe_interval: off");
            let first = if order[0] == pair.primary.port() { "f" } else { "t" };
            assert_eq!(house.query(WHERE), first, "any takes the first");
        }
    }
}

#[test]
fn a_replication_connection_has_a_role_too() {
    let Some(pair) = Pair::start(Version::V15) else { return };
    for order in pair.orders() {
        let house = pair.house(order, "role: replica");
        for replication in ["true", "database"] {
            let mut psql = house.psql("IDENTIFY_SYSTEM");
            psql.args(["-d", &format!("dbname=postgres replication={replication}")]);
            assert!(!tools::run(&mut psql, b"", SOON).ok().is_empty(), "{replication}");
        }
        let standby = format!("localhost:{}", pair.standby.port());
        let used = |line: &Value| line["kind"] == "session" && line["endpoint"] == standby.as_str();
        eventually("both sessions on the standby", SOON, || (house.attache.count(used) >= 2).then_some(()));
    }
}

#[test]
fn without_a_replica_prefer_replica_takes_the_primary_and_replica_says_what_is_missing() {
    let Some(mut pair) = Pair::start(Version::V18) else { return };
    let prefer = pair.house(pair.orders()[1], "role: prefer-replica, probe_interval: 1s");
    let only = pair.house(pair.orders()[1], "role: replica, wait: 2s, probe_interval: 1s");
    assert_eq!((prefer.query(WHERE), only.query(WHERE)), ("t".to_owned(), "t".to_owned()));
    pair.standby.stop(Stop::Fast);

    assert_eq!(prefer.query(WHERE), "f");
    let refused = tools::run(&mut only.psql(WHERE), b"", SOON);
    assert!(refused.stderr.contains("no server of the required role can be reached"), "{}", refused.stderr);
    let line = only.attache.wait_for("the refusal", SOON, |line| line["result"] == "wrong_role");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("is a primary; the route wants role: replica"), "{detail}");

    pair.standby.start_again();
    let back = || (prefer.query(WHERE) == "t").then_some(());
    eventually("sessions on the replica again", SOON, back);
    assert_eq!(only.query(WHERE), "t");
}

#[test]
fn new_sessions_follow_a_promotion_without_an_error() {
    let Some(mut pair) = Pair::start(Version::V18) else { return };
    let house = pair.house(pair.orders()[0], "role: primary, wait: 30s, probe_interval: 1s");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut served = 0;
                    while !over.load(Ordering::SeqCst) {
                        let said = tools::run(&mut house.psql("insert into t values (1)"), b"", SOON * 3);
                        // A session that the stopping server cut had begun before: only new ones are promised.
                        let cut = said.stderr.contains("terminating connection")
                            || said.stderr.contains("server closed the connection");
                        assert!(said.status.success() || cut, "{}", said.stderr);
                        served += usize::from(said.status.success());
                    }
                    served
                })
            })
            .collect();
        eventually("sessions on the primary", SOON, || (rows(&pair.primary) > 8).then_some(()));
        pair.primary.stop(Stop::Fast);
        // Nobody takes writes for a while: sessions wait.
        std::thread::sleep(Duration::from_secs(2));
        let asked = connections(&pair.standby);
        assert!(asked < 30, "the standby is not stormed: {asked} connections");
        let before = rows(&pair.standby);
        pair.standby.promote();
        eventually("sessions on the new primary", SOON, || (rows(&pair.standby) > before + 8).then_some(()));
        over.store(true, Ordering::SeqCst);
        for client in clients {
            assert!(client.join().unwrap() > 0, "every client was served");
        }
    });
    let wrong = house.attache.count(|line| line["kind"] == "session" && line["result"] == "wrong_role");
    assert_eq!(wrong, 0, "no session gave up");
}

fn rows(server: &Postgres) -> usize {
    server.sql("select count(*) from t").parse().unwrap()
}

/// How many connections by TCP the server has logged.
fn connections(server: &Postgres) -> usize {
    server.log().lines().filter(|line| line.contains("connection received: host=127.0.0.1")).count()
}

#[test]
fn status_and_check_tell_roles() {
    let Some(pair) = Pair::start(Version::V15) else { return };
    let house = pair.house(pair.orders()[0], "role: replica");
    let told = eventually("both roles", SOON, || {
        let status = http::get(house.control.addr(), "/status").ok()?.json();
        let endpoints = status["routes"][0]["endpoints"].as_array().unwrap().clone();
        let roles: Vec<_> = endpoints.iter().filter_map(|endpoint| endpoint["role"].as_str()).collect();
        (roles.len() == 2).then(|| roles.join(" "))
    });
    assert_eq!(told, "primary replica");

    let check = |config: &str| {
        let ran = Launch::binary(env!("CARGO_BIN_EXE_attache"))
            .config(config)
            .command(&["check", "-c", "{config}", "--json"]);
        let steps: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
        let mut told = String::new();
        for step in steps.iter().filter(|step| step["step"] == "role") {
            let _ = write!(told, "{}|{}|{};", step["ok"], text(&step["cause"]), text(&step["detail"]));
        }
        (ran.status.code(), told)
    };
    let config = std::fs::read_to_string(house.attache.config_path()).unwrap();
    let expected = "true||primary, not used: the route wants role: replica;true||replica;";
    assert_eq!(check(&config), (Some(0), expected.to_owned()));
    let only_primary = config.replace(&format!(", \"localhost:{}\"", pair.standby.port()), "");
    let (status, told) = check(&only_primary);
    assert_eq!(status, Some(1));
    assert!(told.ends_with("false|wrong_role|the route wants role: replica;"), "{told}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn a_role_that_nobody_has_is_told_when_the_wait_is_over() {
    let Some(pair) = Pair::start(Version::V15) else { return };
    let upstream = format!(
        "{{ endpoints: \"localhost:{}\", tls: {{ ca: {} }}, role: primary, wait: 1s }}",
        pair.standby.port(),
        pair.pki.ca().display()
    );
    let house = House::start(&upstream, &pair.secret, &["ready: upstream"]);
    let start = Instant::now();
    let refused = tools::run(&mut house.psql(WHERE), b"", SOON);
    assert!(!refused.status.success() && start.elapsed() >= Duration::from_secs(1));
    eventually("the probe", SOON, || {
        let status = http::get(house.control.addr(), "/status").ok()?;
        status.body.contains("\"role\":\"replica\"").then_some(())
    });
    let ready = http::get(house.health.addr(), "/readyz").unwrap();
    assert_eq!(ready.status, 503, "a route without a server of its role is not ready: {}", ready.body);
}
