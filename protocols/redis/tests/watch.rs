//! What is known of a session while its bytes are copied, beyond the recorded ones.
#![allow(clippy::unwrap_used)]

mod support;

use attache_wire::testing::run;
use attache_wire::{Fault, Passage, Protocol, Watch};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{command, commands, redis, watch};

#[test]
fn half_a_frame_in_either_direction_is_not_quiet() {
    let frame = b"*2\r\n$1\r\na\r\n|1\r\n+k\r\n+v\r\n:1\r\n";
    for end in 1..frame.len() {
        let mut watch = watch(&redis("{}", None));
        watch.from_client(&command("PING")).unwrap();
        watch.from_server(&frame[..end]).unwrap();
        assert!(!watch.quiet() && !watch.answered() && !watch.may_speak(), "{end}");
        watch.from_server(&frame[end..]).unwrap();
        assert!(watch.quiet() && watch.may_speak());
    }
    let frame = command("GET abc");
    for end in 1..frame.len() {
        let mut watch = watch(&redis("{}", None));
        let held = matches!(watch.from_client(&frame[..end]), Ok(Passage::Hold(0)));
        assert!(!watch.quiet() && watch.may_speak(), "{end}");
        assert_eq!(watch.answered(), held, "{end}: what is held back has not been passed on");
    }
}

/// What the server was asked before is still answered, and then the client hears what it did.
#[test]
fn a_command_that_breaks_off_ends_the_session_once_all_others_are_answered() {
    let stream = [command("GET a"), command("GET b"), b"*2\r\n$3\r\nGET\r\n:1\r\n".to_vec()].concat();
    let passed = stream.len() - b":1\r\n".len();
    let protocol = redis("{}", None);
    let mut watch = watch(&protocol);
    assert_eq!(watch.from_client(&stream), Ok(Passage::Until(passed)));
    for _ in 0..2 {
        assert!(!watch.answered() && !watch.quiet());
        watch.from_server(b"$-1\r\n").unwrap();
    }
    assert!(watch.answered() && !watch.quiet());
    assert!(!watch.takes_a_login(), "a login would be taken for the rest of the command");
    let reopened = run(protocol.reopen(&watch, [7; 24]).unwrap(), &[b":1\r\nPING\r\n"], &[], None);
    assert!(matches!(reopened.end, Err(Fault::Malformed(_))), "{:?}", reopened.end);
}

#[test]
fn a_command_that_breaks_off_is_not_counted_where_nothing_would_answer_it() {
    let mut watch = watch(&redis("{}", None));
    watch.from_client(&commands(&["GET a", "CLIENT REPLY OFF"])).unwrap();
    assert!(matches!(watch.from_client(b"*2\r\n$3\r\nGET\r\n:"), Ok(Passage::Until(_))));
    assert!(!watch.answered(), "the first command is");
    watch.from_server(b"$-1\r\n").unwrap();
    assert!(watch.answered());
}

/// Redis 7.0 takes the empty line for the command that is not answered, Valkey 9 the one behind it.
#[test]
fn an_empty_line_that_may_have_been_skipped_ends_all_knowledge() {
    let mut watch = watch(&redis("{}", None));
    let stream = [command("CLIENT REPLY SKIP"), b"\r\n".to_vec(), commands(&["GET a", "GET b"])].concat();
    assert_eq!(watch.from_client(&stream), Ok(Passage::All));
    watch.from_server(b"$-1\r\n").unwrap();
    assert!(!watch.answered());
    watch.from_server(b"$-1\r\n").unwrap();
    assert!(!watch.answered() && !watch.quiet());
}

