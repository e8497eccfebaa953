//! The scanner beside a naive parser, and how much work it does.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::options::Options;

fn rules() -> Rules {
    Rules::new(&Options::default())
}

/// What became of a stream: the octets passed on, what commands did, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    passed: usize,
    effects: Vec<Effect>,
    end: End,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Open,
    Stopped,
    Broken,
}

/// Feeds a stream in pieces, as the house does: what is held back is shown again in front of the next piece.
fn fed(bytes: &[u8], size: usize) -> Outcome {
    let (mut requests, mut effects) = (Requests::default(), Vec::new());
    let (mut passed, mut seen) = (0, 0);
    while seen < bytes.len() {
        seen = (seen + size).min(bytes.len());
        let shown = &bytes[passed..seen];
        match requests.feed(shown, &rules(), |effect| {
            effects.push(effect);
            Ruling::Pass
        }) {
            Passage::All => passed = seen,
            Passage::Hold(octets) => {
                assert!(octets < shown.len() && shown.len() - octets <= MAX_HELD_LEN);
                passed += octets;
            }
            Passage::Until(octets) => {
                let end = if requests.broken().is_some() { End::Broken } else { End::Stopped };
                return Outcome { passed: passed + octets, effects, end };
            }
            Passage::Bye(_) | Passage::Instead { .. } => panic!("no link is kept"),
        }
    }
    Outcome { passed, effects, end: End::Open }
}

/// A command as an array.
fn array(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend([format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat());
    }
    out
}

/// Complete commands of which the effect is known, or none if the relay stops in front of them.
fn commands() -> Vec<(Vec<u8>, Option<Effect>)> {
    use crate::command::{Kind, Verb};
    let plain = Some(Effect::Plain);
    let lines: &[(&str, Option<Effect>)] = &[
        ("GET k", plain),
        ("SET authority AUTH", plain),
        ("AUTH", plain),
        ("AUTH a", None),
        ("aUtH a b", None),
        ("AUTH a b c", plain),
        ("HELLO", plain),
        ("HELLO 3", None),
        ("HELLO 3 AUTH a b SETNAME c", None),
        ("RESET", None),
        ("RESET x", plain),
        ("QUIT", Some(Effect::Quit)),
        ("multi", Some(Effect::Multi)),
        ("EXEC", Some(Effect::Exec)),
        ("DISCARD", Some(Effect::Discard)),
        ("WATCH a", Some(Effect::Watch)),
        ("UNWATCH", Some(Effect::Unwatch)),
        ("MONITOR", Some(Effect::Monitor)),
        ("PSYNC ? -1", Some(Effect::Replicate)),
        ("SUBSCRIBE a b", Some(Effect::Subscription(Verb::Subscribe(Kind::Channels), 2))),
        ("PUNSUBSCRIBE", Some(Effect::UnsubscribeAll(Kind::Patterns))),
        ("CLIENT REPLY off", Some(Effect::ReplyOff)),
        ("client reply SKIP", Some(Effect::ReplySkip)),
        ("CLIENT REPLY maybe", plain),
        ("CLIENT INFO", plain),
        ("ACL WHOAMI", plain),
        ("ACL LIST", None),
        ("CONFIG GET maxmemory", plain),
        ("CONFIG GET maxmemory *", None),
        ("CONFIG SET maxmemory 1 requirepass x", None),
        ("MIGRATE h 1 k 0 1 KEYS a b", plain),
        ("MIGRATE h 1 k 0 1 AUTH b", None),
        ("DEBUG SLEEP 0", None),
        ("MODULE LIST", None),
        ("REPLICAOF db 6379", None),
        ("REPLICAOF NO ONE", Some(Effect::Plain)),
        ("averylongcommandname AUTH x", plain),
    ];
    let mut all =
        vec![(b"\r\n".to_vec(), Some(Effect::Nothing)), (b"*0\r\n".to_vec(), Some(Effect::Nothing))];
    for (line, effect) in lines {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        all.push((array(&words), *effect));
        all.push((format!("{line}\r\n").into_bytes(), *effect));
    }
    all
}

#[test]
fn every_command_is_told_in_both_forms_at_every_split() {
    for (command, effect) in commands() {
        let before = array(&[b"PING"]);
        let stream = [&before[..], &command].concat();
        let expected = match effect {
            Some(effect) => {
                Outcome { passed: stream.len(), effects: vec![Effect::Plain, effect], end: End::Open }
            }
            None => Outcome { passed: before.len(), effects: vec![Effect::Plain], end: End::Stopped },
        };
        for size in 1..=stream.len() {
            assert_eq!(fed(&stream, size), expected, "{:?} by {size}", command.escape_ascii().to_string());
        }
    }
}

proptest! {
    #[test]
    fn pipelines_come_to_the_same_in_any_pieces(
        picks in vec(any::<proptest::sample::Index>(), 0..30),
        size in 1_usize..40,
    ) {
        let all = commands();
        let picks: Vec<_> = picks.iter().map(|pick| pick.get(&all).clone()).collect();
        let stream: Vec<u8> = picks.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let until = picks.iter().take_while(|(_, effect)| effect.is_some());
        let effects: Vec<Effect> = until.clone().filter_map(|(_, effect)| *effect).collect();
        let passed = until.map(|(bytes, _)| bytes.len()).sum();
        let end = if passed == stream.len() { End::Open } else { End::Stopped };
        prop_assert_eq!(fed(&stream, size), Outcome { passed, effects, end });
    }

    #[test]
    fn any_bytes_in_any_pieces_come_to_the_same(
        bytes in vec(proptest::sample::select(&b"*$123\r\nAUTH x\"'\\\0"[..]), 0..200),
        size in 1_usize..40,
    ) {
        let (whole, pieces) = (fed(&bytes, bytes.len().max(1)), fed(&bytes, size));
        prop_assert_eq!(&whole.effects, &pieces.effects);
        prop_assert_eq!(&whole.end, &pieces.end);
        prop_assert_eq!(whole.passed, pieces.passed);
    }
}

