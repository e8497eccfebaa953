//! Statements that would let a read-only session write, found in the text of Query and Parse.
//!
//! The server does the work: it refuses writes while `default_transaction_read_only` is on, which the login sets. What
//! is looked for here are the ways to turn that off again. It is a seat belt against accidents: a function that does it
//! by itself, or a name that is put together while the statement runs, is not found.

use bytes::{Bytes, BytesMut};

use crate::frame::{self, HEADER_LEN, take_string};
use crate::lex::{Lexer, Token};

/// The longest statement that is looked at, in octets: many times what anybody types, and bounded, for it is kept
/// until it is whole.
pub const MAX_CHECKED_LEN: usize = 4 * 1024 * 1024;

/// What a session begins with, for the transactions that name no mode of their own (manual, "Client Connection
/// Defaults").
pub(crate) const SETTING: &str = "default_transaction_read_only";
/// That of the current transaction.
const CURRENT: &str = "transaction_read_only";

const QUERY: u8 = b'Q';
const PARSE: u8 = b'P';

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
}

/// Looks at the frame that begins here.
pub(crate) fn look(bytes: &[u8]) -> Look {
    let Some([tag, length @ ..]) = bytes.first_chunk::<HEADER_LEN>() else { return Look::Incomplete };
    let len = 1 + u32::from_be_bytes(*length) as usize;
    if !matches!(*tag, QUERY | PARSE) || len < HEADER_LEN {
        return Look::Harmless(len.max(HEADER_LEN));
    }
    if len > MAX_CHECKED_LEN {
        return Look::TooLong;
    }
    let Some(mut body) = bytes.get(HEADER_LEN..len) else { return Look::Incomplete };
    // What cannot be read is the server's to complain of.
    let name = if *tag == PARSE { take_string(&mut body) } else { Some(&b""[..]) };
    match (name, take_string(&mut body).and_then(finding)) {
        (Some(name), Some(what)) => Look::Refused(len, refusing(*tag, name, what)),
        (None, _) | (_, None) => Look::Harmless(len),
    }
}

/// A message of the same kind that fails with our words, also inside of a transaction, which it makes fail.
fn refusing(tag: u8, name: &[u8], what: &str) -> Bytes {
    let text = format!(
        "DO $attache$ BEGIN RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction', MESSAGE = \
         'attache: {what} is refused, because this route is read-only', HINT = \
         'It is a seat belt: options.read_only in the configuration, --read-only of attache dev.'; END $attache$\0"
    );
    let mut out = BytesMut::new();
    match tag {
        // Without parameters.
        PARSE => frame::put(&mut out, PARSE, &[name, b"\0", text.as_bytes(), b"\0\0"]),
        _ => frame::put(&mut out, QUERY, &[text.as_bytes()]),
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
    /// SET, which may name a mode or a setting.
    Set,
    /// BEGIN or START TRANSACTION.
    Begin,
    Reset,
    Alter,
    /// A block of code, in a string.
    Do,
    Other,
}

/// What would be worth noting next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Expects {
    #[default]
    Nothing,
    /// WRITE, behind READ.
    Write,
    /// The value of a setting; a default one is no harm where the login has made it so.
    Value { is_current: bool },
    /// The arguments of `set_config`: a name, then a value.
    Name,
}

const MODE: &str = "READ WRITE";
const CHANGE: &str = "a change of transaction_read_only";
const SYSTEM: &str = "ALTER SYSTEM";
const BLOCK: &str = "a block of code that changes the mode of transactions";

impl Statement {
    fn hear(&mut self, token: &Token<'_>) -> Option<&'static str> {
        if *token == Token::Sign(b';') {
            return std::mem::take(self).end();
        }
        if let Token::Word(word) = token {
            let word = word.to_ascii_lowercase();
            return self.word(&word);
        }
        match (self.expects, token) {
            (Expects::Value { .. }, Token::Text(value)) => self.value(value),
            (Expects::Name, Token::Text(name)) => {
                self.expects =
                    setting(name).map_or(Expects::Nothing, |is_current| Expects::Value { is_current });
                None
            }
            _ => (self.kind == Kind::Do && token.text().is_some_and(mentions)).then_some(BLOCK),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<&'static str> {
        if self.kind == Kind::None {
            self.kind = Kind::of(word);
            return None;
        }
        let expected = std::mem::take(&mut self.expects);
        let may_set_mode = matches!(self.kind, Kind::Set | Kind::Begin);
        match (expected, word) {
            (Expects::Write, b"write") => return Some(MODE),
            (Expects::Value { .. }, b"to") => self.expects = expected,
            (Expects::Value { is_current: false }, b"default") => {}
            (Expects::Value { .. }, value) => return self.value(value),
            (_, b"read") if may_set_mode => self.expects = Expects::Write,
            (_, b"system") if self.kind == Kind::Alter => return Some(SYSTEM),
            (_, b"set_config") => self.expects = Expects::Name,
            (_, name) => match (self.kind, setting(name)) {
                (Kind::Set, Some(is_current)) => self.expects = Expects::Value { is_current },
                (Kind::Reset, Some(true)) => return Some(CHANGE),
                _ => {}
            },
        }
        None
    }

    fn value(&mut self, value: &[u8]) -> Option<&'static str> {
        self.expects = Expects::Nothing;
        (!is_on(value)).then_some(CHANGE)
    }

    /// A setting without a value that could be understood is one that is changed.
    fn end(self) -> Option<&'static str> {
        matches!((self.kind, self.expects), (Kind::Set, Expects::Value { .. })).then_some(CHANGE)
    }
}

