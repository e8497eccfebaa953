//! `attache check` names every mistake.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use attache_kit::{Leaf, Mounted, Pki, Script, ServerTls, SubPath, ports};
use serde_json::Value;
use support::{attache_with, code, echo, tcp_route, tcp_route_with_credential};

#[path = "cli_support/mod.rs"]
mod support;

/// Exit code and steps of a check.
fn check(config: &str, flags: &[&str]) -> (i32, Vec<Value>) {
    let arguments: Vec<_> = ["check", "--json", "-c", "{config}"].iter().chain(flags).copied().collect();
    let ran = attache_with(config, &arguments);
    let steps: Value = serde_json::from_str(&ran.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr));
    (code(&ran).unwrap(), steps.as_array().unwrap().clone())
}

fn step<'a>(steps: &'a [Value], name: &str) -> &'a Value {
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name} in {steps:?}"))
}

/// One step failed, by this name; what came before it did not, and what came after was not tried.
fn assert_fails_at(config: &str, name: &str, cause: &str) -> Value {
    let (code, steps) = check(config, &[]);
    assert_eq!(code, 1, "{steps:?}");
    let at = steps.iter().position(|step| step["step"] == name).unwrap();
    assert_eq!(
        (&steps[at]["ok"], &steps[at]["cause"]),
        (&Value::Bool(false), &Value::from(cause)),
        "{steps:?}"
    );
    assert!(!steps[at]["advice"].as_str().unwrap().is_empty());
    assert!(steps[..at].iter().all(|step| step["ok"] != false), "{steps:?}");
    assert!(steps[at + 1..].iter().all(|step| step["ok"].is_null()), "{steps:?}");
    steps[at].clone()
}

/// A route of TCP inside TLS to a server that a certificate calls `localhost`.
fn tls_route(server: &Script, ca: &Path) -> String {
    let tls = format!("tls: {{ ca: {}, server_name: localhost }}", ca.display());
    tcp_route(server.addr()).replace("tls: { mode: off }", &tls)
}

fn tls_server(pki: &Pki, leaf: Leaf) -> Script {
    let tls = ServerTls::new(&pki.issue(leaf));
    Script::serve(move |peer| peer.start_tls(&tls)?.read_to_end().map(drop))
}

#[test]
fn all_is_well() {
    let pki = Pki::new();
    let server = tls_server(&pki, Leaf::server(&["localhost"]).days_left(40));
    let (code, steps) = check(&tls_route(&server, pki.ca()), &[]);
    assert_eq!(code, 0, "{steps:?}");
    for name in ["configuration", "authorities", "tcp", "tls", "login"] {
        assert_eq!(step(&steps, name)["ok"], true, "{steps:?}");
    }
    for name in ["tcp", "tls", "login"] {
        assert!(step(&steps, name)["ms"].as_f64().unwrap() > 0.0, "{steps:?}");
    }
    let tls = step(&steps, "tls")["detail"].as_str().unwrap();
    assert!(tls.contains("chain and name verified") && tls.contains("39 d left"), "{tls}");
}

#[test]
fn a_certificate_that_expires_soon_is_a_warning() {
    let pki = Pki::new();
    let server = tls_server(&pki, Leaf::server(&["localhost"]).days_left(10));
    let (code, steps) = check(&tls_route(&server, pki.ca()), &[]);
    let tls = step(&steps, "tls");
    assert_eq!(
        (code, &tls["ok"], &tls["cause"]),
        (0, &true.into(), &"certificate_expires_soon".into()),
        "{steps:?}"
    );
    assert!(steps.iter().all(|step| step["step"] == "tls" || step["cause"].is_null()), "{steps:?}");
}

#[test]
fn a_closed_port() {
    let failed = assert_fails_at(&tcp_route(ports::reserve().addr()), "tcp", "connect_refused");
    assert!(failed["detail"].as_str().unwrap().contains("127.0.0.1:"), "{failed}");
}

#[test]
fn a_name_that_does_not_exist() {
    let config = tcp_route(ports::reserve().addr());
    let start = config.find("endpoints: \"").unwrap() + "endpoints: \"".len();
    let end = start + config[start..].find('"').unwrap();
    let config = format!("{}nothing.invalid:5432{}", &config[..start], &config[end..]);
    let failed = assert_fails_at(&config, "dns", "name_not_found");
    assert!(failed["detail"].as_str().unwrap().contains("nothing.invalid"), "{failed}");
}

#[test]
fn a_server_that_never_answers() {
    let pki = Pki::new();
    let server = Script::serve(|mut peer| peer.read_to_end().map(drop));
    // Connecting has its part of it, before the handshake.
    let config = tls_route(&server, pki.ca()).replace("connect_timeout: 10s", "connect_timeout: 2s");
    let failed = assert_fails_at(&config, "tls", "timed_out");
    assert!(failed["detail"].as_str().unwrap().contains("2s"), "{failed}");
    assert!(failed["ms"].as_f64().unwrap() >= 500.0, "{failed}");
}

#[test]
fn certificates_that_must_not_be_trusted() {
    let pki = Pki::new();
    let leaves = [
        (Leaf::server(&["other.example"]), "certificate_wrong_name"),
        (Leaf::server(&["localhost"]).expired(), "certificate_expired"),
        (Leaf::server(&["localhost"]).not_yet_valid(), "certificate_not_yet_valid"),
    ];
    for (leaf, cause) in leaves {
        let server = tls_server(&pki, leaf);
        assert_fails_at(&tls_route(&server, pki.ca()), "tls", cause);
    }
    let server = tls_server(&Pki::new(), Leaf::server(&["localhost"]));
    assert_fails_at(&tls_route(&server, pki.ca()), "tls", "certificate_unknown_authority");
}

