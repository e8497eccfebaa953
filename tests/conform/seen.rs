//! What an operator sees of any protocol: one line a session, the metrics of the contract, and never the secret.

use attache_kit::{SECRET, http};

use crate::house::echo;
use crate::speech::each;

/// Names of the operator's contract that a route has from its first session on.
const METRICS: &[&str] = &[
    "attache_build_info",
    "attache_sessions_active",
    "attache_sessions_total",
    "attache_session_stage_seconds_count",
    "attache_login_attempts_total",
    "attache_upstream_up",
    "attache_credential_generation",
    "attache_credential_loaded_timestamp_seconds",
    "attache_credential_rejected",
    "attache_links",
    "attache_relay_bytes_total",
    "attache_config_last_reload_successful",
    "attache_draining",
];

#[test]
fn a_session_is_one_line_with_the_fields_of_the_contract() {
    each(|speech| {
        let server = echo(speech);
        let house = speech.route(server.addr()).start();
        let since = house.attache.lines();
        let mut client = speech.session(&house);
        client.speak(speech.word);
        drop(client);
        let line = house.ended_since(since);
        house.settles();
        assert_eq!(line["route"], "db");
        assert_eq!((&line["stage"], &line["result"]), (&"relay".into(), &"ok".into()), "{line}");
        assert_eq!((&line["ended_by"], &line["generation"]), (&"client".into(), &1.into()), "{line}");
        assert_eq!(line["endpoint"], server.addr().to_string());
        assert_eq!(line["to_upstream"], speech.word.len() * 2, "{line}");
        assert_eq!(line["to_client"], speech.word.len() * 2, "{line}");
        assert!(line["session"].as_str().is_some_and(|id| id.len() >= 8), "{line}");
        for number in ["duration_ms", "login_ms", "retries"] {
            assert!(line[number].is_number(), "{number} of {line}");
        }
        let sessions = house.attache.count(|line| line["kind"] == "session");
        assert_eq!(sessions, 1, "{}: one session, one line", speech.protocol);
    });
}

#[test]
fn the_metrics_of_the_contract_are_there_with_labels_of_the_configuration() {
    each(|speech| {
        let server = echo(speech);
        let house = speech.route(server.addr()).start();
        let _staying = speech.session(&house);
        let since = house.attache.lines();
        drop(speech.session(&house));
        house.ended_since(since);
        let metrics = house.metrics();
        let names = metrics.names();
        for name in METRICS {
            assert!(names.contains(*name), "{}: no {name} in {names:?}", speech.protocol);
        }
        let of = |name, labels| metrics.value(name, labels);
        assert_eq!(of("attache_sessions_active", &[("route", "db")]), Some(1.0));
        assert_eq!(of("attache_sessions_total", &[("route", "db"), ("result", "ok")]), Some(1.0));
        assert_eq!(of("attache_links", &[("route", "db"), ("generation", "1")]), Some(1.0));
        assert_eq!(of("attache_login_attempts_total", &[("result", "ok")]), Some(2.0));
        let octets = speech.word.len() as f64 * 2.0;
        assert_eq!(of("attache_relay_bytes_total", &[("direction", "to_upstream")]), Some(octets));
    });
}

#[test]
fn the_secret_is_nowhere() {
    each(|speech| {
        let server = echo(speech);
        let house = speech.route(server.addr()).start();
        let _staying = speech.session(&house);
        for (at, path) in [
            (house.control(), "/status"),
            (house.control(), "/"),
            (house.health(), "/metrics"),
            (house.health(), "/readyz"),
            (house.health(), "/startupz"),
        ] {
            let page = http::get(at, path).unwrap();
            assert!(!page.body.contains(SECRET), "{path}");
            assert!(!page.headers.iter().any(|(_, value)| value.contains(SECRET)), "{path}");
        }
        for file in ["cmdline", "environ"] {
            let of_process = std::fs::read(format!("/proc/{}/{file}", house.attache.pid())).unwrap();
            assert!(!String::from_utf8_lossy(&of_process).contains(SECRET), "{file}");
        }
    });
}
