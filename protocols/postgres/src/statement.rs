//! Words of a statement that would turn off what makes a session read-only (manual, "SET", "SET TRANSACTION", "BEGIN",
//! "DO"; "System Administration Functions", `set_config`), and one that writes all the same: EXPLAIN ANALYZE creates tables
//! also where transactions are read-only (seen of versions 15 and 18).
//!
//! What is not understood of such a statement is taken for the worst.

use attache_sql::{Search, Statement, Token};

use crate::dialect::READINGS;

/// What a session begins with, for the transactions that name no mode of their own (manual, "Client Connection
/// Defaults").
pub(crate) const SETTING: &str = "default_transaction_read_only";
/// That of the current transaction; the other name ends with it.
pub(crate) const CURRENT: &str = "transaction_read_only";

const MODE: &str = "READ WRITE";
const CHANGE: &str = "a change of transaction_read_only";
const SYSTEM: &str = "ALTER SYSTEM";
const MEASURED: &str = "EXPLAIN ANALYZE of what creates a table";
const BLOCK: &str = "a block of code that changes the mode of transactions";
const MEASURING: &str = "a block of code with EXPLAIN ANALYZE of what creates a table";
const QUOTED: &str = "a change of transaction_read_only in a string";

/// What of this text would turn it off.
pub(crate) fn finding(sql: &[u8]) -> Option<&'static str> {
    attache_sql::finding::<Heard>(sql, &READINGS)
}

/// A statement, as far as it has been heard.
#[derive(Debug, Default)]
struct Heard {
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
    Explain,
    /// EXPLAIN ANALYZE, which runs what it explains.
    Measure,
    Other,
}

/// What would be worth noting next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Expects {
    #[default]
    Nothing,
    /// WRITE, behind READ.
    Write,
    /// An equals sign or TO, behind a setting in SET.
    To(Setting),
    /// The value.
    Value(Setting),
    /// The end of the statement.
    End,
    /// The name of a setting, somewhere behind `set_config`.
    Name,
    /// What stands between that name and its value.
    Comma,
    /// The value, in a string.
    Argument,
    /// What ends it.
    ArgumentEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    Default,
    Current,
}

impl Statement for Heard {
    fn hear(&mut self, token: &Token<'_>, search: Search) -> Option<&'static str> {
        match self.expects {
            Expects::Nothing | Expects::Write => match token {
                Token::Word(word) => self.word(&word.to_ascii_lowercase()),
                Token::Text(code) if self.kind == Kind::Do => search.within::<Code>(code),
                Token::Text(text) => quoted(text, search),
                Token::Sign(_) => None,
            },
            Expects::To(setting) => self.go(Expects::Value(setting), is_equals(token)),
            Expects::Value(setting) => self.go(Expects::End, is_kept(setting, token)),
            Expects::End => Some(CHANGE),
            Expects::Name => self.argument(token, search),
            Expects::Comma => self.go(Expects::Argument, *token == Token::Sign(b',')),
            Expects::Argument => self.go(Expects::ArgumentEnd, is_on_in_text(token)),
            Expects::ArgumentEnd => self.go(Expects::Name, *token == Token::Sign(b',')),
        }
    }

    fn end(self) -> Option<&'static str> {
        match self.expects {
            Expects::Nothing | Expects::Write | Expects::End | Expects::Name => None,
            Expects::To(_)
            | Expects::Value(_)
            | Expects::Comma
            | Expects::Argument
            | Expects::ArgumentEnd => Some(CHANGE),
        }
    }
}

