//! Servers that Sentinels name.

use std::fs;

use attache::config::{self, Config, Role, Sources, TlsMode};
use attache::registry::facts;

use crate::schema::accepts;

/// A route of `redis` with this `upstream`.
fn text(upstream: &str) -> String {
    format!(
        "routes:\n  cache:\n    protocol: redis\n    listen: 127.0.0.1:6379\n    upstream:\n      {}\n",
        upstream.replace("; ", "\n      ")
    )
}

fn load(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attache.yaml");
    fs::write(&path, text).unwrap();
    let read = config::load(&Sources { files: vec![path], ..Sources::default() }, &facts());
    read.map_err(|complaints| complaints.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn what_is_not_said_of_sentinels_follows_from_the_rest() {
    let upstream =
        "sentinel: { endpoints: [s-1, \"s-2:1\"], master: orders }; tls: { ca: /ca.pem, server_name: redis }";
    accepts(&text(upstream)).unwrap();
    let config = load(&text(upstream)).unwrap();
    let upstream = &config.routes[0].upstream;
    let sentinel = upstream.sentinel.as_ref().unwrap();
    let names: Vec<_> = sentinel.endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["s-1:26379", "s-2:1"]);
    assert_eq!((sentinel.tls.mode, sentinel.tls.ca.is_some()), (TlsMode::VerifyFull, true));
    assert_eq!(sentinel.tls.server_name, None, "that is the name of the servers");
    assert_eq!((upstream.role, upstream.endpoints.len()), (Role::Primary, 1));
    assert_eq!(upstream.endpoints[0].to_string(), "orders#1");
    assert!(sentinel.credential.is_none());

    let upstream = "sentinel: { endpoints: s, master: orders, credential: { path: /s }, tls: verify-ca, poll: 1m }; role: \
                    prefer-replica";
    accepts(&text(upstream)).unwrap();
    let config = load(&text(upstream)).unwrap();
    let upstream = &config.routes[0].upstream;
    let sentinel = upstream.sentinel.as_ref().unwrap();
    assert_eq!((sentinel.tls.mode, upstream.tls.mode), (TlsMode::VerifyCa, TlsMode::VerifyFull));
    assert_eq!((upstream.role, upstream.endpoints.len()), (Role::PreferReplica, 8));
    assert_eq!(sentinel.credential.as_ref().unwrap().keys.password, "password");
}

#[test]
fn every_mistake_about_sentinels_has_a_place_and_a_reason() {
    let complaint = |upstream: &str| load(&text(upstream)).expect_err(upstream);
    for (upstream, expected) in [
        (
            "sentinel: { endpoints: s, master: orders }; endpoints: db",
            "attache.yaml:6: routes.cache.upstream.sentinel: cannot be used together with endpoints; remove one of them",
        ),
        (
            "sentinel: { endpoints: s, master: orders }; srv: _redis._tcp.example.com",
            "attache.yaml:6: routes.cache.upstream.sentinel: cannot be used together with srv; remove one of them",
        ),
        (
            "sentinel: { endpoints: s, master: orders }; role: any",
            "attache.yaml:7: routes.cache.upstream.role: Sentinels tell a primary and its replicas: no session is for any of \
             them; remove it for the primary, or write prefer-replica",
        ),
        (
            "sentinel: { endpoints: s, master: orders, tls: off }",
            "attache.yaml:6: routes.cache.upstream.sentinel: the Sentinels are not verified, so that whoever answers in their \
             place chooses the server, and with it the name that its certificate has to have; set upstream.tls.server_name to \
             the name in the servers' certificates, or verify the Sentinels",
        ),
        (
            "sentinel: { endpoints: s, master: two words }",
            "attache.yaml:6: routes.cache.upstream.sentinel.master: \"two words\" is no name that Sentinels take; it has 1 to \
             100 letters, digits, -, _ and .",
        ),
        (
            "sentinel: { endpoints: s }",
            "attache.yaml:6: routes.cache.upstream.sentinel: master is missing; for example master: orders",
        ),
        (
            "sentinel: { endpoints: [s, s], master: orders }",
            "attache.yaml:6: routes.cache.upstream.sentinel.endpoints[1]: s:26379 is listed twice",
        ),
        (
            "sentinel: { endpoints: s, master: orders, password: hunter2 }",
            "attache.yaml:6: routes.cache.upstream.sentinel.password: a secret does not belong into the configuration; secrets \
             are never written here: mount them as files in a folder, and name the folder in the route's credential.path",
        ),
    ] {
        assert_eq!(complaint(upstream), expected, "{upstream}");
    }
    for wrong in ["endpoints: s, master: a b", "master: orders", "endpoints: s, master: orders, poll: 5"] {
        assert!(accepts(&text(&format!("sentinel: {{ {wrong} }}"))).is_err(), "{wrong}");
    }
    assert!(accepts(&text("sentinel: { endpoints: s, master: orders }; endpoints: db")).is_err());
    assert!(complaint("wait: 1s").contains("routes.cache.upstream: endpoints is missing"));
}

#[test]
fn protocols_without_sentinels_say_so() {
    let text =
        text("sentinel: { endpoints: \"s:1\", master: orders }").replace("protocol: redis", "protocol: tcp");
    let complaint = load(&text).unwrap_err();
    let expected = "attache.yaml:6: routes.cache.upstream.sentinel: tcp has no Sentinels; name the servers in upstream.endpoints";
    assert_eq!(complaint, expected);
}
