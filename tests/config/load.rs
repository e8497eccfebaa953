//! What the configuration promises to whoever writes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attache::config::{self, Config, Elsewhere, ListenAddress, Sources, TlsMode, load_elsewhere};

use attache::registry::facts;

use crate::examples::{EXAMPLE, SMALL};
use crate::snapshots::compare;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// What is wrong with a file of this text, with the folder's name left out.
    fn complaints(&self, name: &str, text: &str) -> String {
        let sources = Sources { files: vec![self.write(name, text)], ..Sources::default() };
        let complaints = config::load(&sources, &facts()).expect_err("complaints");
        complaints.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn load(files: &[PathBuf], env: &[(&str, &str)], overrides: &[&str]) -> Config {
    let sources = Sources {
        files: files.to_vec(),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        overrides: overrides.iter().map(|flag| (*flag).to_owned()).collect(),
    };
    config::load(&sources, &facts()).unwrap_or_else(|complaints| panic!("{complaints}"))
}

fn load_text(text: &str) -> Config {
    load(&[Files::new().write("attache.yaml", text)], &[], &[])
}

#[test]
fn a_collector_is_an_url_and_what_it_wants_to_hear_is_not_sent_in_clear_text() {
    let with = |traces: &str| format!("{SMALL}telemetry: {{ traces: {{ {traces} }} }}\n");
    let traces =
        load_text(&with("endpoint: https://otlp.example.com, sample: 0.25")).telemetry.traces.unwrap();
    assert_eq!(traces.collector.to_string(), "https://otlp.example.com:443/v1/traces");
    assert_eq!((traces.sample, traces.service.as_str()), (0.25, "attache"));
    let beside = load_text(&with("endpoint: 'http://[::1]:4318/v1/traces/', headers_file: headers"));
    let beside = beside.telemetry.traces.unwrap();
    assert_eq!(beside.collector.to_string(), "http://[::1]:4318/v1/traces");
    assert!(beside.headers_file.unwrap().is_absolute(), "as seen from the file");
    let mistakes = [
        ("endpoint: otel:4318", "is no URL of a collector"),
        ("endpoint: 'http://me:hunter2@otel'", "holds more than a host, a port and a path"),
        ("endpoint: http://otel:4318, headers_file: h", "would be sent in clear text over the network"),
        ("endpoint: http://otel:4318, sample: 2", "must be a number from 0 to 1"),
        ("sample: 1", "endpoint is missing"),
    ];
    for (traces, complaint) in mistakes {
        let told = Files::new().complaints("attache.yaml", &with(traces));
        assert!(told.contains(complaint) && !told.contains("hunter2"), "{traces}: {told}");
    }
}

#[test]
fn the_example_of_the_contract_is_understood() {
    let config = load_text(EXAMPLE);
    assert_eq!(config.health, Some("0.0.0.0:9900".parse().unwrap()));
    assert_eq!(config.control, Some(ListenAddress::Tcp("127.0.0.1:9901".parse().unwrap())));
    assert_eq!(config.workers, None);
    let [route] = config.routes.as_slice() else { panic!("{config:?}") };
    assert_eq!(route.name, "orders");
    assert_eq!(route.listen.len(), 2);
    assert_eq!(route.upstream.endpoints.len(), 2);
    assert_eq!(route.upstream.tls.mode, TlsMode::VerifyFull);
    assert_eq!(route.upstream.tls.ca, Some("/etc/attache/ca.pem".into()));
    assert!(!route.upstream.tls.direct);
    assert_eq!(route.database.as_deref(), Some("orders"));
    assert_eq!(route.client.allow_uids, Some(vec![1000]));
    assert_eq!(route.client.max_sessions, 500);
    let credential = route.credential.as_ref().unwrap();
    assert_eq!(credential.path, PathBuf::from("/var/run/secrets/attache/orders"));
    assert_eq!(credential.keys.certificate, "tls.crt");
}

#[test]
fn what_is_not_said_has_a_default_that_protects() {
    let files = Files::new();
    let config = load(&[files.write("attache.yaml", SMALL)], &[], &[]);
    let route = &config.routes[0];
    assert_eq!(config.health, Some("127.0.0.1:9900".parse().unwrap()));
    assert_eq!(config.drain.deadline, Duration::from_secs(25));
    assert_eq!(route.upstream.tls.mode, TlsMode::VerifyFull);
    assert_eq!(route.upstream.endpoints[0].to_string(), "db.example.com:5432");
    assert_eq!(route.upstream.wait, Duration::from_secs(15));
    assert_eq!(route.upstream.probe_interval, Duration::from_secs(30));
    assert_eq!(route.client.max_sessions, 1000);
    assert!(!route.allow_remote && !route.allow_cleartext);
    let path = &route.credential.as_ref().unwrap().path;
    assert_eq!(path, &files.0.path().join("secrets/orders"), "relative to the file");
}

#[test]
fn every_mistake_is_reported_at_once() {
    let shown = Files::new().complaints("attache.yaml", include_str!("../snapshots/config_mistakes.yaml"));
    compare("tests/snapshots/config_mistakes.txt", &format!("{shown}\n"));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.lines().count() >= 20, "{shown}");
}

