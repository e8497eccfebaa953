//! The login against servers that are old, odd or hostile.
#![allow(clippy::unwrap_used)]

mod support;

use attache_postgres::{ChannelBinding, Greeting, MAX_GREETING_LEN, MAX_LOGIN_FRAME_LEN};
use attache_wire::testing::{Run, contains, run, run_every_split};
use attache_wire::{Fault, Insecure, Protocol, RejectionKind, Terms, TlsFacts, TlsStart};
use support::*;

const PASSWORD: &str = "hunter2-and-more";
const SASL: &[u8] = b"SCRAM-SHA-256\0\0";
const SASL_PLUS: &[u8] = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";

fn plain(said: &[u8]) -> Run<Greeting> {
    let terms = terms(TlsStart::Off, PASSWORD);
    run_every_split(|| login(ChannelBinding::Prefer, terms.clone()), &[said], None)
}

fn encrypted(binding: ChannelBinding, facts: &TlsFacts, said: &[u8]) -> Run<Greeting> {
    let make = || login(binding, terms(TlsStart::Negotiated, PASSWORD));
    run_every_split(make, &[b"S", said], Some(facts))
}

fn with_credential(secret: Option<&[u8]>, said: &[u8]) -> Run<Greeting> {
    let terms = || Terms { credential: Some(credential("orders", secret)), ..terms(TlsStart::Off, "") };
    run_every_split(
        || login(ChannelBinding::Prefer, Terms { allow_cleartext: true, ..terms() }),
        &[said],
        None,
    )
}

#[track_caller]
fn assert_unsaid(run: &Run<Greeting>, fault: Fault) {
    assert_eq!(run.end, Err(fault));
    assert!(!contains(&run.output, PASSWORD.as_bytes()), "the secret stays here");
}

#[test]
fn user_and_database_are_replaced_where_they_stand_and_all_else_is_kept() {
    let sent = |minor, parameters: &[&str], database| {
        let protocol = postgres(ChannelBinding::Prefer, database);
        let intent = intent(&startup(minor, parameters));
        run(protocol.login(&intent, None, terms(TlsStart::Off, PASSWORD)), &[b""], &[], None).output
    };
    let parameters = ["a", "1", "user", "app", "b", "", "database", "shop", "_pq_.x", "y"];
    let expected = ["a", "1", "user", "orders", "b", "", "database", "shop", "_pq_.x", "y"];
    assert_eq!(sent(0, &parameters, None), startup(0, &expected));
    let expected = ["a", "1", "user", "orders", "b", "", "database", "stock", "_pq_.x", "y"];
    assert_eq!(sent(2, &parameters, Some("stock")), startup(2, &expected));
    assert_eq!(
        sent(0, &["a", "1"], Some("stock")),
        startup(0, &["a", "1", "user", "orders", "database", "stock"])
    );
    assert_eq!(sent(0, &["user", "x", "user", "y"], None), startup(0, &["user", "orders", "user", "orders"]));
    // 3.1 never existed; newer versions are negotiated down.
    assert_eq!(sent(1, &["user", "x"], None), startup(0, &["user", "orders"]));
    assert_eq!(sent(9999, &["user", "x"], None), startup(2, &["user", "orders"]));
}

#[test]
fn a_probe_asks_for_the_database_of_the_route_or_the_one_that_always_exists() {
    let sent = |database| {
        let protocol = postgres(ChannelBinding::Prefer, database);
        let login = protocol.login(&protocol.probe_intent(), None, terms(TlsStart::Off, PASSWORD));
        run(login, &[b""], &[], None).output
    };
    let expected =
        |database| startup(0, &["application_name", "attache-probe", "database", database, "user", "orders"]);
    assert_eq!(sent(None), expected("postgres"));
    assert_eq!(sent(Some("stock")), expected("stock"));
}

