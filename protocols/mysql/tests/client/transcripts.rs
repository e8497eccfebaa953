//! What real servers said in whole sessions.

use attache_mysql::SessionWatch;
use attache_transcripts::{Transcript, unescape};
use attache_wire::{Passage, Watch};

use crate::support::{packets, watch};

#[test]
fn every_recorded_session_is_followed_packet_by_packet() {
    let transcripts = Transcript::all(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/data"));
    assert!(transcripts.len() >= 70, "the transcripts are there");
    for transcript in &transcripts {
        for size in [usize::MAX, 1, 7] {
            follow(transcript, size);
        }
    }
}

/// The next number is known before each packet, and the end of a reply with its last one.
fn follow(transcript: &Transcript, size: usize) {
    let (_, flags) = &transcript.lines[0];
    let mut watch = watch(u64::from_str_radix(flags, 16).unwrap());
    assert!(watch.quiet() && watch.answered() && watch.may_speak());
    for (at, (kind, text)) in transcript.lines.iter().enumerate().skip(1) {
        let (octets, context) =
            (unescape(text), format!("{} line {} in pieces of {size}", transcript.name, at + 1));
        match kind.as_str() {
            "C" => ask(&mut watch, &octets, size, &context),
            "S" => hear(&mut watch, &octets, size, &context),
            mark => check(&watch, mark, &context),
        }
    }
}

/// Shows pieces as a relay does: what is held back comes again with more behind it.
fn ask(watch: &mut SessionWatch, octets: &[u8], size: usize, context: &str) {
    let mut held = Vec::new();
    for piece in octets.chunks(size) {
        held.extend_from_slice(piece);
        match watch.from_client(&held).unwrap() {
            Passage::All => held.clear(),
            Passage::Hold(passed) => {
                held.drain(..passed);
                assert!(held.len() <= 4, "{context}: only a header is held");
            }
            Passage::Until(passed) => {
                assert!(context.contains("change") && held[passed + 4] == 0x11, "{context}");
                return;
            }
            Passage::Bye(_) | Passage::Instead { .. } => panic!("{context}: nobody asked for that"),
        }
    }
    assert!(held.is_empty(), "{context}");
}

fn hear(watch: &mut SessionWatch, octets: &[u8], size: usize, context: &str) {
    let packets = packets(octets);
    for (at, packet) in packets.iter().enumerate() {
        assert!(!watch.answered(), "{context}: packet {at} is still to come");
        assert_eq!(watch.next_number(), packet[3], "{context}: packet {at}");
        packet.chunks(size).for_each(|piece| watch.from_server(piece).unwrap());
    }
}

fn check(watch: &SessionWatch, mark: &str, context: &str) {
    let found = (watch.answered(), watch.quiet(), watch.may_speak(), watch.client_left());
    let expected = match mark {
        "quiet" => (true, true, true, false),
        "busy" => (true, false, true, false),
        "left" => (true, true, false, true),
        // A client that sends a file does not listen.
        "waiting" => (false, false, false, false),
        "never" => (false, false, true, false),
        "change" => (true, true, true, false),
        other => panic!("{context}: {other}"),
    };
    assert_eq!(found, expected, "{context}: {mark}");
    if found.0 {
        assert_eq!(watch.next_number(), 1, "{context}: it will be read behind the next command");
    }
}
