//! A client's way in, octet by octet.

use attache_mysql::{Accept, Intent, MAX_RESPONSE_LEN};
use attache_wire::testing::{Run, run, run_every_split};
use attache_wire::{Fault, Moment, Never, Notice, Opening, Protocol, Refusal, TlsStart};
use bytes::BytesMut;

use crate::support::*;

const SCRAMBLE: &[u8] = b"12345678901234567890";
const SHA2: &str = "caching_sha2_password";
const NATIVE: &str = "mysql_native_password";
/// Flags of a server of MySQL's, and of one of MariaDB's.
const MYSQL: u64 = 0xffff_ffff;
const MARIADB: u64 = EVERYTHING - LONG_PASSWORD;
/// What no client is offered.
const HIDDEN: u64 = SSL | COMPRESS | ZSTD | MULTI_FACTOR | LOCAL_FILES | 1 << 30 | COM_MULTI;

fn accept(server: u64, input: &[u8]) -> Run<Opening<Intent, Never>> {
    let hello = hello(server);
    run_every_split(|| -> Accept { mysql(false).accept(Some(&hello), NONCE) }, &[input], None)
}

/// What is written behind the greeting, what is wanted, and what is left.
fn session(server: u64, input: &[u8]) -> (Vec<u8>, Intent, Vec<u8>) {
    let run = accept(server, input);
    let Ok(Some(Opening::Session(intent))) = run.end else { panic!("{:?}", run.end) };
    let greeting = packets(&run.output)[0].len();
    (run.output[greeting..].to_vec(), intent, run.unread)
}

/// All that a client hears until it is in.
fn heard(server: u64, input: &[u8]) -> Vec<u8> {
    let (mut said, intent, _) = session(server, input);
    let mut welcome = BytesMut::new();
    mysql(false).welcome(&intent, greeted(&intent, server), &mut welcome);
    said.extend(welcome);
    said
}

fn ok(sequence: u8) -> Vec<u8> {
    packet(sequence, b"\0\0\0\x02\0\0\0")
}

fn fast(sequence: u8) -> Vec<u8> {
    [packet(sequence, b"\x01\x03"), ok(sequence + 1)].concat()
}

fn ask(sequence: u8, plugin: &str) -> Vec<u8> {
    packet(sequence, &[b"\xfe", plugin.as_bytes(), b"\0", NONCE_TEXT, b"\0"].concat())
}

