//! Servers that SRV records list.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use attache_kit::dns::{Dns, Kind, Record, Trouble};
use attache_kit::namespace::inside;
use attache_kit::{Launch, Leaf, Metrics, Pki, Process, Script, ServerTls, available, eventually, http};
use serde_json::Value;

use super::{A_MOMENT, SOON, ask, echo, name_server, patient_resolv_conf, resolv_conf, route, started};

const SERVICE: &str = "_db._tcp.orders.example.com";
const LONG: Duration = Duration::from_secs(300);
const SHORT: Duration = Duration::from_secs(1);
const HEALTH: &str = "127.0.0.1:9900";
const CONTROL: &str = "127.0.0.1:9901";

/// A server that echoes under its own name, and the address of that name.
fn server(dns: &Dns, name: &'static str, last: u8) {
    known(dns, name, last);
    echo(&format!("127.0.0.{last}:9000"), name);
}

/// A name under whose address nobody listens.
fn known(dns: &Dns, name: &str, last: u8) {
    dns.address(&format!("{name}.example.com"), &format!("127.0.0.{last}"));
}

fn listed(priority: u16, weight: u16, name: &str) -> Record {
    Record::Service { priority, weight, port: 9000, target: format!("{name}.example.com") }
}

fn config(more: &str) -> String {
    format!(
        "health: {HEALTH}\ncontrol: {CONTROL}\nlog: {{ format: json }}\nroutes:\n  r:\n    protocol: tcp\n    listen: 127.0.0.1:7000\n    upstream: {{ srv: {SERVICE}{more} }}\n"
    )
}

/// Without probes, so that nothing but sessions asks and takes note.
fn quiet(more: &str) -> Process {
    started(&config(&format!(", tls: off, probe_interval: off{more}")))
}

fn session(attache: &Process) -> Value {
    attache.wait_for("the session", SOON, |line| line["kind"] == "session")
}

fn endpoints() -> Vec<Value> {
    let status = http::get(CONTROL.parse::<SocketAddr>().unwrap(), "/status").unwrap().json();
    status["routes"][0]["endpoints"].as_array().unwrap().clone()
}

#[test]
fn the_lowest_priority_is_used_and_the_next_one_when_it_refuses() {
    let test = "srv::the_lowest_priority_is_used_and_the_next_one_when_it_refuses";
    let _ = available(inside(test, "pod", &resolv_conf("blue"), || {
        let dns = name_server();
        // The names are sorted the other way round.
        server(&dns, "spare", 5);
        server(&dns, "zone", 6);
        dns.set(SERVICE, SHORT, &[listed(20, 1, "spare"), listed(10, 0, "zone")]);
        let attache = quiet("");
        for _ in 0..20 {
            assert_eq!(ask(route()), "zone hello");
        }
        assert_eq!(session(&attache)["endpoint"], format!("{SERVICE}#1"));
        assert_eq!(dns.asked(&format!("{SERVICE}.blue.svc.cluster.local"), Kind::Srv), 0, "it is absolute");
        assert_eq!(
            dns.asked("zone.example.com.blue.svc.cluster.local", Kind::A),
            0,
            "and so are the targets"
        );

        known(&dns, "gone", 7);
        dns.set(SERVICE, LONG, &[listed(20, 1, "spare"), listed(10, 0, "gone")]);
        eventually("the spare server", SOON, || (ask(route()) == "spare hello").then_some(()));
        assert_eq!(ask(route()), "spare hello");
    }));
}

#[test]
fn weights_are_shares_of_the_sessions() {
    let test = "srv::weights_are_shares_of_the_sessions";
    let _ = available(inside(test, "pod", &resolv_conf("blue"), || {
        let dns = name_server();
        server(&dns, "small", 5);
        server(&dns, "large", 6);
        dns.set(SERVICE, LONG, &[listed(0, 1, "small"), listed(0, 3, "large")]);
        let _attache = quiet("");
        let mut count = HashMap::new();
        for _ in 0..400 {
            *count.entry(ask(route())).or_insert(0) += 1;
        }
        // 100 are expected, and sqrt(400 * 1/4 * 3/4) = 8.7 is what chance adds or takes.
        let small = count["small hello"];
        assert!((35..190).contains(&small), "{count:?}");
        assert_eq!(small + count["large hello"], 400, "{count:?}");
    }));
}

