//! Whole frames, bounded: commands that are written, and replies to them that are read.
//!
//! A reply is decoded only when it is complete, short and shallow: the decoder of `redis-protocol` recurses as deep as
//! its input is nested.

use attache_wire::Fault;
use bytes::{BufMut, Bytes, BytesMut};
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

use crate::replies::{Replies, Seen};

/// The longest reply to a question of ours, in octets: ROLE lists every replica, and HELLO every module.
pub const MAX_REPLY_LEN: usize = 64 * 1024;
/// The deepest nesting of such a reply. ROLE needs three.
const MAX_DEPTH: usize = 16;

/// Appends a command.
pub(crate) fn put(out: &mut BytesMut, words: &[&[u8]]) {
    put_header(out, b'*', words.len());
    for word in words {
        out.reserve(word.len() + 16);
        put_header(out, b'$', word.len());
        out.put_slice(word);
        out.put_slice(b"\r\n");
    }
}

fn put_header(out: &mut BytesMut, kind: u8, count: usize) {
    out.put_u8(kind);
    out.put_slice(count.to_string().as_bytes());
    out.put_slice(b"\r\n");
}

/// Appends an error of one line.
pub(crate) fn put_error(out: &mut BytesMut, text: &str) {
    out.put_u8(b'-');
    let mut octets = [0; 4];
    for letter in text.chars() {
        let letter = if letter.is_control() { ' ' } else { letter };
        out.put_slice(letter.encode_utf8(&mut octets).as_bytes());
    }
    out.put_slice(b"\r\n");
}

/// Reads frames one by one, looking at each octet once.
#[derive(Debug)]
pub(crate) struct Reader {
    scanner: Replies,
    /// Octets of the input that belong to the current frame.
    looked_at: usize,
    /// The longest frame that is taken.
    most: usize,
}

impl Default for Reader {
    fn default() -> Self {
        Self::up_to(MAX_REPLY_LEN)
    }
}

/// One whole frame, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) bytes: Bytes,
    seen: Seen,
}

impl Reader {
    pub(crate) fn up_to(most: usize) -> Self {
        Self { scanner: Replies::default(), looked_at: 0, most }
    }

    /// Takes the next frame off the input, or nothing while it is not complete.
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Reply>, Fault> {
        let (used, seen) = self.scanner.next(&input[self.looked_at..]);
        if self.scanner.is_lost() {
            return Err(Fault::Malformed("a reply that is no frame of RESP"));
        }
        self.looked_at += used;
        if self.looked_at > self.most {
            return Err(Fault::TooLong(self.most));
        }
        let Some(seen) = seen else { return Ok(None) };
        let bytes = input.split_to(std::mem::take(&mut self.looked_at)).freeze();
        Ok(Some(Reply { bytes, seen }))
    }
}

impl Reply {
    /// A frame of which the scanner has found the end.
    pub(crate) fn new(bytes: Bytes, seen: Seen) -> Self {
        Self { bytes, seen }
    }

    /// Whether it was not asked for.
    pub(crate) fn is_push(&self) -> bool {
        self.seen.kind == b'>'
    }

    /// The text of an error, without its mark and its line end.
    pub(crate) fn error(&self) -> Option<&[u8]> {
        let line = match self.seen.kind {
            b'-' => self.bytes.strip_prefix(b"-")?,
            // RESP3: a length, then a text that may be anything.
            b'!' => self.bytes.splitn(2, |octet| *octet == b'\n').nth(1)?,
            _ => return None,
        };
        Some(line.strip_suffix(b"\r\n").unwrap_or(line))
    }

    /// Whether it is just this line.
    pub(crate) fn is_status(&self, status: &str) -> bool {
        self.bytes.strip_prefix(b"+").and_then(|line| line.strip_suffix(b"\r\n")) == Some(status.as_bytes())
    }

    /// The elements of an array, if it is one of RESP2 and shallow.
    pub(crate) fn elements(&self) -> Option<Vec<OwnedFrame>> {
        elements(&self.bytes)
    }
}

/// The elements of an array that is complete.
pub(crate) fn elements(frame: &[u8]) -> Option<Vec<OwnedFrame>> {
    match decode(Some(frame).filter(|frame| is_shallow(frame))?) {
        Ok(Some((OwnedFrame::Array(elements), _))) => Some(elements),
        Ok(_) | Err(_) => None,
    }
}

