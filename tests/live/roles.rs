//! Primary and replica: which server a session ends up on, and what it notices of a promotion.

mod failover;
mod old;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attache_kit::*;
use serde_json::Value;

use crate::house::Clients;
use crate::servers::Account;

const WHERE: &str = "select pg_is_in_recovery()";

struct Pair {
    primary: Postgres,
    standby: Postgres,
    pki: Pki,
    account: Account,
}

impl Pair {
    fn start(version: Version) -> Option<Pair> {
        let pki = Pki::new();
        let primary = available(Postgres::start(version, Setup::new().tls(&pki.server())))?;
        primary.role("app", SECRET, Encryption::Scram);
        primary.sql("GRANT pg_write_all_data TO app; ALTER ROLE app REPLICATION; CREATE TABLE t (n int)");
        let standby = available(Postgres::standby_of(&primary))?;
        Some(Pair { primary, standby, pki, account: Account::somebody() })
    }

    /// `role` may be `any`; `more` are further keys of `upstream`.
    fn house(&self, ports: [u16; 2], role: &str, more: &[&str]) -> House {
        let route = self.account.route_to(self.primary.addr()).across(&ports).verified(&self.pki);
        let route = route.upstream(&format!("role: {role}"));
        more.iter().fold(route, |route, line| route.upstream(line)).start()
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
                let house = pair.house(order, role, &[]);
                for _ in 0..3 {
                    assert_eq!(house.query("postgres", WHERE), in_recovery, "{version:?} {order:?} {role}");
                }
            }
            let house = pair.house(order, "any", &["probe_interval: off"]);
            let first = if order[0] == pair.primary.port() { "f" } else { "t" };
            assert_eq!(house.query("postgres", WHERE), first, "any takes the first");
        }
    }
}

#[test]
fn a_replication_connection_has_a_role_too() {
    let Some(pair) = Pair::start(Version::V15) else { return };
    for order in pair.orders() {
        let house = pair.house(order, "replica", &[]);
        for replication in ["true", "database"] {
            let mut psql = house.psql("postgres");
            psql.args(["-c", "IDENTIFY_SYSTEM"]);
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
    let prefer = pair.house(pair.orders()[1], "prefer-replica", &["probe_interval: 1s"]);
    let only = pair.house(pair.orders()[1], "replica", &["wait: 2s", "probe_interval: 1s"]);
    assert_eq!(
        (prefer.query("postgres", WHERE), only.query("postgres", WHERE)),
        ("t".to_owned(), "t".to_owned())
    );
    pair.standby.stop(Stop::Fast);

    assert_eq!(prefer.query("postgres", WHERE), "f");
    let refused = tools::run(only.psql("postgres").args(["-c", WHERE]), b"", SOON);
    assert!(refused.stderr.contains("no server of the required role can be reached"), "{}", refused.stderr);
    let line = only.attache.wait_for("the refusal", SOON, |line| line["result"] == "wrong_role");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("is a primary; the route wants role: replica"), "{detail}");

    pair.standby.start_again();
    let back = || (prefer.query("postgres", WHERE) == "t").then_some(());
    eventually("sessions on the replica again", SOON, back);
    assert_eq!(only.query("postgres", WHERE), "t");
}

#[test]
fn new_sessions_follow_a_promotion_without_an_error() {
    let Some(mut pair) = Pair::start(Version::V18) else { return };
    let house = pair.house(pair.orders()[0], "primary", &["wait: 30s", "probe_interval: 1s"]);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut served = 0;
                    while !over.load(Ordering::SeqCst) {
                        let said = house.run(house.psql("postgres").args(["-c", "insert into t values (1)"]));
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
        let (start, before) = (Instant::now(), connections(&pair.standby));
        pair.primary.stop(Stop::Fast);
        // Nobody takes writes for a while: sessions wait, with longer and longer pauses. Each of the four begins anew where
        // it was cut, and the probes ask on.
        stays("sparing the standby", Duration::from_secs(2), || {
            connections(&pair.standby) - before < 40 + 5 * start.elapsed().as_secs() as usize
        });
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
    let house = pair.house(pair.orders()[0], "replica", &[]);
    let told = eventually("both roles", SOON, || {
        let endpoints = house.status()["endpoints"].as_array().unwrap().clone();
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
    let route = pair.account.route_to(pair.standby.addr()).verified(&pair.pki).key("ready: upstream");
    let house = route.upstream("role: primary").upstream("wait: 1s").start();
    let start = Instant::now();
    let refused = tools::run(house.psql("postgres").args(["-c", WHERE]), b"", SOON);
    assert!(!refused.status.success() && start.elapsed() >= Duration::from_secs(1));
    eventually("the probe", SOON, || (house.status()["endpoints"][0]["role"] == "replica").then_some(()));
    assert!(!house.is_ready(), "a route without a server of its role is not ready");
}
