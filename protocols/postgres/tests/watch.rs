//! What is known of a session while its bytes are copied, beyond the recorded ones.
#![allow(clippy::unwrap_used)]

mod support;

use attache_postgres::SessionWatch;
use attache_wire::{Passage, Watch};
use proptest::prelude::*;
use support::{error, message};

enum From {
    Client(Vec<u8>),
    Server(Vec<u8>),
}
use From::{Client, Server};

fn watched(steps: &[From]) -> SessionWatch {
    let mut watch = SessionWatch::default();
    for step in steps {
        match step {
            Client(bytes) => assert_eq!(watch.from_client(bytes), Ok(Passage::All)),
            Server(bytes) => watch.from_server(bytes).unwrap(),
        }
    }
    watch
}

fn query() -> From {
    Client(message(b'Q', b"select 1\0"))
}

fn client(tags: &[u8]) -> From {
    Client(tags.iter().flat_map(|tag| message(*tag, b"")).collect())
}

fn server(tags: &[u8]) -> From {
    Server(tags.iter().flat_map(|tag| message(*tag, b"")).collect())
}

fn ready(status: u8) -> From {
    Server(message(b'Z', &[status]))
}

#[test]
fn a_session_is_quiet_only_outside_of_transactions() {
    for (status, quiet) in [(b'I', true), (b'T', false), (b'E', false), (b'?', false)] {
        assert_eq!(watched(&[query(), ready(status)]).quiet(), quiet, "{}", status as char);
    }
}

#[test]
fn a_session_that_listens_holds_state_until_everything_is_discarded() {
    let complete = |tag: &[u8]| Server(message(b'C', &[tag, b"\0"].concat()));
    let holds = |steps: &[From]| watched(steps).holds_state();
    assert!(!holds(&[query(), complete(b"SELECT 1"), ready(b'I')]));
    assert!(holds(&[query(), complete(b"LISTEN"), ready(b'I')]));
    assert!(holds(&[Server(message(b'A', b"\0\0\0\x01news\0\0"))]), "whoever is notified listens");
    assert!(holds(&[complete(b"LISTEN"), complete(b"UNLISTEN")]), "another channel may be left");
    assert!(!holds(&[complete(b"LISTEN"), complete(b"DISCARD ALL")]));
}

#[test]
fn half_a_frame_in_either_direction_is_not_quiet() {
    let frame = message(b'N', b"notice");
    for end in 1..frame.len() {
        let watch = watched(&[Server(frame[..end].to_vec())]);
        assert!(!watch.quiet() && !watch.may_speak(), "{end}");
        let watch = watched(&[Client(frame[..end].to_vec())]);
        assert!(!watch.quiet() && watch.may_speak(), "{end}: the server's side is at a boundary");
    }
    let watch = watched(&[Server(frame)]);
    assert!(watch.quiet() && watch.may_speak());
}

#[test]
fn nothing_is_added_after_a_fatal_error_or_a_goodbye() {
    let fatal = |text: &[u8]| Server(message(b'E', text));
    assert!(!watched(&[Server(error("57P01", "bye"))]).may_speak());
    assert!(!watched(&[fatal("SPANIK\0VPANIC\0CXX000\0\0".as_bytes())]).may_speak());
    assert!(!watched(&[fatal(b"")]).may_speak(), "a severity that is not there is taken for the worst");
    assert!(watched(&[fatal("SFEHLER\0VERROR\0C42601\0\0".as_bytes())]).may_speak());
    let watch = watched(&[client(b"X")]);
    assert!(!watch.may_speak() && watch.client_left());
}

#[test]
fn a_length_that_makes_no_sense_ends_all_knowledge() {
    for length in [0_u32, 3, 0x8000_0000, u32::MAX] {
        let bytes = [&b"D"[..], &length.to_be_bytes()].concat();
        let watch = watched(&[Server(bytes.clone()), Server(message(b'Z', b"I"))]);
        assert!(!watch.quiet() && !watch.may_speak(), "{length}");
        assert!(!watched(&[Client(bytes), query(), ready(b'I')]).quiet());
    }
}

#[test]
fn every_query_and_sync_waits_for_its_own_answer() {
    assert!(!watched(&[query(), query(), ready(b'I')]).quiet());
    assert!(watched(&[query(), query(), ready(b'I'), ready(b'I')]).quiet());
    assert!(!watched(&[client(b"PBES"), query(), server(b"12C"), ready(b'I')]).quiet());
    assert!(watched(&[client(b"PBES"), query(), server(b"12C"), ready(b'I'), ready(b'I')]).quiet());
    assert!(watched(&[client(b"H")]).quiet(), "a Flush gets no answer of its own");
    assert!(!watched(&[query(), client(b"P"), ready(b'I')]).quiet(), "the Parse behind it waits");
}

#[test]
fn a_copy_in_doubt_is_never_quiet_too_early() {
    // Two kinds of query at once, and then a COPY: which Sync it swallows is not known.
    let steps = [client(b"PBES"), query(), ready(b'I'), server(b"G"), client(b"c")];
    let mut watch = watched(&steps);
    assert!(!watch.quiet(), "the query's answer is still to come");
    watch.from_server(&[message(b'C', b"COPY 0\0"), message(b'Z', b"I")].concat()).unwrap();
    assert!(watch.quiet(), "and then it has come");
    // CopyDone without the Sync that the extended protocol needs.
    assert!(!watched(&[client(b"PBES"), server(b"12G"), client(b"c")]).quiet());
    assert!(!watched(&[client(b"PBES"), server(b"12G"), client(b"f")]).quiet());
    assert!(!watched(&[client(b"PBES"), server(b"12GE")]).quiet());
    assert!(watched(&[client(b"PBE"), server(b"12GE"), client(b"dcS"), ready(b'I')]).quiet());
}