#[test]
fn a_list_that_changes_is_followed_and_told() {
    let test = "srv::a_list_that_changes_is_followed_and_told";
    let _ = available(inside(test, "pod", &resolv_conf("blue"), || {
        let dns = name_server();
        server(&dns, "one", 5);
        server(&dns, "two", 6);
        server(&dns, "three", 7);
        dns.set(SERVICE, SHORT, &[listed(1, 0, "one"), listed(2, 0, "two")]);
        let attache = started(&config(", tls: off, probe_interval: 1s"));
        let told = |servers: &str| {
            attache.wait_for("the list", SOON, |line| line["servers"] == servers);
            assert_eq!(attache.count(|line| line["servers"] == servers), 1, "once per change");
        };
        let up = |place: usize| {
            let endpoint = format!("{SERVICE}#{place}");
            let labels = [("route", "r"), ("endpoint", endpoint.as_str())];
            Metrics::scrape(HEALTH.parse::<SocketAddr>().unwrap()).value("attache_upstream_up", &labels)
        };
        eventually("both", SOON, || (up(1) == Some(1.0) && up(2) == Some(1.0)).then_some(()));
        assert_eq!(up(3), None, "a place that nobody has is not down");
        told("one.example.com:9000 two.example.com:9000");
        assert_eq!(endpoints().len(), 2);
        assert_eq!(endpoints()[1]["server"], "two.example.com:9000");
        assert_eq!(ask(route()), "one hello");

        // Nobody but the probes asks.
        dns.set(SERVICE, SHORT, &[listed(1, 0, "three")]);
        told("three.example.com:9000");
        eventually("the second place to be empty", SOON, || (up(2).is_none()).then_some(()));
        assert_eq!(ask(route()), "three hello");
        assert_eq!(endpoints().len(), 1);

        let many: Vec<_> = (0..12).map(|number| listed(number, 0, "three")).collect();
        let many = many.into_iter().enumerate().map(|(index, record)| match record {
            Record::Service { priority, weight, target, .. } => {
                let port = 9000 + u16::try_from(index).unwrap();
                Record::Service { priority, weight, port, target }
            }
            other => other,
        });
        dns.set(SERVICE, SHORT, &many.collect::<Vec<_>>());
        let line = attache.wait_for("the warning", SOON, |line| line["ignored"] == 4);
        assert_eq!(line["level"], "WARN", "{line}");
        eventually("eight places", SOON, || (endpoints().len() == 8).then_some(()));
    }));
}

#[test]
fn sessions_go_on_when_the_name_server_falls_silent() {
    let test = "srv::sessions_go_on_when_the_name_server_falls_silent";
    let _ = available(inside(test, "pod", &patient_resolv_conf("blue"), || {
        let dns = name_server();
        server(&dns, "one", 5);
        dns.set(SERVICE, SHORT, &[listed(1, 0, "one")]);
        let attache = quiet("");
        assert_eq!(ask(route()), "one hello");
        for trouble in [Trouble::Silence, Trouble::Failure] {
            dns.trouble(SERVICE, Kind::Srv, trouble);
            let cause = if trouble == Trouble::Silence { "name_server_silent" } else { "name_server_failed" };
            let slowest = std::cell::Cell::new(Duration::ZERO);
            eventually("the trouble to be noticed", SOON, || {
                let start = Instant::now();
                assert_eq!(ask(route()), "one hello");
                slowest.set(slowest.get().max(start.elapsed()));
                (attache.count(|line| line["cause"] == cause && line["srv"] == SERVICE) == 1).then_some(())
            });
            assert!(slowest.get() < A_MOMENT, "nobody waits for long: {slowest:?}");
            dns.heal(SERVICE, Kind::Srv);
            let told = || attache.count(|line| line["message"] == "servers listed");
            let before = told();
            eventually("the end of the trouble to be told", SOON, || {
                assert_eq!(ask(route()), "one hello");
                (told() == before + 1).then_some(())
            });
        }
    }));
}

