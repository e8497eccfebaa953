//! What is known of a session while its bytes are copied, beyond the recorded ones.

use attache_mysql::SessionWatch;
use attache_wire::{Fault, Passage, Watch};
use proptest::prelude::*;

use crate::support::*;

enum From {
    Client(Vec<u8>),
    Server(Vec<u8>),
}
use From::{Client, Server};

fn watched(flags: u64, steps: &[From]) -> SessionWatch {
    let mut watch = watch(flags);
    for step in steps {
        match step {
            Client(bytes) => assert_eq!(watch.from_client(bytes), Ok(Passage::All)),
            Server(bytes) => watch.from_server(bytes).unwrap(),
        }
    }
    watch
}

fn client(payload: &[u8]) -> From {
    Client(packet(0, payload))
}

fn server(sequence: u8, payload: &[u8]) -> From {
    Server(packet(sequence, payload))
}

fn ok(sequence: u8, status: u16) -> From {
    server(sequence, &[b"\0\0\0", &status.to_le_bytes()[..], b"\0\0"].concat())
}

/// A payload that fills packets, and one that ends it.
fn long(len: usize, first: u8) -> Vec<u8> {
    let mut payload = vec![b'x'; len];
    payload[0] = first;
    let mut bytes = Vec::new();
    let mut parts = payload.chunks(0xff_ffff).enumerate().peekable();
    while let Some((at, part)) = parts.next() {
        bytes.extend(packet(at as u8, part));
        if parts.peek().is_none() && part.len() == 0xff_ffff {
            bytes.extend(packet(at as u8 + 1, b""));
        }
    }
    bytes
}

#[test]
fn a_change_of_user_stops_the_relay_in_front_of_it() {
    let ping = packet(0, b"\x0e");
    let change = packet(0, b"\x11app\0\0\0");
    let mut watch = watch(0);
    let both = [&ping[..], &change].concat();
    for end in 0..=both.len() {
        let expected = match end {
            0 => Passage::All,
            1..=4 => Passage::Hold(0),
            5 => Passage::All,
            6..=9 => Passage::Hold(5),
            _ => Passage::Until(5),
        };
        let mut watch = crate::support::watch(0);
        assert_eq!(watch.from_client(&both[..end]), Ok(expected), "{end}");
    }
    assert_eq!(watch.from_client(&both), Ok(Passage::Until(5)));
    assert!(!watch.answered(), "the ping is still to be answered");
    watch.from_server(&packet(1, b"\0\0\0\x02\0\0\0")).unwrap();
    assert!(watch.answered());
    assert_eq!(watch.from_client(&change), Ok(Passage::Until(0)), "it is shown again");
    // What looks like one in the midst of a command is none.
    let mut bytes = packet(0, b"\x03select 1");
    bytes.extend(packet(0, b"\x11"));
    assert_eq!(watch.from_client(&bytes), Ok(Passage::Until(13)));
}

#[test]
fn an_empty_packet_is_a_command_of_its_own() {
    let watch = watched(0, &[client(b"")]);
    assert!(!watch.answered());
    assert!(watched(0, &[client(b""), server(1, b"\xff\x17\x04#08S01x")]).answered());
}

#[test]
fn half_a_packet_in_either_direction_is_not_quiet() {
    let query = packet(0, b"\x03select 1");
    for end in 5..query.len() {
        let watch = watched(0, &[Client(query[..end].to_vec())]);
        assert!(!watch.quiet() && watch.may_speak(), "{end}: the server's side is at a boundary");
    }
    let answer = packet(1, b"\0\0\0\x02\0\0\0");
    for end in 1..answer.len() {
        let watch = watched(0, &[client(b"\x0e"), Server(answer[..end].to_vec())]);
        assert!(!watch.quiet() && !watch.may_speak() && !watch.answered(), "{end}");
    }
}

