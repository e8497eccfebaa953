//! What real servers said in whole sessions.

use attache_mysql::SessionWatch;
use attache_wire::{Passage, Watch};

use crate::support::{packets, watch};

struct Transcript {
    name: String,
    flags: u64,
    lines: Vec<(String, Vec<u8>)>,
}

#[test]
fn every_recorded_session_is_followed_packet_by_packet() {
    let transcripts = Transcript::all();
    assert!(transcripts.len() >= 70, "the transcripts are there");
    for transcript in &transcripts {
        for size in [usize::MAX, 1, 7] {
            follow(transcript, size);
        }
    }
}

/// The next number is known before each packet, and the end of a reply with its last one.
fn follow(transcript: &Transcript, size: usize) {
    let mut watch = watch(transcript.flags);
    assert!(watch.quiet() && watch.answered() && watch.may_speak());
    for (at, (kind, octets)) in transcript.lines.iter().enumerate() {
        let context = format!("{} line {} in pieces of {size}", transcript.name, at + 2);
        match kind.as_str() {
            "C" => ask(&mut watch, octets, size, &context),
            "S" => hear(&mut watch, octets, size, &context),
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
            Passage::Bye(_) => panic!("{context}: its link is not kept"),
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
        assert_eq!(watch.next_number(), 0, "{context}: nothing is waited for");
    }
}

impl Transcript {
    #[allow(clippy::disallowed_methods, reason = "tests read their data")]
    fn all() -> Vec<Self> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/data");
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let texts = paths.filter(|path| path.extension().is_some_and(|it| it == "txt")).map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        });
        texts.map(|(name, text)| Self::parse(name, &text)).collect()
    }

    fn parse(name: String, text: &str) -> Self {
        let mut lines = text.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
        let (_, flags) = lines.next().unwrap();
        let flags = u64::from_str_radix(flags, 16).unwrap();
        let lines = lines.map(|(kind, octets)| (kind.to_owned(), unescape(octets))).collect();
        Self { name, flags, lines }
    }
}

/// `\x00` stands for an octet; everything else for itself.
fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut octets = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        octets.push(u8::from_str_radix(&part[..2], 16).unwrap());
        octets.extend(&part.as_bytes()[2..]);
    }
    octets
}