#[test]
fn a_client_gets_the_servers_greeting_with_a_nonce_of_ours() {
    let run = accept(MYSQL, b"");
    assert_eq!(run.end, Ok(None));
    let mut expected = greeting(MYSQL & !HIDDEN);
    let at = expected.windows(8).position(|part| part == b"12345678").unwrap();
    expected[at..at + 8].copy_from_slice(&NONCE_TEXT[..8]);
    let at = expected.windows(12).position(|part| part == b"123456789012").unwrap();
    expected[at..at + 12].copy_from_slice(&NONCE_TEXT[8..]);
    assert_eq!(run.output.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn a_client_of_mariadb_gets_its_extended_flags_and_its_method() {
    let output = accept(MARIADB, b"").output;
    assert!(output.windows(NATIVE.len()).any(|part| part == NATIVE.as_bytes()));
    // What is ours in it is read and written again.
    let machine = mysql(false).hello(TlsStart::Off).unwrap();
    let hello = run(machine, &[&output], &[], None).end.unwrap().unwrap();
    let again = run(mysql(false).accept(Some(&hello), NONCE), &[], &[], None).output;
    assert_eq!(again.escape_ascii().to_string(), output.escape_ascii().to_string());
    assert!(format!("{hello:?}").contains(&format!("Capabilities({})", MARIADB & !HIDDEN)), "{hello:?}");
}

#[test]
fn files_are_offered_where_the_route_allows_them() {
    let hello = hello(MYSQL);
    for allowed in [false, true] {
        let run = run_every_split(|| mysql(allowed).accept(Some(&hello), NONCE), &[b""], None);
        let low = u16::from_le_bytes(run.output[4 + 1 + 6 + 4 + 9..][..2].try_into().unwrap());
        assert_eq!(u64::from(low) & LOCAL_FILES != 0, allowed);
    }
}

#[test]
fn whoever_uses_the_first_method_is_in_at_once() {
    assert_eq!(heard(MYSQL, &response(LONG_PASSWORD, &[7; 32], SHA2)), fast(2));
    assert_eq!(heard(MYSQL, &response(LONG_PASSWORD, b"", SHA2)), ok(2));
    assert_eq!(heard(MYSQL, &response(LONG_PASSWORD, b"\0", SHA2)), ok(2));
    assert_eq!(heard(MARIADB, &response(0, SCRAMBLE, NATIVE)), ok(2));
    assert_eq!(heard(MARIADB, &response(0, b"", NATIVE)), ok(2));
}

#[test]
fn another_method_is_taken_with_an_answer_and_asked_for_without() {
    assert_eq!(heard(MYSQL, &response(LONG_PASSWORD, SCRAMBLE, NATIVE)), ok(2));
    assert_eq!(heard(MYSQL, &response(LONG_PASSWORD, b"secret\0", "mysql_clear_password")), ok(2));
    let switched = |server, flags, plugin, answer: &[u8]| {
        heard(server, &[response(flags, b"", plugin), packet(3, answer)].concat())
    };
    let native = [ask(2, NATIVE), ok(4)].concat();
    assert_eq!(switched(MYSQL, LONG_PASSWORD, NATIVE, SCRAMBLE), native);
    assert_eq!(switched(MYSQL, LONG_PASSWORD, NATIVE, b""), native);
    assert_eq!(switched(MYSQL, LONG_PASSWORD, "dummy_fallback_auth", SCRAMBLE), native);
    assert_eq!(switched(MARIADB, 0, SHA2, &[7; 32]), [ask(2, SHA2), fast(4)].concat());
    assert_eq!(switched(MARIADB, 0, SHA2, b"\0"), [ask(2, SHA2), ok(4)].concat());
    assert_eq!(switched(MARIADB, 0, "client_ed25519", SCRAMBLE), native);
}

#[test]
fn what_a_client_wants_is_read_in_every_form() {
    let flags = PROTOCOL_41 | SECURE | LONG_PASSWORD;
    let rest: [(u64, &[u8]); 5] = [
        (0, b"app\0\x03abc"),
        (CONNECT_WITH_DB, b"app\0\x03abcshop\0"),
        (CONNECT_WITH_DB | PLUGIN_AUTH, b"app\0\x03abcshop\0mysql_native_password\0"),
        (CONNECT_WITH_DB | PLUGIN_AUTH, b"app\0\x03abcshop\0mysql_native_password"),
        (CONNECT_WITH_DB | LENENC, b"app\0\xfc\x03\0abcshop\0"),
    ];
    for (more, rest) in rest {
        let input = packet(1, &[&head(flags | more), rest].concat());
        let (said, intent, unread) = session(MYSQL, &[&input[..], b"\x01\0\0\0\x0e"].concat());
        assert!(said.is_empty() && unread == b"\x01\0\0\0\x0e");
        let shown = format!("{intent:?}");
        assert_eq!(shown.contains(&format!("{:?}", b"shop")), more & CONNECT_WITH_DB != 0, "{shown}");
        assert!(shown.contains("collation: 45") && shown.contains("max_packet: 16777216"), "{shown}");
        assert!(!shown.contains(&format!("{:?}", b"app")), "who it is is not kept: {shown}");
    }
    // Before SECURE_CONNECTION, the answer ended with a NUL.
    let input = packet(1, &[&head(PROTOCOL_41 | LONG_PASSWORD), &b"app\0abc\0"[..]].concat());
    assert_eq!(heard(MYSQL, &input), ok(2));
}

#[test]
fn attributes_are_kept_as_they_came_if_they_are_pairs() {
    let flags = PROTOCOL_41 | SECURE | LONG_PASSWORD | CONNECT_ATTRS;
    let with = |attributes: &[u8]| packet(1, &[&head(flags), &b"app\0\0"[..], attributes].concat());
    let (_, intent, _) = session(MYSQL, &with(b"\x0a\x03_os\x05Linux"));
    assert!(format!("{intent:?}").contains(&format!("attributes: {:?}", b"\x03_os\x05Linux")));
    let (_, intent, _) = session(MYSQL, &with(b""));
    assert!(format!("{intent:?}").contains("attributes: []"), "left out altogether");
    for broken in [&b"\x0a\x03_os"[..], b"\x04\x03_os", b"\x05\x03_os\x05", b"\xff", b"\xfe12345678"] {
        assert!(matches!(accept(MYSQL, &with(broken)).end, Err(Fault::Malformed(_))), "{broken:?}");
    }
}

#[test]
fn only_what_was_offered_counts() {
    let (_, intent, _) = session(MYSQL - DEPRECATE_EOF, &response(EVERYTHING - SSL, SCRAMBLE, NATIVE));
    let offered = (MYSQL - DEPRECATE_EOF) & !HIDDEN;
    let shown = format!("{intent:?}");
    let client = 0xffff_ffff - SSL;
    assert!(shown.contains(&format!("Capabilities({})", offered & client)), "{shown}");
}

#[test]
fn old_clients_and_those_that_insist_on_tls_are_told() {
    let old = packet(1, b"\x85\x24\0\0\0app\0");
    let ssl = packet(1, &head(PROTOCOL_41 | SSL | LONG_PASSWORD));
    for (input, word) in [(&old, "4.1"), (&ssl, "TLS")] {
        let Err(Fault::Unsupported(what)) = accept(MYSQL, input).end else { panic!("{word}") };
        assert!(what.contains(word), "{what}");
    }
    // A flag that stayed behind in a full answer asks for nothing.
    assert_eq!(heard(MYSQL, &response(LONG_PASSWORD | SSL, b"", SHA2)), ok(2));
}

#[test]
fn packets_that_are_none_are_refused() {
    let flags = PROTOCOL_41 | SECURE | LONG_PASSWORD | LENENC;
    for payload in
        [&b""[..], b"\0", &head(flags)[..31], &head(flags), &[&head(flags), &b"app\0\x05abc"[..]].concat()]
    {
        let end = accept(MYSQL, &packet(1, payload)).end;
        assert!(matches!(end, Err(Fault::Malformed(_) | Fault::Unsupported(_))), "{payload:?}: {end:?}");
    }
    let mut late = response(LONG_PASSWORD, b"", SHA2);
    late[3] = 2;
    assert!(matches!(accept(MYSQL, &late).end, Err(Fault::Malformed(_))), "out of order");
    let long = packet(1, &vec![0; MAX_RESPONSE_LEN]);
    assert_eq!(accept(MYSQL, &long[..100]).end, Err(Fault::TooLong(MAX_RESPONSE_LEN)));
}

#[test]
fn a_client_that_is_turned_away_hears_it_in_place_of_the_ok() {
    let input = [response(LONG_PASSWORD, b"", NATIVE), packet(3, SCRAMBLE)].concat();
    let (_, intent, _) = session(MYSQL, &input);
    let mut out = BytesMut::new();
    let notice = Notice { refusal: Refusal::LoginRejected, cause: "no", hint: "", session: "1" };
    mysql(false).refuse(&notice, Moment::Waiting(&intent), &mut out);
    assert_eq!(out, packet(4, b"\xff\x15\x04#28000attache: no (session 1)"));
}
