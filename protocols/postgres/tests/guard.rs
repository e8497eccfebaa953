//! A read-only route: what the server is told at login, and what goes to it in place of statements that would undo it.
#![allow(clippy::unwrap_used)]

mod support;

use attache_postgres::{MAX_CHECKED_LEN, Options, Postgres, SessionWatch};
use attache_wire::testing::{self, run};
use attache_wire::{Fault, Passage, Protocol, TlsStart, Watch};
use proptest::prelude::*;
use support::{intent, message, startup, terms};

fn passed_on<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, SessionWatch) {
    let mut watch = SessionWatch::new(true);
    (testing::passed_on(&mut watch, pieces).unwrap(), watch)
}

fn batch() -> Vec<u8> {
    [
        message(b'Q', b"select 1\0"),
        message(b'P', b"s\0set transaction read write\0\0\0"),
        message(b'B', b"\0s\0\0\0\0\0\0\0"),
        message(b'E', b"\0\0\0\0\0"),
        message(b'S', b""),
        message(b'Q', b"begin; set default_transaction_read_only = off\0"),
        message(b'Q', b"select 'begin read write'\0"),
    ]
    .concat()
}

#[test]
fn wherever_a_stream_is_cut_the_same_goes_to_the_server() {
    let batch = batch();
    let (whole, _) = passed_on([&batch[..]]);
    assert_eq!(passed_on(batch.chunks(1)).0, whole);
    for cut in 1..batch.len() {
        let (first, second) = batch.split_at(cut);
        assert!(passed_on([first, second]).0 == whole, "cut at {cut}");
    }
}

#[test]
fn a_refused_statement_is_replaced_by_one_of_its_kind_that_fails() {
    let (passed, mut watch) = passed_on([&batch()[..]]);
    let mut tags = Vec::new();
    let mut rest = &passed[..];
    while let [tag, a, b, c, d, ..] = *rest {
        let len = 1 + u32::from_be_bytes([a, b, c, d]) as usize;
        tags.push((tag, String::from_utf8_lossy(&rest[5..len]).into_owned()));
        rest = &rest[len..];
    }
    assert_eq!(tags.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), b"QPBESQQ");
    assert!(
        tags[1].1.starts_with("s\0DO $attache$") && tags[1].1.contains("READ WRITE is refused"),
        "{}",
        tags[1].1
    );
    assert!(
        tags[5].1.starts_with("DO ") && tags[5].1.contains("transaction_read_only is refused"),
        "{}",
        tags[5].1
    );
    assert_eq!(tags[6].1, "select 'begin read write'\0");
    // Three queries and a Sync are answered each by a ReadyForQuery, as they would be without the guard.
    for left in (0..4).rev() {
        assert!(!watch.answered());
        watch.from_server(&message(b'Z', b"I")).unwrap();
        assert_eq!(watch.answered(), left == 0);
    }
}

#[test]
fn a_goodbye_that_the_server_hears_ends_its_link_whatever_stands_behind() {
    let bye = message(b'X', b"");
    for (behind, kept) in [(&b""[..], true), (b"Q\0", false), (&message(b'Q', b"begin read write\0"), false)]
    {
        let mut watch = SessionWatch::new(true);
        watch.may_be_kept();
        let passed = testing::passed_on(&mut watch, [&[&bye, behind].concat()[..]]).unwrap();
        assert_eq!((passed.starts_with(&bye), watch.reusable()), (!kept, kept), "{behind:?}");
    }
}

#[test]
fn nothing_passes_behind_a_length_that_makes_no_sense() {
    let stream = [&b"d\x80\0\0\0"[..], &message(b'Q', b"begin read write\0")].concat();
    for size in [1, 5, stream.len()] {
        let passed = testing::passed_on(&mut SessionWatch::new(true), stream.chunks(size));
        assert!(matches!(passed, Err(Fault::Malformed(_))), "{size}");
    }
}

#[test]
fn a_statement_that_is_too_long_to_be_kept_ends_the_session() {
    let long = [&b"Q"[..], &(MAX_CHECKED_LEN as u32).to_be_bytes(), b"select"].concat();
    assert_eq!(SessionWatch::new(true).from_client(&long), Err(Fault::TooLong(MAX_CHECKED_LEN)));
    assert_eq!(SessionWatch::default().from_client(&long), Ok(Passage::All));
}

#[test]
fn the_login_has_the_last_word_on_the_mode_of_transactions() {
    let packet = startup(0, &["user", "app", "Default_Transaction_Read_Only", "off", "options", "-c x=1"]);
    let options = Options { read_only: true, ..Options::default() };
    let postgres = Postgres::new(options, Some("orders".to_owned()));
    let login = postgres.login(&intent(&packet), None, terms(TlsStart::Off, "secret"));
    let sent = run(login, &[], &[], None).output;
    let text = String::from_utf8_lossy(&sent);
    assert!(text.ends_with("database\0orders\0default_transaction_read_only\0on\0\0"), "{text:?}");
    assert!(!text.contains("off"), "{text:?}");
}

/// What Parse has in front of its text.
fn name(tag: u8) -> &'static [u8] {
    if tag == b'P' { b"s1\0" } else { b"" }
}

proptest! {
    #[test]
    fn any_messages_in_any_pieces_come_to_the_same(
        messages in proptest::collection::vec(
            (
                prop_oneof![Just(b'Q'), Just(b'P'), Just(b'B'), Just(b'S'), Just(b'd')],
                "[a-zE_;'\"$/*\\\\ -]{0,12}(begin read write|set transaction_read_only=0)?",
            ),
            0..8,
        ),
        size in 1_usize..9,
    ) {
        let stream: Vec<u8> =
            messages.iter().flat_map(|(tag, text)| message(*tag, &[name(*tag), text.as_bytes(), b"\0"].concat())).collect();
        prop_assert_eq!(passed_on([&stream[..]]).0, passed_on(stream.chunks(size)).0);
    }
}