impl Heard {
    fn word(&mut self, word: &[u8]) -> Option<&'static str> {
        if self.kind == Kind::None {
            self.kind = Kind::of(word);
            return None;
        }
        let expected = std::mem::take(&mut self.expects);
        match (self.kind, word, Setting::of(word)) {
            (Kind::Set | Kind::Begin, b"write", _) if expected == Expects::Write => return Some(MODE),
            (Kind::Set | Kind::Begin, b"read", _) => self.expects = Expects::Write,
            (Kind::Set, _, Some(setting)) => self.expects = Expects::To(setting),
            (Kind::Reset, _, Some(Setting::Current)) => return Some(CHANGE),
            (Kind::Alter, b"system", _) => return Some(SYSTEM),
            (Kind::Explain, b"analyze" | b"analyse", _) => self.kind = Kind::Measure,
            (Kind::Measure, b"create" | b"into", _) => return Some(MEASURED),
            (_, b"set_config", _) => self.expects = Expects::Name,
            (_, _, Some(_) | None) => {}
        }
        None
    }

    /// By whatever notation the function is called, and in whatever order: the name stands in a string.
    fn argument(&mut self, token: &Token<'_>, search: Search) -> Option<&'static str> {
        match token {
            Token::Text(name) if Setting::of(name).is_some() => {
                self.expects = Expects::Comma;
                None
            }
            Token::Text(text) => quoted(text, search),
            Token::Word(_) | Token::Sign(_) => None,
        }
    }

    fn go(&mut self, next: Expects, is_understood: bool) -> Option<&'static str> {
        self.expects = next;
        (!is_understood).then_some(CHANGE)
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
            b"explain" => Self::Explain,
            _ => Self::Other,
        }
    }
}

impl Setting {
    fn of(name: &[u8]) -> Option<Self> {
        let is = |setting: &str| name.eq_ignore_ascii_case(setting.as_bytes());
        is(CURRENT).then_some(Self::Current).or(is(SETTING).then_some(Self::Default))
    }
}

fn is_equals(token: &Token<'_>) -> bool {
    match token {
        Token::Sign(sign) => *sign == b'=',
        Token::Word(word) => word.eq_ignore_ascii_case(b"to"),
        Token::Text(_) => false,
    }
}

/// Whether this value leaves things as the login has made them. What is the default is so.
fn is_kept(setting: Setting, token: &Token<'_>) -> bool {
    match token {
        Token::Word(word) => {
            is_on(word) || (setting == Setting::Default && word.eq_ignore_ascii_case(b"default"))
        }
        Token::Text(text) => is_on(text),
        Token::Sign(_) => false,
    }
}

fn is_on_in_text(token: &Token<'_>) -> bool {
    match token {
        Token::Text(text) => is_on(text),
        Token::Word(_) | Token::Sign(_) => false,
    }
}

/// As the server reads it (`parse_bool`): a word or the beginning of one.
fn is_on(value: &[u8]) -> bool {
    let value = value.trim_ascii().to_ascii_lowercase();
    !value.is_empty()
        && (b"true".starts_with(&value) || b"yes".starts_with(&value) || value == b"on" || value == b"1")
}

/// Functions of the server run what stands in a string (`query_to_xml`): of a statement that may do no more than read,
/// which can still call `set_config`.
fn quoted(text: &[u8], search: Search) -> Option<&'static str> {
    const CALL: &[u8] = b"set_config";
    let called = text.windows(CALL.len()).any(|part| part.eq_ignore_ascii_case(CALL));
    if called || text.contains(&b'\\') { search.within::<Quoted>(text) } else { None }
}

/// A string that may be a statement.
#[derive(Debug, Default)]
enum Quoted {
    #[default]
    Harmless,
    /// `set_config` was said.
    Calls,
}

impl Statement for Quoted {
    fn hear(&mut self, token: &Token<'_>, search: Search) -> Option<&'static str> {
        match (&*self, token) {
            (Self::Calls, Token::Text(name)) if Setting::of(name).is_some() => return Some(QUOTED),
            (_, Token::Text(text)) => return quoted(text, search),
            (_, Token::Word(word)) if word.eq_ignore_ascii_case(b"set_config") => *self = Self::Calls,
            (_, Token::Word(_) | Token::Sign(_)) => {}
        }
        None
    }

    fn end(self) -> Option<&'static str> {
        None
    }
}

