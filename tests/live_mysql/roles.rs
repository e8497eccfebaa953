//! Primary and replica by `read_only`: where sessions go, and what probes tell.

use attache_kit::*;
use serde_json::Value;

use crate::house::*;
use crate::servers::Db;

const WHERE: &str = "select @@port";

/// Two servers, of which the second takes no writes.
struct Pair {
    one: Db,
    other: Db,
    _folder: tempfile::TempDir,
    ca: std::path::PathBuf,
}

impl Pair {
    fn start(flavour: Flavour) -> Option<Pair> {
        let (one, other) = (Db::own(flavour)?, Db::own(flavour)?);
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, [one.pki.ca_pem(), other.pki.ca_pem()].concat()).unwrap();
        for db in [&one, &other] {
            db.account("app");
        }
        other.server.read_only(true);
        Some(Pair { one, other, _folder: folder, ca })
    }

    fn house(&self, more: &[&str]) -> House {
        let ports = [self.one.server.port(), self.other.server.port()];
        let route = self.one.route("app").across(&ports);
        let route = route.tls(&format!("{{ ca: {} }}", self.ca.display()));
        more.iter().fold(route, |route, line| route.upstream(line)).start()
    }

    /// The servers change places.
    fn swap(&self, primary: &Db, replica: &Db) {
        replica.server.read_only(true);
        primary.server.read_only(false);
    }
}

fn port(db: &Db) -> String {
    db.server.port().to_string()
}

#[test]
fn sessions_follow_read_only_while_it_changes() {
    for flavour in Flavour::ALL {
        let Some(pair) = Pair::start(flavour) else { continue };
        let primary = pair.house(&["role: primary", "probe_interval: 1s"]);
        let replica = pair.house(&["role: replica", "probe_interval: off"]);
        let prefer = pair.house(&["role: prefer-replica", "probe_interval: 1s"]);
        let places = |wanted: [&Db; 2]| {
            for ((role, house), db) in [("primary", &primary), ("replica", &replica)].into_iter().zip(wanted)
            {
                for _ in 0..3 {
                    assert_eq!(house.raw("app").value(WHERE), port(db), "{role}, {flavour:?}");
                }
            }
        };
        let preferred = |db: &Db| {
            // A server that was no replica a moment ago is not asked for each session.
            let there = || (prefer.raw("app").value(WHERE) == port(db)).then_some(());
            eventually("the replica to be preferred", SOON, there);
        };
        places([&pair.one, &pair.other]);
        preferred(&pair.other);
        let mut stays = primary.raw("app");
        assert_eq!(stays.value(WHERE), port(&pair.one));
        pair.swap(&pair.other, &pair.one);
        places([&pair.other, &pair.one]);
        preferred(&pair.one);
        let report = stays.last_words();
        assert_eq!(report.code(), (1053, "08S01"), "its server takes no writes any more: {report:?}");
        assert_eq!(primary.ended(report.session())["result"], "server_demoted");
        for house in [&primary, &replica, &prefer] {
            let ended = |line: &Value| line["kind"] == "session" && line["result"].is_string();
            let lines = house.attache.log().into_iter().filter(ended);
            let failed: Vec<_> =
                lines.filter(|line| line["result"] != "ok" && line["result"] != "server_demoted").collect();
            assert!(failed.is_empty(), "{failed:?}");
        }
    }
}

#[test]
fn status_readiness_and_check_tell_roles() {
    for flavour in Flavour::ALL {
        let Some(pair) = Pair::start(flavour) else { continue };
        let house = pair.house(&["role: replica", "wait: 300ms", "probe_interval: 1s"]);
        let roles = || {
            let status = house.status();
            let endpoints = status["endpoints"].as_array().unwrap().clone();
            let roles: Vec<_> = endpoints.iter().filter_map(|endpoint| endpoint["role"].as_str()).collect();
            roles.join(" ")
        };
        eventually("both roles", SOON, || (roles() == "primary replica").then_some(()));

        let config = std::fs::read_to_string(house.attache.config_path()).unwrap();
        let ran = Launch::binary(env!("CARGO_BIN_EXE_attache"))
            .config(&config)
            .command(&["check", "-c", "{config}", "--json"]);
        let steps: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
        let told: Vec<_> = steps.iter().filter(|step| step["step"] == "role").collect();
        assert_eq!(told[0]["detail"], "primary, not used: the route wants role: replica", "{told:?}");
        assert_eq!(told[1]["detail"], "replica", "{told:?}");

        pair.other.server.read_only(false);
        eventually("the probe", SOON, || (roles() == "primary primary").then_some(()));
        let report = house.refusal("app");
        assert!(report.text.contains("no server of the required role can be reached"), "{report:?}");
        let line = house.attache.wait_for("the refusal", SOON, |line| line["result"] == "wrong_role");
        assert!(line["detail"].as_str().unwrap().contains("a primary"), "{line}");
    }
}

#[test]
fn a_probe_notices_a_server_that_goes_and_comes_back() {
    for flavour in Flavour::ALL {
        let Some(mut db) = Db::own(flavour) else { continue };
        db.account("probed");
        let route = db.route("probed").upstream("probe_interval: 1s").key("ready: upstream");
        let house = route.start();
        let up = |wanted: f64| (house.metric("attache_upstream_up", &[]) == wanted).then_some(());
        eventually("the first probe", SOON, || up(1.0));
        assert!(house.is_ready());
        db.server.stop();
        eventually("the probe to fail", SOON, || up(0.0));
        assert!(!house.is_ready());
        db.server.start_again();
        eventually("the probe to succeed", SOON, || up(1.0));
        assert!(house.is_ready());
        assert_eq!(house.raw("probed").value("select 1"), "1");
    }
}

/// The probes would look after an hour: an error in a session makes them look now.
#[test]
fn sessions_leave_a_server_that_refuses_to_write() {
    for flavour in Flavour::ALL {
        let Some(pair) = Pair::start(flavour) else { continue };
        let house = pair.house(&["role: primary", "probe_interval: 1h"]);
        let mut session = house.raw("app");
        assert_eq!(session.value(WHERE), port(&pair.one));
        session.value("create table t (i int)");
        eventually("the first probes", SOON, || {
            let endpoints = house.status()["endpoints"].as_array().unwrap().clone();
            endpoints.iter().all(|endpoint| !endpoint["role"].is_null()).then_some(())
        });
        pair.swap(&pair.other, &pair.one);
        session.ask("insert into t values (1)");
        assert_eq!(session.reply().unwrap_err().number, 1290, "{flavour:?}");
        // An error does not say whether a transaction is open.
        session.ask("select 1");
        let report = session.last_words();
        assert_eq!(report.code(), (1053, "08S01"), "{report:?}");
        assert_eq!(house.ended(report.session())["result"], "server_demoted");
        assert_eq!(house.raw("app").value(WHERE), port(&pair.other));
    }
}