#[test]
fn authorities_that_cannot_be_read() {
    let server = echo();
    let config = tls_route(&server, Path::new("/nonexistent/ca.pem"));
    let (code, steps) = check(&config, &["--offline"]);
    assert_eq!(code, 1, "{steps:?}");
    assert_eq!(step(&steps, "authorities")["cause"], "tls_setup", "{steps:?}");
    assert!(step(&steps, "authorities")["detail"].as_str().unwrap().contains("/nonexistent/ca.pem"));
}

#[test]
fn a_credential_that_is_missing_does_not_hide_the_way() {
    let (server, folder) = (echo(), Mounted::new(&[("username", "app"), ("password", "hunter2")]));
    folder.break_();
    let (code, steps) = check(&tcp_route_with_credential(server.addr(), folder.path()), &[]);
    assert_eq!(code, 1, "{steps:?}");
    assert_eq!(step(&steps, "credential")["cause"], "credential_missing", "{steps:?}");
    assert_eq!(step(&steps, "tcp")["ok"], true, "{steps:?}");
    assert!(step(&steps, "login")["ok"].is_null(), "{steps:?}");
}

#[test]
fn a_credential_that_no_rotation_reaches_is_a_warning() {
    let (server, folder) = (echo(), SubPath::new(&[("username", "app"), ("password", "hunter2")]));
    folder.rotate();
    let config = tcp_route_with_credential(server.addr(), folder.path());
    let (code, steps) = check(&config, &["--offline"]);
    assert_eq!(code, 0, "{steps:?}");
    let warning = steps.iter().find(|step| step["cause"] == "never_updates");
    assert!(warning.is_some_and(|step| step["ok"] == true), "{steps:?}");
    let text = attache_with(&config, &["check", "--offline", "-c", "{config}"]).ok();
    assert!(text.contains("warning") && text.contains("subPath") && !text.contains("hunter2"), "{text}");
}

#[test]
fn authorities_that_no_renewal_reaches_are_a_warning() {
    let pki = Pki::new();
    let (server, folder) = (echo(), SubPath::new(&[("ca.pem", pki.ca_pem())]));
    folder.rotate();
    let (code, steps) = check(&tls_route(&server, &folder.path().join("ca.pem")), &["--offline"]);
    let of_authorities: Vec<_> = steps.iter().filter(|step| step["step"] == "authorities").collect();
    assert_eq!(code, 0, "{steps:?}");
    assert!(of_authorities.iter().all(|step| step["ok"] == true), "{steps:?}");
    assert_eq!(of_authorities[0]["cause"], Value::Null, "{steps:?}");
    assert_eq!(of_authorities[1]["cause"], "never_updates", "{steps:?}");
}

#[test]
fn authorities_of_sentinels_are_read_too_where_they_are_others() {
    let (pki, folder) = (Pki::new(), Mounted::new(&[("username", "app"), ("password", "hunter2")]));
    let config = |ca: &Path| {
        format!(
            "routes: {{ cache: {{ protocol: redis, listen: '127.0.0.1:0', credential: {{ path: {} }}, upstream: {{ \
             tls: {{ ca: {} }}, sentinel: {{ endpoints: [a, b, c], master: m, tls: {{ ca: {} }} }} }} }} }}\n",
            folder.path().display(),
            pki.ca().display(),
            ca.display()
        )
    };
    let read = |ca: &Path| {
        let (code, steps) = check(&config(ca), &["--offline"]);
        let read: Vec<_> = steps.iter().filter(|step| step["step"] == "authorities").cloned().collect();
        (code, read)
    };
    let (code, steps) = read(pki.ca());
    assert_eq!((code, steps.len()), (0, 1), "{steps:?}");
    let (code, steps) = read(Path::new("/nonexistent/ca.pem"));
    assert_eq!((code, steps.len()), (1, 2), "{steps:?}");
    assert_eq!((&steps[1]["ok"], &steps[1]["cause"]), (&false.into(), &"tls_setup".into()), "{steps:?}");
}

#[test]
fn offline_reads_files_only() {
    let (server, folder) = (echo(), Mounted::new(&[("username", "app"), ("password", "hunter2")]));
    let (code, steps) = check(&tcp_route_with_credential(server.addr(), folder.path()), &["--offline"]);
    assert_eq!((code, server.accepted()), (0, 0), "{steps:?}");
    assert!(step(&steps, "credential")["detail"].as_str().unwrap().contains("generation 1, written"));
    assert!(steps.iter().all(|step| step["endpoint"].is_null()), "{steps:?}");
}

#[test]
fn people_get_columns_without_colours() {
    let ran = attache_with(&tcp_route(ports::reserve().addr()), &["check", "-c", "{config}"]);
    assert_eq!(code(&ran), Some(1));
    let line = ran.stdout.lines().find(|line| line.contains("FAILED")).unwrap();
    assert!(line.contains(" tcp ") && line.contains("connect_refused: 127.0.0.1:"), "{line}");
    assert!(ran.stdout.contains("nothing listens on that port"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\x1b'));
}