#[test]
fn commands_before_a_broken_one_are_passed_on() {
    for broken in [
        "*1\r\n+PING\r\n",
        "*x\r\n",
        "PING 'x\r\n",
        "PI\0NG\r\n",
        "*2147483648\r\n",
        "*1\r\n*1\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$4\r\nPINGXX",
    ] {
        let stream = [b"PING\r\n", broken.as_bytes()].concat();
        let expected = Outcome { passed: 6, effects: vec![Effect::Plain], end: End::Stopped };
        for size in 1..=stream.len() {
            assert_eq!(fed(&stream, size), expected, "{broken:?}");
        }
    }
}

#[test]
fn of_a_command_that_breaks_off_nothing_more_is_passed_on() {
    let stream = b"PING\r\n*2\r\n$3\r\nGET\r\n$1\r\nkk\r\n*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n";
    let passed = 6 + b"*2\r\n$3\r\nGET\r\n$1\r\nk".len();
    let expected = Outcome { passed, effects: vec![Effect::Plain; 2], end: End::Broken };
    for size in 1..=stream.len() {
        assert_eq!(fed(stream, size), expected, "by {size}");
    }
}

#[test]
fn what_decides_late_is_held_back_and_bounded() {
    let long = vec![b'x'; MAX_HELD_LEN];
    for stream in [
        [b"PING ", &long[..]].concat(),
        [b"*200\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$70000\r\n", &long[..], &long].concat(),
        [b"*20002\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n".to_vec(), b"$1\r\na\r\n".repeat(20_000)].concat(),
    ] {
        for size in [1, 1000, 100_000] {
            let end = fed(&stream, size);
            assert_eq!((end.passed, end.end != End::Open), (0, true), "by {size}");
        }
    }
    let long_value = [b"*3\r\n$3\r\nSET\r\n$4\r\nAUTH\r\n$70000\r\n", &long[..]].concat();
    assert_eq!(fed(&long_value, 1000).passed, long_value.len(), "what is decided is not held back");
}

#[test]
fn a_huge_command_in_small_reads_is_looked_at_once() {
    const ARGUMENTS: u64 = 500_000;
    let argument = [&b"$1024\r\n"[..], &[b'x'; 1024], b"\r\n"].concat();
    let (mut requests, mut reads) = (Requests::default(), 0);
    let mut feed = |bytes: &[u8]| {
        requests.feed(bytes, &rules(), |effect| {
            assert_eq!(effect, Effect::Plain);
            Ruling::Pass
        })
    };
    assert_eq!(feed(format!("*{}\r\n$5\r\nRPUSH\r\n", ARGUMENTS + 1).as_bytes()), Passage::All);
    for _ in 0..ARGUMENTS {
        for piece in argument.chunks(700) {
            assert_eq!(feed(piece), Passage::All);
            reads += 1;
        }
    }
    assert!(requests.at_boundary());
    // Seven octets of a header, three of line ends, and the body once for each read.
    assert!(requests.turns <= 40 + reads + 10 * ARGUMENTS, "{} turns for {reads} reads", requests.turns);
    assert_eq!((requests.args.known(), requests.args.line().len()), (0, 0), "nothing is kept");
}

#[test]
fn a_line_octet_by_octet_is_looked_at_once() {
    let line = [&b"AUTH "[..], &[b'x'; 60_000]].concat();
    let mut requests = Requests::default();
    for end in 1..=line.len() {
        let passage = requests.feed(&line[..end], &rules(), |_| panic!("not yet"));
        assert_eq!(passage, Passage::Hold(0));
    }
    assert_eq!(requests.turns, line.len() as u64);
    let line = [&line[..], b"\r\n"].concat();
    assert_eq!(requests.feed(&line, &rules(), |_| panic!("never")), Passage::Until(0));
    assert!(requests.at_boundary());
}

/// A route that only reads.
fn reading() -> Rules {
    rules().reading(Some(std::sync::Arc::new(crate::commands::tests::commands())))
}

/// Whether a stream stops, wherever it is cut.
fn stops(bytes: &[u8]) -> bool {
    let stopped = |cut: usize| {
        let mut requests = Requests::default();
        let first = requests.feed(&bytes[..cut], &reading(), |_| Ruling::Pass);
        let passed = match first {
            Passage::Until(_) => return true,
            Passage::Hold(passed) => passed,
            _ => cut,
        };
        matches!(requests.feed(&bytes[passed..], &reading(), |_| Ruling::Pass), Passage::Until(_))
    };
    let whole = stopped(bytes.len() - 1);
    (0..bytes.len()).for_each(|cut| assert_eq!(stopped(cut), whole, "cut at {cut}"));
    whole
}

#[test]
fn on_a_route_that_only_reads_a_stream_stops_in_front_of_what_writes() {
    for line in [
        "get x",
        "GET x",
        "multi",
        "config get maxmemory",
        "client setname x",
        "quit",
        "eval_ro x 0",
        "pfcount x",
    ] {
        let array = array(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        assert!(!stops(format!("{line}\r\n").as_bytes()) && !stops(&array), "{line}");
    }
    for line in [
        "set x 1",
        "georadiusbymember x",
        "eval x 0",
        "config set maxmemory 1",
        "client kill x",
        "nonsense x",
        "a-name-that-is-longer-than-any-that-means-anything x",
        "publish x y",
    ] {
        let array = array(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        assert!(stops(format!("{line}\r\n").as_bytes()) && stops(&array), "{line}");
    }
}
