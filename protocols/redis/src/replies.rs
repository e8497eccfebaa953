//! Finds frames in a server's stream of bytes, of RESP2 and RESP3 alike ("Redis serialization protocol
//! specification"): headers only, bodies are counted off.
//!
//! Nesting costs nothing: of an aggregate only the number of values that are still to come is kept, in one sum for all
//! levels. Only aggregates without a length (RESP3's streamed types) are kept one by one, and bounded.

use crate::scan::{Digit, Number};

/// The deepest nesting of streamed aggregates. No server sends any.
const MAX_STREAMS: usize = 32;
/// What an aggregate without a length stands for in the sum: more than will ever come.
const UNBOUNDED: u64 = u64::MAX / 4;
/// How much is seen of the first element of an aggregate, in octets: one more than the longest word that means
/// anything, `punsubscribe`.
const MAX_WORD_LEN: usize = 13;

/// Where a server's stream stands.
#[derive(Debug)]
pub(crate) struct Replies {
    state: State,
    /// Values that are still to come until the frame is complete.
    owed: u64,
    /// The same, for each streamed aggregate that is open, of what stands around it.
    around: Vec<u64>,
    seen: Seen,
    #[cfg(test)]
    pub(crate) turns: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In front of a value.
    Type,
    /// In the number behind a type.
    Number(u8, Number),
    /// In a line that is passed over.
    Line,
    /// In front of the carriage return behind the mark of a streamed type.
    StreamReturn,
    /// In front of the line feed behind it.
    StreamFeed,
    /// In a bulk of which so many octets are left, with its line end; whether it is a value of its own.
    Body(u64, Worth),
    /// A frame made no sense. From here on nothing is known.
    Lost,
}

/// Whether a bulk counts.
#[derive(Debug, Clone, Copy)]
enum Worth {
    Value,
    /// It is a chunk of a streamed string.
    Part,
}

/// What a whole frame looked like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The type of its value; before that, of an attribute; before that, 0.
    pub(crate) kind: u8,
    /// The first octet behind the type.
    pub(crate) first: u8,
    /// The last integer in it.
    pub(crate) integer: i64,
    /// Values so far, with the outermost.
    values: u64,
    word: [u8; MAX_WORD_LEN],
    word_len: usize,
}

impl Seen {
    /// The beginning of the first element of an aggregate, where that is a bulk string, or of an error of one line.
    pub(crate) fn word(&self) -> &[u8] {
        &self.word[..self.word_len.min(MAX_WORD_LEN)]
    }

    /// Whether a server refuses to write because it is a replica.
    pub(crate) fn is_read_only(&self) -> bool {
        self.kind == b'-' && self.word().starts_with(b"READONLY ")
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self.kind, b'-' | b'!')
    }
}

impl Default for Replies {
    fn default() -> Self {
        Self {
            state: State::Type,
            owed: 1,
            around: Vec::new(),
            seen: Seen::default(),
            #[cfg(test)]
            turns: 0,
        }
    }
}

