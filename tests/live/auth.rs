//! Every way to log in to the database, and what is not sent where it would be read.

use std::sync::mpsc;

use attache_kit::*;
use attache_wire::testing::contains;

use crate::house::*;
use crate::raw::{PROTOCOL_3_0, message, startup};
use crate::servers::{self, Account, Db, Login};

#[test]
fn every_method_of_the_server_is_answered() {
    for db in servers::each() {
        for login in Login::ALL {
            let name = format!("auth_{login:?}").to_lowercase();
            let account = db.account_by(&name, login);
            let house = db.route(&account).start();
            let sql = "select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()";
            assert_eq!(house.query(&name, sql), format!("{name}|t"), "{login:?} on {:?}", db.version());
        }
    }
}

#[test]
fn trust_and_scram_need_no_encryption() {
    for db in servers::each() {
        for (name, login) in [("plain_trust", Login::Trust), ("plain_scram", Login::Scram)] {
            let account = db.account_by(name, login);
            let relay = Relay::to(db.server.addr());
            let house = db.route(&account).over(relay.addr()).tls("off").start();
            assert_eq!(house.query(name, "select 1"), "1");
            let sent = relay.sent_over();
            assert!(contains(&sent, name.as_bytes()), "the recording sees what is sent");
            assert!(!contains(&sent, SECRET.as_bytes()));
        }
    }
}

#[test]
fn a_password_is_not_sent_in_the_clear_nor_weakly_hashed() {
    for db in servers::each() {
        for (name, login) in [("refuse_cleartext", Login::Cleartext), ("refuse_md5", Login::Md5)] {
            let account = db.account_by(name, login);
            let relay = Relay::to(db.server.addr());
            let house = db.route(&account).over(relay.addr()).tls("off").unprobed().start();
            house.refuses(name, "08004", "cleartext_refused");
            let sent = relay.sent_over();
            let asked = startup(PROTOCOL_3_0, &[("user", name), ("database", name)]);
            assert_eq!(sent, asked, "{login:?}: the startup packet and nothing else");
        }
    }
}

#[test]
fn allow_cleartext_allows_it() {
    for db in servers::each() {
        for (name, login) in [("allow_cleartext", Login::Cleartext), ("allow_md5", Login::Md5)] {
            let account = db.account_by(name, login);
            let relay = Relay::to(db.server.addr());
            let route = db.route(&account).over(relay.addr()).tls("off").unprobed();
            let house = route.key("allow_cleartext: true").start();
            assert_eq!(house.query(name, "select current_user"), name);
            // So the recordings of the other tests would have shown it.
            let proof = match login {
                Login::Md5 => md5_answer(db, name, &relay.sent(Direction::ToClient)),
                _ => SECRET.to_owned(),
            };
            assert!(contains(&relay.sent_over(), proof.as_bytes()), "{login:?}");
        }
    }
}

/// What has to be answered to the challenge that the server's words begin with, as the server itself reckons.
fn md5_answer(db: &Db, user: &str, recorded: &[u8]) -> String {
    let challenge = message(b'R', &[&5u32.to_be_bytes()[..], &[0; 4]].concat());
    let (head, salt) = recorded[..challenge.len()].split_at(challenge.len() - 4);
    assert_eq!(head, &challenge[..head.len()], "an MD5 challenge");
    let salt: String = salt.iter().map(|byte| format!("{byte:02x}")).collect();
    db.server.sql(&format!("select 'md5' || md5(md5('{SECRET}{user}')::bytea || '\\x{salt}'::bytea)"))
}

#[test]
fn a_login_is_bound_to_the_certificate_whatever_its_signature() {
    for version in Version::ALL {
        let Some(db) = Db::own(version) else { continue };
        let account = db.account("bound");
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::Ed25519) {
            let pki = Pki::signed_with(algorithm);
            db.server.install_certificate(&pki.server());
            for binding in ["require", "prefer", "disable"] {
                let route = db.route(&account).verified(&pki);
                let house = route.key(&format!("options: {{ channel_binding: {binding} }}")).start();
                assert_eq!(house.query("bound", "select 1"), "1", "{binding}, {algorithm:?}, {version:?}");
            }
        }
    }
}

#[test]
fn binding_that_is_required_refuses_every_other_login() {
    for db in servers::each() {
        for login in [Login::Trust, Login::Cleartext, Login::Md5, Login::Certificate] {
            let name = format!("unbound_{login:?}").to_lowercase();
            let account = db.account_by(&name, login);
            let house = db.route(&account).unprobed().key("options: { channel_binding: require }").start();
            house.refuses(&name, "08004", "channel_binding_missing");
        }
        let account = db.account("unbound_plain");
        let route = db.route(&account).tls("off").unprobed();
        let house = route.key("options: { channel_binding: require }").start();
        house.refuses("unbound_plain", "08004", "channel_binding_missing");
    }
}

