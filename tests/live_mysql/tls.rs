//! TLS to the server: what is verified, and that a server which fails the test learns nothing.

use attache_kit::*;
use attache_wire::testing::contains;

use crate::house::*;
use crate::servers::{self, Db};
use crate::ways::Way;

const NOT_SECURE: (u16, &str) = (1105, "08004");

#[test]
fn every_mode_logs_in_where_it_should() {
    for db in servers::each() {
        db.account("tls_modes");
        let ca = db.pki.ca().display();
        // In this order, so that MySQL has seen the password before TLS is off.
        for (tls, version) in [
            (format!("{{ mode: verify-full, ca: {ca} }}"), "TLSv1.3"),
            (format!("{{ mode: verify-full, ca: {ca}, server_name: db.internal }}"), "TLSv1.3"),
            (format!("{{ mode: verify-ca, ca: {ca}, server_name: other.example }}"), "TLSv1.3"),
            ("insecure-no-verify".to_owned(), "TLSv1.3"),
            ("off".to_owned(), ""),
        ] {
            let way = Way::of(db, "tls_modes", db.route("tls_modes").tls(&tls).start());
            let said = way.query("show session status like 'Ssl_version'");
            assert_eq!(said.trim_end(), format!("Ssl_version\t{version}").trim_end(), "{tls}");
        }
    }
}

#[test]
fn a_certificate_that_will_not_do_ends_it_before_anything_is_said() {
    for db in servers::each() {
        db.account("tls_bad");
        let (ca, rogue) = (db.pki.ca().display(), Pki::new());
        let rogue = rogue.ca().display();
        for (tls, cause) in [
            (format!("{{ ca: {ca}, server_name: other.example }}"), "certificate_wrong_name"),
            (format!("{{ ca: {rogue} }}"), "certificate_unknown_authority"),
            (format!("{{ mode: verify-ca, ca: {rogue} }}"), "certificate_unknown_authority"),
        ] {
            let relay = Relay::to(db.server.addr());
            let house = db.route("tls_bad").over(relay.addr()).tls(&tls).unprobed().start();
            let line = house.refuses("tls_bad", NOT_SECURE, cause);
            assert_eq!(line["stage"], "tls", "{line}");
            let sent = relay.sent_over();
            for secret in ["tls_bad", SECRET] {
                assert!(!contains(&sent, secret.as_bytes()), "{cause}");
            }
        }
    }
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_wanted() {
    for flavour in Flavour::ALL {
        let Some(server) = available(Mysql::start(flavour, mysql::Setup::new())) else { continue };
        let db = Db { pki: Pki::new(), server };
        db.account("tls_none");
        let relay = Relay::to(db.server.addr());
        let house = db.route("tls_none").over(relay.addr()).unprobed().start();
        house.refuses("tls_none", NOT_SECURE, "tls_declined");
        assert!(!contains(&relay.sent_over(), b"tls_none"));
    }
}

#[test]
fn a_client_that_wants_tls_from_us_is_told_in_its_own_words() {
    for db in servers::each() {
        db.account("tls_wanted");
        let way = Way::of(db, "tls_wanted", db.route("tls_wanted").start());
        let way = Way { tls: Some(db.pki.ca().to_owned()), ..way };
        let why = crate::clients::Client::of(db.flavour()).log_in(&way).unwrap_err();
        assert!(why.contains("ERROR 2026") && why.contains("SSL is required"), "{why}");
    }
}
