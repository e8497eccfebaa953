//! TLS to the database: what is verified, how it begins, and that a server which fails the test learns nothing.

use std::path::Path;

use attache_kit::*;

use crate::house::*;
use crate::raw::{PROTOCOL_3_0, startup};
use crate::servers::{self, Account, Db};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const ENCRYPTED: &str = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";

#[test]
fn every_mode_logs_in_where_it_should() {
    for db in servers::each() {
        let account = db.account("tls_modes");
        let ca = db.pki.ca().display();
        for (tls, encrypted) in [
            (format!("{{ mode: verify-full, ca: {ca} }}"), "t"),
            (format!("{{ mode: verify-full, ca: {ca}, server_name: db.internal }}"), "t"),
            (format!("{{ mode: verify-full, ca: {ca}, negotiation: postgres }}"), "t"),
            (format!("{{ mode: verify-ca, ca: {ca}, server_name: other.example }}"), "t"),
            ("insecure-no-verify".to_owned(), "t"),
            ("off".to_owned(), "f"),
        ] {
            let house = db.route(&account).tls(&tls).start();
            assert_eq!(house.query("tls_modes", ENCRYPTED), encrypted, "{tls} on {:?}", db.version());
        }
    }
}

#[test]
fn direct_tls_needs_no_question() {
    let Some(db) = servers::of(Version::V18) else { return };
    let account = db.account("tls_direct");
    let ca = db.pki.ca().display();
    for mode in [
        format!("mode: verify-full, ca: {ca}"),
        format!("mode: verify-ca, ca: {ca}, server_name: other.example"),
        "mode: insecure-no-verify".to_owned(),
    ] {
        let relay = Relay::to(db.server.addr());
        let tls = format!("{{ {mode}, negotiation: direct }}");
        let house = db.route(&account).over(relay.addr()).tls(&tls).unprobed().start();
        assert_eq!(house.query("tls_direct", ENCRYPTED), "t", "{mode}");
        assert_eq!(relay.sent_over()[0], HANDSHAKE, "the first byte is TLS already");
    }
}

#[test]
fn insecure_no_verify_takes_what_every_other_mode_refuses() {
    for version in Version::ALL {
        let Some(db) = Db::own(version) else { continue };
        let account = db.account("tls_careless");
        for bad in Bad::each(&db.pki, &Pki::new()) {
            db.server.install_certificate(&bad.pair);
            let house = db.route(&account).tls("insecure-no-verify").start();
            assert_eq!(house.query("tls_careless", ENCRYPTED), "t", "{} on {version:?}", bad.cause);
        }
    }
}

#[test]
fn direct_tls_with_a_server_that_must_be_asked_fails() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("tls_not_direct");
    let tls = format!("{{ ca: {}, negotiation: direct }}", db.pki.ca().display());
    let house = db.route(&account).tls(&tls).upstream("wait: 300ms").start();
    let report = house.refusal("tls_not_direct");
    let line = house.ended(report.session());
    assert_eq!((report.code(), &line["stage"]), ("08006", &"tls".into()), "{line}");
}

#[test]
fn direct_tls_without_the_right_alpn_is_refused() {
    let pki = Pki::new();
    let plain = ServerTls::new(&pki.server());
    for server in [plain.clone(), plain.alpn(&["h2"])] {
        let script = Script::serve(move |peer| {
            let more = peer.start_tls(&server)?.read_to_end()?;
            assert_eq!(more, b"", "no startup packet for another protocol's server");
            Ok(())
        });
        let tls = format!("{{ ca: {}, negotiation: direct }}", pki.ca().display());
        let route = Account::somebody().route_to(script.addr()).tls(&tls).unprobed();
        let house = route.upstream("wait: 100ms").start();
        let report = house.refusal("app");
        let line = house.ended(report.session());
        assert_eq!(line["ended_by"], "upstream", "{line}");
        assert!(!script.errors().concat().contains("startup packet"), "{:?}", script.errors());
    }
}