#[test]
fn the_mechanism_is_the_one_that_channel_binding_asks_for() {
    for binding in ["require", "prefer"] {
        let first = first_message(Algorithm::EcdsaSha384, binding).unwrap();
        assert!(first.starts_with("SCRAM-SHA-256-PLUS\0"), "{first:?}");
        assert!(first.contains("p=tls-server-end-point,,n=,r="), "{first:?}");
    }
    let first = first_message(Algorithm::EcdsaSha384, "disable").unwrap();
    assert!(first.starts_with("SCRAM-SHA-256\0"), "{first:?}");
    assert!(first.contains("n,,n=,r="), "{first:?}");
}

/// The signature of such a certificate has no hash, and so the binding is not defined.
#[test]
fn a_certificate_that_cannot_be_bound_to_is_used_unbound_or_refused() {
    let first = first_message(Algorithm::Ed25519, "prefer").unwrap();
    assert!(first.starts_with("SCRAM-SHA-256\0"), "{first:?}");
    assert!(first.contains("n,,n=,r="), "{first:?}");
    assert_eq!(first_message(Algorithm::Ed25519, "require"), None);
}

/// What is said to a server that offers both mechanisms; nothing if the login is given up.
fn first_message(algorithm: Algorithm, binding: &str) -> Option<String> {
    let pki = Pki::signed_with(algorithm);
    let (tell, told) = mpsc::channel();
    let server = offering_both(ServerTls::new(&pki.server()), tell);
    let route = Account::somebody().route_to(server.addr()).verified(&pki);
    let house = route.unprobed().key(&format!("options: {{ channel_binding: {binding} }}")).start();
    let refusal = house.refusal("app");
    let first = told.recv_timeout(SOON).unwrap();
    assert_eq!(refusal.code(), if first.is_empty() { "08004" } else { "3D000" });
    (!first.is_empty()).then(|| String::from_utf8_lossy(&first[5..]).into_owned())
}

fn offering_both(tls: ServerTls, tell: mpsc::Sender<Vec<u8>>) -> Script {
    Script::serve(move |mut peer| {
        peer.read_startup()?;
        peer.send(b"S")?;
        let mut peer = peer.start_tls(&tls)?;
        peer.read_startup()?;
        let offer = [&10u32.to_be_bytes()[..], b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"].concat();
        peer.send_message(b'R', &offer)?;
        let first = peer.read_some()?;
        tell.send(first).expect("the test waits");
        peer.send_message(b'E', b"SFATAL\0VFATAL\0C3D000\0Menough\0\0")
    })
}

/// A server that knows the password proves it, and only then is it believed.
#[test]
fn a_server_that_does_not_know_the_password_is_not_believed() {
    let server = Script::serve(|mut peer| {
        peer.read_startup()?;
        peer.send_message(b'R', &[&10u32.to_be_bytes()[..], b"SCRAM-SHA-256\0\0"].concat())?;
        let (_, first) = peer.read_message()?;
        let first = String::from_utf8_lossy(&first).into_owned();
        let (_, nonce) = first.rsplit_once("r=").expect("a nonce");
        let challenge = format!("r={nonce}more,s=c2FsdHNhbHQ=,i=4096");
        peer.send_message(b'R', &[&11u32.to_be_bytes()[..], challenge.as_bytes()].concat())?;
        peer.read_message()?;
        if peer.number() == 0 {
            // Success without a signature.
            peer.send_message(b'R', &[0; 4])?;
        } else {
            let signature = format!("v={}=", "A".repeat(43));
            peer.send_message(b'R', &[&12u32.to_be_bytes()[..], signature.as_bytes()].concat())?;
        }
        peer.read_to_end().map(drop)
    });
    let house = Account::somebody().route_to(server.addr()).tls("off").unprobed().start();
    house.refuses("app", "08004", "server_signature_wrong");
    house.refuses("app", "08004", "server_signature_wrong");
    assert_eq!(server.errors(), [""; 0]);
}

#[test]
fn a_password_may_be_any_text() {
    let passwords = [
        "with a space",
        "pässwörd",
        "no\u{a0}break",
        "½ is normalised",
        "soft\u{ad}hyphen",
        "both \u{5d0} ways \u{627}1",
        "'\"\\$;%s,=",
        &"long ".repeat(150),
    ];
    for db in servers::each() {
        let name = "Ünter \"Scheidung\"";
        for (number, password) in passwords.into_iter().enumerate() {
            match number {
                0 => db.server.role(name, password, Encryption::Scram),
                _ => db.server.password(name, password, Encryption::Scram),
            }
            // As an editor leaves it, with a newline.
            let secret = Mounted::new(&[("username", name), ("password", &format!("{password}\n"))]);
            let house = db.route(&Account::new(name, secret)).unprobed().start();
            assert_eq!(house.query("postgres", "select session_user"), name, "{password:?}");
        }
    }
}

#[test]
fn a_server_on_a_unix_socket_needs_no_tls() {
    for db in servers::each() {
        let account = db.account("upstream_unix");
        let house = db.route(&account).by_socket(&db.server.socket()).start();
        let sql = "select current_user, inet_client_addr() is null";
        assert_eq!(house.query("upstream_unix", sql), "upstream_unix|t");
    }
}
