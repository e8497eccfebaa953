//! Every way in which Attaché logs in to a server, and what is not sent where it would be read.

use std::path::Path;
use std::sync::Arc;

use attache_kit::*;
use attache_wire::testing::contains;

use crate::house::*;
use crate::servers::{self, Db};
use crate::ways::Way;

const WHO: &str = "select current_user()";
const REJECTED: (u16, &str) = (1045, "28000");
const NOT_SECURE: (u16, &str) = (1105, "08004");

/// What asks for the key: MySQL's two plugins do so in packets of one octet.
const KEY_REQUESTS: [&[u8]; 2] = [b"\x01\0\0\x03\x02", b"\x01\0\0\x03\x01"];

#[test]
fn every_plugin_is_answered_over_tls() {
    for db in servers::each() {
        for plugin in db.flavour().plugins() {
            for require in [Require::Nothing, Require::Tls] {
                let name = format!("auth_{plugin:?}_{require:?}").to_lowercase();
                db.account_by(&name, *plugin, require);
                let way = Way::of(db, &name, db.route(&name).start());
                let said = way.query(&format!("{WHO}; show session status like 'Ssl_version'"));
                assert_eq!(said, format!("{name}@%\nSsl_version\tTLSv1.3"), "{plugin:?}");
            }
        }
    }
}

#[test]
fn a_client_certificate_is_shown_where_it_is_mounted() {
    for db in servers::each() {
        db.account_by("auth_x509", db.flavour().plugin(), Require::Certificate);
        let pair = db.pki.client("auth_x509");
        let certificate = [("tls.crt", pair.cert_pem.as_str()), ("tls.key", pair.key_pem.as_str())];
        let with_password = [&[("username", "auth_x509"), ("password", SECRET)][..], &certificate].concat();
        let secret = Arc::new(Mounted::new(&with_password));
        let house = db.route("auth_x509").secret(&secret).start();
        assert_eq!(house.raw("auth_x509").value(WHO), "auth_x509@%");

        let house = db.route("auth_x509").unprobed().start();
        house.refuses("auth_x509", REJECTED, "credential_rejected");

        db.server.user("auth_x509_only", "", db.flavour().plugin(), Require::Certificate);
        let alone = [&[("username", "auth_x509_only")][..], &certificate].concat();
        let house = db.route("auth_x509_only").secret(&Arc::new(Mounted::new(&alone))).start();
        assert_eq!(house.raw("information_schema").value(WHO), "auth_x509_only@%");
    }
}

#[test]
fn a_server_that_requires_tls_turns_away_a_route_without() {
    for db in servers::each() {
        db.account_by("auth_requires", db.flavour().plugin(), Require::Tls);
        let way = Way::of(db, "auth_requires", db.route("auth_requires").start());
        // So that MySQL needs no password to be sent.
        way.query("select 1");
        let house = db.route("auth_requires").tls("off").unprobed().start();
        house.refuses("auth_requires", REJECTED, "credential_rejected");
    }
}

#[test]
fn hashes_need_no_encryption() {
    for db in servers::each() {
        for plugin in db.flavour().plugins().iter().filter(|plugin| **plugin != Plugin::Sha256) {
            let name = format!("plain_{plugin:?}").to_lowercase();
            db.account_by(&name, *plugin, Require::Nothing);
            // A server of caching_sha2_password remembers it from here on.
            assert_eq!(db.route(&name).start().raw(&name).value(WHO), format!("{name}@%"));
            let (said, sent) = in_the_clear(db, &name, "options: {}");
            assert_eq!(said, Some(format!("{name}@%")), "{plugin:?}");
            assert!(contains(&sent, name.as_bytes()), "the recording sees what is sent");
            assert!(!contains(&sent, SECRET.as_bytes()), "{plugin:?}");
        }
    }
}

#[test]
fn a_password_goes_over_a_unix_socket_as_it_is() {
    for db in servers::each() {
        for plugin in db.flavour().plugins() {
            let name = format!("socket_{plugin:?}").to_lowercase();
            db.account_by(&name, *plugin, Require::Nothing);
            let house = db.route(&name).by_socket(&db.server.socket()).unprobed().start();
            for _ in 0..2 {
                assert_eq!(house.raw(&name).value(WHO), format!("{name}@%"), "{plugin:?}");
            }
        }
    }
}

/// MySQL wants to see a password that it does not remember, and `sha256_password` remembers none.
const SHOWING: [Plugin; 2] = [Plugin::CachingSha2, Plugin::Sha256];

#[test]
fn a_password_is_not_sent_where_it_would_be_read() {
    let Some(db) = servers::of(Flavour::MySql) else { return };
    for plugin in SHOWING {
        let name = format!("unsent_{plugin:?}").to_lowercase();
        db.account_by(&name, plugin, Require::Nothing);
        let relay = Relay::to(db.server.addr());
        let house = db.route(&name).over(relay.addr()).tls("off").unprobed().start();
        house.refuses(&name, NOT_SECURE, "cleartext_refused");
        let sent = relay.sent_over();
        assert!(!contains(&sent, SECRET.as_bytes()), "{plugin:?}");
        assert!(KEY_REQUESTS.iter().all(|request| !contains(&sent, request)), "{plugin:?}");
    }
}

