//! What packets are made of (manual, "Basic Data Types").
//!
//! Each function takes one value off the front of a payload, and says `None` where it is not all there.

use bytes::{Buf, BufMut, BytesMut};

/// A length-encoded integer. `0xfb` (NULL) and `0xff` (an error) are none.
pub(crate) fn take_length(bytes: &mut &[u8]) -> Option<u64> {
    match bytes.try_get_u8().ok()? {
        small @ 0..=0xfa => Some(small.into()),
        0xfc => bytes.try_get_u16_le().ok().map(u64::from),
        0xfd => bytes.try_get_uint_le(3).ok(),
        0xfe => bytes.try_get_u64_le().ok(),
        0xfb | 0xff => None,
    }
}

/// A string behind its length-encoded length.
pub(crate) fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_length(bytes)?;
    bytes.split_off(..usize::try_from(len).ok()?)
}

/// A string in front of a NUL, without the NUL.
pub(crate) fn take_until_nul<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (text, rest) = bytes.split_at(end);
    *bytes = &rest[1..];
    Some(text)
}

/// Appends a length-encoded integer.
pub(crate) fn put_length(out: &mut BytesMut, value: u64) {
    match value {
        0..=0xfa => out.put_uint_le(value, 1),
        0xfb..=0xffff => {
            out.put_u8(0xfc);
            out.put_uint_le(value, 2);
        }
        0x1_0000..=0xff_ffff => {
            out.put_u8(0xfd);
            out.put_uint_le(value, 3);
        }
        _ => {
            out.put_u8(0xfe);
            out.put_u64_le(value);
        }
    }
}

/// Appends a string behind its length-encoded length.
pub(crate) fn put_text(out: &mut BytesMut, text: &[u8]) {
    put_length(out, text.len() as u64);
    out.put_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_come_back_in_their_shortest_form() {
        let lengths =
            [(0, 1), (250, 1), (251, 3), (0xffff, 3), (0x1_0000, 4), (0xff_ffff, 4), (0x100_0000, 9)];
        for (value, len) in lengths {
            let mut bytes = BytesMut::new();
            put_length(&mut bytes, value);
            assert_eq!(bytes.len(), len, "{value}");
            assert_eq!(take_length(&mut &bytes[..]), Some(value));
            assert_eq!(take_length(&mut &bytes[..len - 1]), None);
        }
        assert_eq!(take_length(&mut &b"\xfb"[..]), None);
    }

    #[test]
    fn strings_are_taken_whole_or_not_at_all() {
        let mut bytes = &b"\x03abcd\0e"[..];
        assert_eq!(take_text(&mut bytes), Some(&b"abc"[..]));
        assert_eq!(take_until_nul(&mut bytes), Some(&b"d"[..]));
        assert_eq!(take_until_nul(&mut bytes), None);
        assert_eq!(take_text(&mut &b"\x03ab"[..]), None);
        assert_eq!(take_text(&mut &b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff"[..]), None);
    }
}
