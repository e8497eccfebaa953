//! `attache check` against a real PostgreSQL.
#![allow(clippy::unwrap_used)]

use attache_kit::{Encryption, Leaf, Mounted, Pki, Postgres, Setup, Version, available};
use serde_json::Value;
use support::{attache_with, code};

#[path = "cli_support/mod.rs"]
mod support;

const PASSWORD: &str = "correct horse 1";

fn config(server: &Postgres, pki: &Pki, folder: &Mounted) -> String {
    format!(
        "routes:
  orders:
    protocol: postgres
    listen: 127.0.0.1:0
    upstream: {{ endpoints: \"localhost:{}\", tls: {{ ca: {} }} }}
    credential: {{ path: {} }}
    database: postgres
",
        server.port(),
        pki.ca().display(),
        folder.path().display()
    )
}

#[test]
fn the_whole_way_to_a_database_and_a_password_that_it_rejects() {
    let pki = Pki::new();
    let setup =
        Setup::new().tls(&pki.issue(Leaf::server(&["localhost"]))).hba("hostssl all app all scram-sha-256");
    let Some(server) = available(Postgres::start(Version::V15, setup)) else { return };
    server.role("app", PASSWORD, Encryption::Scram);
    let folder = Mounted::new(&[("username", "app"), ("password", PASSWORD)]);
    let config = config(&server, &pki, &folder);

    let ran = attache_with(&config, &["check", "--json", "-c", "{config}"]);
    assert_eq!(code(&ran), Some(0), "{}{}", ran.stdout, ran.stderr);
    let steps: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    let expected = ["configuration", "credential", "authorities", "dns", "tcp", "tls", "login", "round_trip"];
    assert_eq!(names, expected);
    assert!(steps.iter().all(|step| step["ok"] == true), "{steps:?}");
    assert!(steps[3..].iter().all(|step| step["ms"].is_number()), "{steps:?}");
    assert!(steps[6]["detail"].as_str().unwrap().starts_with("server version 15"), "{steps:?}");

    folder.credential("app", "wrong horse 2");
    let ran = attache_with(&config, &["check", "--json", "-c", "{config}"]);
    assert_eq!(code(&ran), Some(1));
    let steps: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    let login = steps.iter().find(|step| step["step"] == "login").unwrap();
    assert_eq!(login["cause"], "credential_rejected", "{steps:?}");
    assert!(login["detail"].as_str().unwrap().contains("its file was written"), "{login}");
    assert!(!ran.stdout.contains("horse") && !ran.stderr.contains("horse"), "{}", ran.stdout);
}
