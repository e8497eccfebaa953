//! Methods of authentication, by servers that want more than they should get.

use attache_mysql::{Greeting, Options};
use attache_wire::testing::{Run, run};
use attache_wire::{Fault, Insecure, Protocol, RejectionKind, Terms, Text, TlsStart};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;

use crate::support::*;

const CLEARTEXT: Fault = Fault::Insecure(Insecure::CleartextPassword);
const FAST: &[u8] = b"\x01\x03";
const FULL: &[u8] = b"\x01\x04";

fn twenty() -> Vec<u8> {
    [&[b'n'; 20][..], b"\0"].concat()
}

/// The last packet that was sent.
fn last(run: &Run<Greeting>) -> (u8, Vec<u8>) {
    let (sequence, payload) = *packets(&run.output).last().unwrap();
    (sequence, payload.to_vec())
}

fn said(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[track_caller]
fn assert_accepted(run: &Run<Greeting>) {
    assert!(matches!(run.end, Ok(Some(_))), "{:?}", run.end);
}

#[track_caller]
fn assert_malformed(run: &Run<Greeting>) {
    assert!(matches!(run.end, Err(Fault::Malformed(_))), "{:?}", run.end);
    assert!(!contains(&run.output, PASSWORD.as_bytes()), "the secret stays here");
}

#[test]
fn hashes_and_signatures_cross_any_link() {
    let plain = Case::plain();
    for (plugin, data, len) in [
        ("mysql_native_password", twenty(), 20),
        ("caching_sha2_password", twenty(), 32),
        ("client_ed25519", vec![b'c'; 32], 64),
        ("client_ed25519", [&[b'c'; 32][..], b"\0"].concat(), 64),
    ] {
        let run = plain.hears(&said(&[&switch(2, plugin, &data), &packet(4, OK)]));
        assert_accepted(&run);
        let (sequence, proof) = last(&run);
        assert_eq!((sequence, proof.len()), (3, len), "{plugin}");
        assert!(!contains(&run.output, PASSWORD.as_bytes()));
    }
    let fast = plain.hears(&said(&[&packet(2, FAST), &packet(3, OK)]));
    assert_accepted(&fast);
    assert_eq!(packets(&fast.output).len(), 1, "nothing is said to a server that knows the password");
    assert_accepted(&plain.hears(&packet(2, OK)));
}

#[test]
fn a_slow_signature_is_made_of_the_salt_that_was_asked_for() {
    let parsec = switch(2, "parsec", &[b'c'; 32]);
    for salt in [&b"P\0eighteen octets of"[..], b"\x01P\0eighteen octets of"] {
        let run = Case::plain().hears(&said(&[&parsec, &packet(4, salt), &packet(6, OK)]));
        assert_accepted(&run);
        let sent = packets(&run.output);
        assert_eq!((sent[1], sent[2].0, sent[2].1.len()), ((3, &b""[..]), 5, 96));
    }
    let ours = |nonce| {
        let mut case = Case::plain();
        case.terms.nonce = nonce;
        last(&case.hears(&said(&[&parsec, &packet(4, b"P\0salt")]))).1[..32].to_vec()
    };
    assert_ne!(ours([7; 24]), ours([8; 24]), "our part is another each time");
    for odd in [&b"P\x0asalt"[..], b"S\0salt", b"P\0", b"P", b"\0\0\0\x02\0\0\0", b"\x02P\0salt"] {
        assert_malformed(&Case::plain().hears(&said(&[&parsec, &packet(4, odd)])));
    }
}

/// Half of the rounds that one login may ask for, twice, and a few more: the third proof is not made.
#[test]
fn the_work_of_one_login_is_bounded_however_often_its_method_changes() {
    let (parsec, salt) = (|at| switch(at, "parsec", &[b'c'; 32]), b"P\x08salt");
    let twice = [parsec(2), packet(4, salt), parsec(6), packet(8, salt)].concat();
    assert_accepted(&Case::plain().hears_once(&said(&[&twice, &packet(10, OK)])));
    let run = Case::plain().hears_once(&said(&[&twice, &parsec(10), &packet(12, b"P\0salt")]));
    assert_malformed(&run);
    assert_eq!(packets(&run.output).iter().filter(|(_, sent)| sent.len() == 96).count(), 2);
}

#[test]
fn the_password_itself_needs_a_link_that_only_the_server_reads() {
    let clear = said(&[&switch(2, "mysql_clear_password", b""), &packet(4, OK)]);
    let full = said(&[&packet(2, FULL), &packet(4, OK)]);
    let sha256 = said(&[&switch(2, "sha256_password", &twenty()), &packet(4, OK)]);
    let password = [PASSWORD.as_bytes(), b"\0"].concat();
    for wanted in [&clear, &full, &sha256] {
        assert_unsaid(&Case::plain().hears(wanted), CLEARTEXT);
    }
    let private = || {
        let case = Case::plain();
        Case { terms: Terms { private: true, ..case.terms.clone() }, ..case }
    };
    for wanted in [&clear, &full] {
        let run = private().hears(wanted);
        assert_accepted(&run);
        assert_eq!(last(&run), (3, password.clone()));
    }
    let bold = Case { terms: Terms { allow_cleartext: true, ..private().terms }, ..Case::plain() };
    assert_eq!(last(&bold.hears(&clear)), (3, password.clone()));
    for wanted in [
        said(&[&switch(3, "mysql_clear_password", b""), &packet(5, OK)]),
        said(&[&packet(3, FULL), &packet(5, OK)]),
        said(&[&switch(3, "sha256_password", &twenty()), &packet(5, OK)]),
    ] {
        let run = Case::encrypted().hears(&wanted);
        assert_accepted(&run);
        assert_eq!(last(&run), (4, password.clone()));
    }
}

#[test]
fn a_server_is_asked_for_its_key_only_where_nobody_can_put_another_in_its_place() {
    let full = packet(2, FULL);
    let sha256 = switch(2, "sha256_password", &twenty());
    let retrieving = Options { allow_public_key_retrieval: true, ..Options::default() };
    let allowed = Case { options: retrieving, ..Case::plain() };
    assert_eq!(last(&allowed.hears(&full)), (3, b"\x02".to_vec()));
    assert_eq!(last(&allowed.hears(&sha256)), (3, b"\x01".to_vec()));
    let bold = Case { terms: Terms { allow_cleartext: true, ..Case::plain().terms }, ..Case::plain() };
    assert_eq!(last(&bold.hears(&full)), (3, b"\x02".to_vec()), "whoever allows more allows this");
    let private = Case { terms: Terms { private: true, ..Case::plain().terms }, ..Case::plain() };
    assert_eq!(last(&private.hears(&sha256)), (3, b"\x01".to_vec()), "a server of it believes in TLS alone");
    let key = packet(2, b"\x01-----BEGIN PUBLIC KEY-----");
    assert_malformed(&allowed.hears(&key));
    for odd in
        [&b"\x01"[..], b"\x01\x04", b"\x01-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", OK]
    {
        assert_malformed(&allowed.hears(&said(&[&full, &packet(4, odd)])));
    }
}

#[test]
fn only_the_server_reads_a_password_that_is_encrypted_for_it() {
    let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let pem = pem(&private.public_key());
    let private = OaepPrivateDecryptingKey::new(private).unwrap();
    let read = |encrypted: &[u8], nonce: &[u8]| {
        let mut out = vec![0; private.min_output_size()];
        let read = private.decrypt(&OAEP_SHA1_MGF1SHA1, encrypted, &mut out, None).unwrap();
        read.iter().zip(nonce.iter().cycle()).map(|(octet, mask)| octet ^ mask).collect::<Vec<u8>>()
    };
    let password = [PASSWORD.as_bytes(), b"\0"].concat();
    let pinned = Options { server_public_key: Some(Text(pem.clone())), ..Options::default() };
    let pinned = Case { options: pinned, ..Case::plain() };
    let retrieving = Options { allow_public_key_retrieval: true, ..Options::default() };
    let retrieving = Case { options: retrieving, ..Case::plain() };
    let (key, switched) = ([b"\x01", pem.as_bytes()].concat(), switch(2, "sha256_password", &twenty()));
    for (case, said, nonce) in [
        (&pinned, said(&[&packet(2, FULL), &packet(4, OK)]), nonce()),
        (&pinned, said(&[&switched, &packet(4, OK)]), [b'n'; 20]),
        (&retrieving, said(&[&packet(2, FULL), &packet(4, &key), &packet(6, OK)]), nonce()),
        (&retrieving, said(&[&switched, &packet(4, &key), &packet(6, OK)]), [b'n'; 20]),
    ] {
        let run = case.hears_once(&said);
        assert_accepted(&run);
        assert_eq!(read(&last(&run).1, &nonce), password);
        assert!(!contains(&run.output, PASSWORD.as_bytes()));
    }
}

/// A server that is pinned gets the password for that key alone, whatever it sends.
#[test]
fn a_pinned_key_is_not_replaced() {
    let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let pem = pem(&private.public_key());
    let options = Options {
        server_public_key: Some(Text(pem.clone())),
        allow_public_key_retrieval: true,
        ..Options::default()
    };
    let said = said(&[&packet(2, FULL), &packet(4, &[b"\x01", pem.as_bytes()].concat())]);
    let run = Case { options, ..Case::plain() }.hears_once(&said);
    assert_malformed(&run);
    assert_eq!(last(&run).1.len(), 256);
}

fn pem(key: &PublicEncryptingKey) -> String {
    let der = AsDer::<PublicKeyX509Der<'_>>::as_der(key).unwrap();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
}

#[test]
fn a_pinned_key_that_is_none_is_noticed_with_the_configuration() {
    let read = |text: &str| serde_json::from_str::<Options>(text);
    let bad = read(r#"{ "server_public_key": "MIIB" }"#).unwrap_err().to_string();
    assert!(bad.contains("not an RSA public key in PEM"), "{bad}");
    assert_eq!(read("{}").unwrap(), Options::default());
    let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let pem = pem(&private.public_key());
    let good = read(&serde_json::json!({ "server_public_key": pem }).to_string()).unwrap();
    assert_eq!(good.server_public_key, Some(Text(pem)));
}

#[test]
fn a_server_may_change_its_mind_but_not_for_ever() {
    let native = |sequence| switch(sequence, "mysql_native_password", &twenty());
    let switches = |count: u8| (0..count).flat_map(|at| native(2 + 2 * at)).collect::<Vec<u8>>();
    let run = Case::plain().hears(&said(&[&switches(8), &packet(18, OK)]));
    assert_accepted(&run);
    assert_malformed(&Case::plain().hears(&switches(9)));
    let odd_places = said(&[
        &packet(2, FAST),
        &native(3),
        &switch(5, "parsec", &[b'c'; 32]),
        &switch(7, "client_ed25519", &[b'c'; 32]),
        &packet(9, OK),
    ]);
    assert_accepted(&Case::plain().hears(&odd_places));
    let tried = said(&[&packet(3, FULL), &switch(5, "mysql_native_password", &twenty()), &packet(7, OK)]);
    assert_accepted(&Case::encrypted().hears(&tried));
}

#[test]
fn packets_out_of_order_are_refused() {
    let out_of_order: [Vec<u8>; 14] = [
        packet(2, b""),
        packet(3, OK),
        packet(1, OK),
        packet(2, b"\x03"),
        packet(2, b"\x01"),
        packet(2, b"\x01\x05"),
        packet(2, b"\x01\x03\0"),
        packet(2, b"\0\0\0\x02\0"),
        said(&[&packet(2, FAST), &packet(3, FAST)]),
        said(&[&switch(2, "mysql_native_password", &twenty()), &packet(4, FAST)]),
        said(&[&switch(2, "client_ed25519", &[b'c'; 32]), &packet(4, FULL)]),
        switch(2, "mysql_native_password", &[b'n'; 19]),
        switch(2, "client_ed25519", &twenty()),
        packet(2, b"\xfemysql_native_password"),
    ];
    for said in out_of_order {
        let run = Case::plain().hears(&said);
        assert!(matches!(run.end, Err(Fault::Malformed(_))), "{}: {:?}", said.escape_ascii(), run.end);
    }
    let twice = Case::encrypted().hears(&said(&[&packet(3, FULL), &packet(5, FULL)]));
    assert!(matches!(twice.end, Err(Fault::Malformed(_))));
    assert_eq!(
        Case::plain().hears(b"\0\0\x01\x02").end,
        Err(Fault::TooLong(attache_mysql::MAX_LOGIN_PACKET_LEN))
    );
}

#[test]
fn other_methods_are_named() {
    for (plugin, name) in [
        ("mysql_old_password", "before 4.1"),
        ("dialog", "PAM"),
        ("auth_gssapi_client", "Kerberos"),
        ("authentication_ldap_sasl_client", "LDAP"),
        ("authentication_webauthn_client", "security key"),
        ("authentication_openid_connect_client", "token"),
        ("something_new", "not known"),
    ] {
        let Err(Fault::Unsupported(text)) = Case::plain().hears(&switch(2, plugin, b"")).end else {
            panic!("{plugin}")
        };
        assert!(text.contains(name), "{text}");
    }
    assert!(matches!(Case::plain().hears(&packet(2, b"\xfe")).end, Err(Fault::Unsupported(_))));
    assert!(matches!(Case::plain().hears(&packet(2, b"\x02webauthn\0")).end, Err(Fault::Unsupported(_))));
}

#[test]
fn a_login_by_certificate_has_no_password_and_says_so() {
    let nothing = |case: Case| Case {
        terms: Terms { credential: Some(credential("orders", None)), ..case.terms },
        ..case
    };
    let run = nothing(Case::encrypted())
        .hears(&said(&[&switch(3, "mysql_native_password", &twenty()), &packet(5, OK)]));
    assert_accepted(&run);
    assert_eq!(last(&run), (4, Vec::new()));
    for wanted in [
        packet(3, FULL),
        switch(3, "sha256_password", &twenty()),
        switch(3, "mysql_clear_password", b""),
        switch(3, "client_ed25519", &[b'c'; 32]),
        said(&[&switch(3, "parsec", &[b'c'; 32]), &packet(5, b"P\0salt")]),
    ] {
        let run = nothing(Case::encrypted()).hears(&wanted);
        assert!(matches!(run.end, Err(Fault::Incomplete(_))), "{:?}", run.end);
    }
}

#[test]
fn rejections_are_sorted_by_what_can_be_done() {
    let kinds = [
        (1045, RejectionKind::Credential),
        (1698, RejectionKind::Credential),
        (1862, RejectionKind::Credential),
        (3118, RejectionKind::Credential),
        (4151, RejectionKind::Credential),
        (1053, RejectionKind::NotNow),
        (3032, RejectionKind::NotNow),
        (2003, RejectionKind::NotNow),
        (1040, RejectionKind::Other),
        (1044, RejectionKind::Other),
        (1049, RejectionKind::Other),
        (1203, RejectionKind::Other),
    ];
    for (number, kind) in kinds {
        let text = format!("no\u{1b}[2J\n{}", "x".repeat(1000));
        for said in [error(2, number, &text), said(&[&packet(2, FAST), &error(9, number, &text)])] {
            let Err(Fault::Rejected(rejection)) = Case::plain().hears(&said).end else { panic!("{number}") };
            assert_eq!((rejection.kind, rejection.code), (kind, number.to_string()));
            assert!(rejection.message.starts_with("no [2J xxx") && rejection.message.chars().count() == 300);
            assert_eq!(rejection.frame, error(0, number, &text), "numbered as a probe is answered");
        }
    }
    assert!(matches!(Case::plain().hears(&packet(2, b"\xff\x15")).end, Err(Fault::Malformed(_))));
}

#[test]
fn an_echo_of_the_secret_reaches_neither_the_log_nor_the_client() {
    let echo = said(&[&packet(3, FULL), &error(5, 1105, &format!("you said {PASSWORD}!"))]);
    let Err(Fault::Rejected(rejection)) = Case::encrypted().hears(&echo).end else { panic!() };
    assert!(!contains(&rejection.frame, PASSWORD.as_bytes()) && !rejection.message.contains(PASSWORD));
    assert_eq!((rejection.code.as_str(), &rejection.frame[4..7]), ("1105", &b"\xff\x51\x04"[..]));
    assert!(rejection.message.contains("withheld"));
    let ok = [OK, PASSWORD.as_bytes()].concat();
    let greeting = Case::encrypted().hears(&said(&[&packet(3, FULL), &packet(5, &ok)])).end.unwrap().unwrap();
    assert_eq!(welcomed(greeting), packet(0, OK));
}

/// MariaDB's hash over password, nonce and certificate is between the server and us.
#[test]
fn a_fingerprint_in_the_ok_is_not_passed_on() {
    let fingerprint = [b"\x01", &[b'f'; 64][..]].concat();
    let ok = [OK, &fingerprint].concat();
    let greeting = Case::encrypted().hears(&packet(3, &ok)).end.unwrap().unwrap();
    assert_eq!(welcomed(greeting), packet(0, OK));
    let text = [OK, b"welcome to all"].concat();
    let greeting = Case::encrypted().hears(&packet(3, &text)).end.unwrap().unwrap();
    assert_eq!(welcomed(greeting), packet(0, &text), "other texts are");
    let changes = b"\x07\x01\x05\x04shop";
    let tracked = |text: &[u8]| [b"\0\0\0\x02\x40\0\0", &[text.len() as u8][..], text, changes].concat();
    assert_eq!(heard_with_changes(&tracked(&fingerprint)), tracked(b""));
    assert_eq!(heard_with_changes(&tracked(b"hello")), tracked(b"hello"));
    assert_eq!(heard_with_changes(OK), OK);
    assert_eq!(heard_with_changes(&tracked(PASSWORD.as_bytes())), OK);
}

/// What a client that follows the session's state hears of this OK.
fn heard_with_changes(ok: &[u8]) -> Vec<u8> {
    let (protocol, hello) = (mysql(Options::default(), None), hello(ALL));
    let intent = intent(&hello, Options::default(), PROBE | SESSION_TRACK, "", b"");
    let login = protocol.login(&intent, Some(hello), terms(TlsStart::Off, PASSWORD));
    let greeting = run(login, &[&packet(2, ok)], &[], None).end.unwrap().unwrap();
    let mut out = BytesMut::new();
    protocol.welcome(&intent, greeting, &mut out);
    packets(&out)[0].1.to_vec()
}

fn welcomed(greeting: Greeting) -> Vec<u8> {
    let protocol = mysql(Options::default(), None);
    let mut out = BytesMut::new();
    protocol.welcome(&protocol.probe_intent(), greeting, &mut out);
    out.to_vec()
}