#[test]
fn a_service_that_does_not_exist_is_named_in_log_and_check() {
    let test = "srv::a_service_that_does_not_exist_is_named_in_log_and_check";
    let _ = available(inside(test, "pod", &resolv_conf("blue"), || {
        let dns = name_server();
        let nowhere = Record::Service { priority: 0, weight: 0, port: 0, target: ".".to_owned() };
        dns.set(SERVICE, SHORT, &[nowhere]);
        let attache = quiet(", wait: 0s");
        assert_eq!(ask(route()), "", "the session just ends");
        let line = session(&attache);
        assert_eq!(
            (&line["result"], &line["stage"]),
            (&"name_not_found".into(), &"resolve".into()),
            "{line}"
        );
        assert!(line["detail"].as_str().unwrap().contains("the service does not exist"), "{line}");
        let steps = check(&config(", tls: off"));
        let dns_step = steps.iter().find(|step| step["step"] == "dns").unwrap();
        assert_eq!(dns_step["cause"], "name_not_found", "{steps:?}");

        server(&dns, "one", 5);
        dns.set(SERVICE, LONG, &[listed(1, 0, "one")]);
        eventually("the service", SOON, || (ask(route()) == "one hello").then_some(()));
        let steps = check(&config(", tls: off"));
        let dns_step = steps.iter().find(|step| step["step"] == "dns").unwrap();
        assert_eq!(dns_step["ok"], true, "{steps:?}");
        assert_eq!(dns_step["detail"], "one.example.com:9000: 127.0.0.5:9000", "{steps:?}");
    }));
}

fn check(config: &str) -> Vec<Value> {
    let ran = Launch::binary(env!("CARGO_BIN_EXE_attache"))
        .config(config)
        .command(&["check", "-c", "{config}", "--json"]);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn a_server_outside_the_domain_of_the_service_is_not_trusted_by_its_own_name() {
    let test = "srv::a_server_outside_the_domain_of_the_service_is_not_trusted_by_its_own_name";
    let _ = available(inside(test, "pod", &resolv_conf("blue"), || {
        let dns = name_server();
        let pki = Pki::new();
        let tls = ServerTls::new(&pki.issue(Leaf::server(&["db.example.com", "db.evil.net"])));
        let server = Script::serve(move |peer| peer.start_tls(&tls)?.read_to_end().map(drop));
        for name in ["db.example.com", "other.example.com", "db.evil.net"] {
            dns.address(name, "127.0.0.1");
        }
        let full = format!("mode: verify-full, ca: {}", pki.ca().display());
        for (target, tls, outcome) in [
            ("db.example.com", full.clone(), Value::Null),
            ("other.example.com", full.clone(), "certificate_wrong_name".into()),
            // The certificate is good for this name, which is the point.
            ("db.evil.net", full.clone(), "tls_setup".into()),
            ("db.evil.net", full.replace("full", "ca"), "tls_setup".into()),
            ("db.evil.net", format!("{full}, server_name: db.example.com"), Value::Null),
            ("db.evil.net", "mode: insecure-no-verify".to_owned(), Value::Null),
        ] {
            let port = server.addr().port();
            let record = Record::Service { priority: 1, weight: 0, port, target: target.to_owned() };
            dns.set(SERVICE, LONG, &[record]);
            let steps = check(&config(&format!(", tls: {{ {tls} }}")));
            let step = steps.iter().find(|step| step["step"] == "tls").unwrap();
            assert_eq!(step["cause"], outcome, "{target} {tls}: {steps:?}");
            let detail = step["detail"].as_str().unwrap();
            if outcome == "tls_setup" {
                assert!(detail.contains("db.evil.net") && detail.contains("tls.server_name"), "{detail}");
            }
        }
    }));
}
