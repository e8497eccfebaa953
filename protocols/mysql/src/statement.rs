//! Words of a statement that would turn off what makes a session read-only (manual, "SET TRANSACTION", "START
//! TRANSACTION", "SET Syntax for Variable Assignment", "PREPARE"; MariaDB's "EXECUTE IMMEDIATE", "SET STATEMENT").
//!
//! They count wherever they stand in a statement: MariaDB knows blocks of them (`BEGIN NOT ATOMIC … END`, `IF … END IF`). What
//! is not understood is taken for the worst.

use attache_sql::{Search, Statement, Token};

use crate::dialect::READINGS;

const MODE: &str = "READ WRITE";
const CHANGE: &str = "a change of transaction_read_only";
const GLOBAL: &str = "a change of global variables";
const COMMENT: &str = "code that only some servers run";

/// What of this text would turn it off.
pub(crate) fn finding(sql: &[u8]) -> Option<&'static str> {
    match has_conditional_code(sql) || has_doubtful_comment(sql) {
        true => words(sql),
        false => attache_sql::finding::<Heard>(sql, &READINGS),
    }
}

/// Behind `--` a blank begins a comment, and what is a blank above ASCII depends on the character set: in latin1 `\xa0` is
/// one, in UTF-8 what begins with that octet is a letter, and `--` are two signs.
fn has_doubtful_comment(sql: &[u8]) -> bool {
    sql.windows(3).any(|part| part.starts_with(b"--") && !part[2].is_ascii())
}

/// `/*! … */`, with a version or not, and MariaDB's `/*M! … */`. Where one ends, and what a quote means in it, depends
/// on whether it is run.
fn has_conditional_code(sql: &[u8]) -> bool {
    let begins = |mark: &[u8]| sql.windows(mark.len()).any(|part| part.eq_ignore_ascii_case(mark));
    begins(b"/*!") || begins(b"/*m!")
}

/// What of a text counts of which it is not known what the server runs: words, whatever stands between them.
pub(crate) fn words(text: &[u8]) -> Option<&'static str> {
    let words = text.split(|octet| !octet.is_ascii_alphanumeric() && *octet != b'_' && *octet != b'$');
    let mut was_read = false;
    words.map(<[u8]>::to_ascii_lowercase).find_map(|word| match &word[..] {
        b"write" if was_read => Some(MODE),
        b"global" | b"persist" | b"persist_only" => Some(GLOBAL),
        b"prepare" | b"execute" => Some(COMMENT),
        name => {
            was_read |= name == b"read";
            is_variable(name).then_some(CHANGE)
        }
    })
}

/// A statement, as far as it has been heard.
#[derive(Debug, Default)]
struct Heard {
    names: Names,
    strings: Strings,
    expects: Expects,
}

/// What a name may stand for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Names {
    #[default]
    Read,
    /// What is set: SET was said, or `:=`.
    Set,
}

/// What strings hold.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Strings {
    #[default]
    Data,
    /// A statement: PREPARE or EXECUTE was said.
    Code,
}

/// What would be worth noting next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Expects {
    #[default]
    Nothing,
    /// WRITE, behind READ.
    Write,
    /// `=` or `:=`, behind the name of the variable. With anything else it is only read.
    Equals,
    /// Its value.
    Value,
    /// What ends it.
    ValueEnd,
}

impl Statement for Heard {
    fn hear(&mut self, token: &Token<'_>, search: Search) -> Option<&'static str> {
        match std::mem::take(&mut self.expects) {
            Expects::Nothing => self.token(token, search),
            Expects::Write if is_word(token, b"write") => Some(MODE),
            Expects::Write => self.token(token, search),
            Expects::Equals => self.equals(token, search),
            Expects::Value => self.value(token),
            Expects::ValueEnd if *token == Token::Sign(b',') || is_word(token, b"for") => None,
            Expects::ValueEnd => Some(CHANGE),
        }
    }

    fn end(self) -> Option<&'static str> {
        match self.expects {
            Expects::Nothing | Expects::Write | Expects::Equals | Expects::ValueEnd => None,
            Expects::Value => Some(CHANGE),
        }
    }
}