#[test]
fn a_slip_in_the_notation_is_one_complaint_with_its_line() {
    let files = Files::new();
    let shown = files.complaints("a.yaml", "health: off\nroutes: [\n");
    assert!(shown.starts_with("a.yaml:") && shown.lines().count() == 1, "{shown}");
    let shown = files.complaints("a.yaml", "health: off\nhealth: off\n");
    assert!(shown.starts_with("a.yaml:2: "), "{shown}");
    let shown = files.complaints("a.toml", "health = off\n");
    assert!(shown.starts_with("a.toml:1: not valid TOML"), "{shown}");
    let shown = files.complaints("a.json", "{\n\"health\": off}");
    assert!(shown.starts_with("a.json:2: not valid JSON"), "{shown}");
}

#[test]
fn a_missing_file_and_no_routes_are_complaints() {
    let missing = Sources { files: vec!["/nowhere/attache.yaml".into()], ..Sources::default() };
    let shown = config::load(&missing, &facts()).unwrap_err().to_string();
    assert!(shown.starts_with("/nowhere/attache.yaml: cannot read"), "{shown}");
    let shown = config::load(&Sources::default(), &facts()).unwrap_err().to_string();
    assert!(shown.starts_with("routes: there is no route"), "{shown}");
}

#[test]
fn later_layers_win_and_maps_are_merged() {
    let files = Files::new();
    let first = files.write("first.yaml", SMALL);
    let second = files.write(
        "second.toml",
        "workers = 3\n[routes.orders.upstream]\nwait = \"1m30s\"\nendpoints = [\"other.example.com\"]\n",
    );
    let env = [
        ("ATTACHE_WORKERS", "4"),
        ("ATTACHE_ROUTES__ORDERS__UPSTREAM__WAIT", "3s"),
        ("ATTACHE_ROUTES__ORDERS__LISTEN", "[\"127.0.0.1:1\", \"unix:/run/x\"]"),
        ("ATTACHE_ROUTES__ORDERS__UPSTREAM__TLS", "off"),
        ("ATTACHE_ROUTES__ORDERS__DATABASE", "123"),
        ("ATTACHE_ROUTES__ORDERS__OPTIONS__CHANNEL_BINDING", "require"),
        ("ATTACHE_SERVICE_HOST", "10.0.0.1"),
        ("HOME", "/"),
    ];
    let config = load(&[first, second], &env, &["workers=5", "routes.orders.client.max_sessions=7"]);
    let route = &config.routes[0];
    assert_eq!(config.workers, Some(5));
    assert_eq!(route.upstream.wait, Duration::from_secs(3));
    assert_eq!(route.upstream.endpoints[0].to_string(), "other.example.com:5432");
    assert_eq!(route.upstream.tls.mode, TlsMode::Off);
    assert_eq!(route.listen.len(), 2);
    assert_eq!(route.database.as_deref(), Some("123"));
    assert_eq!(route.client.max_sessions, 7);
    assert_eq!(route.options["channel_binding"], "require");
}