#[test]
fn payloads_of_more_than_one_packet_are_one() {
    for len in [0xff_fffe, 0xff_ffff, 0x100_0000, 0x1ff_fffe, 0x1ff_ffff] {
        let sent = long(len, 0x03);
        let watch = watched(0, &[Client(sent.clone())]);
        let last = packets(&sent).last().unwrap()[3];
        assert_eq!(watch.next_number(), last + 1, "{len}");
        // Continued in a packet that would be a change of user by itself.
        let row = long(len, 0xfe);
        let steps =
            [client(b"\x03select"), server(1, b"\x01"), server(2, b"\x03def"), server(3, b"\xfe\0\0\x02\0")];
        let mut watch = watched(0, &steps);
        watch.from_server(&row).unwrap();
        assert!(!watch.answered(), "{len}: a long row is no end");
        watch.from_server(&packet(9, b"\xfe\0\0\x02\0")).unwrap();
        assert!(watch.quiet(), "{len}");
    }
    let mut watch = watch(0);
    let mut sent = long(0xff_ffff + 1, 0x03);
    let at = sent.len() - 1;
    sent[at] = 0x11;
    assert_eq!(watch.from_client(&sent), Ok(Passage::All), "a continuation is no command");
}

#[test]
fn a_server_gets_no_file_that_it_may_not_ask_for() {
    let mut refused = watched(0, &[client(b"\x03select 1")]);
    let asked = refused.from_server(&packet(1, b"\xfb/etc/passwd"));
    assert!(matches!(asked, Err(Fault::Malformed(_))), "{asked:?}");
    assert_eq!((refused.may_speak(), refused.next_number()), (true, 1), "an error takes its place");
    let mut allowed = watched(LOCAL_FILES, &[client(b"\x03load")]);
    allowed.from_server(&packet(1, b"\xfbfile")).unwrap();
    assert!(!allowed.may_speak());
}

/// Clients believe that they are answered where a server has said that it is parting, and wait for less than was said.
#[test]
fn nor_one_that_it_asks_for_where_nobody_can_tell_what_it_answers() {
    let unwanted = |steps: &[From]| {
        let asked = watched(0, steps).from_server(&packet(1, b"\xfb/etc/passwd"));
        assert!(matches!(asked, Err(Fault::Malformed(_))), "{asked:?}");
        let mut allowed = watched(LOCAL_FILES, steps);
        assert_eq!(allowed.from_server(&packet(1, b"\xfbfile")), Ok(()));
    };
    let query = || client(b"\x03select 1");
    unwanted(&[]);
    unwanted(&[server(1, b"\xff\x15\x04#28000no"), query()]);
    unwanted(&[ok(1, 2), query()]);
    for command in [b"\x02db".as_slice(), b"\x0e", b"\x1b\0\0", b"\x1f", b"\x1a\x01\0\0\0", b"\x0d"] {
        unwanted(&[client(command), server(1, b"\x01"), query()]);
    }
    unwanted(&[client(b"\x16select 1"), server(1, b"\x01"), query()]);
    unwanted(&[query(), server(1, b"\0"), query()]);
}

#[test]
fn progress_of_mariadb_is_no_answer() {
    let report = server(1, b"\xff\xff\xff\x01\x01\x02\0\0\0\x07copying");
    let waiting = watched(1 << 32, &[client(b"\x03alter"), report]);
    assert_eq!((waiting.answered(), waiting.may_speak(), waiting.next_number()), (false, true, 2));
    let report = server(1, b"\xff\xff\xff\x01\x01\x02\0\0\0\x07copying");
    assert!(watched(1 << 32, &[client(b"\x03alter"), report, ok(2, 2)]).quiet());
}

#[test]
fn definitions_are_left_out_where_both_sides_can_do_that() {
    let execute = || client(b"\x17\x01\0\0\0\0\x01\0\0\0");
    for flags in [CACHE_METADATA | DEPRECATE_EOF, OPTIONAL_METADATA | DEPRECATE_EOF | LONG_PASSWORD] {
        let steps =
            [execute(), server(1, b"\x02\0"), server(2, b"\0\0\x01\x02"), server(3, b"\xfe\0\0\x02\0\0\0")];
        assert!(watched(flags, &steps).quiet());
        assert!(!watched(flags, &steps[..3]).answered());
    }
    let end = |number| server(number, b"\xfe\0\0\x02\0");
    let steps = [execute(), server(1, b"\x02\0"), end(2), server(3, b"\0\0\x01\x02"), end(4)];
    assert!(watched(CACHE_METADATA, &steps).quiet(), "with the end of what was left out");
    let steps = [execute(), server(1, b"\x02\0"), server(2, b"\0\0\x01\x02"), end(3)];
    assert!(watched(CACHE_METADATA, &steps).quiet(), "and without it");
}