#[test]
fn a_push_in_the_midst_of_a_reply_does_not_make_it_longer() {
    let mut watch = watch(&redis("{}", None));
    watch.from_client(&command("SUBSCRIBE a")).unwrap();
    watch.from_server(b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n").unwrap();
    assert_eq!(watch.from_client(&commands(&["MULTI", "PUBLISH a x", "EXEC"])), Ok(Passage::All));
    watch.from_server(b"+OK\r\n+QUEUED\r\n").unwrap();
    watch.from_server(b"*1\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n").unwrap();
    assert!(!watch.answered());
    watch.from_server(b":1\r\n").unwrap();
    assert!(watch.answered());
}

#[test]
fn an_attribute_belongs_to_the_reply_behind_it() {
    let mut watch = watch(&redis("{}", None));
    watch.from_client(&command("GET k")).unwrap();
    watch.from_server(b"|1\r\n+ttl\r\n:1\r\n").unwrap();
    assert!(!watch.may_speak() && !watch.answered());
    watch.from_server(b"$1\r\nv\r\n").unwrap();
    assert!(watch.quiet());
}

#[test]
fn pushes_answer_nothing() {
    let mut watch = watch(&redis("{}", None));
    watch.from_client(&commands(&["CLIENT TRACKING on", "GET k"])).unwrap();
    watch.from_server(b"+OK\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n").unwrap();
    assert!(!watch.answered());
    watch.from_server(b"$-1\r\n").unwrap();
    assert!(watch.quiet());
    watch.from_server(b">2\r\n$10\r\ninvalidate\r\n_\r\n").unwrap();
    assert!(watch.quiet());
}

#[test]
fn a_reply_to_nothing_ends_all_knowledge() {
    for said in [&b"+OK\r\n"[..], b"HTTP/1.1 400 Bad Request\r\n", b"*x\r\n"] {
        let mut watch = watch(&redis("{}", None));
        watch.from_server(said).unwrap();
        watch.from_client(&command("PING")).unwrap();
        watch.from_server(b"+PONG\r\n").unwrap();
        assert!(!watch.quiet() && !watch.answered());
    }
}

#[test]
fn a_server_may_cancel_a_subscription_by_itself() {
    let mut watch = watch(&redis("{}", None));
    watch.from_client(&command("SSUBSCRIBE s")).unwrap();
    watch.from_server(b"*3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n").unwrap();
    watch.from_server(b"*3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:0\r\n").unwrap();
    assert!(watch.quiet());
}

#[test]
fn pipelines_of_any_depth_cost_no_memory_of_their_own() {
    let mut watch = watch(&redis("{}", None));
    let batch = commands(&["SET k v", "MULTI", "INCR n", "EXEC", "GET k"]).repeat(1000);
    for _ in 0..200 {
        assert_eq!(watch.from_client(&batch), Ok(Passage::All));
    }
    assert!(!watch.answered());
    let replies = b"+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n:1\r\n$1\r\nv\r\n".repeat(1000);
    (0..200).for_each(|_| watch.from_server(&replies).unwrap());
    assert!(watch.quiet());
}

#[test]
fn a_pipeline_that_changes_its_kind_too_often_is_given_up() {
    let mut watch = watch(&redis("{}", None));
    let batch = commands(&["PING", "SUBSCRIBE a"]).repeat(5000);
    assert_eq!(watch.from_client(&batch), Ok(Passage::All), "it is still passed on");
    let replies = b"+PONG\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n".repeat(5000);
    watch.from_server(&replies).unwrap();
    assert!(!watch.answered());
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_come_to_the_same(
        steps in vec((any::<bool>(), vec(proptest::sample::select(&b"*$+-:>|1230\r\nPINGaexc x"[..]), 0..60)), 0..12),
        size in 1_usize..8,
    ) {
        let protocol = redis("{}", None);
        let (mut whole, mut pieces) = (watch(&protocol), watch(&protocol));
        let (mut held, mut held_pieces) = (Vec::new(), Vec::new());
        for (client, bytes) in steps {
            if client {
                let one = passes(&mut *whole, &mut held, &bytes);
                let mut other = Ok(true);
                for piece in bytes.chunks(size) {
                    other = passes(&mut *pieces, &mut held_pieces, piece);
                    if other != Ok(true) {
                        break;
                    }
                }
                prop_assert_eq!(one, other);
                if one != Ok(true) {
                    return Ok(());
                }
            } else {
                whole.from_server(&bytes).unwrap();
                bytes.chunks(size).for_each(|piece| pieces.from_server(piece).unwrap());
            }
            prop_assert_eq!(whole.quiet(), pieces.quiet());
            prop_assert_eq!(whole.answered(), pieces.answered());
            prop_assert_eq!(whole.may_speak(), pieces.may_speak());
            prop_assert_eq!(whole.client_left(), pieces.client_left());
            prop_assert!(!whole.quiet() || whole.answered());
        }
    }
}

/// Whether everything was passed on or held back; otherwise the relay pauses, or ends.
fn passes(watch: &mut dyn Watch, held: &mut Vec<u8>, bytes: &[u8]) -> Result<bool, ()> {
    held.extend(bytes);
    match watch.from_client(held).map_err(|_| ())? {
        Passage::All => held.clear(),
        Passage::Hold(count) => drop(held.drain(..count)),
        Passage::Until(_) | Passage::Bye(_) | Passage::Instead { .. } => return Ok(false),
    }
    Ok(true)
}

#[test]
fn a_server_that_refuses_to_write_is_doubted_once() {
    for (said, expected) in [
        (&b"-READONLY You can't write against a read only replica.\r\n"[..], true),
        (b"-ERR READONLY\r\n", false),
        (b"$9\r\n-READONLY\r\n", false),
        (b"+READONLY yes\r\n", false),
    ] {
        for cut in 1..said.len() {
            let mut watch = watch(&redis("{}", None));
            watch.from_client(&command("SET k v")).unwrap();
            watch.from_server(&said[..cut]).unwrap();
            watch.from_server(&said[cut..]).unwrap();
            assert_eq!(watch.role_doubted(), expected, "{} at {cut}", said.escape_ascii());
            assert!(!watch.role_doubted(), "said once");
        }
    }
}