#[test]
fn a_complaint_names_the_layer_that_must_be_changed() {
    let files = Files::new();
    let sources = Sources {
        files: vec![files.write("attache.yaml", SMALL)],
        env: vec![
            ("ATTACHE_ROUTES__ORDERS__UPSTREAM__WAIT".into(), "3".into()),
            ("ATTACHE_HEALHT".into(), "off".into()),
        ],
        overrides: vec!["log.level=loud".into(), "nonsense".into()],
    };
    let shown = config::load(&sources, &facts()).unwrap_err().to_string();
    let expected = "\
command line: a setting is written key=value; for example log.level=debug
environment variable ATTACHE_HEALHT: healht: there is no such key; did you mean health?
environment variable ATTACHE_ROUTES__ORDERS__UPSTREAM__WAIT: routes.orders.upstream.wait: \"3\" has no unit; write for example 5s, 1m30s or 500ms
command line: log.level: \"loud\" is none of error, warn, info, debug, trace";
    assert_eq!(shown, expected);
}

#[test]
fn a_file_that_cannot_be_read_hides_no_mistakes_of_another_and_causes_none() {
    let files = Files::new();
    let other = files.write("other.yaml", "workers: many\n");
    let broken = files.write("broken.yaml", "routes: [\n");
    let sources = Sources { files: vec![broken, other], ..Sources::default() };
    let complaints = config::load(&sources, &facts()).unwrap_err();
    let keys: Vec<_> = complaints.iter().map(|complaint| complaint.key.as_str()).collect();
    assert_eq!(keys, ["", "workers"], "{complaints}");
}

#[test]
fn toml_and_json_say_the_same_as_yaml() {
    let files = Files::new();
    let yaml = load(&[files.write("a.yaml", SMALL)], &[], &[]);
    let json = r#"{"routes": {"orders": {"protocol": "postgres", "listen": "127.0.0.1:5432",
        "upstream": {"endpoints": "db.example.com"}, "credential": {"path": "secrets/orders"}}}}"#;
    assert_eq!(load(&[files.write("a.json", json)], &[], &[]), yaml);
    let toml = "[routes.orders]\nprotocol = 'postgres'\nlisten = '127.0.0.1:5432'\nupstream.endpoints = 'db.example.com'\n\
                credential.path = 'secrets/orders'\n";
    assert_eq!(load(&[files.write("a.toml", toml)], &[], &[]), yaml);
}

#[test]
fn off_survives_tools_that_make_a_boolean_of_it() {
    let config = load_text(
        &SMALL
            .replace("db.example.com }", "db.example.com, tls: false }")
            .replace("routes:", "health: false\ncontrol: off\nroutes:"),
    );
    assert_eq!((config.health, config.control), (None, None));
    assert_eq!(config.routes[0].upstream.tls.mode, TlsMode::Off);
}

#[test]
fn tls_starts_as_the_protocol_does_it_unless_told_otherwise() {
    let direct = |text: &str| load_text(text).routes[0].upstream.tls.direct;
    assert!(!direct(SMALL));
    assert!(!direct(&SMALL.replace("db.example.com }", "db.example.com, tls: { negotiation: postgres } }")));
    assert!(direct(&SMALL.replace("db.example.com }", "db.example.com, tls: { negotiation: direct } }")));
    assert!(direct(
        &SMALL.replace("protocol: postgres", "protocol: tcp").replace("db.example.com", "db.example.com:1")
    ));
}

