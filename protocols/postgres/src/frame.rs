//! Frames: a tag, a length that counts itself, a body (section "Message Formats").

use attache_wire::Fault;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Octets of a frame in front of its body: the tag and the length.
pub(crate) const HEADER_LEN: usize = 5;

/// One whole frame, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Frame(Bytes);

impl Frame {
    pub(crate) fn tag(&self) -> u8 {
        self.0[0]
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.0[HEADER_LEN..]
    }

    /// The frame with its header.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// Takes the next frame off the input, or nothing while it is not complete.
///
/// The length is checked as soon as it is there: a frame that is too long is never waited for.
pub(crate) fn next(input: &mut BytesMut, most: usize) -> Result<Option<Frame>, Fault> {
    let Some(header) = input.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let [_, length @ ..] = *header;
    let body = u32::from_be_bytes(length)
        .checked_sub(4)
        .ok_or(Fault::Malformed("the length of a message does not count itself"))?;
    let len = HEADER_LEN + body as usize;
    if len > most {
        return Err(Fault::TooLong(most));
    }
    Ok((input.len() >= len).then(|| Frame(input.split_to(len).freeze())))
}

/// The whole frames in these octets, one after another.
pub(crate) fn whole(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let [_, length @ ..] = *rest.first_chunk::<HEADER_LEN>()?;
        let (frame, behind) = rest.split_at_checked(1 + u32::from_be_bytes(length) as usize)?;
        rest = behind;
        Some(frame)
    })
}

/// Appends a frame whose body is these parts, without copying them anywhere else first.
pub(crate) fn put(out: &mut BytesMut, tag: u8, parts: &[&[u8]]) {
    let body: usize = parts.iter().map(|part| part.len()).sum();
    out.reserve(HEADER_LEN + body);
    out.put_u8(tag);
    out.put_u32(u32::try_from(body + 4).expect("frames made here are short"));
    parts.iter().for_each(|part| out.put_slice(part));
}

/// Takes a NUL-terminated string off the front, without its NUL; `None` if there is no NUL.
pub(crate) fn take_string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (string, rest) = bytes.split_at(end);
    *bytes = &rest[1..];
    Some(string)
}

/// Takes a big-endian number off the front.
pub(crate) fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    bytes.try_get_u32().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_comes_back() {
        let mut bytes = BytesMut::new();
        put(&mut bytes, b'p', &[b"one", b"", b"two"]);
        bytes.put_u8(b'Z');
        let frame = next(&mut bytes, 11).unwrap().unwrap();
        assert_eq!((frame.tag(), frame.body()), (b'p', &b"onetwo"[..]));
        assert_eq!(frame.as_bytes(), b"p\0\0\0\x0aonetwo");
        assert_eq!(&bytes[..], b"Z", "the next frame stays");
    }

    #[test]
    fn whole_frames_are_seen_one_after_another_up_to_one_that_is_not() {
        let frames: Vec<&[u8]> = whole(b"a\0\0\0\x04b\0\0\0\x05xc\0\0\0\x05").collect();
        assert_eq!(frames, [&b"a\0\0\0\x04"[..], b"b\0\0\0\x05x"]);
    }

    #[test]
    fn lengths_are_checked_before_the_body_is_there() {
        let next = |bytes: &[u8]| next(&mut bytes.into(), 11).map(|frame| frame.is_some());
        assert_eq!(next(b"p\0\0\0"), Ok(false));
        assert_eq!(next(b"p\0\0\0\x0a"), Ok(false));
        assert_eq!(next(b"p\0\0\0\x0b"), Err(Fault::TooLong(11)));
        assert_eq!(next(b"p\xff\xff\xff\xff"), Err(Fault::TooLong(11)));
        assert!(matches!(next(b"p\0\0\0\x03"), Err(Fault::Malformed(_))));
    }
}
