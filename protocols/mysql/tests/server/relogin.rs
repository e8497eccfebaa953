//! Logging in once more on a link that is logged in.

use std::sync::Arc;

use attache_mysql::{Greeting, Intent, Mysql, Options, SessionWatch};
use attache_wire::testing::{Run, run, run_every_split};
use attache_wire::{Credential, Fault, Insecure, Moment, Protocol, RejectionKind, Terms, TlsFacts, TlsStart};
use bytes::BytesMut;

use crate::support::*;

const FULL: &[u8] = b"\x01\x04";

/// A session that was logged in by this method.
struct Session {
    protocol: Mysql,
    watch: SessionWatch,
    intent: Intent,
}

impl Session {
    fn by(plugin: &str, data: &[u8]) -> Self {
        let protocol = mysql(Options::default(), None);
        let hello = hello(ALL);
        let intent = intent(&hello, Options::default(), PROBE | CONNECT_WITH_DB, "shop", b"\x01k\x01v");
        let login = protocol.login(&intent, Some(hello), encrypted());
        let said = [switch(2, plugin, data), packet(4, OK)].concat();
        let greeting = on_tls(login, &said).end.unwrap().unwrap();
        Self { watch: watch(&protocol, &intent, &greeting), protocol, intent }
    }

    /// Every split point, on the link as it is.
    fn hears(&self, tls: Option<TlsFacts>, terms: &Terms, said: &[u8]) -> Run<Greeting> {
        let make = || {
            let machine = self.protocol.relogin(&self.watch, &self.intent, terms.clone()).unwrap();
            OnLink { machine, tls: tls.clone() }
        };
        run_every_split(make, &[said], None)
    }

    fn plain(&self, said: &[u8]) -> Run<Greeting> {
        self.hears(None, &terms(TlsStart::Off, PASSWORD), said)
    }
}

fn encrypted() -> Terms {
    terms(TlsStart::Off, PASSWORD)
}

fn on_tls(machine: attache_mysql::Login, said: &[u8]) -> Run<Greeting> {
    run(OnLink { machine, tls: Some(TlsFacts::default()) }, &[said], &[], None)
}

fn native() -> Session {
    Session::by("mysql_native_password", b"01234567890123456789\0")
}

fn next_nonce() -> Vec<u8> {
    b"98765432109876543210\0".to_vec()
}

#[test]
fn who_and_how_are_ours_and_what_is_the_clients() {
    let run = native().plain(&packet(1, OK));
    let sent = packets(&run.output);
    let (number, payload) = sent[0];
    assert_eq!(number, 0);
    assert!(payload.starts_with(b"\x11orders\0\x14"));
    let tail =
        [b"shop\0\x2d\0mysql_native_password\0\x1a\x01k\x01v\x0fattache_version\x05", &b"0.1.0"[..]].concat();
    let tail = String::from_utf8(tail).unwrap().replace("0.1.0", env!("CARGO_PKG_VERSION"));
    assert_eq!(payload[29..].escape_ascii().to_string(), tail.as_bytes().escape_ascii().to_string());
    assert!(matches!(run.end, Ok(Some(_))), "{:?}", run.end);
}

#[test]
fn the_routes_database_comes_before_the_clients() {
    let Session { watch, intent, .. } = native();
    let relogin = mysql(Options::default(), Some("stock")).relogin(&watch, &intent, encrypted()).unwrap();
    let sent = run(relogin, &[b""], &[], None).output;
    assert!(contains(&sent, b"stock\0") && !contains(&sent, b"shop"));
}

#[test]
fn a_proof_starts_it_where_a_hash_does_and_the_server_asks_where_it_does_not() {
    let first = |session: Session| {
        let sent = session.plain(b"").output;
        let payload = packets(&sent)[0].1.to_vec();
        let name = if contains(&payload, b"caching_sha2_password\0") { "sha2" } else { "native" };
        (name, payload[8])
    };
    assert_eq!(first(native()), ("native", 20));
    assert_eq!(first(Session::by("caching_sha2_password", &next_nonce())), ("sha2", 32));
    assert_eq!(first(Session::by("client_ed25519", &[b'c'; 32])), ("native", 20));
    assert_eq!(first(Session::by("sha256_password", &next_nonce())), ("native", 20));
}

#[test]
fn the_servers_questions_are_answered_as_at_a_login() {
    let said = [switch(1, "client_ed25519", &[b'c'; 32]), packet(3, OK)].concat();
    let run = native().plain(&said);
    assert_eq!((packets(&run.output)[1].0, packets(&run.output)[1].1.len()), (2, 64));
    assert!(matches!(run.end, Ok(Some(_))), "{:?}", run.end);

    let wanted = [switch(1, "caching_sha2_password", &next_nonce()), packet(3, FULL), packet(5, OK)].concat();
    assert_unsaid(&native().plain(&wanted), Fault::Insecure(Insecure::CleartextPassword));
    let inside = native().hears(Some(TlsFacts::default()), &encrypted(), &wanted);
    assert!(inside.output.ends_with(&packet(4, &[PASSWORD.as_bytes(), b"\0"].concat())));
    assert!(matches!(inside.end, Ok(Some(_))), "{:?}", inside.end);
}

/// The next one is proved with what this one left.
#[test]
fn the_last_nonce_counts() {
    let session = native();
    let switched = [switch(1, "mysql_native_password", &next_nonce()), packet(3, OK)].concat();
    let run = session.plain(&switched);
    let answered = packets(&run.output)[1].1.to_vec();
    let greeting = run.end.unwrap().unwrap();
    let again = Session { watch: watch(&session.protocol, &session.intent, &greeting), ..session };
    let sent = again.plain(b"").output;
    assert_eq!(packets(&sent)[0].1[9..29], answered);
}

#[test]
fn a_rejection_is_told_where_the_client_is() {
    let end = native().plain(&error(1, 1049, "Unknown database 'shop'")).end;
    let Err(Fault::Rejected(rejection)) = end else { panic!("{end:?}") };
    assert_eq!((rejection.kind, rejection.code.as_str()), (RejectionKind::Other, "1049"));
    let protocol = mysql(Options::default(), None);
    let waiting = intent(&hello(ALL), Options::default(), PROBE, "", b"");
    let told = |moment| {
        let mut out = BytesMut::new();
        protocol.repeat(&rejection, moment, &mut out);
        out.to_vec()
    };
    for (moment, number) in [(Moment::Opening, 2), (Moment::Waiting(&waiting), 2), (Moment::Session(7), 7)] {
        assert_eq!(told(moment), error(number, 1049, "Unknown database 'shop'"));
    }
    let before = told(Moment::Silence);
    assert_eq!(before, packet(0, b"\xff\x19\x04Unknown database 'shop'"), "no SQLSTATE before the greeting");
}

#[test]
fn a_relogin_needs_a_user() {
    for credential in [None, Some(Arc::new(Credential::new(None, None, 1))), Some(credential("a\0b", None))] {
        let run = native().hears(None, &Terms { credential, ..encrypted() }, b"");
        assert!(matches!(run.end, Err(Fault::Incomplete(_))) && run.output.is_empty(), "{:?}", run.end);
    }
}
