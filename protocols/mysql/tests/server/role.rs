//! The server's role: asked on the new link, in every form that the answer can have.

use attache_mysql::{Greeting, Options};
use attache_wire::testing::{Run, run_every_split};
use attache_wire::{Fault, Protocol, ServerRole, Terms, TlsStart};
use bytes::BytesMut;

use crate::support::*;

const QUESTION: &[u8] = b"select @@global.read_only, @@global.innodb_read_only";
const COLUMN: &[u8] = b"\x03def\0\0\0\x01x\0\x0c\x3f\0\x01\0\0\0\x08\x80\0\0\0\0";
const EOF: &[u8] = b"\xfe\0\0\x02\0";

/// What comes of a login by a client that set these flags, if the server answers the question with these packets.
fn asked(flags: u64, answer: &[&[u8]]) -> Run<Greeting> {
    let protocol = mysql(Options::default(), None);
    let hello = if flags & LONG_PASSWORD == 0 { mariadb(ALL | CACHE_METADATA) } else { hello(ALL) };
    let intent = intent(&hello, Options::default(), flags, "", b"");
    let terms = Terms { ask_role: true, ..terms(TlsStart::Off, PASSWORD) };
    let answer = answer.iter().zip(1..).flat_map(|(payload, sequence)| packet(sequence, payload));
    let said: Vec<u8> = packet(2, OK).into_iter().chain(answer).collect();
    run_every_split(|| protocol.login(&intent, Some(hello.clone()), terms.clone()), &[&said], None)
}

fn role(run: &Run<Greeting>) -> Option<ServerRole> {
    mysql(Options::default(), None).role(run.end.as_ref().unwrap().as_ref().unwrap())
}

fn row(read_only: &str, innodb: &str) -> Vec<u8> {
    let (one, other) = (read_only.len() as u8, innodb.len() as u8);
    [&[one], read_only.as_bytes(), &[other], innodb.as_bytes()].concat()
}

fn answered(read_only: &str, innodb: &str) -> Option<ServerRole> {
    role(&asked(PROBE, &[b"\x02", COLUMN, COLUMN, EOF, &row(read_only, innodb), EOF]))
}

#[test]
fn a_server_that_takes_no_writes_is_a_replica_by_whatever_it_says_so() {
    use ServerRole::{Primary, Replica};
    assert_eq!(answered("0", "0"), Some(Primary));
    assert_eq!(answered("1", "0"), Some(Replica));
    assert_eq!(answered("0", "1"), Some(Replica));
    assert_eq!(answered("OFF", "OFF"), Some(Primary));
    for on in ["ON", "on", "NO_LOCK", "NO_LOCK_NO_ADMIN", "2", "3"] {
        assert_eq!(answered(on, "0"), Some(Replica), "{on}");
    }
    assert_eq!(answered("maybe", "0"), None);
    assert_eq!(answered("0", ""), None);
}

#[test]
fn the_answer_has_the_form_that_the_clients_flags_give_it() {
    let (row, primary) = (row("0", "0"), Some(ServerRole::Primary));
    let done = b"\xfe\0\0\x02\0\0\0";
    let without_eof = asked(PROBE | DEPRECATE_EOF, &[b"\x02", COLUMN, COLUMN, &row, done]);
    assert_eq!(role(&without_eof), primary);
    let optional = asked(PROBE | OPTIONAL_METADATA, &[b"\x02\x01", COLUMN, COLUMN, EOF, &row, EOF]);
    assert_eq!(role(&optional), primary);
    let mariadb = PROBE & !LONG_PASSWORD | CACHE_METADATA;
    assert_eq!(role(&asked(mariadb, &[b"\x02\x01", COLUMN, COLUMN, EOF, &row, EOF])), primary);
    let attributes = asked(PROBE | QUERY_ATTRIBUTES, &[b"\x02", COLUMN, COLUMN, EOF, &row, EOF]);
    assert_eq!(role(&attributes), primary);
    assert!(attributes.output.ends_with(&packet(0, &[b"\x03\0\x01", QUESTION].concat())));
    assert!(optional.output.ends_with(&packet(0, &[b"\x03", QUESTION].concat())));
}

#[test]
fn the_client_hears_nothing_of_it() {
    let run = asked(PROBE, &[b"\x02", COLUMN, COLUMN, EOF, &row("1", "0"), EOF]);
    let protocol = mysql(Options::default(), None);
    let mut heard = BytesMut::new();
    protocol.welcome(&protocol.probe_intent(), run.end.unwrap().unwrap(), &mut heard);
    assert_eq!(heard, packet(0, OK));
}

#[test]
fn nobody_is_asked_where_nobody_wants_to_know() {
    let run = Case::plain().hears(&packet(2, OK));
    assert_eq!(role(&run), None);
    assert!(!contains(&run.output, b"select"));
}

#[test]
fn a_server_that_cannot_answer_has_an_unknown_role() {
    let denied = b"\xff\xcb\x04#42000you need (at least one of) the SUPER privilege(s)";
    assert_eq!(role(&asked(PROBE, &[denied])), None);
    assert_eq!(role(&asked(PROBE, &[b"\x02", COLUMN, COLUMN, EOF, denied])), None);
    assert_eq!(role(&asked(PROBE, &[b"\x02", COLUMN, COLUMN, EOF, &row("0", "0"), denied])), None);
    assert_eq!(role(&asked(PROBE, &[b"\x02", COLUMN, COLUMN, EOF, b"\xfb\xfb", EOF])), None);
}

#[test]
fn an_answer_that_is_none_is_malformed() {
    let (row, columns) = (row("0", "0"), [b"\x02", COLUMN, COLUMN, EOF]);
    let with = |more: &[&'static [u8]]| [&columns[..], more].concat();
    let odd: [Vec<&[u8]>; 13] = [
        vec![b""],
        vec![OK],
        vec![b"\x01"],
        vec![b"\x03"],
        vec![b"\x02\x01"],
        vec![b"\xfb/etc/passwd"],
        vec![b"\x02", EOF],
        vec![b"\x02", COLUMN, EOF],
        vec![b"\x02", COLUMN, COLUMN, &row],
        vec![b"\x02", COLUMN, COLUMN, COLUMN],
        with(&[EOF]),
        with(&[b"\x010"]),
        with(&[b"\x010\x010\x010"]),
    ];
    for answer in odd {
        let run = asked(PROBE, &answer);
        assert!(matches!(run.end, Err(Fault::Malformed(_))), "{answer:?}: {:?}", run.end);
    }
    let two_rows = asked(PROBE, &[b"\x02", COLUMN, COLUMN, EOF, &row, &row]);
    assert!(matches!(two_rows.end, Err(Fault::Malformed(_))));
    let protocol = mysql(Options::default(), None);
    let terms = Terms { ask_role: true, ..terms(TlsStart::Off, PASSWORD) };
    let said = [packet(2, OK), packet(2, b"\x02")].concat();
    let login = || protocol.login(&protocol.probe_intent(), Some(hello(ALL)), terms.clone());
    let wrong_number = run_every_split(login, &[&said], None);
    assert!(matches!(wrong_number.end, Err(Fault::Malformed(_))));
}
