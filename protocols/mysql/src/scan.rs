//! Finds packets in a stream of bytes without keeping them: headers and first octets only, the rest is counted off
//! (manual, "MySQL Packets").

use crate::packet::{FULL_LEN, HEADER_LEN};
use crate::rejection::ERR;

/// How many octets of a server's payload are looked at: enough for the status flags of an OK behind two numbers of nine
/// octets.
pub(crate) const ANSWER_LEN: usize = 24;
/// And of a client's: enough for the first words of a statement, and a short comment in front of them.
pub(crate) const STATEMENT_LEN: usize = 72;

/// Where one direction of a session stands.
#[derive(Debug)]
pub(crate) struct Scanner<const HEAD_LEN: usize> {
    state: State,
    part: Part,
    header: [u8; HEADER_LEN],
    head: [u8; HEAD_LEN],
    head_len: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many octets of a header are there.
    Header(u8),
    /// So many octets of a payload are still to come.
    Body(u32),
}

/// Which part of a payload comes next. One that fills its packet goes on in the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    First,
    Further,
}

/// What a whole payload looked like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// The number of its last packet.
    pub(crate) sequence: u8,
    /// Its length, or [`FULL_LEN`] where that is not enough.
    pub(crate) len: usize,
    /// Its first octets.
    pub(crate) head: &'a [u8],
}

impl Seen<'_> {
    pub(crate) fn is_error(&self) -> bool {
        self.head.first() == Some(&ERR)
    }

    /// MariaDB's progress reports look like errors with a number that no error has, and come in between.
    pub(crate) fn is_progress(&self) -> bool {
        self.head.starts_with(&[ERR, 0xff, 0xff])
    }
}

impl<const HEAD_LEN: usize> Default for Scanner<HEAD_LEN> {
    fn default() -> Self {
        const { assert!(HEAD_LEN <= u8::MAX as usize, "its length is kept in an octet") };
        let (state, part) = (State::Header(0), Part::First);
        Self { state, part, header: [0; HEADER_LEN], head: [0; HEAD_LEN], head_len: 0 }
    }
}

impl<const HEAD_LEN: usize> Scanner<HEAD_LEN> {
    /// Whether everything that has begun has also ended.
    pub(crate) fn at_boundary(&self) -> bool {
        self.state == State::Header(0) && self.part == Part::First
    }

    /// Takes bytes off the front, up to the end of the next payload, which it reports.
    pub(crate) fn next<'a, 'b: 'a>(&'a mut self, bytes: &mut &'b [u8]) -> Option<Seen<'a>> {
        if self.at_boundary()
            && let Some(seen) = whole(bytes, HEAD_LEN)
        {
            return Some(seen);
        }
        while !bytes.is_empty() {
            match self.state {
                State::Header(filled) => self.fill_header(filled.into(), bytes),
                State::Body(left) => self.skip_body(left, bytes),
            }
            if self.state == State::Body(0) {
                self.state = State::Header(0);
                if let Some(len) = self.end_packet() {
                    let head = &self.head[..self.head_len.into()];
                    return Some(Seen { sequence: self.header[3], len, head });
                }
            }
        }
        None
    }

    fn fill_header(&mut self, filled: usize, bytes: &mut &[u8]) {
        let (part, rest) = bytes.split_at(bytes.len().min(HEADER_LEN - filled));
        self.header[filled..filled + part.len()].copy_from_slice(part);
        *bytes = rest;
        self.state = match filled + part.len() {
            HEADER_LEN => {
                if self.part == Part::First {
                    self.head_len = 0;
                }
                State::Body(length(&self.header))
            }
            filled => State::Header(filled as u8),
        };
    }

    fn skip_body(&mut self, left: u32, bytes: &mut &[u8]) {
        let (part, rest) = bytes.split_at(bytes.len().min(left as usize));
        if self.part == Part::First {
            let room = &mut self.head[self.head_len.into()..];
            let look = part.len().min(room.len());
            room[..look].copy_from_slice(&part[..look]);
            self.head_len += look as u8;
        }
        *bytes = rest;
        self.state = State::Body(left - part.len() as u32);
    }

    /// The length of the payload, if it ends with this packet.
    fn end_packet(&mut self) -> Option<usize> {
        let len = length(&self.header) as usize;
        let before =
            std::mem::replace(&mut self.part, if len == FULL_LEN { Part::Further } else { Part::First });
        match (self.part, before) {
            (Part::Further, _) => None,
            (Part::First, Part::First) => Some(len),
            (Part::First, Part::Further) => Some(FULL_LEN),
        }
    }
}

fn length(header: &[u8; HEADER_LEN]) -> u32 {
    let [low, middle, high, _] = *header;
    u32::from_le_bytes([low, middle, high, 0])
}

/// A payload that is all there, in one packet: most are, and nothing of them is copied.
fn whole<'a>(bytes: &mut &'a [u8], most: usize) -> Option<Seen<'a>> {
    let header = bytes.first_chunk::<HEADER_LEN>()?;
    let len = length(header) as usize;
    if len == FULL_LEN || bytes.len() < HEADER_LEN + len {
        return None;
    }
    let (packet, rest) = bytes.split_at(HEADER_LEN + len);
    *bytes = rest;
    let payload = &packet[HEADER_LEN..];
    Some(Seen { sequence: header[3], len, head: &payload[..len.min(most)] })
}
