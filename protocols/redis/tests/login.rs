//! Logins that no recorded server shows, and where the secret goes.
#![allow(clippy::unwrap_used)]

mod support;

use attache_redis::{Intent, MAX_REPLY_LEN};
use attache_wire::testing::{contains, run, run_every_split};
use attache_wire::{Fault, Insecure, Protocol, RejectionKind, Terms, TlsFacts, TlsStart};
use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use support::{House, SECRET, command, redis, terms};

fn end(terms: Terms, said: &[u8]) -> Result<bool, Fault> {
    let protocol = redis("{}", None);
    let run = run_every_split(|| protocol.login(&Intent::Session, None, terms.clone()), &[said], None);
    run.end.map(|greeting| greeting.is_some())
}

fn rejected(said: &str) -> RejectionKind {
    match end(terms(Some("orders"), Some(SECRET)), said.as_bytes()) {
        Err(Fault::Rejected(rejection)) => rejection.kind,
        other => panic!("{said}: {other:?}"),
    }
}

#[test]
fn refusals_of_servers_of_all_ages_are_told_apart() {
    assert_eq!(rejected("-ERR invalid password\r\n"), RejectionKind::Credential);
    assert_eq!(rejected("-ERR Client sent AUTH, but no password is set\r\n"), RejectionKind::Credential);
    assert_eq!(rejected("-DENIED Redis is running in protected mode\r\n"), RejectionKind::Other);
    assert_eq!(rejected("+OK\r\n-ERR unknown command 'HELLO'\r\n-LOADING wait\r\n"), RejectionKind::NotNow);
    assert_eq!(rejected("+OK\r\n-NOAUTH HELLO must be called with\r\n"), RejectionKind::Credential);
}

#[test]
fn a_server_that_knows_less_is_good_enough() {
    let said = b"+OK\r\n-ERR unknown command `HELLO`\r\n-BUSY Redis is busy running a script\r\n";
    assert_eq!(end(terms(Some("orders"), Some(SECRET)), said), Ok(true));
    assert_eq!(end(terms(None, None), b"-ERR unknown command\r\n+PONG\r\n"), Ok(true));
    assert_eq!(end(terms(None, None), b"-ERR unknown command\r\n"), Ok(false), "one answer is missing");
}

#[test]
fn a_server_that_is_none_is_named() {
    for said in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"+HELLO\r\n", b"\x16\x03\x01", b"*x\r\n"] {
        let end = end(terms(Some("orders"), Some(SECRET)), said);
        assert!(matches!(end, Err(Fault::Malformed(_))), "{end:?}");
    }
    let long = format!("+OK\r\n${}\r\n{}", MAX_REPLY_LEN, "x".repeat(MAX_REPLY_LEN + 8));
    let protocol = redis("{}", None);
    let login = protocol.login(&Intent::Session, None, terms(Some("orders"), Some(SECRET)));
    assert_eq!(run(login, &[long.as_bytes()], &[], None).end, Err(Fault::TooLong(MAX_REPLY_LEN)));
}

#[test]
fn a_reply_nested_a_thousand_times_is_not_decoded() {
    let said = ["+OK\r\n", &"*1\r\n".repeat(10_000), ":1\r\n+PONG\r\n"].concat();
    assert_eq!(end_of(said.as_bytes()), Ok(true));
}

fn end_of(said: &[u8]) -> Result<bool, Fault> {
    let protocol = redis("{}", None);
    let login = protocol.login(&Intent::Session, None, terms(Some("orders"), Some(SECRET)));
    run(login, &[said], &[], None).end.map(|greeting| greeting.is_some())
}

