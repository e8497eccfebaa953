//! What may stand in front of the text of a query (manual, "COM_QUERY", "Binary Protocol Value").

use crate::capabilities::Capabilities;
use crate::field::{take_length, take_text};

/// There are no attributes, in one set.
pub(crate) const NONE: &[u8] = &[0, 1];

/// What stands in front of a statement of ours on this link.
pub(crate) fn prefix(capabilities: Capabilities) -> &'static [u8] {
    if capabilities.has(Capabilities::QUERY_ATTRIBUTES) { NONE } else { &[] }
}

/// The text behind the attributes. `None` where they are not understood.
pub(crate) fn text(mut payload: &[u8]) -> Option<&[u8]> {
    let (count, sets) = (take_length(&mut payload)?, take_length(&mut payload)?);
    if sets != 1 {
        return None;
    }
    if count == 0 {
        return Some(payload);
    }
    // Each takes more than an octet: a number that cannot be true is none.
    let count = usize::try_from(count).ok().filter(|count| *count <= payload.len())?;
    let is_null = payload.split_off(..count.div_ceil(8))?;
    if payload.split_off_first()? != &TYPES_FOLLOW {
        return None;
    }
    let kinds = (0..count).map(|_| take_kind(&mut payload)).collect::<Option<Vec<u8>>>()?;
    for (at, kind) in kinds.into_iter().enumerate() {
        if is_null[at / 8] >> (at % 8) & 1 == 0 {
            skip_value(kind, &mut payload)?;
        }
    }
    Some(payload)
}

const TYPES_FOLLOW: u8 = 1;

/// A type, whether it has a sign, a name.
fn take_kind(payload: &mut &[u8]) -> Option<u8> {
    let [kind, _sign] = payload.split_off(..2)? else { return None };
    take_text(payload)?;
    Some(*kind)
}

/// By the numbers of `enum_field_types`.
fn skip_value(kind: u8, payload: &mut &[u8]) -> Option<()> {
    let len = match kind {
        // NULL.
        6 => 0,
        // TINY, BOOL.
        1 | 244 => 1,
        // SHORT, YEAR.
        2 | 13 => 2,
        // LONG, INT24, FLOAT.
        3 | 9 | 4 => 4,
        // LONGLONG, DOUBLE.
        8 | 5 => 8,
        // DATE, DATETIME, TIMESTAMP, TIME: behind an octet with their length.
        10 | 12 | 7 | 11 => usize::from(*payload.split_off_first()?),
        _ => return take_text(payload).map(|_| ()),
    };
    payload.split_off(..len).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_every_kind_are_skipped() {
        assert_eq!(text(b"\0\x01select"), Some(&b"select"[..]));
        // A text, a long, a datetime, and one that is NULL.
        let attributes = [
            &b"\x04\x01\x08\x01"[..],
            b"\xfe\0\x01a\x08\0\x01b\x0c\0\x01c\xfd\0\x01d",
            b"\x05'read",
            b"\x01\0\0\0\0\0\0\0",
            b"\x04\xea\x07\x01\x02",
        ];
        let whole = [&attributes.concat()[..], b"select 1"].concat();
        assert_eq!(text(&whole), Some(&b"select 1"[..]));
        for end in 0..whole.len() - b"select 1".len() {
            assert_eq!(text(&whole[..end]), None, "{end}");
        }
    }

    #[test]
    fn what_is_not_understood_is_none() {
        for payload in [
            &b"\0\x02select"[..],
            b"\x01\x01\0\0\xfe\0\x01a",
            b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"",
        ] {
            assert_eq!(text(payload), None, "{}", payload.escape_ascii());
        }
    }
}
