//! The server's role: what it reports at login, and what it answers where it reports nothing.
#![allow(clippy::unwrap_used)]

mod support;

use attache_postgres::{ChannelBinding, Greeting};
use attache_wire::testing::{Run, contains, run_every_split};
use attache_wire::{Fault, Protocol, ServerRole, Terms, TlsStart};
use bytes::BytesMut;
use support::*;

const QUESTION: &[u8] = b"Q\0\0\0\x2aselect pg_catalog.pg_is_in_recovery()\0";
const COLUMN: &[u8] = b"\0\x01pg_is_in_recovery\0\0\0\0\0\0\0\0\0\0\x10\0\x01\xff\xff\xff\xff\0\0";

fn asked(parameters: &[&str], said: &[u8]) -> Run<Greeting> {
    let intent = intent(&startup(0, parameters));
    let make = || {
        let terms = Terms { ask_role: true, ..terms(TlsStart::Off, "") };
        postgres(ChannelBinding::Prefer, None).login(&intent, None, terms)
    };
    run_every_split(make, &[said], None)
}

fn role(run: &Run<Greeting>) -> Option<ServerRole> {
    postgres(ChannelBinding::Prefer, None).role(run.end.as_ref().unwrap().as_ref().unwrap())
}

/// What the client hears of it all.
fn heard(run: Run<Greeting>) -> Vec<u8> {
    let mut out = BytesMut::new();
    let intent = intent(&startup(0, &["user", "app"]));
    postgres(ChannelBinding::Prefer, None).welcome(&intent, run.end.unwrap().unwrap(), &mut out);
    out.to_vec()
}

fn welcome(parameters: &[&[u8]]) -> Vec<u8> {
    let parameters: Vec<u8> = parameters.iter().flat_map(|body| message(b'S', body)).collect();
    [auth(0, b""), parameters, message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]), message(b'Z', b"I")].concat()
}

fn answer(value: &[u8]) -> Vec<u8> {
    let row = [&[0, 1, 0, 0, 0, value.len() as u8][..], value].concat();
    let row = message(b'D', &row);
    [message(b'T', COLUMN), row, message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

#[test]
fn a_server_that_reports_its_role_is_not_asked() {
    for (word, expected) in [(&b"on"[..], ServerRole::Replica), (b"off", ServerRole::Primary)] {
        let said = welcome(&[&[b"in_hot_standby\0", word, b"\0"].concat()]);
        let run = asked(&["user", "app"], &said);
        assert_eq!(role(&run), Some(expected));
        assert!(!contains(&run.output, b"select"), "no question");
        assert_eq!(heard(run), said);
    }
}

#[test]
fn a_server_that_does_not_report_it_is_asked_and_the_client_hears_nothing_of_it() {
    for (value, expected) in [(b"t", ServerRole::Replica), (b"f", ServerRole::Primary)] {
        let greeting = welcome(&[b"server_version\x0013.4\0"]);
        let run = asked(&["user", "app"], &[&greeting[..], &answer(value), b"left"].concat());
        assert_eq!(role(&run), Some(expected));
        assert!(run.output.ends_with(QUESTION));
        assert_eq!(run.unread, b"left");
        assert_eq!(heard(run), greeting);
    }
}

#[test]
fn nobody_is_asked_where_nobody_wants_to_know() {
    let said = welcome(&[]);
    let terms = || terms(TlsStart::Off, "");
    let run = run_every_split(|| login(ChannelBinding::Prefer, terms()), &[&said], None);
    assert_eq!(role(&run), None);
    assert!(!contains(&run.output, b"select"));
}

#[test]
fn a_replication_connection_is_not_asked_because_it_may_take_no_queries() {
    let run = asked(&["user", "app", "replication", "true"], &welcome(&[]));
    assert_eq!(role(&run), None);
    assert!(!contains(&run.output, b"select"));
}

#[test]
fn what_the_server_reports_beside_its_answer_is_the_clients() {
    let news = [message(b'S', b"TimeZone\0UTC\0"), message(b'N', b"SNOTICE\0\0")].concat();
    let greeting = welcome(&[]);
    let run = asked(&["user", "app"], &[greeting.clone(), news.clone(), answer(b"t")].concat());
    assert_eq!(role(&run), Some(ServerRole::Replica));
    assert_eq!(heard(run), [greeting, news].concat());
}

#[test]
fn a_server_that_cannot_answer_has_an_unknown_role() {
    let greeting = welcome(&[]);
    let refused = [error("42883", "there is no such function"), message(b'Z', b"I")].concat();
    let run = asked(&["user", "app"], &[greeting.clone(), refused].concat());
    assert_eq!(role(&run), None);
    assert_eq!(heard(run), greeting);
}

#[test]
fn an_answer_that_is_none_is_malformed() {
    let row = |body: &[u8]| [message(b'T', COLUMN), message(b'D', body)].concat();
    let two_columns = [&[0, 2][..], &COLUMN[2..]].concat();
    let binary = [&COLUMN[..COLUMN.len() - 1], &[1]].concat();
    for answer in [
        answer(b"x"),
        answer(b"true"),
        answer(b""),
        row(&[0, 1, 0xff, 0xff, 0xff, 0xff]),
        row(&[0, 2, 0, 0, 0, 1, b't', 0, 0, 0, 1, b't']),
        row(&[0]),
        message(b'T', &two_columns),
        message(b'T', &binary),
        message(b'T', b""),
        message(b'D', b"\0\x01\0\0\0\x01t"),
        message(b'Z', b"I"),
        message(b'C', b"SELECT 1\0"),
        [row(b"\0\x01\0\0\0\x01t"), message(b'D', b"\0\x01\0\0\0\x01f")].concat(),
        [row(b"\0\x01\0\0\0\x01t"), message(b'C', b"SELECT 2\0")].concat(),
        [row(b"\0\x01\0\0\0\x01t"), message(b'C', b"SELECT 1\0"), message(b'Z', b"T")].concat(),
        message(b'G', b""),
    ] {
        let run = asked(&["user", "app"], &[welcome(&[]), answer.clone()].concat());
        assert!(matches!(run.end, Err(Fault::Malformed(_))), "{answer:?}: {:?}", run.end);
    }
}
