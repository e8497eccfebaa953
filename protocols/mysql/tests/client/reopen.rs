//! A change of user, octet by octet.

use attache_mysql::Intent;
use attache_wire::testing::{Run, run, run_every_split};
use attache_wire::{Fault, Machine, Protocol, Watch};
use bytes::BytesMut;

use crate::support::*;

const SHA2: &[u8] = b"caching_sha2_password";
const NATIVE: &[u8] = b"mysql_native_password";

/// A COM_CHANGE_USER of a client that names a method.
fn change(answer: &[u8], plugin: &[u8]) -> Vec<u8> {
    let length = [answer.len() as u8];
    packet(0, &[&b"\x11someone\0"[..], &length, answer, b"stock\0\x21\0", plugin, b"\0"].concat())
}

fn reopen(flags: u64, input: &[u8]) -> Run<Intent> {
    let watch = watch(flags);
    run_every_split(|| mysql(true).reopen(&watch, NONCE).unwrap(), &[input], None)
}

/// All that a client hears until it is in again.
fn heard(flags: u64, input: &[u8]) -> Vec<u8> {
    let run = reopen(flags, input);
    let intent = run.end.unwrap().unwrap();
    let mut watch = watch(flags);
    let mut out = BytesMut::from(&run.output[..]);
    let greeting = greeted(&intent, flags | BASICS);
    mysql(true).rewelcome(&mut watch, &intent, greeting, &mut out);
    assert!(watch.quiet() && watch.may_speak() && watch.next_number() == 1);
    out.to_vec()
}

fn ok(sequence: u8) -> Vec<u8> {
    packet(sequence, b"\0\0\0\x02\0\0\0")
}

fn ask(sequence: u8, plugin: &[u8]) -> Vec<u8> {
    packet(sequence, &[b"\xfe", plugin, b"\0", &NONCE_TEXT[..], b"\0"].concat())
}

#[test]
fn who_needs_no_new_nonce_is_in_at_once() {
    assert_eq!(heard(LONG_PASSWORD, &change(&[7; 20], NATIVE)), ok(1));
    assert_eq!(heard(LONG_PASSWORD, &change(b"", NATIVE)), ok(1));
    let fast = [packet(1, b"\x01\x03"), ok(2)].concat();
    assert_eq!(heard(LONG_PASSWORD, &change(&[7; 32], SHA2)), fast);
    assert_eq!(heard(0, &packet(0, b"\x11someone\0\x02ab\0")), ok(1), "the shortest form");
}

#[test]
fn who_waits_for_a_nonce_gets_one() {
    let input = |answer: &[u8]| [change(b"", SHA2), packet(2, answer)].concat();
    let fast = [ask(1, SHA2), packet(3, b"\x01\x03"), ok(4)].concat();
    assert_eq!(heard(LONG_PASSWORD, &input(&[7; 32])), fast);
    assert_eq!(heard(0, &input(b"\0")), [ask(1, SHA2), ok(3)].concat());
    let input = [change(b"", b"client_ed25519"), packet(2, &[7; 20])].concat();
    assert_eq!(heard(0, &input), [ask(1, NATIVE), ok(3)].concat());
}

#[test]
fn everything_but_the_user_is_heard() {
    let more = [&change(&[7; 20], NATIVE)[4..], b"\x0a\x03_os\x05Linux"].concat();
    let run = reopen(CONNECT_ATTRS, &[&packet(0, &more)[..], b"\x01\0\0\0\x0e"].concat());
    assert_eq!(run.unread, b"\x01\0\0\0\x0e");
    let shown = format!("{:?}", run.end.unwrap().unwrap());
    for part in ["collation: 33".to_owned(), format!("{:?}", b"stock"), format!("{:?}", b"\x03_os\x05Linux")]
    {
        assert!(shown.contains(&part), "{shown}");
    }
    assert!(!shown.contains(&format!("{:?}", b"someone")), "{shown}");
    let run = reopen(0, &packet(0, b"\x11someone\0\0\0"));
    let shown = format!("{:?}", run.end.unwrap().unwrap());
    assert!(shown.contains("collation: 45") && shown.contains("database: None"), "as it was: {shown}");
}

#[test]
fn what_is_no_change_of_user_is_refused() {
    for payload in
        [&b""[..], b"\x03select 1", b"\x11someone", b"\x11someone\0\x05ab", b"\x11someone\0\0stock"]
    {
        assert!(matches!(reopen(0, &packet(0, payload)).end, Err(Fault::Malformed(_))), "{payload:?}");
    }
    assert!(matches!(reopen(0, &packet(1, b"\x11\0\0\0")).end, Err(Fault::Malformed(_))), "out of order");
}

#[test]
fn an_error_bears_the_number_behind_the_packet_that_was_wrong() {
    let wrong = |input: &[u8]| {
        let mut machine = mysql(true).reopen(&watch(0), NONCE).unwrap();
        let run = run(&mut machine, &[input], &[], None);
        assert!(matches!(run.end, Err(Fault::Malformed(_))), "{:?}", run.end);
        machine.next_number()
    };
    assert_eq!(wrong(&packet(0, b"\x11someone")), Some(1));
    let asked = [change(b"", SHA2), packet(3, &[7; 32])].concat();
    assert_eq!(wrong(&asked), Some(3), "behind our question and its answer");
}

#[test]
fn a_change_of_user_leaves_nothing_of_the_session() {
    let mut before = watch(0);
    before.from_client(&packet(0, b"\x03begin")).unwrap();
    before.from_server(&packet(1, b"\0\0\0\x03\0\0\0")).unwrap();
    assert!(before.answered() && !before.quiet());
    let intent = intent(BASICS, 0);
    let greeting = greeted(&intent, BASICS);
    mysql(true).rewelcome(&mut before, &intent, greeting, &mut BytesMut::new());
    assert!(before.quiet());
}
