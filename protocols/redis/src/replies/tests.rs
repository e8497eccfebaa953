//! The scanner beside a naive parser, and how much work it does.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Where frames end, and the type of each; whether what follows makes no sense.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    frames: Vec<(usize, u8)>,
    lost: bool,
}

enum Stop {
    Incomplete,
    Lost,
}

/// The grammar as it stands in the specification, by recursion; streamed types apart. `outer` is the type of the outermost
/// value that this one is in: a push inside of anything but a push is no value of it.
fn value(bytes: &[u8], at: usize, outer: Option<u8>) -> Result<usize, Stop> {
    let kind = *bytes.get(at).ok_or(Stop::Incomplete)?;
    let counted = b"$!=*~>%|".contains(&kind);
    if !counted && !b"+-:_,#(".contains(&kind) {
        return Err(Stop::Lost);
    }
    let rest = &bytes[at + 1..];
    let feed = rest.iter().position(|octet| *octet == b'\n').ok_or(Stop::Incomplete)?;
    let mut at = at + 1 + feed + 1;
    if !counted {
        return Ok(at);
    }
    let line =
        str::from_utf8(&rest[..feed]).ok().and_then(|line| line.strip_suffix('\r')).ok_or(Stop::Lost)?;
    let count: i64 = line.parse().map_err(|_| Stop::Lost)?;
    if count.to_string() != line {
        return Err(Stop::Lost);
    }
    match kind {
        b'$' | b'!' | b'=' if count < 0 => return Ok(at),
        b'$' | b'!' | b'=' => {
            let end = at + count as usize + 2;
            return if end > bytes.len() { Err(Stop::Incomplete) } else { Ok(end) };
        }
        _ => {}
    }
    let each = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
    for _ in 0..count.max(0) * each {
        at = value(bytes, at, outer.or(Some(kind)))?;
    }
    let is_between = kind == b'>' && outer.is_some_and(|outer| outer != b'>');
    if kind == b'|' || is_between { value(bytes, at, outer) } else { Ok(at) }
}

fn naive(bytes: &[u8]) -> Found {
    let (mut found, mut at) = (Found::default(), 0);
    loop {
        match value(bytes, at, None) {
            Ok(end) => {
                let mut start = at;
                while bytes[start] == b'|' {
                    start = skip_attribute(bytes, start);
                }
                found.frames.push((end, bytes[start]));
                at = end;
            }
            Err(Stop::Incomplete) => return found,
            Err(Stop::Lost) => return Found { lost: true, ..found },
        }
    }
}

/// An attribute is a map in front of a value: read as a map, it ends where that begins.
fn skip_attribute(bytes: &[u8], at: usize) -> usize {
    let mut map = bytes[at..].to_vec();
    map[0] = b'%';
    at + value(&map, 0, None).unwrap_or_else(|_| unreachable!("it was read before"))
}

fn scanned(bytes: &[u8], size: usize) -> (Found, Replies) {
    let (mut replies, mut found, mut at) = (Replies::default(), Found::default(), 0);
    for piece in bytes.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() && !replies.is_lost() {
            let (used, seen) = replies.next(rest);
            rest = &rest[used..];
            at += used;
            found.frames.extend(seen.map(|seen| (at, seen.kind)));
        }
    }
    found.lost = replies.is_lost();
    (found, replies)
}

const BRICKS: &[&[u8]] = &[
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":12\r\n",
    b":-1\r\n",
    b"$3\r\nabc\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*1\r\n",
    b"*2\r\n",
    b"*3\r\n",
    b">2\r\n",
    b"~1\r\n",
    b"%1\r\n",
    b"%2\r\n",
    b"|1\r\n",
    b"|0\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",1.5\r\n",
    b"(123\r\n",
    b"=7\r\ntxt:abc\r\n",
    b"!5\r\nERR x\r\n",
    b"$10\r\n*1\r\n+OK\r\n+\r\n",
];

/// Pieces of replies, in any order.
fn bricks() -> impl Strategy<Value = Vec<u8>> {
    let brick = prop_oneof![
        20 => proptest::sample::select(BRICKS).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 1..3),
    ];
    vec(brick, 0..30).prop_map(|bricks| bricks.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn frames_end_where_a_naive_parser_finds_their_end(bytes in bricks(), size in 1_usize..9) {
        // Streamed types have a test of their own.
        prop_assume!(!bytes.contains(&b'?'));
        let expected = naive(&bytes);
        let (found, replies) = scanned(&bytes, size);
        // The naive one needs a whole line to see that it makes no sense.
        prop_assert_eq!(&found.frames, &expected.frames);
        prop_assert!(found.lost || !expected.lost);
        let whole = expected.frames.last().map_or(0, |(end, _)| *end) == bytes.len();
        prop_assert_eq!(replies.at_boundary(), whole && !found.lost);
    }
}

