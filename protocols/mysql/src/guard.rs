//! Commands that would let a read-only session write.
//!
//! The server does the work: it refuses writes while the session's transactions are read-only, which follows each login
//! ([`Restriction`](crate::restriction::Restriction)). What is looked for here are the ways to turn that off again. It is
//! a seat belt against accidents: a procedure that does it by itself, or a statement that is put together while it
//! runs, is not found.

use bytes::{Bytes, BytesMut};

use crate::capabilities::Capabilities;
use crate::lex::{Lexer, Token, is_in_word};
use crate::packet::{self, HEADER_LEN};

/// The longest statement that is looked at, in octets: many times what anybody types, and bounded, for it is kept
/// until it is whole.
pub const MAX_CHECKED_LEN: usize = 4 * 1024 * 1024;

const COM_QUERY: u8 = 0x03;
/// Commands of old, which MariaDB knows still.
const COM_CREATE_DB: u8 = 0x05;
const COM_DROP_DB: u8 = 0x06;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_RESET_CONNECTION: u8 = 0x1f;
/// With query attributes: there are none, in one set.
const NO_ATTRIBUTES: &[u8] = &[0, 1];

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
        Some(_) if bytes.len() < len => Look::Incomplete,
        Some(what) => Look::Refused(len, refusing(*command, what, capabilities)),
    }
}

/// In front of the text stand attributes. Where there are any, the text is not looked for: words are.
fn of_query(payload: &[u8]) -> Option<&'static str> {
    match payload.strip_prefix(NO_ATTRIBUTES) {
        Some(sql) => finding(sql),
        None => names_a_mode(payload.split(|octet| !is_in_word(*octet))).then_some(MODE),
    }
}

/// A command that is answered as that one would be, by an error with our words.
fn refusing(command: u8, what: &str, capabilities: Capabilities) -> Bytes {
    let text = format!(
        "SIGNAL SQLSTATE '25006' SET MYSQL_ERRNO = 1792, MESSAGE_TEXT = \
         'attache: {what} is refused, because this route is read-only'"
    );
    let mut out = BytesMut::new();
    let attributes = if capabilities.has(Capabilities::QUERY_ATTRIBUTES) { NO_ATTRIBUTES } else { &[] };
    match command {
        COM_STMT_PREPARE => packet::put(&mut out, 0, &[&[COM_STMT_PREPARE], text.as_bytes()]),
        _ => packet::put(&mut out, 0, &[&[COM_QUERY], attributes, text.as_bytes()]),
    }
    out.freeze()
}

/// What of this text would turn it off.
pub(crate) fn finding(sql: &[u8]) -> Option<&'static str> {
    let mut statement = Statement::default();
    for token in Lexer::new(sql) {
        if let Some(what) = statement.hear(&token) {
            return Some(what);
        }
    }
    statement.end()
}

/// One statement, as far as it has been heard.
#[derive(Debug, Default)]
struct Statement {
    kind: Kind,
    expects: Expects,
}

/// What its first word says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[default]
    None,
    /// SET, which may name a mode or a variable.
    Set,
    /// BEGIN or START TRANSACTION.
    Begin,
    /// A statement in a string.
    Prepare,
    Other,
}

/// What would be worth noting next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Expects {
    #[default]
    Nothing,
    /// WRITE, behind READ.
    Write,
    /// The value of the variable.
    Value,
}

const MODE: &str = "READ WRITE";
const CHANGE: &str = "a change of transaction_read_only";
const GLOBAL: &str = "a change of global variables";

