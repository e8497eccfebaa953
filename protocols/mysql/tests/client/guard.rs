//! A read-only route: what goes to the server in place of commands that would undo it, and what follows a login.

use attache_mysql::{MAX_CHECKED_LEN, Mysql, Options, SessionWatch};
use attache_wire::testing;
use attache_wire::{Fault, Protocol, Relay, Watch};
use proptest::prelude::*;

use crate::support::*;

fn reading(flags: u64) -> SessionWatch {
    let mysql = Mysql::new(Options { read_only: true, ..Options::default() }, None);
    let (server, intent) = (flags | BASICS, intent(flags | BASICS, flags));
    match mysql.relay(&intent, &greeted(&intent, server)) {
        Relay::Watched(watch) => *watch,
        Relay::Opaque => panic!("it is not watched"),
    }
}

fn passed_on<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(Vec<u8>, SessionWatch), Fault> {
    let mut watch = reading(0);
    Ok((testing::passed_on(&mut watch, pieces)?, watch))
}

#[test]
fn wherever_a_stream_is_cut_the_same_goes_to_the_server() {
    let batch = [
        packet(0, b"\x03select 1"),
        packet(0, b"\x03start transaction read write"),
        packet(0, b"\x16set session tx_read_only = 0"),
        packet(0, b"\x1f"),
        packet(0, b"\x03select 'start transaction read write'"),
    ]
    .concat();
    let (whole, mut watch) = passed_on([&batch[..]]).unwrap();
    assert_eq!(passed_on(batch.chunks(1)).unwrap().0, whole);
    for cut in 1..batch.len() {
        let (first, second) = batch.split_at(cut);
        assert!(passed_on([first, second]).unwrap().0 == whole, "cut at {cut}");
    }
    let text = String::from_utf8_lossy(&whole);
    assert_eq!(text.matches("SIGNAL SQLSTATE '25006'").count(), 3, "{text}");
    assert!(text.contains("select 1") && text.contains("'start transaction read write'"), "{text}");
    // Each is answered by one error, as it would be without the guard.
    for left in (0..5).rev() {
        assert!(!watch.answered());
        watch.from_server(&packet(1, b"\xff\x00\x07#25006no")).unwrap();
        assert_eq!(watch.answered(), left == 0);
    }
}

/// Whether the server streams is known when it has begun; it may as well refuse.
#[test]
fn a_stream_that_was_only_asked_for_hides_nothing() {
    for asked in [&b"\x12\0\0\0\0\0\0\x01\0\0\0"[..], b"\x13", b"\x1e", b"\x20", b"\x21"] {
        let mut watch = reading(0);
        let both = [packet(0, asked), packet(0, b"\x03start transaction read write")].concat();
        let passed = testing::passed_on(&mut watch, [&both[..]]).unwrap();
        assert!(!String::from_utf8_lossy(&passed).contains("start transaction"), "{asked:?}");
    }
}

#[test]
fn a_statement_that_is_too_long_to_be_kept_ends_the_session() {
    let long = [&(MAX_CHECKED_LEN as u32).to_le_bytes()[..3], b"\0\x03select"].concat();
    assert_eq!(reading(0).from_client(&long), Err(Fault::TooLong(MAX_CHECKED_LEN)));
}

proptest! {
    #[test]
    fn any_commands_in_any_pieces_come_to_the_same(
        payloads in proptest::collection::vec(
            (prop_oneof![Just(3_u8), Just(0x16), Just(0x1f), any::<u8>()], "[a-z_;'\"`/*!# ]{0,12}(read write|tx_read_only=0)?"),
            0..8,
        ),
        size in 1_usize..9,
    ) {
        let stream: Vec<u8> = payloads.iter().flat_map(|(command, text)| packet(0, &[&[*command], text.as_bytes()].concat())).collect();
        let whole = passed_on([&stream[..]]).map(|(passed, _)| passed);
        let pieces = passed_on(stream.chunks(size)).map(|(passed, _)| passed);
        prop_assert_eq!(whole, pieces);
    }
}