#[test]
fn a_server_that_speaks_unasked_has_said_its_last_word_or_is_not_understood() {
    let killed = watched(0, &[server(0, b"\xff\x87\x07#70100Connection was killed")]);
    assert!(!killed.may_speak() && !killed.quiet() && !killed.answered());
    let odd = watched(0, &[ok(1, 2)]);
    assert!(!odd.may_speak() && !odd.quiet() && !odd.answered());
    let mut lost = watched(0, &[client(b"\x0e"), ok(1, 2), ok(2, 2), client(b"\x0e"), ok(1, 2)]);
    assert!(!lost.answered(), "it is never called answered again");
    let asked = lost.from_client(&packet(0, b"\x11app\0\0\0"));
    assert!(matches!(asked, Err(Fault::Unsupported(_))), "a relay would wait for ever");
}

#[test]
fn clients_may_be_far_ahead_but_not_without_bound() {
    let pings = |count| packet(0, b"\x0e").repeat(count);
    let answers = |count| Server(packet(1, b"\0\0\0\x02\0\0\0").repeat(count));
    assert!(watched(0, &[Client(pings(8000)), answers(8000)]).quiet());
    assert!(!watched(0, &[Client(pings(8000)), answers(7999)]).answered());
    // One is being answered.
    let mut ahead = watched(0, &[Client(pings(8192 + 1))]);
    let refused = ahead.from_client(&pings(1));
    assert!(matches!(refused, Err(Fault::Unsupported(_))), "a server could ask for a file: {refused:?}");
    let mut ahead = watched(0, &[Client(pings(8192 + 1)), answers(1)]);
    assert_eq!(ahead.from_client(&pings(1)), Ok(Passage::All), "a reply makes room");
    let allowed = watched(LOCAL_FILES, &[Client(pings(10_000)), answers(10_000)]);
    assert!(!allowed.answered(), "what was not kept is not known");
}

#[test]
fn streams_and_goodbyes_end_it() {
    let mut stream = watched(0, &[client(b"\x12\0\0\0\0"), server(1, b"\0event")]);
    assert!(!stream.answered() && stream.may_speak());
    assert_eq!(stream.from_client(&packet(0, b"\x11\xef semi-sync")), Ok(Passage::All));
    let left = watched(0, &[client(b"\x01")]);
    assert!(left.client_left() && !left.may_speak());
}

#[test]
fn a_stream_that_the_server_refuses_leaves_a_session_as_any_other() {
    let (asked, refused) = (|| client(b"\x12\0\0\0\0"), || server(1, b"\xff\xcb\x04#42000no"));
    let mut refused_at_once = watched(0, &[asked(), refused()]);
    assert!(refused_at_once.quiet());
    assert_eq!(refused_at_once.from_client(&packet(0, b"\x11app\0")), Ok(Passage::Until(0)));
    let mut ahead = watched(0, &[asked(), client(b"\x0e")]);
    assert_eq!(ahead.from_client(&packet(0, b"\x11app\0")), Ok(Passage::Until(0)), "it may be one");
    ahead.from_server(&packet(1, b"\xff\xcb\x04#42000no")).unwrap();
    assert!(!ahead.answered(), "what was sent behind it is still to be answered");
    ahead.from_server(&packet(1, b"\0\0\0\x02\0\0\0")).unwrap();
    assert!(ahead.quiet());
}

#[test]
fn flags_that_are_cut_short_are_not_guessed() {
    for answer in [&b"\0"[..], b"\0\0\0\x02", b"\0\xff\0\0\0\0", b""] {
        assert!(!watched(0, &[client(b"\x0e"), server(1, answer)]).answered(), "{answer:?}");
    }
    assert!(!watched(0, &[client(b"\x16x"), server(1, b"\0\x01\0\0\0\x01")]).answered());
}

/// Commands and answers that a client and a server could send, well-formed or not.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let any = proptest::collection::vec(any::<u8>(), 0..30);
    let likely = prop::sample::select(vec![
        &b"\x03select 1"[..],
        b"\x16select ?",
        b"\x17\x01\0\0\0\x01\x01\0\0\0",
        b"\x19\x01\0\0\0",
        b"\x1c\x01\0\0\0\x02\0\0\0",
        b"\x09",
        b"\x12",
        b"\0\0\0\x02\0\0\0",
        b"\0\0\0\x0a\0\0\0",
        b"\0\x01\0\0\0\x02\0\x01\0\0\0\0",
        b"\x01",
        b"\x02\0",
        b"\xfe\0\0\x02\0",
        b"\xfe\0\0\x42\0",
        b"\xfe\0\0\x82\0\0\0",
        b"\xff\x15\x04#28000no",
        b"\xfbfile",
    ]);
    prop_oneof![any, likely.prop_map(<[u8]>::to_vec)]
}