impl Heard {
    fn token(&mut self, token: &Token<'_>, search: Search) -> Option<&'static str> {
        match token {
            Token::Word(word) => self.word(&word.to_ascii_lowercase()),
            Token::Text(code) if self.strings == Strings::Code => search.within::<Self>(code),
            // It is a name with `ANSI_QUOTES`.
            Token::Text(name) => {
                self.name(name);
                None
            }
            Token::Sign(_) => None,
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<&'static str> {
        match word {
            b"set" => self.names = Names::Set,
            b"prepare" | b"execute" => self.strings = Strings::Code,
            b"read" => self.expects = Expects::Write,
            b"global" | b"persist" | b"persist_only" if self.names == Names::Set => return Some(GLOBAL),
            name => self.name(name),
        }
        None
    }

    fn name(&mut self, name: &[u8]) {
        if is_variable(name) {
            self.expects = Expects::Equals;
        }
    }

    fn equals(&mut self, token: &Token<'_>, search: Search) -> Option<&'static str> {
        match token {
            // What is set like this without SET is so in a block of Oracle's kind.
            Token::Sign(b':') => (self.names, self.expects) = (Names::Set, Expects::Equals),
            Token::Sign(b'=') if self.names == Names::Set => self.expects = Expects::Value,
            token @ (Token::Word(_) | Token::Text(_) | Token::Sign(_)) => return self.token(token, search),
        }
        None
    }

    fn value(&mut self, token: &Token<'_>) -> Option<&'static str> {
        let value: &[u8] = match token {
            Token::Word(value) | Token::Text(value) => value,
            Token::Sign(_) => return Some(CHANGE),
        };
        self.expects = Expects::ValueEnd;
        let is_on = [&b"on"[..], b"1", b"true"].iter().any(|on| value.eq_ignore_ascii_case(on));
        (!is_on).then_some(CHANGE)
    }
}

fn is_word(token: &Token<'_>, expected: &[u8]) -> bool {
    match token {
        Token::Word(word) => word.eq_ignore_ascii_case(expected),
        Token::Text(_) | Token::Sign(_) => false,
    }
}

/// Under its names of then and now.
fn is_variable(name: &[u8]) -> bool {
    [&b"transaction_read_only"[..], b"tx_read_only"]
        .iter()
        .any(|variable| name.eq_ignore_ascii_case(variable))
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
            "set session tx_read_only = 0",
            "SET @@session.transaction_read_only = OFF",
            "set @@transaction_read_only := default",
            "set `tx_read_only`='off'",
            "set a = 1, tx_read_only = @x",
            "set statement tx_read_only=0 for insert into t values (1)",
            "set statement max_statement_time=1, tx_read_only = 0 for select 1",
            "set tx_read_only =",
            "set global read_only = 0",
            "set @@global.max_connections = 1",
            "set persist x = 1",
            "prepare s from 'start transaction read write'",
            "prepare s from 'set global read_only = 0'",
            "prepare s from 'start tr\\ansaction re\\ad write'",
            "prepare s from 'start transaction ' 'read ' \"write\"",
            "execute immediate 'set tx_read_only=0'",
            "set @prepare = 1, global read_only = 0",
            "set statement max_statement_time=1 for execute immediate 'set tx_read_only=0'",
            "execute immediate 'begin not atomic execute immediate ''set tx_read_only=0''; end'",
            "select 'a\\'b'; set tx_read_only=0 -- '",
            "select 1 # '\n; set tx_read_only=0",
            "select 1 --\x01 '\n; set tx_read_only=0 -- '",
            "begin not atomic set tx_read_only=0; insert into t values (1); end",
            "begin not atomic start transaction read write; end",
            "if 1 then set session tx_read_only=0; end if",
            "declare x int; begin tx_read_only := 0; end",
        ] {
            assert!(finding(sql.as_bytes()).is_some(), "{sql}");
        }
        // A blank in latin1.
        assert!(finding(b"set\xa0tx_read_only=0").is_some());
    }

    #[test]
    fn a_value_that_is_computed_is_found() {
        for value in [
            "1-1",
            "1 - 1",
            "!1",
            "not 1",
            "(1)",
            "on and off",
            "@on",
            "@1",
            "1.e-5",
            "'on' = 'off'",
            "'o' 'ff'",
            "x'30'",
            "_utf8'0'",
            "(select 0)",
        ] {
            assert!(finding(format!("set tx_read_only = {value}").as_bytes()).is_some(), "{value}");
        }
    }

    /// `ANSI_QUOTES` or `NO_BACKSLASH_ESCAPES` may have been set before.
    #[test]
    fn whatever_quotes_and_backslashes_mean_they_hide_nothing() {
        for sql in [
            r#"set "tx_read_only" = 0"#,
            r#"select 'a\'; set tx_read_only=0 -- '"#,
            r#"select 'a\''; set tx_read_only=0 -- '"#,
            r#"select "a\" , 'b\'' ; set tx_read_only=0 -- '"#,
        ] {
            assert!(finding(sql.as_bytes()).is_some(), "{sql}");
        }
    }

    #[test]
    fn whether_a_comment_begins_or_not_it_hides_nothing() {
        for sql in [
            "select 1 --é from (select 1 as `é`) t; set session tx_read_only=0".as_bytes(),
            b"select 1 --\xe9 from (select 1 as `\xe9`) t; set session tx_read_only=0",
            b"select 1 --\xa0 '\n; set session tx_read_only=0 -- '",
        ] {
            assert!(finding(sql).is_some(), "{}", sql.escape_ascii());
        }
        assert_eq!(finding("select 1 --é from (select 1 as `é`) t".as_bytes()), None);
    }

    #[test]
    fn whatever_a_letter_is_it_hides_nothing() {
        for sql in [
            &b"select '\xbf\\'; set tx_read_only=0 -- '"[..],
            b"select 1 as \x81`; set tx_read_only=0 -- \x81`",
            b"select '\xb1\xb1\x95\\'; set tx_read_only=0 -- '",
        ] {
            assert!(finding(sql).is_some(), "{}", sql.escape_ascii());
        }
        for sql in ["select '中\\文' as `中`, `文` from t", "select 'é\\' as x"] {
            assert_eq!(finding(sql.as_bytes()), None, "{sql}");
        }
    }

    /// By version 99999 nothing is run, by 10000 everything.
    #[test]
    fn whether_a_comment_is_run_or_not_it_hides_nothing() {
        for sql in [
            "select 1; /*!50605 start transaction read write */",
            "select 1; /*!50605start transaction read /* x */ write */",
            "/*M!100000 set @@tx_read_only=0 */",
            "/*m! set @@tx_read_only=0 */",
            "/*!99999 ' */ set tx_read_only=0 /* ' */",
            "/*!99999 # */ set tx_read_only=0",
            "/*!99999 select */ set tx_read_only=0",
            "/*!99999 select */ /*!10000 set */ tx_read_only=0",
            "set /*!99999 x = 1; select */ tx_read_only=0",
            "set tx_read_only /*!99999 = 1, @x */ = 0",
            "/*!99999 /* */ ' */ set tx_read_only=0 /* ' */",
            "/*! prepare s from 'start tr\\ansaction re\\ad write' */",
            "set tx_read_only=0 /*!",
        ] {
            assert!(finding(sql.as_bytes()).is_some(), "{sql}");
        }
        for sql in [
            "/*!40101 SET NAMES utf8 */",
            "/*!40100 SET @@SQL_MODE='' */",
            "START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */",
            "SELECT /*!40001 SQL_NO_CACHE */ * FROM `orders`",
            "FLUSH /*!40101 LOCAL */ TABLES",
            "LOCK TABLES `orders` READ /*!32311 LOCAL */",
        ] {
            assert_eq!(finding(sql.as_bytes()), None, "{sql}");
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
            "set @was = @@tx_read_only, @x = 1",
            "set @was = @@session.transaction_read_only",
            "set statement tx_read_only = on for select 1",
            "select @@session.transaction_read_only",
            "select @@tx_read_only = 0",
            "select @@global.read_only",
            "show variables like 'tx_read_only'",
            "prepare s from 'select 1'",
            "prepare s from 'select \"start transaction read write\"'",
            "select 5--1 as x, 'a' -- b",
            "lock tables a read, b write",
        ] {
            assert_eq!(finding(sql.as_bytes()), None, "{sql}");
        }
    }
}