impl Replies {
    /// Whether every frame that has begun has also ended.
    pub(crate) fn at_boundary(&self) -> bool {
        matches!(self.state, State::Type) && self.owed == 1 && self.seen.kind == 0 && self.around.is_empty()
    }

    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    /// Reports every frame that ends within these bytes, in order.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Seen)) {
        while !bytes.is_empty() && !self.is_lost() {
            let (used, frame) = self.next(bytes);
            bytes = &bytes[used..];
            if let Some(frame) = frame {
                seen(frame);
            }
        }
    }

    /// Goes on to the end of the current frame, or of these bytes: how many were used, and the frame if it ended.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> (usize, Option<Seen>) {
        let mut at = 0;
        while at < bytes.len() {
            at += self.turn(&bytes[at..]);
            if self.owed == 0 && self.around.is_empty() {
                self.owed = 1;
                return (at, Some(std::mem::take(&mut self.seen)));
            }
            if self.is_lost() {
                return (bytes.len(), None);
            }
        }
        (at, None)
    }

    /// Goes on by at least one octet. There is at least one.
    fn turn(&mut self, bytes: &[u8]) -> usize {
        #[cfg(test)]
        {
            self.turns += 1;
        }
        match self.state {
            State::Type => self.begin(bytes[0]),
            State::Number(kind, number) => return self.number(kind, number, bytes),
            State::Line => return self.line(bytes),
            State::StreamReturn if bytes[0] == b'\r' => self.state = State::StreamFeed,
            State::StreamFeed if bytes[0] == b'\n' => self.state = State::Type,
            State::StreamReturn | State::StreamFeed => self.state = State::Lost,
            State::Body(left, worth) => return self.body(left, worth, bytes),
            State::Lost => {}
        }
        1
    }

    fn begin(&mut self, kind: u8) {
        self.state = match kind {
            b'+' | b'-' | b'_' | b',' | b'#' | b'(' | b'.' => State::Line,
            b':' | b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|' | b';' => {
                State::Number(kind, Number::default())
            }
            _ => State::Lost,
        };
        match kind {
            b'.' | b';' if self.around.is_empty() => self.state = State::Lost,
            b'.' => self.end_of_stream(),
            b';' => {}
            _ if self.is_outermost() => self.seen = Seen { kind, values: 1, ..Seen::default() },
            b'|' => {}
            _ if self.seen.kind == b'|' => {}
            // What comes next is not the first element.
            b'>' => self.seen.values += 2,
            _ => self.seen.values += 1,
        }
    }

    /// Whether the frame begins here, or only attributes of its value have come so far.
    fn is_outermost(&self) -> bool {
        matches!(self.seen.kind, 0 | b'|') && self.owed == 1 && self.around.is_empty()
    }

    /// A value of a single line. Its first octet tells some lines from others.
    fn line(&mut self, bytes: &[u8]) -> usize {
        if self.seen.values == 1 && self.seen.first == 0 {
            self.seen.first = bytes[0];
        }
        if self.seen.kind == b'-' && self.seen.values == 1 {
            self.keep(bytes);
        }
        match bytes.iter().position(|octet| *octet == b'\n') {
            Some(end) => {
                self.state = State::Type;
                self.owed -= 1;
                end + 1
            }
            None => bytes.len(),
        }
    }

    fn number(&mut self, kind: u8, mut number: Number, bytes: &[u8]) -> usize {
        for (at, octet) in bytes.iter().enumerate() {
            number = match number.push(*octet) {
                Some(Digit::More(number)) => number,
                Some(Digit::Done(value)) => {
                    self.counted(kind, value);
                    return at + 1;
                }
                None => return at + self.no_number(kind, number, *octet),
            };
        }
        self.state = State::Number(kind, number);
        bytes.len()
    }

    /// An integer may be written in other ways; a question mark in place of a length begins a stream. Gives how many
    /// octets more were used.
    fn no_number(&mut self, kind: u8, number: Number, octet: u8) -> usize {
        match (kind, number, octet) {
            (b':', _, _) => {
                self.state = State::Line;
                0
            }
            (b'$' | b'*' | b'~' | b'%' | b'>', Number::Empty, b'?') if self.around.len() < MAX_STREAMS => {
                self.around.push(self.owed - 1);
                self.owed = UNBOUNDED;
                self.state = State::StreamReturn;
                1
            }
            _ => {
                self.state = State::Lost;
                1
            }
        }
    }

    fn counted(&mut self, kind: u8, value: i64) {
        let count = u64::try_from(value).unwrap_or(0);
        self.state = State::Type;
        match kind {
            b':' => {
                self.seen.integer = value;
                self.owed -= 1;
            }
            b'$' | b'!' | b'=' if value < 0 => self.owed -= 1,
            b'$' | b'!' | b'=' => self.state = body(count, Worth::Value),
            b';' if value > 0 => self.state = body(count, Worth::Part),
            b';' if value == 0 => self.end_of_stream(),
            // Inside of another value it is no part of that: a server tells a subscriber in the midst of the reply to EXEC
            // what that transaction has published.
            b'>' if self.seen.kind != b'>' => self.aggregate(count, 1, 0),
            b'*' | b'~' | b'>' => self.aggregate(count, 1, 1),
            b'%' => self.aggregate(count, 2, 1),
            // An attribute is no value: what it belongs to is still to come.
            b'|' => self.aggregate(count, 2, 0),
            _ => self.state = State::Lost,
        }
    }

    /// So many elements of so many values are owed in place of one value, or of none.
    fn aggregate(&mut self, count: u64, each: u64, instead_of: u64) {
        let owed = count.checked_mul(each).and_then(|more| (self.owed - instead_of).checked_add(more));
        match owed.filter(|owed| *owed <= 2 * UNBOUNDED) {
            Some(owed) => self.owed = owed,
            None => self.state = State::Lost,
        }
    }

    fn end_of_stream(&mut self) {
        self.owed = self.around.pop().unwrap_or(0);
        if matches!(self.state, State::Line) {
            // Its own line is still to be passed over, which takes one.
            self.owed += 1;
        }
    }

    fn body(&mut self, left: u64, worth: Worth, bytes: &[u8]) -> usize {
        let used = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        self.look(left, &bytes[..used]);
        let left = left - used as u64;
        self.state = if left > 0 { State::Body(left, worth) } else { State::Type };
        if left == 0 && matches!(worth, Worth::Value) {
            self.owed -= 1;
        }
        used
    }

    /// Keeps the beginning of the first element of an aggregate.
    fn look(&mut self, left: u64, part: &[u8]) {
        const LINE_END: u64 = 2;
        if self.seen.values != 2 || !matches!(self.seen.kind, b'*' | b'>') {
            return;
        }
        let len = usize::try_from(left.saturating_sub(LINE_END)).unwrap_or(usize::MAX).min(part.len());
        self.keep(&part[..len]);
    }

    fn keep(&mut self, part: &[u8]) {
        let room = &mut self.seen.word[self.seen.word_len..];
        let kept = part.len().min(room.len());
        room[..kept].copy_from_slice(&part[..kept]);
        self.seen.word_len += kept;
    }
}

/// A bulk and the line end behind it.
fn body(len: u64, worth: Worth) -> State {
    const LINE_END: u64 = 2;
    len.checked_add(LINE_END).map_or(State::Lost, |left| State::Body(left, worth))
}

#[cfg(test)]
mod tests;