#[test]
fn a_server_without_tls_is_refused_before_anything_is_said() {
    let refused: [(&[u8], Fault); 4] = [
        (b"N", Fault::Insecure(Insecure::TlsDeclined)),
        (b"E\0\0\0\x20SFATAL\0", Fault::Insecure(Insecure::TlsDeclined)),
        (b"R\0\0\0\x08\0\0\0\x03", Fault::Malformed("the answer to SSLRequest is neither S nor N")),
        (b"Sevil", Fault::EarlyData),
    ];
    for (answer, fault) in refused {
        let make = || login(ChannelBinding::Prefer, terms(TlsStart::Negotiated, PASSWORD));
        let run = run_every_split(make, &[answer, &welcome()], Some(&TlsFacts::default()));
        assert_eq!(run.end, Err(fault));
        assert_eq!(run.output, b"\0\0\0\x08\x04\xd2\x16\x2f", "the question and nothing else");
    }
}

#[test]
fn direct_tls_needs_the_right_application_protocol() {
    let with_alpn = |alpn: Option<&[u8]>| {
        let facts = TlsFacts { server_end_point: None, alpn: alpn.map(<[u8]>::to_vec) };
        let make = || login(ChannelBinding::Prefer, terms(TlsStart::Direct, PASSWORD));
        run_every_split(make, &[b"", &welcome()], Some(&facts))
    };
    assert!(matches!(with_alpn(Some(b"postgresql")).end, Ok(Some(_))));
    for alpn in [None, Some(&b"http/1.1"[..])] {
        let run = with_alpn(alpn);
        assert!(matches!(run.end, Err(Fault::Unsupported(_))), "{:?}", run.end);
        assert!(run.output.is_empty());
    }
}

#[test]
fn the_greeting_ends_at_ready_for_query() {
    let run = plain(&[&welcome()[..], b"next"].concat());
    assert!(matches!(run.end, Ok(Some(_))));
    assert_eq!(run.unread, b"next");
}

#[test]
fn the_client_hears_everything_but_the_authentication() {
    let notice = message(b'N', b"SNOTICE\0Mhello\0\0");
    let negotiation = message(b'v', b"\0\x03\0\0\0\0\0\0");
    let said = [&negotiation[..], &notice, &welcome()].concat();
    let greeting = plain(&said).end.unwrap().unwrap();
    let shown = format!("{greeting:?}");
    let heard = client_hears(&postgres(ChannelBinding::Prefer, None), &intent(&startup(5, &[])), greeting);
    assert_eq!(heard, said, "and of two negotiations only the server's");
    assert!(!shown.contains("key!") && shown.contains("18.4"), "{shown}");
}

#[test]
fn a_backend_key_may_be_absent_and_up_to_256_octets_long() {
    let with_key = |key: Option<usize>| {
        let key = key.map(|len| message(b'K', &vec![b'k'; 4 + len])).unwrap_or_default();
        let end = plain(&[auth(0, b""), key, message(b'Z', b"I")].concat()).end;
        end.map(|greeting| postgres(ChannelBinding::Prefer, None).ticket(&greeting.unwrap()).map(|t| t.len()))
    };
    assert_eq!(with_key(None), Ok(None));
    assert_eq!(with_key(Some(4)), Ok(Some(8)));
    assert_eq!(with_key(Some(256)), Ok(Some(260)));
    assert!(matches!(with_key(Some(3)), Err(Fault::Malformed(_))));
    assert!(matches!(with_key(Some(257)), Err(Fault::Malformed(_))));
}

#[test]
fn passwords_are_kept_from_links_without_tls() {
    assert_unsaid(&plain(&auth(3, b"")), Fault::Insecure(Insecure::CleartextPassword));
    assert_unsaid(&plain(&auth(5, b"salt")), Fault::Insecure(Insecure::WeakHash));
    let allowed = with_credential(Some(b"pw"), &[auth(3, b""), welcome()].concat());
    assert!(allowed.output.ends_with(b"p\0\0\0\x07pw\0") && allowed.end.is_ok());
    let facts = tls(None);
    let inside = encrypted(ChannelBinding::Prefer, &facts, &[auth(3, b""), welcome()].concat());
    assert!(contains(&inside.output, PASSWORD.as_bytes()) && inside.end.is_ok());
}

