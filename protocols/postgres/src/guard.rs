//! Messages that would let a read-only session write: Query and Parse, by their text, and FunctionCall.
//!
//! The server does the work: it refuses writes while `default_transaction_read_only` is on, which the login sets. What
//! is looked for here are the ways to turn that off again. It is a seat belt against accidents: a function that does it
//! by itself, or a name that is put together while the statement runs, is not found.

use attache_sql::MAX_CHECKED_LEN;
use bytes::{Bytes, BytesMut};

use crate::frame::{self, HEADER_LEN, take_string, take_u32};
use crate::scan::body_len;
use crate::statement::{CURRENT, finding};

const QUERY: u8 = b'Q';
const PARSE: u8 = b'P';
const FUNCTION_CALL: u8 = b'F';
/// The number of `set_config` in every server's catalogue (`pg_proc.dat`).
const SET_CONFIG: u32 = 2078;

/// What a frame comes to that may be the first of these bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is passed on; so long it is, if that is known.
    Harmless(usize),
    /// More of it has to be there.
    Incomplete,
    /// It is not passed on; so long it is, and what goes in its place.
    Refused(usize, Bytes),
    /// It is longer than what is kept.
    TooLong,
    /// Its length makes no sense, so that nobody knows what stands behind it.
    Senseless,
}

/// Looks at the frame that begins here.
pub(crate) fn look(bytes: &[u8]) -> Look {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else { return Look::Incomplete };
    let Some(len) = body_len(*header).map(|len| HEADER_LEN + len) else { return Look::Senseless };
    let tag = header[0];
    if !matches!(tag, QUERY | PARSE | FUNCTION_CALL) {
        return Look::Harmless(len);
    }
    if len > MAX_CHECKED_LEN {
        return Look::TooLong;
    }
    let Some(body) = bytes.get(HEADER_LEN..len) else { return Look::Incomplete };
    // What cannot be read is the server's to complain of.
    minded(tag, body).map_or(Look::Harmless(len), |instead| Look::Refused(len, instead))
}

/// What goes in the place of a message with this body, if it is minded.
fn minded(tag: u8, mut body: &[u8]) -> Option<Bytes> {
    match tag {
        QUERY => Some(query(finding(take_string(&mut body)?)?)),
        PARSE => {
            let name = take_string(&mut body)?;
            Some(parse(name, finding(take_string(&mut body)?)?))
        }
        // It is answered as a query is, in the end by ReadyForQuery.
        FUNCTION_CALL if take_u32(&mut body)? == SET_CONFIG => Some(query("a call of set_config")),
        FUNCTION_CALL if names_setting(body) => {
            Some(query("a call of a function with transaction_read_only"))
        }
        _ => None,
    }
}

/// Some functions run what they are given (`query_to_xml`).
fn names_setting(arguments: &[u8]) -> bool {
    arguments.windows(CURRENT.len()).any(|part| part.eq_ignore_ascii_case(CURRENT.as_bytes()))
}

fn query(what: &str) -> Bytes {
    let mut out = BytesMut::new();
    frame::put(&mut out, QUERY, &[failing(what).as_bytes(), b"\0"]);
    out.freeze()
}

/// Of the same name, without parameters.
fn parse(name: &[u8], what: &str) -> Bytes {
    let mut out = BytesMut::new();
    frame::put(&mut out, PARSE, &[name, b"\0", failing(what).as_bytes(), b"\0\0\0"]);
    out.freeze()
}

/// A statement that fails with our words, also inside of a transaction, which it makes fail.
fn failing(what: &str) -> String {
    format!(
        "DO $attache$ BEGIN RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction', MESSAGE = \
         'attache: {what} is refused, because this route is read-only', HINT = \
         'It is a seat belt: options.read_only in the configuration, --read-only of attache dev.'; END $attache$"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let mut out = BytesMut::new();
        frame::put(&mut out, tag, parts);
        out.to_vec()
    }

    #[test]
    fn a_message_is_looked_at_once_it_is_whole() {
        let query = message(b'Q', &[b"begin read write\0"]);
        for end in 0..query.len() {
            assert_eq!(look(&query[..end]), Look::Incomplete, "{end}");
        }
        assert!(matches!(look(&query), Look::Refused(len, _) if len == query.len()));
        let parse = message(b'P', &[b"s1\0", b"set transaction read write\0", b"\0\0"]);
        let Look::Refused(_, instead) = look(&parse) else { panic!("it is not refused") };
        assert!(instead.starts_with(b"P") && instead[HEADER_LEN..].starts_with(b"s1\0DO "));
        assert!(instead.ends_with(b"$attache$\0\0\0"));
        assert_eq!(look(&message(b'B', &[b"begin read write\0"])), Look::Harmless(22));
        assert_eq!(look(b"d\0\x10\0\0"), Look::Harmless(0x10_0001));
        assert_eq!(look(b"Q\x7f\xff\xff\xff"), Look::TooLong);
        for senseless in [b"Q\0\0\0\x03", b"d\0\0\0\0", b"d\x80\0\0\0", b"Q\xff\xff\xff\xff"] {
            assert_eq!(look(senseless), Look::Senseless);
        }
        assert_eq!(look(&message(b'Q', &[b"no end"])), Look::Harmless(11));
    }

    #[test]
    fn a_call_of_set_config_by_its_number_is_refused_whatever_it_sets() {
        let arguments = b"\0\x01\0\0\0\x03\0\0\0\x15transaction_read_only\0\0\0\x03off\0\0\0\x01f\0\0";
        let call = message(b'F', &[&SET_CONFIG.to_be_bytes(), arguments]);
        assert_eq!(look(&call[..9]), Look::Incomplete);
        let Look::Refused(len, instead) = look(&call) else { panic!("it is not refused") };
        assert!(len == call.len() && instead.starts_with(b"Q") && instead.ends_with(b"$attache$\0"));
        let to_xml = message(b'F', &[&2923_u32.to_be_bytes(), arguments]);
        assert!(matches!(look(&to_xml), Look::Refused(..)), "it may run what it is given");
        let other = message(b'F', &[&957_u32.to_be_bytes(), b"\0\x01\0\0\0\x01\0\0\0\x04\0\0\0\x07\0\0"]);
        assert_eq!(look(&other), Look::Harmless(other.len()));
        assert_eq!(look(&message(b'F', &[b"\0"])), Look::Harmless(6));
    }
}