impl Kind {
    fn of(word: &[u8]) -> Self {
        match word {
            b"set" => Self::Set,
            b"begin" | b"start" => Self::Begin,
            b"reset" => Self::Reset,
            b"alter" => Self::Alter,
            b"do" => Self::Do,
            _ => Self::Other,
        }
    }
}

/// Whether this is one of the two settings, and then whether it is that of the current transaction.
fn setting(name: &[u8]) -> Option<bool> {
    let is = |setting: &str| name.trim_ascii().eq_ignore_ascii_case(setting.as_bytes());
    is(CURRENT).then_some(true).or(is(SETTING).then_some(false))
}

/// As the server reads it (`parse_bool`): a word or the beginning of one.
fn is_on(value: &[u8]) -> bool {
    let value = value.trim_ascii().to_ascii_lowercase();
    !value.is_empty()
        && (b"true".starts_with(&value) || b"yes".starts_with(&value) || value == b"on" || value == b"1")
}

/// Whether code has words in it that would change the mode. That it is meant so is not known.
fn mentions(code: &[u8]) -> bool {
    let mut was_read = false;
    Lexer::new(code).any(|token| {
        let Token::Word(word) = token else { return false };
        let found = setting(word).is_some() || (was_read && word.eq_ignore_ascii_case(b"write"));
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
            "begin read write",
            "Start Transaction Isolation Level Serializable, Read Write;",
            "select 1; BEGIN READ\n/* a /* nested */ comment */ -- and more\nWRITE",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "SET default_transaction_read_only = off",
            "set session default_transaction_read_only to 'off'",
            "set local transaction_read_only to E'f\\u0061lse'",
            "SET \"default_transaction_read_only\" = 0",
            "SET default_transaction_read_only = $$off$$",
            "SET transaction_read_only TO DEFAULT",
            "set default_transaction_read_only",
            "RESET transaction_read_only",
            "select set_config('default_transaction_read_only', 'off', false)",
            "select pg_catalog.set_config('transaction_read_only'::text, $x$no$x$, true)",
            "do $$ begin set local transaction_read_only = off; end $$",
            "DO LANGUAGE plpgsql 'begin commit; start transaction read write; end'",
            "alter system set max_connections = 1",
            "select $a$;$a$; set default_transaction_read_only=off",
            "select U&'\\0061' ; set default_transaction_read_only=off",
        ] {
            assert!(finding(sql.as_bytes()).is_some(), "{sql}");
        }
    }

    #[test]
    fn everything_else_passes() {
        for sql in [
            "",
            ";;",
            "select 'set transaction read write'",
            "select $$begin read write$$, \"read\" write from set",
            "-- begin read write",
            "/* begin read write */ select 1",
            "BEGIN READ ONLY; select 1; commit",
            "begin isolation level read committed",
            "start transaction isolation level read uncommitted, read only",
            "SET default_transaction_read_only = on",
            "set default_transaction_read_only to default",
            "SET transaction_read_only = 'TRUE'",
            "select set_config('default_transaction_read_only', 'on', false)",
            "select set_config('search_path', 'off', false)",
            "select current_setting('transaction_read_only')",
            "show transaction_read_only",
            "reset all; reset default_transaction_read_only; discard all",
            "insert into t values ('read', 'write')",
            "select read, write from t",
            "do $$ begin raise notice 'x'; end $$",
            "select 'it''s', E'\\'', U&\"x\" from t where a = $1 and b < 'c' -- end",
        ] {
            assert_eq!(finding(sql.as_bytes()), None, "{sql}");
        }
    }

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
        assert_eq!(look(&message(b'Q', &[b"no end"])), Look::Harmless(11));
    }
}