/// A certificate that will not do, and what it is called.
struct Bad {
    pair: Pair,
    tls: &'static str,
    cause: &'static str,
}

impl Bad {
    fn each(pki: &Pki, rogue: &Pki) -> Vec<Bad> {
        let names = ["localhost"];
        let full = "mode: verify-full";
        vec![
            Bad { pair: pki.server(), tls: "server_name: other.example", cause: "certificate_wrong_name" },
            Bad {
                pair: pki.issue(Leaf::server(&["other.example"])),
                tls: full,
                cause: "certificate_wrong_name",
            },
            Bad { pair: rogue.server(), tls: full, cause: "certificate_unknown_authority" },
            Bad { pair: rogue.server(), tls: "mode: verify-ca", cause: "certificate_unknown_authority" },
            Bad { pair: pki.issue(Leaf::server(&names).expired()), tls: full, cause: "certificate_expired" },
            Bad {
                pair: pki.issue(Leaf::server(&names).expired()),
                tls: "mode: verify-ca",
                cause: "certificate_expired",
            },
            Bad {
                pair: pki.issue(Leaf::server(&names).not_yet_valid()),
                tls: full,
                cause: "certificate_not_yet_valid",
            },
        ]
    }
}

#[test]
fn a_server_with_a_bad_certificate_is_refused_and_learns_nothing_of_the_credential() {
    for version in Version::ALL {
        let Some(db) = Db::own(version) else { continue };
        let account = db.account("tls_refused");
        for bad in Bad::each(&db.pki, &Pki::new()) {
            db.server.install_certificate(&bad.pair);
            for negotiation in negotiations(version) {
                let relay = Relay::to(db.server.addr());
                let tls =
                    format!("{{ ca: {}, negotiation: {negotiation}, {} }}", db.pki.ca().display(), bad.tls);
                let house = db.route(&account).over(relay.addr()).tls(&tls).unprobed().start();
                let line = house.refuses("tls_refused", "08004", bad.cause);
                assert_eq!(
                    (&line["stage"], &line["ended_by"]),
                    (&"tls".into(), &"upstream".into()),
                    "{line}"
                );
                assert_no_room_for_a_credential(&relay, negotiation);
            }
        }
    }
}

fn negotiations(version: Version) -> &'static [&'static str] {
    match version {
        Version::V15 => &["postgres"],
        Version::V18 => &["postgres", "direct"],
    }
}

const CHANGE_CIPHER_SPEC: u8 = 0x14;
const ALERT: u8 = 0x15;
const HANDSHAKE: u8 = 0x16;
const ENCRYPTED_RECORD: u8 = 0x17;
/// The first byte of a handshake record that greets.
const CLIENT_HELLO: u8 = 1;
/// An encrypted alert of TLS 1.3: level, description, the record's true kind, and the tag.
const ENCRYPTED_ALERT_LEN: usize = 2 + 1 + 16;

/// All that was sent is the question, a ClientHello and an alert: what is encrypted is no longer than that.
fn assert_no_room_for_a_credential(relay: &Relay, negotiation: &str) {
    assert_eq!(relay.connections(), 1, "a bad certificate is no reason to try again");
    let sent = relay.sent_over();
    let mut rest = match negotiation {
        "postgres" => sent.strip_prefix(&SSL_REQUEST).expect("SSLRequest"),
        _ => sent.as_slice(),
    };
    let mut kinds = Vec::new();
    while let [kind, _, _, high, low, more @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        assert!(*kind != ENCRYPTED_RECORD || length == ENCRYPTED_ALERT_LEN, "{length} encrypted bytes");
        assert!(*kind != HANDSHAKE || more[0] == CLIENT_HELLO, "{more:?}");
        kinds.push(*kind);
        rest = &more[length..];
    }
    assert_eq!(rest, b"", "all of it is TLS");
    kinds.retain(|kind| *kind != CHANGE_CIPHER_SPEC);
    // A server that prefers another curve asks for a second ClientHello.
    kinds.dedup();
    assert!(matches!(kinds[..], [HANDSHAKE] | [HANDSHAKE, ALERT | ENCRYPTED_RECORD]), "{kinds:?}");
}