/// The server ignores a Sync that it reads before the COPY fails, and answers one that it reads behind that.
#[test]
fn a_sync_amid_the_data_of_a_copy_that_fails_may_be_answered_until_something_behind_it_is() {
    let simple = || vec![Client(message(b'Q', b"copy t from stdin")), server(b"G"), client(b"dSdc")];
    let extended = || vec![client(b"PBES"), server(b"12G"), client(b"dcS")];
    for begun in [simple, extended] {
        let with = |more: Vec<From>| watched(&begun().into_iter().chain(more).collect::<Vec<_>>()).answered();
        assert!(with(vec![server(b"C"), ready(b'I')]), "all went well, and it was ignored");
        assert!(!with(vec![server(b"E"), ready(b'I')]));
        assert!(with(vec![server(b"E"), ready(b'I'), ready(b'I')]), "it was answered");
        assert!(!with(vec![server(b"E"), ready(b'I'), query(), server(b"NAS"), ready(b'I')]), "which one?");
        assert!(with(vec![server(b"E"), ready(b'I'), query(), server(b"C"), ready(b'I')]), "it was ignored");
        let late = vec![server(b"E"), ready(b'I'), query(), ready(b'I'), server(b"C"), ready(b'I')];
        assert!(with(late), "it was answered behind the next query");
    }
}

/// That one is no reason to keep a client that does nothing: nothing but its ReadyForQuery could be lost. But whoever had
/// its link next would hear that.
#[test]
fn a_client_whose_copy_has_failed_is_quiet_although_its_link_serves_nobody_else() {
    for steps in [
        // As tokio-postgres does: a Sync with the Execute, and one behind the data, or behind what breaks them off.
        [client(b"PBES"), server(b"12G"), client(b"d"), server(b"E"), client(b"cS"), ready(b'I')],
        [client(b"PBES"), server(b"12G"), client(b"df"), server(b"E"), client(b"S"), ready(b'I')],
        [
            Client(message(b'Q', b"copy t from stdin")),
            server(b"G"),
            client(b"dS"),
            server(b"E"),
            ready(b'I'),
            client(b"c"),
        ],
    ] {
        let watch = watched(&steps);
        assert!(watch.quiet() && !watch.answered(), "{watch:?}");
        let mut kept = SessionWatch::default();
        kept.may_be_kept();
        for step in &steps {
            match step {
                Client(bytes) => assert_eq!(kept.from_client(bytes), Ok(Passage::All)),
                Server(bytes) => kept.from_server(bytes).unwrap(),
            }
        }
        assert!(
            !kept.reusable() && kept.from_client(&message(b'X', b"")) == Ok(Passage::All),
            "the server hears it"
        );
    }
    let asked = [
        client(b"PBES"),
        server(b"12G"),
        client(b"d"),
        server(b"E"),
        client(b"cS"),
        ready(b'I'),
        client(b"S"),
    ];
    assert!(!watched(&asked).quiet(), "a Sync that is certainly answered");
}

/// The server ignores them (section "COPY Operations").
#[test]
fn ends_and_data_of_no_copy_change_nothing() {
    for stray in [&b"d"[..], b"c", b"f", b"dcf"] {
        assert!(watched(&[client(stray)]).quiet());
        assert!(watched(&[query(), client(stray), server(b"C"), ready(b'I')]).quiet());
        assert!(
            watched(&[query(), client(stray), server(b"C"), ready(b'I'), query(), server(b"C"), ready(b'I')])
                .quiet()
        );
        let copied =
            [client(stray), client(b"PBES"), server(b"12G"), client(b"dcS"), server(b"C"), ready(b'I')];
        assert!(watched(&copied).quiet());
    }
}

#[test]
fn an_end_of_data_that_was_sent_ahead_is_not_forgotten_when_another_sync_is_answered() {
    // The server finds CopyDone behind the data that it asks for, so that both Syncs behind it are answered.
    let steps = [client(b"S"), client(b"PBEc"), ready(b'I'), client(b"S"), server(b"12G"), client(b"S")];
    let mut watch = watched(&steps);
    watch.from_server(&[message(b'C', b"COPY 0\0"), message(b'Z', b"I")].concat()).unwrap();
    assert!(!watch.quiet(), "one more is to come");
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_come_to_the_same(
        steps in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..30)), 0..20),
        size in 1_usize..8,
    ) {
        let (mut whole, mut pieces) = (SessionWatch::default(), SessionWatch::default());
        for (client, bytes) in steps {
            if client {
                assert!(whole.from_client(&bytes).is_ok());
                bytes.chunks(size).for_each(|piece| assert!(pieces.from_client(piece).is_ok()));
            } else {
                whole.from_server(&bytes).unwrap();
                bytes.chunks(size).for_each(|piece| pieces.from_server(piece).unwrap());
            }
            prop_assert_eq!(whole.quiet(), pieces.quiet());
            prop_assert_eq!(whole.may_speak(), pieces.may_speak());
            prop_assert_eq!(whole.client_left(), pieces.client_left());
        }
    }
}

#[test]
fn a_server_that_refuses_to_write_or_changes_its_mind_is_doubted_once() {
    let report = |name: &str, value: &str| message(b'S', format!("{name}\0{value}\0").as_bytes());
    for (said, expected) in [
        (error("25006", "read-only"), true),
        (error("42601", "syntax"), false),
        (report("in_hot_standby", "on"), true),
        (report("TimeZone", "UTC"), false),
    ] {
        let mut watch = watched(&[query(), Server(said)]);
        assert_eq!(watch.role_doubted(), expected);
        assert!(!watch.role_doubted(), "said once");
    }
}
