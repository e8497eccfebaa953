//! Whatever a server says, the secret stays where it belongs.
#![allow(clippy::unwrap_used)]

mod support;

use attache_postgres::ChannelBinding;
use attache_wire::scram::{Binding, server::Server};
use attache_wire::testing::{contains, run};
use attache_wire::{Fault, Protocol, Secret, Terms, TlsStart};
use proptest::collection::vec;
use proptest::prelude::*;
use support::*;

/// A server's next words. It knows the secret, and will say it at any opportunity.
fn words(secret: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let (echo, secret) = (secret.as_bytes().to_vec(), secret.as_bytes().to_vec());
    let text = prop_oneof![
        Just(secret.clone()),
        vec(any::<u8>(), 0..20),
        Just([&b"x\0"[..], &secret, b"\0"].concat())
    ];
    prop_oneof![
        Just(auth(0, b"")),
        Just(auth(3, b"")),
        Just(auth(5, b"salt")),
        Just(auth(10, b"SCRAM-SHA-256\0\0")),
        Just(auth(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")),
        Just(auth(11, b"r=BwcHBwcHBwcHBwcHBwcHBwcHserver,s=c2FsdA==,i=4096")),
        Just(auth(12, b"v=AAAA")),
        Just(message(b'Z', b"I")),
        (proptest::sample::select(&b"RENSKvZAD"[..]), text.clone())
            .prop_map(|(tag, body)| message(tag, &body)),
        text.prop_map(move |text| error("28P01", &String::from_utf8_lossy(&[&text[..], &echo].concat()))),
        vec(any::<u8>(), 0..40),
    ]
}

fn scripts() -> impl Strategy<Value = (String, Vec<u8>, Vec<u8>)> {
    "[a-zA-Z0-9!]{8,24}".prop_flat_map(|secret| {
        let tls =
            prop_oneof![4 => Just(b"S".to_vec()), 1 => vec(any::<u8>(), 1..4), 1 => Just(b"N".to_vec())];
        let said = vec(words(&secret), 0..8).prop_map(|words| words.concat());
        (Just(secret), tls, said)
    })
}

fn bindings() -> impl Strategy<Value = ChannelBinding> {
    proptest::sample::select(&[ChannelBinding::Prefer, ChannelBinding::Require, ChannelBinding::Disable][..])
}

fn starts() -> impl Strategy<Value = TlsStart> {
    proptest::sample::select(&[TlsStart::Off, TlsStart::Direct, TlsStart::Negotiated][..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Without TLS and without leave, the secret is on no wire and in no text, whatever is asked.
    #[test]
    fn no_server_gets_the_secret_over_a_link_without_tls(
        (secret, answer, said) in scripts(),
        binding in bindings(),
        ask in any::<bool>(),
    ) {
        // The handshake is never finished: what the server says after it is in plain text.
        let (tls, segments) = if ask { (TlsStart::Negotiated, [&answer[..], &said]) } else { (TlsStart::Off, [&said[..], &[]]) };
        let run = run(login(binding, terms(tls, &secret)), &segments, &[], None);
        prop_assert!(!contains(&run.output, &secret), "sent to the server");
        let hashed = run.output.windows(4).any(|window| window == b"\0md5");
        prop_assert!(!hashed, "sent weakly hashed");
        let ended = format!("{:?}", run.end);
        prop_assert!(!ended.contains(&secret));
    }

    /// Over TLS only PasswordMessage carries it, and nothing that goes to the client or the log does.
    #[test]
    fn no_server_makes_us_tell_the_client_or_the_log(
        (secret, answer, said) in scripts(),
        binding in bindings(),
        tls in starts(),
        hash in any::<bool>(),
    ) {
        let facts = attache_wire::TlsFacts { alpn: Some(b"postgresql".to_vec()), ..support::tls(hash.then_some(&[1; 32])) };
        let segments = match tls {
            TlsStart::Off => vec![&said[..]],
            TlsStart::Direct => vec![&[][..], &said],
            TlsStart::Negotiated => vec![&answer[..], &said],
        };
        let terms = Terms { allow_cleartext: true, ..terms(tls, &secret) };
        let machine = login(binding, terms.clone());
        let shown = format!("{machine:?} {terms:?}");
        let run = run(machine, &segments, &[], Some(&facts));
        let meant = message(b'p', &[secret.as_bytes(), b"\0"].concat());
        let sent = run.output.escape_ascii().to_string().replace(&meant.escape_ascii().to_string(), "");
        prop_assert!(!sent.contains(&secret), "{sent}");
        prop_assert!(!contains(shown.as_bytes(), &secret));
        let ended = format!("{:?}", run.end);
        prop_assert!(!ended.contains(&secret));
        match run.end {
            Ok(Some(greeting)) => {
                let protocol = postgres(binding, None);
                let shown = protocol.server_version(&greeting).unwrap_or_default();
                prop_assert!(!shown.contains(&secret));
                prop_assert!(!contains(&client_hears(&protocol, &intent(&startup(9, &["user", "app"])), greeting), &secret));
            }
            Err(Fault::Rejected(rejection)) => prop_assert!(!contains(&rejection.frame, &secret)),
            Ok(None) | Err(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The whole exchange with a server that knows the password, and with one that does not.
    #[test]
    fn a_login_succeeds_exactly_where_the_server_proves_itself(
        secret in "[ -~]{1,30}",
        hash in vec(any::<u8>(), 32),
        forged in any::<bool>(),
    ) {
        let facts = tls(Some(&hash));
        let terms = terms(TlsStart::Negotiated, &secret);
        let knows = Secret::new(if forged { b"a guess".to_vec() } else { secret.clone().into_bytes() }.into());
        let server = Server::new(&knows, b"sixteen octets!!", 4096, "server");
        let offer = auth(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
        let talk = |said: &[u8]| run(login(ChannelBinding::Require, terms.clone()), &[b"S", said], &[], Some(&facts));
        let last = |output: &[u8]| {
            let start = output.windows(5).rposition(|window| window[0] == b'p' && window[1..4] == [0, 0, 0]).unwrap();
            String::from_utf8(output[start + 5..].to_vec()).unwrap()
        };

        let first = last(&talk(&offer).output);
        let (_, first) = first.split_at("SCRAM-SHA-256-PLUS\0\0\0\0\0".len());
        let challenge = server.challenge(first, &Binding::ServerEndPoint(hash)).unwrap();
        let said = [offer, auth(11, challenge.message().as_bytes())].concat();
        let proof = last(&talk(&said).output);
        match challenge.check(&proof) {
            Some(signature) => {
                prop_assert!(!forged || secret == "a guess");
                let said = [said, auth(12, signature.as_bytes()), welcome()].concat();
                prop_assert!(matches!(talk(&said).end, Ok(Some(_))));
            }
            None => {
                prop_assert!(forged);
                let said = [said, auth(12, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), welcome()].concat();
                prop_assert_eq!(talk(&said).end, Err(Fault::Insecure(attache_wire::Insecure::ServerSignature)));
            }
        }
    }
}