#[test]
fn channel_binding_is_used_announced_or_left_as_the_route_and_the_link_allow() {
    use ChannelBinding::{Disable, Prefer, Require};
    let (bound, unbound) = (tls(Some(&[1; 32])), tls(None));
    let first = |binding, facts: &TlsFacts, offer: &[u8]| encrypted(binding, facts, &auth(10, offer));
    let says = |run: &Run<Greeting>, text: &[u8]| assert!(contains(&run.output, text), "{:?}", run.end);
    says(&first(Prefer, &bound, SASL_PLUS), b"SCRAM-SHA-256-PLUS\0\0\0\0\x35p=tls-server-end-point,,n=,r=");
    says(&first(Require, &bound, SASL_PLUS), b"p=tls-server-end-point,,n=,r=");
    says(&first(Prefer, &bound, SASL), b"SCRAM-SHA-256\0\0\0\0\x20y,,n=,r=");
    says(&first(Prefer, &unbound, SASL_PLUS), b"SCRAM-SHA-256\0\0\0\0\x20n,,n=,r=");
    says(&first(Disable, &bound, SASL_PLUS), b"SCRAM-SHA-256\0\0\0\0\x20n,,n=,r=");
    let none = Fault::Insecure(Insecure::NoChannelBinding);
    assert_unsaid(&first(Require, &bound, SASL), none.clone());
    assert_unsaid(&first(Require, &unbound, SASL_PLUS), none.clone());
    for method in [auth(0, b""), auth(3, b""), auth(5, b"salt")] {
        assert_unsaid(&encrypted(Require, &bound, &method), none.clone());
    }
    assert!(matches!(plain(&auth(10, SASL_PLUS)).end, Err(Fault::Malformed(_))), "PLUS without TLS");
}