/// Shows pieces as a relay does, and stops where it would.
fn show(watch: &mut SessionWatch, bytes: &[u8], size: usize) -> Result<Option<usize>, Fault> {
    let (mut held, mut gone) = (Vec::new(), 0);
    for piece in bytes.chunks(size) {
        held.extend_from_slice(piece);
        match watch.from_client(&held)? {
            Passage::All => gone += held.drain(..).len(),
            Passage::Hold(passed) => gone += held.drain(..passed).len(),
            Passage::Until(passed) => return Ok(Some(gone + passed)),
            Passage::Bye(_) | Passage::Instead { .. } => panic!("nobody asked for that"),
        }
    }
    Ok(None)
}

proptest! {
    #[test]
    fn any_packets_in_any_pieces_come_to_the_same(
        steps in proptest::collection::vec((any::<bool>(), any::<u8>(), payload()), 0..30),
        flags in any::<u64>(),
        size in 1_usize..8,
    ) {
        let flags = flags & EVERYTHING & !SSL & !COMPRESS;
        let (mut whole, mut pieces) = (watch(flags), watch(flags));
        for (client, number, payload) in steps {
            let bytes = packet(number, &payload);
            if client {
                let shown = show(&mut whole, &bytes, usize::MAX);
                prop_assert_eq!(&shown, &show(&mut pieces, &bytes, size));
                if shown != Ok(None) {
                    break;
                }
            } else {
                let heard = whole.from_server(&bytes);
                prop_assert_eq!(&heard, &bytes.chunks(size).try_for_each(|piece| pieces.from_server(piece)));
                if heard.is_err() {
                    break;
                }
            }
            prop_assert_eq!(facts(&whole), facts(&pieces));
            prop_assert!(whole.answered() || !whole.quiet());
        }
    }
}

fn facts(watch: &SessionWatch) -> (bool, bool, bool, bool, u8) {
    (watch.quiet(), watch.answered(), watch.may_speak(), watch.client_left(), watch.next_number())
}

#[test]
fn statements_that_make_something_are_state_until_the_session_is_reset() {
    const OK: u16 = 2;
    let holds = |flags, statements: &[&[u8]]| {
        let steps = statements.iter().flat_map(|payload| [client(payload), ok(1, OK)]);
        let watch = watched(flags, &steps.collect::<Vec<_>>());
        assert!(watch.quiet());
        watch.holds_state()
    };
    assert!(!holds(0, &[b"\x03insert into t values (1)"]));
    assert!(holds(0, &[b"\x03create temporary table t (a int)"]));
    assert!(holds(0, &[b"\x03/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE */"]));
    assert!(holds(QUERY_ATTRIBUTES, &[b"\x03\0\x01do get_lock('a', 1)"]));
    assert!(!holds(0, &[b"\x03do get_lock('a', 1)", b"\x03do release_lock('a')"]));
    assert!(!holds(0, &[b"\x03create temporary table t (a int)", b"\x1f"]), "COM_RESET_CONNECTION");
    assert!(holds(0, &[b"\x03lock tables t write", b"\x03select 1"]));
    assert!(!holds(0, &[b"\x03lock tables t write", b"\x03UNLOCK TABLES"]));
    let mut group = watched(0, &[]);
    group.may_be_kept();
    group.from_client(&packet(0, b"\x03set resource group slow")).unwrap();
    group.from_server(&packet(1, b"\0\0\0\x02\0\0\0")).unwrap();
    assert!(group.quiet() && !group.reusable(), "no reset undoes it");
}

#[test]
fn a_server_that_refuses_to_write_is_doubted_once() {
    let error = |number: u16| server(1, &[b"\xff", &number.to_le_bytes()[..], b"#HY000no"].concat());
    let doubted = |number| {
        let mut watch = watched(0, &[client(b"\x03delete from t"), error(number)]);
        let doubted = watch.role_doubted();
        assert!(!watch.role_doubted(), "said once");
        doubted
    };
    assert!(doubted(1290) && doubted(1836) && doubted(1792));
    assert!(!doubted(1064) && !watched(0, &[]).role_doubted());
}