/// A block of code: words in it that would change the mode, also in its strings. That they are meant so is not known.
#[derive(Debug, Default)]
struct Code {
    expects: InCode,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum InCode {
    #[default]
    Nothing,
    /// WRITE, behind READ.
    Write,
    /// ANALYZE, behind EXPLAIN.
    Analyze,
    /// What creates a table, behind both.
    Creation,
}

impl Statement for Code {
    fn hear(&mut self, token: &Token<'_>, search: Search) -> Option<&'static str> {
        match token {
            Token::Text(code) => search.within::<Self>(code),
            // To other languages than SQL these are strings too.
            Token::Word(name) if name.iter().any(u8::is_ascii_whitespace) => search.within::<Self>(name),
            Token::Word(word) => self.word(&word.to_ascii_lowercase()),
            Token::Sign(_) => None,
        }
    }

    fn end(self) -> Option<&'static str> {
        None
    }
}

impl Code {
    fn word(&mut self, word: &[u8]) -> Option<&'static str> {
        self.expects = match (self.expects, word) {
            _ if Setting::of(word).is_some() => return Some(BLOCK),
            (InCode::Write, b"write") => return Some(BLOCK),
            (InCode::Creation, b"create" | b"into") => return Some(MEASURING),
            (InCode::Analyze, b"analyze" | b"analyse") => InCode::Creation,
            (expected @ (InCode::Analyze | InCode::Creation), _) => expected,
            (_, b"explain") => InCode::Analyze,
            (_, b"read") => InCode::Write,
            (InCode::Nothing | InCode::Write, _) => InCode::Nothing,
        };
        None
    }
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
            "SET LOCAL TRANSACTION READ WRITE",
            "SET default_transaction_read_only = off",
            "set session default_transaction_read_only to 'off'",
            "set local transaction_read_only to E'f\\u0061lse'",
            "SET \"default_transaction_read_only\" = 0",
            "SET default_transaction_read_only = $$off$$",
            "SET transaction_read_only TO DEFAULT",
            "set default_transaction_read_only",
            "set default_transaction_read_only =",
            "set default_transaction_read_only = on, off",
            "set default_transaction_read_only = - 1",
            "SET U&\"default\\005ftransaction_read_only\" = off",
            "SET u&\"default!005ftransaction_read_only\" UESCAPE '!' = off",
            "RESET transaction_read_only",
            "do $$ begin set local transaction_read_only = off; end $$",
            "do $$ begin execute 'set local transaction_read_only = off'; end $$",
            "do $$ begin execute $a$set transaction read write$a$; end $$",
            "do $$ begin perform set_config('transaction_read_only', 'off', true); end $$",
            "do E'begin set transaction re\\x61d write; end'",
            "DO LANGUAGE plpgsql 'begin commit; start transaction read write; end'",
            "do language plperl $$ spi_exec_query(\"set transaction read write\") $$",
            "do $$ begin execute 'explain analyze create table t as select 1'; end $$",
            "do $$ begin execute 'EXPLAIN (buffers, analyse) select 1 into t'; end $$",
            "do $$ declare r record; begin for r in explain analyze create table t as select 1 loop end loop; end $$",
            "do language plperl $$ spi_exec_query(\"explain analyze create table t as select 1\") $$",
            "alter system set max_connections = 1",
            "explain analyze create table t as select 1",
            "EXPLAIN (verbose, ANALYSE) create materialized view v as select 1",
            "explain (analyze, buffers) select 1 into t",
            "select $a$;$a$; set default_transaction_read_only=off",
            "select U&'\\0061' ; set default_transaction_read_only=off",
        ] {
            assert!(finding(sql.as_bytes()).is_some(), "{sql}");
        }
    }

    #[test]
    fn however_the_function_is_called_it_is_found() {
        for sql in [
            "select set_config('default_transaction_read_only', 'off', false)",
            "select pg_catalog.set_config('transaction_read_only'::text, $x$no$x$, true)",
            "select \"set_config\"('transaction_read_only', 'on' || 'x', true)",
            "select u&\"set_conf\\0069g\"('transaction_read_only', 'off', true)",
            "select set_config('default_transaction_read_only', ('on' = 'off')::text, false)",
            "select set_config('default_transaction_read_only', lower('OFF'), false)",
            "select set_config(setting_name => 'transaction_read_only', new_value => 'off', is_local => false)",
            "select set_config(new_value => 'off', is_local => false, setting_name := 'transaction_read_only')",
            "select set_config(cast('transaction_read_only' as text), 'off', false)",
            "select set_config(text 'transaction_read_only', 'off', false)",
            "select set_config('default_'\n'transaction_read_only', 'off', false)",
            "select set_config(E'default_tr\\x61nsaction_read_only', 'off', false)",
            "select set_config(U&'default_tr\\0061nsaction_read_only', 'off', false)",
            "select set_config(U&'default_tr!0061nsaction' '_read_only' UESCAPE '!', 'off', false)",
            "select set_config('search_path', '', false), set_config('transaction_read_only', 'off', true)",
            "select set_config('transaction_read_only', 'on', true), set_config('transaction_read_only', 'no', true)",
            "copy (select set_config('transaction_read_only', 'off', true)) to stdout",
            "select query_to_xml('select set_config(''transaction_read_only'', ''off'', true)', true, true, '')",
            "select query_to_xml($$select set_config($a$transaction_read_only$a$, 'off', true)$$, true, true, '')",
            "select query_to_xml('select \"set_config\"(E''transaction\\x5fread_only'', ''off'', true)', true, true, '')",
            "select query_to_xml('select u&\"set\\005fconfig\"(''transaction_read_only'', ''off'', true)', true, true, '')",
            "select set_config('a', query_to_xml('select set_config(''transaction_read_only'', ''no'', true)'), true)",
            "select query_to_xml('select query_to_xml(''select set_config(''''transaction_read_only'''', '''''''')'')')",
        ] {
            assert!(finding(sql.as_bytes()).is_some(), "{sql}");
        }
    }

    /// `standard_conforming_strings` may have been turned off before.
    #[test]
    fn whatever_a_backslash_means_it_hides_nothing() {
        for sql in [
            r"select 'a\''; set default_transaction_read_only=off --'",
            r"select 'a\'; set default_transaction_read_only=off --'",
            r"set default_transaction_read_only='\157ff'",
            r"select set_config('transaction\137read_only', 'off', true)",
        ] {
            assert!(finding(sql.as_bytes()).is_some(), "{sql}");
        }
    }

    /// In client encodings as SJIS, BIG5 and GBK a part of a letter looks like a backslash.
    #[test]
    fn nor_does_what_a_letter_is() {
        for sql in [
            &b"select E'\x95\\'; set default_transaction_read_only=off --'"[..],
            b"select E'\xb1\\'; select '\\'",
        ] {
            let is_bad = sql.ends_with(b"--'");
            assert_eq!(finding(sql).is_some(), is_bad, "{}", sql.escape_ascii());
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
            "set session default_transaction_read_only = on; select 1",
            "SET transaction_read_only = 'TRUE'",
            "select set_config('default_transaction_read_only', 'on', false)",
            "select set_config('search_path', 'off', false)",
            "select pg_catalog.set_config('search_path', '', false)",
            "select set_config('search_path', $1, true), set_config($2, $3, true)",
            "select set_config from t where name = 'x'",
            "select current_setting('transaction_read_only')",
            "select * from changes where setting_name = 'transaction_read_only' and value = 'off'",
            "show transaction_read_only",
            "reset all; reset default_transaction_read_only; discard all",
            "insert into t values ('read', 'write')",
            "select read, write from t",
            "explain create table t as select 1",
            "explain analyze select * from t",
            "do $$ begin raise notice 'x'; end $$",
            "do $$ begin perform 1; explain analyze select 1; create temp table t (a int); end $$",
            "select * from pg_stat_statements where query like 'select set_config%' and calls > 1",
            "select 'set_config', 'transaction_read_only', 'C:\\x'",
            "select 'it''s', E'\\'', U&\"x\" from t where a = $1 and b < 'c' -- end",
            r"select * from files where path = 'c:\' and kind = 'x'",
        ] {
            assert_eq!(finding(sql.as_bytes()), None, "{sql}");
        }
    }

    #[test]
    fn code_in_more_strings_than_are_searched_is_refused() {
        let nested = |depth: usize| {
            let tags: Vec<_> = (0..depth).map(|tag| format!("$t{tag}$")).collect();
            let back = tags.iter().rev().cloned().collect::<String>();
            format!("do {} x {back}", tags.concat())
        };
        assert_eq!(finding(nested(3).as_bytes()), None);
        assert!(finding(nested(1000).as_bytes()).is_some());
    }
}