#[test]
fn a_server_that_never_shows_its_signature_is_not_believed() {
    let skipped = Fault::Insecure(Insecure::ServerSignature);
    assert_unsaid(&plain(&[auth(10, SASL), welcome()].concat()), skipped.clone());
    let challenge = auth(11, b"r=BwcHBwcHBwcHBwcHBwcHBwcHserver,s=c2FsdA==,i=4096");
    assert_unsaid(&plain(&[auth(10, SASL), challenge.clone(), welcome()].concat()), skipped.clone());
    let forged = auth(12, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_unsaid(&plain(&[auth(10, SASL), challenge, forged].concat()), skipped);
}

#[test]
fn messages_out_of_order_are_refused() {
    let accepted = auth(0, b"");
    let out_of_order: [Vec<u8>; 12] = [
        message(b'Z', b"I"),
        message(b'S', b"a\0b\0"),
        message(b'K', b"12345678"),
        message(b'D', b""),
        auth(11, b"r=x"),
        auth(12, b"v=x"),
        [auth(10, SASL), auth(10, SASL)].concat(),
        [auth(10, SASL), auth(3, b"")].concat(),
        [accepted.clone(), accepted.clone()].concat(),
        [accepted.clone(), message(b'v', b"\0\x03\0\0\0\0\0\0")].concat(),
        [accepted.clone(), message(b'Z', b"T")].concat(),
        [accepted, message(b'S', b"no value\0")].concat(),
    ];
    for said in out_of_order {
        let run = plain(&said);
        assert!(matches!(run.end, Err(Fault::Malformed(_))), "{}: {:?}", said.escape_ascii(), run.end);
    }
    let twice = with_credential(Some(b"pw"), &[auth(3, b""), auth(3, b"")].concat());
    assert!(matches!(twice.end, Err(Fault::Malformed(_))));
    assert_eq!(twice.output.iter().filter(|byte| **byte == b'w').count(), 1, "asked twice, told once");
}

#[test]
fn other_methods_are_named() {
    for (code, name) in
        [(2, "Kerberos"), (6, "SCM"), (7, "GSSAPI"), (8, "GSSAPI"), (9, "SSPI"), (99, "not known")]
    {
        let Err(Fault::Unsupported(text)) = plain(&auth(code, b"")).end else { panic!("{code}") };
        assert!(text.contains(name), "{text}");
    }
    assert!(matches!(plain(&auth(10, b"OAUTHBEARER\0\0")).end, Err(Fault::Unsupported(_))));
    for list in [&b""[..], b"SCRAM-SHA-256", b"SCRAM-SHA-256\0", b"\0SCRAM-SHA-256\0\0"] {
        assert!(matches!(plain(&auth(10, list)).end, Err(Fault::Malformed(_))));
    }
}

#[test]
fn a_credential_that_lacks_what_is_asked_for_is_the_operators_to_mend() {
    for said in [auth(3, b""), auth(5, b"salt"), auth(10, SASL)] {
        for secret in [None, Some(&b"nul\0inside"[..])] {
            assert!(matches!(with_credential(secret, &said).end, Err(Fault::Incomplete(_))));
        }
    }
    assert!(matches!(with_credential(None, &welcome()).end, Ok(Some(_))), "trust asks for nothing");
    let nobody = || login(ChannelBinding::Prefer, Terms { credential: None, ..terms(TlsStart::Off, "") });
    assert!(matches!(run_every_split(nobody, &[b""], None).end, Err(Fault::Incomplete(_))));
    let odd = || Terms { credential: Some(credential("a\0b", None)), ..terms(TlsStart::Off, "") };
    let run = run_every_split(|| login(ChannelBinding::Prefer, odd()), &[b""], None);
    assert!(matches!(run.end, Err(Fault::Incomplete(_))) && run.output.is_empty());
}

#[test]
fn rejections_are_sorted_by_what_can_be_done() {
    let kinds = [
        ("28P01", RejectionKind::Credential),
        ("28000", RejectionKind::Credential),
        ("57P01", RejectionKind::NotNow),
        ("57P02", RejectionKind::NotNow),
        ("57P03", RejectionKind::NotNow),
        ("53300", RejectionKind::Other),
        ("3D000", RejectionKind::Other),
    ];
    for (code, kind) in kinds {
        let said = error(code, &format!("no\u{1b}[2J\n{}", "x".repeat(1000)));
        for said in [said.clone(), [auth(0, b""), said.clone()].concat()] {
            let Err(Fault::Rejected(rejection)) = plain(&said).end else { panic!("{code}") };
            assert_eq!((rejection.kind, rejection.code.as_str()), (kind, code));
            assert!(rejection.message.starts_with("no [2J xxx") && rejection.message.chars().count() == 300);
            assert!(said.ends_with(&rejection.frame));
        }
    }
    let Err(Fault::Rejected(odd)) = plain(&message(b'E', b"Cshort\0M")).end else { panic!() };
    assert_eq!((odd.kind, odd.code.as_str(), odd.message.as_str()), (RejectionKind::Other, "", ""));
}

#[test]
fn an_echo_of_the_secret_reaches_neither_the_log_nor_the_client() {
    let facts = tls(None);
    let echo = [auth(3, b""), error("XX000", &format!("you said {PASSWORD}!"))].concat();
    let Err(Fault::Rejected(rejection)) = encrypted(ChannelBinding::Prefer, &facts, &echo).end else {
        panic!()
    };
    assert!(!contains(&rejection.frame, PASSWORD.as_bytes()) && !rejection.message.contains(PASSWORD));
    assert_eq!(rejection.code, "XX000");
    assert!(rejection.frame.starts_with(b"E") && contains(&rejection.frame, b"\0CXX000\0M"));

    let aloud = |tag, form: &str| message(tag, form.replace('?', PASSWORD).as_bytes());
    let said = [
        auth(3, b""),
        aloud(b'N', "SNOTICE\0M?\0\0"),
        auth(0, b""),
        aloud(b'S', "note\0?\0"),
        message(b'Z', b"I"),
    ];
    let greeting = encrypted(ChannelBinding::Prefer, &facts, &said.concat()).end.unwrap().unwrap();
    let heard = client_hears(&postgres(ChannelBinding::Prefer, None), &intent(&startup(0, &[])), greeting);
    assert_eq!(heard, [auth(0, b""), message(b'Z', b"I")].concat());
}

#[test]
fn frames_and_the_greeting_are_bounded() {
    let long = u32::try_from(MAX_LOGIN_FRAME_LEN).unwrap().to_be_bytes();
    assert_eq!(plain(&[b"N", &long[..]].concat()).end, Err(Fault::TooLong(MAX_LOGIN_FRAME_LEN)));
    let notice = message(b'N', &vec![b'x'; MAX_LOGIN_FRAME_LEN - 5]);
    let said = notice.repeat(MAX_GREETING_LEN / notice.len() + 1);
    let login = login(ChannelBinding::Prefer, terms(TlsStart::Off, PASSWORD));
    assert_eq!(run(login, &[&said], &[], None).end, Err(Fault::TooLong(MAX_GREETING_LEN)));
}
