//! Commands that would let a read-only session write.
//!
//! The server does the work: it refuses writes while the session's transactions are read-only, which follows each login
//! ([`restriction`](crate::restriction)). What is looked for here are the ways to turn that off again. It is a seat belt
//! against accidents: a procedure that does it by itself, or a statement that is put together while it runs, is not found.

use attache_sql::MAX_CHECKED_LEN;
use bytes::{Bytes, BytesMut};

use crate::attributes;
use crate::capabilities::Capabilities;
use crate::packet::{self, HEADER_LEN};
use crate::question;
use crate::statement::{finding, words};

const COM_QUERY: u8 = 0x03;
/// Commands of old, which MariaDB knows still.
const COM_CREATE_DB: u8 = 0x05;
const COM_DROP_DB: u8 = 0x06;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_RESET_CONNECTION: u8 = 0x1f;
/// COM_CLONE, and the stream of a replication group: they make another protocol of a session.
const COM_CLONE: u8 = 0x20;
const COM_GROUP_STREAM: u8 = 0x21;

/// What a command comes to that begins with these bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Harmless,
    /// More of it has to be there.
    Incomplete,
    /// It is not passed on; so long its packet is, and what goes in its place.
    Refused(usize, Bytes),
    /// It is longer than what is kept.
    TooLong,
}

/// Looks at the command that begins here.
pub(crate) fn look(bytes: &[u8], capabilities: Capabilities) -> Look {
    let Some([low, middle, high, _, command]) = bytes.first_chunk::<{ HEADER_LEN + 1 }>() else {
        let is_empty = bytes.starts_with(&[0, 0, 0]) && bytes.len() == HEADER_LEN;
        return if is_empty { Look::Harmless } else { Look::Incomplete };
    };
    let len = HEADER_LEN + u32::from_le_bytes([*low, *middle, *high, 0]) as usize;
    if len == HEADER_LEN {
        return Look::Harmless;
    }
    let what = match *command {
        COM_RESET_CONNECTION => Some("COM_RESET_CONNECTION"),
        COM_CREATE_DB | COM_DROP_DB => Some("a change of databases"),
        COM_CLONE | COM_GROUP_STREAM => Some("what only servers say to each other"),
        COM_QUERY | COM_STMT_PREPARE if len > MAX_CHECKED_LEN => return Look::TooLong,
        COM_QUERY | COM_STMT_PREPARE => match bytes.get(HEADER_LEN + 1..len) {
            None => return Look::Incomplete,
            Some(sql) if *command == COM_QUERY && capabilities.has(Capabilities::QUERY_ATTRIBUTES) => {
                of_query(sql)
            }
            Some(sql) => finding(sql),
        },
        _ => None,
    };
    match what {
        None => Look::Harmless,
        Some(_) if len > MAX_CHECKED_LEN => Look::TooLong,
        Some(_) if bytes.len() < len => Look::Incomplete,
        Some(what) => Look::Refused(len, refusing(*command, what, capabilities)),
    }
}

/// Behind attributes, as far as they are understood.
fn of_query(payload: &[u8]) -> Option<&'static str> {
    attributes::text(payload).map_or_else(|| words(payload), finding)
}

/// A command that is answered as that one would be, by an error with our words.
fn refusing(command: u8, what: &str, capabilities: Capabilities) -> Bytes {
    let text = format!(
        "SIGNAL SQLSTATE '25006' SET MYSQL_ERRNO = 1792, MESSAGE_TEXT = \
         'attache: {what} is refused, because this route is read-only'"
    );
    let mut out = BytesMut::new();
    match command {
        COM_STMT_PREPARE => packet::put(&mut out, 0, &[&[COM_STMT_PREPARE], text.as_bytes()]),
        _ => question::put(text.as_bytes(), capabilities, &mut out),
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(command: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        packet::put(&mut out, 0, &[&[command], payload]);
        out.to_vec()
    }

    #[test]
    fn a_command_is_looked_at_once_it_is_whole() {
        let none = Capabilities::NONE;
        let query = command(COM_QUERY, b"start transaction read write");
        for end in 0..query.len() {
            assert_eq!(look(&query[..end], none), Look::Incomplete, "{end}");
        }
        let Look::Refused(len, instead) = look(&query, none) else { panic!("it is not refused") };
        assert_eq!((len, &instead[4..11]), (query.len(), &b"\x03SIGNAL"[..]));
        let prepare = command(COM_STMT_PREPARE, b"start transaction read write");
        let Look::Refused(_, instead) = look(&prepare, none) else { panic!("it is not refused") };
        assert_eq!(instead[4], COM_STMT_PREPARE);
        assert!(matches!(look(&command(COM_RESET_CONNECTION, b""), none), Look::Refused(5, _)));
        assert_eq!(look(&command(0x0e, b""), none), Look::Harmless);
        assert_eq!(look(b"\0\0\0\0", none), Look::Harmless);
        assert_eq!(look(b"\xff\xff\xff\0\x03select", none), Look::TooLong);
        assert_eq!(look(b"\xff\xff\xff\0\x17", none), Look::Harmless);
        assert_eq!(look(b"\xff\xff\xff\0\x1f", none), Look::TooLong, "nor is it kept to be dropped");
    }

    #[test]
    fn attributes_of_a_query_are_not_taken_for_its_text() {
        let with = Capabilities::QUERY_ATTRIBUTES;
        let found = |payload: &[u8]| matches!(look(&command(COM_QUERY, payload), with), Look::Refused(..));
        assert!(found(b"\0\x01set tx_read_only=0"));
        assert!(!found(b"\0\x01select 'set tx_read_only=0'"));
        assert!(found(b"\x01\x01\0\x01\xfe\0\x01a\x01'set tx_read_only=0"));
        let Look::Refused(_, instead) = look(&command(COM_QUERY, b"\0\x01set tx_read_only=0"), with) else {
            panic!("it is not refused")
        };
        assert_eq!(&instead[4..13], b"\x03\0\x01SIGNAL");
    }
}
