//! Drivers for machines and watches in tests: every split point, no sockets.

use bytes::BytesMut;

use crate::fault::Fault;
use crate::machine::{Machine, Step, TlsFacts, Turn};
use crate::watch::{Passage, Watch};

/// How a machine ended on a given input.
#[derive(Debug, PartialEq, Eq)]
pub struct Run<T> {
    /// What it finished with; `Ok(None)` if it still wants input when there is none left.
    pub end: Result<Option<T>, Fault>,
    /// All that it wrote.
    pub output: Vec<u8>,
    /// Input that it left unread.
    pub unread: Vec<u8>,
    /// How often it asked for a TLS handshake.
    pub upgrades: usize,
}

/// Feeds a machine `segments`, one before the first TLS handshake, one after it and so on, in pieces
/// that end at `cuts` (offsets into all segments laid end to end), as the driver of the house would,
/// honouring the machine's limit. A TLS handshake succeeds at once and yields `tls`.
pub fn run<M: Machine>(
    mut machine: M,
    segments: &[&[u8]],
    cuts: &[usize],
    tls: Option<&TlsFacts>,
) -> Run<M::Output> {
    let mut feed = Feed::new(segments, cuts);
    let (mut waiting, mut output) = (BytesMut::new(), BytesMut::new());
    let (mut session, mut upgrades) = (None, 0);
    let end = loop {
        let mut turn = Turn { input: &mut waiting, output: &mut output, tls: session };
        match machine.step(&mut turn) {
            Ok(Step::Done(value)) => break Ok(Some(value)),
            Ok(Step::StartTls) if !waiting.is_empty() || feed.segment_left() => break Err(Fault::EarlyData),
            Ok(Step::StartTls) => {
                upgrades += 1;
                session = tls;
                feed.next_segment();
            }
            Ok(Step::Read) if waiting.len() >= machine.limit() => break Err(Fault::TooLong(machine.limit())),
            Ok(Step::Read) => match feed.read(machine.limit() - waiting.len()) {
                Some(piece) => waiting.extend_from_slice(piece),
                None => break Ok(None),
            },
            Err(fault) => break Err(fault),
        }
    };
    let unread = waiting.iter().copied().chain(feed.rest()).collect();
    Run { end, output: output.to_vec(), unread, upgrades }
}

/// Whether this stands anywhere in the octets.
pub fn contains(octets: &[u8], wanted: impl AsRef<[u8]>) -> bool {
    let wanted = wanted.as_ref();
    octets.windows(wanted.len()).any(|window| window == wanted)
}

/// Runs a machine on whole segments, on every split of one of them in two, and byte by byte, and
/// asserts that it makes no difference. Returns what it came to.
///
/// # Panics
/// If a split changes the result, the output or what is left unread.
pub fn run_every_split<M, F>(make: F, segments: &[&[u8]], tls: Option<&TlsFacts>) -> Run<M::Output>
where
    M: Machine,
    M::Output: std::fmt::Debug + PartialEq,
    F: Fn() -> M,
{
    let total = segments.iter().map(|segment| segment.len()).sum();
    let whole = run(make(), segments, &[], tls);
    for cut in 1..total {
        assert_eq!(run(make(), segments, &[cut], tls), whole, "split at {cut} of {total}");
    }
    let every: Vec<usize> = (1..total).collect();
    assert_eq!(run(make(), segments, &every, tls), whole, "byte by byte");
    whole
}

/// Shows a watch a client's stream in these pieces, as a relay does. Returns what goes to the server, up to where the relay
/// would pause or the client takes its leave.
///
/// # Errors
/// Those of [`Watch::from_client`].
pub fn passed_on<'a, W: Watch>(
    watch: &mut W,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, Fault> {
    let (mut passed, mut waiting) = (Vec::new(), BytesMut::new());
    for piece in pieces {
        waiting.extend_from_slice(piece);
        while !waiting.is_empty() {
            match watch.from_client(&waiting)? {
                Passage::All => passed.extend_from_slice(&waiting.split()),
                Passage::Hold(count) => {
                    passed.extend_from_slice(&waiting.split_to(count));
                    break;
                }
                Passage::Instead { passed: count, dropped } => {
                    passed.extend_from_slice(&waiting.split_to(count));
                    passed.extend_from_slice(&watch.in_place());
                    drop(waiting.split_to(dropped));
                }
                Passage::Until(count) | Passage::Bye(count) => {
                    passed.extend_from_slice(&waiting.split_to(count));
                    return Ok(passed);
                }
            }
        }
    }
    Ok(passed)
}

/// The bytes that are still to come, piece by piece.
struct Feed<'a> {
    segments: Vec<&'a [u8]>,
    cuts: Vec<usize>,
    offset: usize,
}

impl<'a> Feed<'a> {
    fn new(segments: &[&'a [u8]], cuts: &[usize]) -> Self {
        let segments = segments.iter().rev().copied().collect();
        Self { segments, cuts: cuts.to_vec(), offset: 0 }
    }

    fn read(&mut self, most: usize) -> Option<&'a [u8]> {
        let segment = self.segments.last_mut().filter(|segment| !segment.is_empty())?;
        let cut = self.cuts.iter().find(|cut| **cut > self.offset).map(|cut| cut - self.offset);
        let (piece, rest) = segment.split_at(cut.unwrap_or(usize::MAX).min(most).min(segment.len()));
        *segment = rest;
        self.offset += piece.len();
        Some(piece)
    }

    fn segment_left(&self) -> bool {
        self.segments.last().is_some_and(|segment| !segment.is_empty())
    }

    fn next_segment(&mut self) {
        self.segments.pop();
    }

    fn rest(&self) -> impl Iterator<Item = u8> {
        self.segments.iter().rev().flat_map(|segment| segment.iter().copied())
    }
}