#[test]
fn a_unix_socket_to_the_database_has_no_tls() {
    let text = SMALL.replace("db.example.com", "\"unix:/run/postgresql/.s.PGSQL.5432\"");
    assert_eq!(load_text(&text).routes[0].upstream.tls.mode, TlsMode::Off);
}

/// Pieces that mean something to a parser or to us.
const WORDS: [&str; 28] = [
    "routes",
    ":",
    " ",
    "\n",
    "\n  ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "&a",
    "*a",
    "<<",
    "tls",
    "off",
    "5s",
    "0x",
    "-1",
    "1e999",
    ".nan",
    "!!int",
    "|",
    "orders",
    "listen",
    "credential",
    "options",
    "é",
];

#[test]
fn whatever_is_written_never_panics() {
    use proptest::prelude::*;
    let files = Files::new();
    let text = prop_oneof![
        any::<String>(),
        proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..40)
            .prop_map(|words| words.concat()),
        (0..EXAMPLE.len(), 0..EXAMPLE.len(), proptest::sample::select(&WORDS[..])).prop_map(
            |(from, to, word)| { format!("{}{word}{}", &EXAMPLE[..from.min(to)], &EXAMPLE[from.max(to)..]) }
        ),
    ];
    proptest!(ProptestConfig::with_cases(600), |(text in text, kind in 0..3usize)| {
        let name = ["a.yaml", "a.toml", "a.json"][kind];
        let sources = Sources { files: vec![files.write(name, &text)], ..Sources::default() };
        if let Err(complaints) = config::load(&sources, &facts()) {
            prop_assert!(complaints.iter().count() > 0);
        }
    });
}

#[test]
fn a_configuration_for_another_machine_is_read_without_its_files_and_without_this_environment() {
    let text = "routes: { a: { protocol: postgres, listen: 127.0.0.1:1, upstream: { endpoints: x, tls: { ca: ca.pem } },
        credential: { path: secrets/a }, options: { channel_binding: { file: /nowhere } } } }\n";
    let there = Elsewhere { name: "there.yaml", folder: Path::new("/etc/attache"), text };
    let config = load_elsewhere(&there, &facts()).unwrap();
    let route = &config.routes[0];
    assert_eq!(route.upstream.tls.ca.as_deref(), Some(Path::new("/etc/attache/ca.pem")));
    assert_eq!(route.credential.as_ref().unwrap().path, Path::new("/etc/attache/secrets/a"));
    let wrong =
        load_elsewhere(&Elsewhere { text: "routes: {}\nhealthy: 1\n", ..there }, &facts()).unwrap_err();
    assert!(wrong.iter().any(|it| it.file.as_deref() == Some("there.yaml") && it.line == Some(2)), "{wrong}");
}

#[test]
fn endpoints_of_the_own_zone_come_first() {
    let text = SMALL.replace(
        "endpoints: db.example.com",
        "endpoints: [{ address: db-a, zone: a }, db-x, { address: db-b, zone: b }, { address: \"db-b2:1\", zone: b }]",
    );
    let order = |env: &[(&str, &str)]| {
        let config = load(&[Files::new().write("attache.yaml", &text)], env, &[]);
        let names = config.routes[0].upstream.endpoints.iter().map(ToString::to_string);
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(order(&[]), "db-a:5432 db-x:5432 db-b:5432 db-b2:1");
    assert_eq!(order(&[("ATTACHE_ZONE", "b")]), "db-b:5432 db-b2:1 db-a:5432 db-x:5432");
    assert_eq!(order(&[("ATTACHE_ZONE", "c")]), order(&[]));
    for wrong in [
        "{ address: db }",
        "{ address: db, zone: 5 }",
        "{ address: db, zone: a, weight: 1 }",
        "{ address: \"::\", zone: a }",
    ] {
        let complaints = Files::new().complaints("a.yaml", &text.replace("db-x", wrong));
        assert!(complaints.contains("routes.orders.upstream.endpoints[1]"), "{complaints}");
    }
}