/// The elements of an array within another.
pub(crate) fn elements_of(frame: &OwnedFrame) -> Option<&[OwnedFrame]> {
    match frame {
        OwnedFrame::Array(elements) => Some(elements),
        OwnedFrame::BulkString(_)
        | OwnedFrame::SimpleString(_)
        | OwnedFrame::Error(_)
        | OwnedFrame::Integer(_)
        | OwnedFrame::Null => None,
    }
}

/// The octets of a string.
pub(crate) fn text(frame: &OwnedFrame) -> Option<&[u8]> {
    match frame {
        OwnedFrame::BulkString(text) | OwnedFrame::SimpleString(text) => Some(text),
        OwnedFrame::Error(_) | OwnedFrame::Integer(_) | OwnedFrame::Array(_) | OwnedFrame::Null => None,
    }
}

/// Whether a frame that is complete is nested no deeper than it may be.
fn is_shallow(mut frame: &[u8]) -> bool {
    // How many values each open array still waits for.
    let mut open: Vec<usize> = Vec::with_capacity(MAX_DEPTH);
    while let Some(end) = frame.windows(2).position(|pair| pair == b"\r\n") {
        let (line, rest) = (&frame[..end], &frame[end + 2..]);
        frame = rest;
        let count =
            line.get(1..).and_then(|text| str::from_utf8(text).ok()).and_then(|text| text.parse().ok());
        match (line.first(), count) {
            (Some(b'*'), Some(count)) if count > 0 => {
                open.push(count);
                if open.len() > MAX_DEPTH {
                    return false;
                }
                continue;
            }
            (Some(b'$'), Some(count)) => {
                frame = frame.get(count.saturating_add(2)..).unwrap_or_default();
            }
            _ => {}
        }
        // A value is complete, and with it perhaps the arrays around it.
        while let Some(left) = open.last_mut() {
            *left -= 1;
            if *left > 0 {
                break;
            }
            open.pop();
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_a_command() {
        let mut out = BytesMut::new();
        put(&mut out, &[b"AUTH", b"", b"a\r\nb"]);
        assert_eq!(&out[..], b"*3\r\n$4\r\nAUTH\r\n$0\r\n\r\n$4\r\na\r\nb\r\n");
        out.clear();
        put_error(&mut out, "ERR one\r\n+OK");
        assert_eq!(&out[..], b"-ERR one  +OK\r\n");
    }

    #[test]
    fn deep_replies_are_not_decoded_and_long_ones_not_waited_for() {
        let nested = |depth: usize| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
        assert!(elements(&nested(MAX_DEPTH)).is_some());
        assert!(elements(&nested(MAX_DEPTH + 1)).is_none());
        assert!(elements(&nested(12_000)).is_none());
        // What stands in a string of RESP3 may look like anything.
        assert!(elements(b"*1\r\n=22\r\n$18446744073709551615\r\n\r\n").is_none());
        let row = b"*2\r\n*1\r\n$2\r\nab\r\n*2\r\n:1\r\n*0\r\n".repeat(50);
        assert!(elements(&[&b"*50\r\n"[..], &row].concat()).is_some(), "many rows are not deep");

        let mut reader = Reader::default();
        let mut input = BytesMut::from(&b"$65536\r\n"[..]);
        assert_eq!(reader.next(&mut input), Ok(None));
        input.extend_from_slice(&vec![b'x'; MAX_REPLY_LEN]);
        assert_eq!(reader.next(&mut input), Err(Fault::TooLong(MAX_REPLY_LEN)));
    }

    #[test]
    fn frames_are_read_one_by_one() {
        let mut reader = Reader::default();
        let mut input = BytesMut::from(&b"+OK\r\n-ERR no\xff\r\n!5\r\nERR b\r\n*1"[..]);
        assert!(reader.next(&mut input).unwrap().unwrap().is_status("OK"));
        assert_eq!(reader.next(&mut input).unwrap().unwrap().error(), Some(&b"ERR no\xff"[..]));
        assert_eq!(reader.next(&mut input).unwrap().unwrap().error(), Some(&b"ERR b"[..]));
        assert_eq!(reader.next(&mut input), Ok(None));
        assert_eq!(&input[..], b"*1");
    }
}
