//! Whatever a server says, nothing panics, and the secret stays where it is.

use attache_mysql::Options;
use attache_wire::testing::run;
use attache_wire::{Protocol, Terms, TlsFacts, TlsStart};
use proptest::prelude::*;

use crate::support::*;

const PLUGINS: [&str; 7] = [
    "mysql_native_password",
    "caching_sha2_password",
    "sha256_password",
    "mysql_clear_password",
    "client_ed25519",
    "parsec",
    "dialog",
];

/// Packets that come near to something, and some that do not.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let data = prop::collection::vec(any::<u8>(), 0..40);
    let switch = (prop::sample::select(&PLUGINS[..]), data.clone())
        .prop_map(|(plugin, data)| [b"\xfe", plugin.as_bytes(), b"\0", &data].concat());
    let tagged = (prop::sample::select(&[0u8, 1, 2, 3, 0x50, 0xfe, 0xff][..]), data.clone())
        .prop_map(|(tag, data)| [&[tag][..], &data].concat());
    prop_oneof![
        switch,
        tagged,
        data,
        Just(b"\x01\x03".to_vec()),
        Just(b"\x01\x04".to_vec()),
        Just(OK.to_vec())
    ]
}

/// Packets in a row, mostly numbered as they should be.
fn packets_in_a_row() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((payload(), 0u8..8), 0..8).prop_map(|payloads| {
        let numbered = payloads.iter().zip((2u8..).step_by(2));
        numbered
            .flat_map(|((payload, odd), number)| packet(if *odd == 0 { number + 1 } else { number }, payload))
            .collect()
    })
}

proptest! {
    #[test]
    fn a_greeting_of_any_octets_never_panics(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let protocol = mysql(Options::default(), None);
        for said in [octets.clone(), packet(0, &octets), packet(0, &[b"\x0a", &octets[..]].concat())] {
            let heard = run(protocol.hello(TlsStart::Off).unwrap(), &[&said], &[], None);
            prop_assert!(heard.output.is_empty());
        }
    }

    #[test]
    fn a_server_never_gets_the_secret_over_a_link_that_others_read(said in packets_in_a_row(), ask_role: bool) {
        let case = Case { terms: Terms { ask_role, ..terms(TlsStart::Off, PASSWORD) }, ..Case::plain() };
        let run = case.hears_once(&said);
        prop_assert!(!contains(&run.output, PASSWORD.as_bytes()));
        let shown = format!("{:?}", run.end);
        prop_assert!(!shown.contains(PASSWORD), "the secret in a text");
    }

    #[test]
    fn over_tls_it_is_not_said_to_anybody_else(said in packets_in_a_row()) {
        let protocol = mysql(Options::default(), None);
        let login = protocol.login(&protocol.probe_intent(), Some(hello(ALL)), terms(TlsStart::Off, PASSWORD));
        let run = run(OnLink { machine: login, tls: Some(TlsFacts::default()) }, &[&said], &[], None);
        let shown = format!("{:?}", run.end);
        prop_assert!(!shown.contains(PASSWORD), "the secret in a text");
    }
}