#[test]
fn a_password_is_sent_under_a_key_that_was_pinned_or_may_be_taken() {
    let Some(db) = servers::of(Flavour::MySql) else { return };
    let pinned =
        format!("options: {{ server_public_key: {{ file: {} }} }}", db.server.public_key().display());
    for plugin in SHOWING {
        let name = format!("rsa_through_{plugin:?}").to_lowercase();
        db.account_by(&name, plugin, Require::Nothing);
        for (key, asks) in [
            (pinned.as_str(), false),
            ("options: { allow_public_key_retrieval: true }", true),
            ("allow_cleartext: true", true),
        ] {
            // The server forgets it.
            db.server.password(&name, SECRET, plugin);
            let (said, sent) = in_the_clear(db, &name, key);
            assert_eq!(said, Some(format!("{name}@%")), "{plugin:?}, {key}");
            assert!(!contains(&sent, SECRET.as_bytes()), "{plugin:?}, {key}");
            let asked = KEY_REQUESTS.iter().any(|request| contains(&sent, request));
            assert_eq!(asked, asks, "{plugin:?}, {key}");
        }
    }
}

#[test]
fn a_password_under_another_key_is_of_no_use_to_the_server() {
    let Some(db) = servers::of(Flavour::MySql) else { return };
    db.account("rsa_wrong_key");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, OTHER_KEY).unwrap();
    let house = rsa_route(db, &file).unprobed().start();
    house.refuses("rsa_wrong_key", REJECTED, "credential_rejected");
}

fn rsa_route(db: &Db, key: &Path) -> Route {
    let options = format!("options: {{ server_public_key: {{ file: {} }} }}", key.display());
    db.route("rsa_wrong_key").tls("off").key(&options)
}

/// Nobody's.
const OTHER_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAti7jP9XePJiiST09PkJ8
01ErRoi2I6CbXJQgXzLGysEaeZhH9SDhiC8B09gY2LtIo0t5S912HDEFNTpwGehb
r3jRmQjefZiK9BTVgESpGPboClRA3qURaBQEUx2DO+sne5A7dNQuJuAwqSb1VpqE
3Vndwqk/t23eiuI8U902cTLiGMw7dglAx0J+g6Wf+Vu2OFqOBBpxVkpLdCdykL71
/JEtTRyPSwq+mf8jISWayNYtYUmAvDZrZgoJtgyyxBbBmYTE90/Q7s6ibixHfuuP
HpSXDF840PDK9lA24RO6+VRCJB8USOGvqb5kHIoFEqEkkekmlDQTC7R9k962GyQm
BQIDAQAB
-----END PUBLIC KEY-----
";

/// A session without TLS, and all that was sent to the server for it.
fn in_the_clear(db: &Db, account: &str, key: &str) -> (Option<String>, Vec<u8>) {
    let relay = Relay::to(db.server.addr());
    let house = db.route(account).over(relay.addr()).tls("off").unprobed().key(key).start();
    let said = crate::raw::Raw::log_in(house.addr(), account).ok().map(|mut client| client.value(WHO));
    (said, relay.sent_over())
}

#[test]
fn a_wrong_password_is_told_in_our_words_to_every_client() {
    for db in servers::each() {
        db.account("wrong_password");
        db.server.password("wrong_password", "another password", db.flavour().plugin());
        let way = Way::of(db, "wrong_password", db.route("wrong_password").unprobed().start());
        for client in crate::clients::Client::ALL {
            if available(client.is_installed()).is_none() {
                continue;
            }
            let why = client.log_in(&way).expect_err("the credential is wrong");
            assert!(why.contains("1045") || why.contains("ER_ACCESS_DENIED_ERROR"), "{client:?}: {why}");
            let ours = "attache: the database does not accept the mounted credential (session ";
            assert!(why.contains(ours), "{client:?}: {why}");
            assert!(!why.contains("wrong_password"), "the user is not the client's business: {why}");
        }
    }
}

#[test]
fn a_credential_that_is_put_right_is_used_by_the_next_session() {
    for db in servers::each() {
        db.account("put_right");
        db.server.password("put_right", "another password", db.flavour().plugin());
        let house = db.route("put_right").unprobed().start();
        let line = house.refuses("put_right", REJECTED, "credential_rejected");
        assert_eq!((&line["stage"], &line["ended_by"]), (&"login".into(), &"upstream".into()), "{line}");
        db.server.password("put_right", SECRET, db.flavour().plugin());
        assert_eq!(house.raw("put_right").value(WHO), "put_right@%");
    }
}