#[test]
fn streamed_types_end_where_they_say() {
    for (text, frames) in [
        ("$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n+OK\r\n", &[(25, b'$'), (30, b'+')][..]),
        ("*?\r\n:1\r\n*2\r\n:1\r\n:2\r\n.\r\n+OK\r\n", &[(23, b'*'), (28, b'+')]),
        ("*2\r\n*?\r\n.\r\n%?\r\n+a\r\n:1\r\n.\r\n", &[(26, b'*')]),
        ("*?\r\n", &[]),
    ] {
        for size in 1..text.len() {
            let (found, _) = scanned(text.as_bytes(), size);
            assert_eq!(found, Found { frames: frames.to_vec(), lost: false }, "{text:?}");
        }
    }
    for nonsense in [".\r\n", ";0\r\n", "+a\r\n.\r\n", "$?\r\n;-1\r\n", "|?\r\n", "~?$-1\r\n", "*?\n"] {
        assert!(scanned(nonsense.as_bytes(), 1).0.lost, "{nonsense:?}");
    }
}

#[test]
fn the_words_of_a_confirmation_are_seen() {
    let mut words = Vec::new();
    let bytes = b">3\r\n$12\r\npunsubscribe\r\n$1\r\na\r\n:7\r\n*2\r\n$13\r\npunsubscribes\r\n:1\r\n+1x\r\n";
    for size in [1, 5, 100] {
        let mut replies = Replies::default();
        for piece in bytes.chunks(size) {
            replies.feed(piece, |seen| words.push((seen.word().to_vec(), seen.integer, seen.first)));
        }
    }
    let expected = [(&b"punsubscribe"[..], 7, 0), (b"punsubscribes", 1, 0), (b"", 0, b'1')];
    let expected: Vec<_> =
        expected.iter().map(|(word, integer, first)| (word.to_vec(), *integer, *first)).collect();
    words.chunks(3).for_each(|words| assert_eq!(words, expected));
    assert_eq!(words.len(), 9);
}

/// Redis 7.0 to a client of RESP3 that is subscribed to what its own transaction publishes.
#[test]
fn a_push_in_the_midst_of_a_reply_is_no_part_of_it() {
    let push = ">3\r\n$8\r\nsmessage\r\n$5\r\nshard\r\n$1\r\nx\r\n";
    for text in [
        format!("*2\r\n{push}:1\r\n+OK\r\n"),
        format!("*2\r\n:1\r\n{push}+OK\r\n"),
        format!("*2\r\n*1\r\n{push}{push}$1\r\na\r\n%0\r\n"),
        format!("~1\r\n{push}>0\r\n+OK\r\n"),
    ] {
        let len = text.len();
        let text = format!("{text}{push}+OK\r\n");
        let expected = [(len, text.as_bytes()[0]), (len + push.len(), b'>'), (text.len(), b'+')];
        for size in 1..text.len() {
            let (found, replies) = scanned(text.as_bytes(), size);
            assert_eq!(found, Found { frames: expected.to_vec(), lost: false }, "{text:?} by {size}");
            assert!(replies.at_boundary());
        }
    }
    let mut words = Vec::new();
    let text = format!("*2\r\n{push}$4\r\npong\r\n+OK\r\n");
    Replies::default().feed(text.as_bytes(), |seen| words.push(seen.word().to_vec()));
    assert_eq!(words, [b""], "neither word is the first of the reply");
}

#[test]
fn a_million_nested_arrays_cost_no_memory() {
    let mut replies = Replies::default();
    for _ in 0..1_000_000 {
        replies.feed(b"*1\r\n", |_| panic!("it is not complete"));
    }
    assert!(!replies.at_boundary() && !replies.is_lost());
    assert_eq!(replies.around.capacity(), 0);
    assert!(replies.turns <= 2_000_000, "{}", replies.turns);
    let mut frames = 0;
    replies.feed(b":1\r\n+OK\r\n", |_| frames += 1);
    assert_eq!(frames, 2);
}

#[test]
fn nested_streams_are_bounded() {
    let mut replies = Replies::default();
    for _ in 0..1_000_000 {
        replies.feed(b"*?\r\n", |_| panic!("it is not complete"));
    }
    assert!(replies.is_lost() && replies.around.len() <= MAX_STREAMS);
}

#[test]
fn a_huge_array_in_small_reads_is_looked_at_once() {
    const ELEMENTS: u64 = 500_000;
    let element = [&b"$1024\r\n"[..], &[b'x'; 1024], b"\r\n"].concat();
    let (mut replies, mut reads, mut frames) = (Replies::default(), 0, 0);
    replies.feed(format!("*{ELEMENTS}\r\n").as_bytes(), |_| frames += 1);
    for _ in 0..ELEMENTS {
        for piece in element.chunks(700) {
            replies.feed(piece, |_| frames += 1);
            reads += 1;
        }
    }
    assert_eq!(frames, 1);
    // Each turn is one octet, or all of a line, a number or a body that this read has, looked at once.
    assert!(replies.turns <= 2 + reads + 3 * ELEMENTS, "{} turns for {reads} reads", replies.turns);
    assert!(replies.at_boundary() && replies.around.capacity() == 0, "nothing is kept");
}

#[test]
fn sums_that_would_overflow_are_no_frames() {
    for text in [
        "*9223372036854775807\r\n",
        "%9223372036854775807\r\n",
        "*4611686018427387903\r\n*4611686018427387903\r\n*4611686018427387903\r\n",
    ] {
        let (found, _) = scanned(text.as_bytes(), 3);
        assert!(found.frames.is_empty());
    }
    assert!(scanned(b"%9223372036854775807\r\n", 9).0.lost);
}