impl Statement {
    fn hear(&mut self, token: &Token<'_>) -> Option<&'static str> {
        match token {
            Token::Sign(b';') => std::mem::take(self).end(),
            Token::Sign(_) => None,
            Token::Word(word) => self.word(&word.to_ascii_lowercase()),
            Token::Text(value) if self.expects == Expects::Value => self.value(value),
            Token::Text(code) => (self.kind == Kind::Prepare && mentions(code)).then_some(MODE),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<&'static str> {
        if self.kind == Kind::None {
            self.kind = Kind::of(word);
            return None;
        }
        let expected = std::mem::take(&mut self.expects);
        match (expected, self.kind, word) {
            (Expects::Write, _, b"write") => return Some(MODE),
            (Expects::Value, _, value) => return self.value(value),
            (_, Kind::Set | Kind::Begin, b"read") => self.expects = Expects::Write,
            (_, Kind::Set, b"global" | b"persist" | b"persist_only") => return Some(GLOBAL),
            (_, Kind::Set, name) if is_variable(name) => self.expects = Expects::Value,
            _ => {}
        }
        None
    }

    fn value(&mut self, value: &[u8]) -> Option<&'static str> {
        self.expects = Expects::Nothing;
        let is_on = [&b"on"[..], b"1", b"true"].iter().any(|on| value.eq_ignore_ascii_case(on));
        (!is_on).then_some(CHANGE)
    }

    /// A variable without a value that could be understood is one that is changed.
    fn end(self) -> Option<&'static str> {
        (self.expects == Expects::Value).then_some(CHANGE)
    }
}

impl Kind {
    fn of(word: &[u8]) -> Self {
        match word {
            b"set" => Self::Set,
            b"begin" | b"start" => Self::Begin,
            b"prepare" | b"execute" => Self::Prepare,
            _ => Self::Other,
        }
    }
}

/// Under its names of then and now.
fn is_variable(name: &[u8]) -> bool {
    [&b"transaction_read_only"[..], b"tx_read_only"]
        .iter()
        .any(|variable| name.eq_ignore_ascii_case(variable))
}

/// Whether a text has words in it that would change the mode. That it is meant so is not known.
fn mentions(code: &[u8]) -> bool {
    names_a_mode(Lexer::new(code).filter_map(|token| match token {
        Token::Word(word) => Some(word),
        Token::Text(_) | Token::Sign(_) => None,
    }))
}

fn names_a_mode<'a>(words: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut was_read = false;
    words.filter(|word| !word.is_empty()).any(|word| {
        let found = is_variable(word) || (was_read && word.eq_ignore_ascii_case(b"write"));
        was_read = word.eq_ignore_ascii_case(b"read");
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_turn_it_off_are_found() {
        for sql in [
            "SET TRANSACTION READ WRITE",
            "set session transaction isolation level serializable, read write",
            "START TRANSACTION READ WRITE",
            "start transaction with consistent snapshot, read\n/* x */ write",
            "select 1; /*!50605 start transaction read write */",
            "/*M!100000 set @@tx_read_only=0 */",
            "set session tx_read_only = 0",
            "SET @@session.transaction_read_only = OFF",
            "set @@transaction_read_only := default",
            "set `tx_read_only`='off'",
            "set a = 1, tx_read_only = @x",
            "set statement tx_read_only=0 for insert into t values (1)",
            "set global read_only = 0",
            "set @@global.max_connections = 1",
            "set persist x = 1",
            "prepare s from 'start transaction read write'",
            "execute immediate 'set tx_read_only=0'",
            "select 'a\\'b'; set tx_read_only=0 -- '",
            "select 1 # '\n; set tx_read_only=0",
        ] {
            assert!(finding(sql.as_bytes()).is_some(), "{sql}");
        }
    }

    #[test]
    fn everything_else_passes() {
        for sql in [
            "",
            "select 'start transaction read write'",
            "select \"set tx_read_only=0\"",
            "-- set tx_read_only=0",
            "# set tx_read_only=0",
            "/* set tx_read_only=0 */ select 1",
            "START TRANSACTION READ ONLY",
            "start transaction with consistent snapshot, read only",
            "set names utf8mb4",
            "set session transaction isolation level read committed",
            "set session transaction read only",
            "SET @@session.tx_read_only = 1, autocommit = 0",
            "select @@session.transaction_read_only",
            "select @@global.read_only",
            "show variables like 'tx_read_only'",
            "prepare s from 'select 1'",
            "select 5--1 as x, 'a' -- b",
        ] {
            assert_eq!(finding(sql.as_bytes()), None, "{sql}");
        }
    }

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