#[test]
fn tls_comes_first_and_plain_text_never_sees_the_password() {
    let protocol = redis("{}", None);
    let strict = |tls| Terms { allow_cleartext: false, tls, ..terms(Some("orders"), Some(SECRET)) };
    let login = |terms: Terms| protocol.login(&Intent::Session, None, terms);
    let facts = TlsFacts::default();

    let direct =
        run_every_split(|| login(strict(TlsStart::Direct)), &[b"", b"+OK\r\n*0\r\n+PONG\r\n"], Some(&facts));
    assert_eq!((direct.end.unwrap().is_some(), direct.upgrades), (true, 1));
    let early = run(login(strict(TlsStart::Direct)), &[b"+OK\r\n", b""], &[], Some(&facts));
    assert_eq!(early.end, Err(Fault::EarlyData));
    let declined = run(login(strict(TlsStart::Direct)), &[b"", b""], &[], None);
    assert_eq!(declined.end, Err(Fault::Insecure(Insecure::TlsDeclined)));
    let plain = run(login(strict(TlsStart::Off)), &[b""], &[], None);
    assert_eq!((plain.end, plain.output), (Err(Fault::Insecure(Insecure::CleartextPassword)), Vec::new()));
    let socket = run(login(Terms { private: true, ..strict(TlsStart::Off) }), &[b"+OK\r\n"], &[], None);
    assert!(socket.end.unwrap().is_none() && !socket.output.is_empty());
    let asked = run(login(strict(TlsStart::Negotiated)), &[b""], &[], None);
    assert!(matches!(asked.end, Err(Fault::Unsupported(_))));
}

/// What a server may say. It knows the secret, and will say it at any opportunity.
fn words() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"+OK\r\n".to_vec()),
        Just(b"+PONG\r\n".to_vec()),
        Just(b"+RESET\r\n".to_vec()),
        Just(format!("+{SECRET}\r\n").into_bytes()),
        Just(format!("-ERR you are orders with {SECRET}\r\n").into_bytes()),
        Just(format!("-{SECRET}\r\n").into_bytes()),
        Just(
            format!("*4\r\n$7\r\nversion\r\n$21\r\n{SECRET}\r\n$4\r\nrole\r\n$6\r\nmaster\r\n").into_bytes()
        ),
        Just(format!("!25\r\nERR {SECRET}\r\n").into_bytes()),
        vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_server_makes_a_login_tell_the_log(said in vec(words(), 0..6), cleartext in any::<bool>()) {
        let protocol = redis("{}", Some("1"));
        let terms = Terms { allow_cleartext: cleartext, ask_role: true, ..terms(Some("orders"), Some(SECRET)) };
        let login = protocol.login(&Intent::Session, None, terms.clone());
        let shown = format!("{login:?} {terms:?}");
        prop_assert!(!shown.contains(SECRET));
        let run = run(login, &[&said.concat()], &[], None);
        prop_assert_eq!(contains(&run.output, SECRET), cleartext);
        match run.end {
            Ok(Some(greeting)) => {
                let shown = format!("{greeting:?}");
                prop_assert!(!shown.contains(SECRET));
                prop_assert!(!protocol.server_version(&greeting).unwrap_or_default().contains(SECRET));
                let mut heard = BytesMut::new();
                protocol.welcome(&Intent::Session, greeting, &mut heard);
                prop_assert!(heard.is_empty());
            }
            Err(Fault::Rejected(rejection)) => {
                let shown = format!("{rejection:?}");
                prop_assert!(!shown.contains(SECRET));
                prop_assert!(!contains(&rejection.frame, SECRET) && !contains(&rejection.frame, "orders"));
            }
            Ok(None) | Err(_) => {}
        }
    }

    /// Nor does one that is asked in the midst of a session make us tell the client.
    #[test]
    fn no_server_makes_a_login_tell_the_client(said in words()) {
        for client in ["AUTH x", "HELLO 3 AUTH a b", "DEBUG x"] {
            let mut house = House::new("{}");
            let _ = attache_wire::Watch::from_client(&mut *house.watch, &command(client));
            let intent = run(house.protocol.reopen(&house.watch, [0; 24]).unwrap(), &[&command(client)], &[], None);
            let intent = intent.end.unwrap().unwrap();
            let relogin = house.protocol.relogin(&house.watch, &intent, house.terms.clone()).unwrap();
            let end = run(relogin, &[&said], &[], None).end;
            let shown = format!("{end:?}");
            prop_assert!(!shown.contains(SECRET));
            if let Ok(Some(greeting)) = end {
                let mut heard = BytesMut::new();
                house.protocol.rewelcome(&mut house.watch, &intent, greeting, &mut heard);
                prop_assert!(!contains(&heard, SECRET));
                prop_assert!(!heard.starts_with(b"-") || !contains(&heard, "orders"));
            }
        }
    }
}