#[test]
fn a_server_without_tls_is_refused() {
    for version in Version::ALL {
        let Some(server) = available(Postgres::start(version, Setup::new())) else { continue };
        server.role("app", SECRET, Encryption::Scram);
        let pki = Pki::new();
        for mode in ["verify-full", "verify-ca", "insecure-no-verify"] {
            let relay = Relay::to(server.addr());
            let route = Account::somebody().route_to(relay.addr()).unprobed();
            let house = route.tls(&mode_with_ca(mode, pki.ca())).start();
            house.refuses("postgres", "08004", "tls_declined");
            assert_eq!(relay.sent_over(), SSL_REQUEST, "{mode}");
        }
        let house = Account::somebody().route_to(server.addr()).tls("off").start();
        assert_eq!(house.query("postgres", "select current_user"), "app");
    }
}

fn mode_with_ca(mode: &str, ca: &Path) -> String {
    if mode == "insecure-no-verify" {
        mode.to_owned()
    } else {
        format!("{{ mode: {mode}, ca: {} }}", ca.display())
    }
}

#[test]
fn bytes_behind_the_answer_to_the_question_are_an_error() {
    for injected in [&b"SE"[..], b"S\x16\x03\x03", b"NR", b"X", b"E\0\0\0\x0bMevil\0\0"] {
        let server = Script::serve(move |mut peer| {
            peer.expect(&SSL_REQUEST)?;
            peer.send(injected)?;
            // Nothing may come: neither TLS nor a startup packet.
            let more = peer.read_to_end().unwrap_or_default();
            if more.is_empty() { Ok(()) } else { Err(std::io::Error::other(format!("{more:?}"))) }
        });
        let house = Account::somebody().route_to(server.addr()).tls("insecure-no-verify").unprobed().start();
        let report = house.refusal("app");
        let line = house.ended(report.session());
        let (code, cause) = match injected[0] {
            b'S' => ("08004", "early_data"),
            b'X' => ("08P01", "malformed"),
            _ => ("08004", "tls_declined"),
        };
        assert_eq!((report.code(), &line["result"]), (code, &cause.into()), "{injected:?}: {line}");
        assert!(!report.message().contains("evil"), "{report:?}");
        assert_eq!(server.errors(), [""; 0]);
    }
}

#[test]
fn a_client_certificate_that_the_server_does_not_trust_is_told_apart() {
    for db in servers::each() {
        let name = "tls_stranger";
        db.account_by(name, servers::Login::Certificate);
        let stranger = Pki::new().client(name);
        let secret = Mounted::new(&[
            ("username", name),
            ("tls.crt", &stranger.cert_pem),
            ("tls.key", &stranger.key_pem),
        ]);
        let account = Account::new(name, secret);
        let house = db.route(&account).upstream("wait: 300ms").start();
        house.refuses(name, "08004", "tls_alert");
    }
}

#[test]
fn the_startup_packet_is_the_first_thing_inside_tls() {
    let pki = Pki::new();
    let tls = ServerTls::new(&pki.server());
    let asked = startup(PROTOCOL_3_0, &[("user", "app"), ("database", "app")]);
    let server = Script::serve(move |mut peer| {
        peer.expect(&SSL_REQUEST)?;
        peer.send(b"S")?;
        let mut peer = peer.start_tls(&tls)?;
        assert_eq!(peer.server_name().as_deref(), Some("localhost"));
        assert_eq!(peer.alpn(), None);
        peer.expect(&asked)?;
        peer.send_message(b'E', b"SFATAL\0VFATAL\0C3D000\0Menough\0\0")
    });
    let route =
        Account::somebody().route_to(server.addr()).tls(&mode_with_ca("verify-full", pki.ca())).unprobed();
    assert_eq!(route.start().refusal("app").code(), "3D000");
    assert_eq!(server.errors(), [""; 0]);
}
