//! What a session holds that its client would lose with it without noticing, as far as first words of statements tell
//! (manual, "LOCK TABLES", "Locking Functions", "CREATE TEMPORARY TABLE", "User-Defined Variables", "HANDLER").
//!
//! SQL is not parsed: only the beginning of a statement is seen, and nothing of what procedures do, of variables that are
//! set within a query, or of locks that are asked for far behind the first words. Prepared statements do not count: drivers
//! keep them for as long as a connection lives, and prepare them again on the next one.

/// What the server keeps for the session alone.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Temporary tables, user variables, handlers: until the session ends or is reset.
    things: Things,
    /// Tables, or the whole server, for backups.
    tables: Tables,
    /// Locks by name: as many as were asked for and not given back.
    names: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Things {
    #[default]
    None,
    Some,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Tables {
    #[default]
    Free,
    Locked,
}

/// What a statement does, if it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Nothing,
    Make,
    LockTables,
    UnlockTables,
    LockName,
    UnlockName,
    UnlockNames,
    /// What no reset of the link undoes, or is known to: a resource group, another user (MariaDB 12).
    LeaveTraces,
}

impl Holdings {
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// A statement goes to the server.
    pub(crate) fn note(&mut self, deed: Deed) {
        match deed {
            Deed::Nothing | Deed::LeaveTraces => {}
            Deed::Make => self.things = Things::Some,
            Deed::LockTables => self.tables = Tables::Locked,
            Deed::UnlockTables => self.tables = Tables::Free,
            Deed::LockName => self.names = self.names.saturating_add(1),
            Deed::UnlockName => self.names = self.names.saturating_sub(1),
            Deed::UnlockNames => self.names = 0,
        }
    }

    /// A statement is prepared: how often it will be run is not followed.
    pub(crate) fn note_prepared(&mut self, deed: Deed) {
        match deed {
            Deed::Nothing | Deed::UnlockTables | Deed::UnlockName | Deed::UnlockNames | Deed::LeaveTraces => {
            }
            Deed::Make | Deed::LockTables | Deed::LockName => self.things = Things::Some,
        }
    }
}

impl Deed {
    /// Of the beginning of a statement.
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut text = text;
        let first = word(&mut text);
        let is = |word: &[u8], expected: &str| word.eq_ignore_ascii_case(expected.as_bytes());
        match first.first().map(u8::to_ascii_lowercase) {
            Some(b's') if is(first, "set") => set(text),
            Some(b's') if is(first, "select") => named(text),
            Some(b'd') if is(first, "do") => named(text),
            Some(b'c') if is(first, "create") => match is(skip(&mut text, &["or", "replace"]), "temporary") {
                true => Self::Make,
                false => Self::Nothing,
            },
            Some(b'h') if is(first, "handler") => Self::Make,
            Some(b'l') if is(first, "lock") => Self::LockTables,
            Some(b'b') if is(first, "backup") => Self::LockTables,
            Some(b'u') if is(first, "unlock") => Self::UnlockTables,
            Some(b'f') if is(first, "flush") && holds(text) => Self::LockTables,
            Some(_) | None => Self::Nothing,
        }
    }
}

/// Of the tables that are flushed.
fn holds(text: &[u8]) -> bool {
    contains(text, b"with read lock") || contains(text, b"for export")
}

/// Variables of the user's begin with one sign, the server's with two or none.
fn set(text: &[u8]) -> Deed {
    let mut text = trim(text);
    if let [b'@', next, ..] = text {
        return if *next == b'@' { Deed::Nothing } else { Deed::Make };
    }
    let (first, second) = (word(&mut text), word(&mut text));
    let is_other_user =
        first.eq_ignore_ascii_case(b"session") && second.eq_ignore_ascii_case(b"authorization");
    match first.eq_ignore_ascii_case(b"resource") || is_other_user {
        true => Deed::LeaveTraces,
        false => Deed::Nothing,
    }
}

fn named(text: &[u8]) -> Deed {
    if !contains(text, b"_lock") {
        Deed::Nothing
    } else if contains(text, b"get_lock") {
        Deed::LockName
    } else if contains(text, b"release_all_locks") {
        Deed::UnlockNames
    } else if contains(text, b"release_lock") {
        Deed::UnlockName
    } else {
        Deed::Nothing
    }
}

/// The first word that is none of these.
fn skip<'a>(text: &mut &'a [u8], words: &[&str]) -> &'a [u8] {
    loop {
        let next = word(text);
        if !words.iter().any(|it| next.eq_ignore_ascii_case(it.as_bytes())) {
            return next;
        }
    }
}

/// Takes what is no word and one word off the front.
fn word<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let begun = trim(text);
    let end = begun.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    let (word, rest) = begun.split_at(end.unwrap_or(begun.len()));
    *text = rest;
    word
}

/// Without blanks and comments in front. A comment that is run from some version on is none.
fn trim(text: &[u8]) -> &[u8] {
    let mut text = text.trim_ascii_start();
    loop {
        text = match text {
            [b'/', b'*', b'!', run @ ..] | [b'/', b'*', b'M', b'!', run @ ..] => {
                let digits = run.iter().take_while(|byte| byte.is_ascii_digit()).count();
                &run[digits..]
            }
            [b'/', b'*', comment @ ..] => behind(comment, b"*/"),
            [b'#', comment @ ..] => behind(comment, b"\n"),
            [b'-', b'-', comment @ ..] if comment.first().is_some_and(u8::is_ascii_whitespace) => {
                behind(comment, b"\n")
            }
            text => return text,
        }
        .trim_ascii_start();
    }
}

/// What stands behind the end of a comment; of one without an end, nothing.
fn behind<'a>(comment: &'a [u8], end: &[u8]) -> &'a [u8] {
    let at = comment.windows(end.len()).position(|window| window == end);
    at.map_or(&[], |at| &comment[at + end.len()..])
}

/// `wanted` is in lower case.
fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words_tell_what_a_statement_does() {
        for (text, deed) in [
            ("select 1", Deed::Nothing),
            ("", Deed::Nothing),
            ("CREATE TABLE t (a int)", Deed::Nothing),
            ("create temporary table t (a int)", Deed::Make),
            ("create or replace\ttemporary table t select 1", Deed::Make),
            ("/* shop:42 */ create temporary table t", Deed::Make),
            ("-- shop\n# 42\n--\nset @x = 1", Deed::Make),
            ("--x", Deed::Nothing),
            ("# never ends", Deed::Nothing),
            ("/*!40101 SET @OLD = @@CHARACTER_SET_CLIENT */", Deed::Make),
            ("/*M!100100 SET @x = 1 */", Deed::Make),
            ("set @token='x'", Deed::Make),
            ("SET @@session.sql_mode = ''", Deed::Nothing),
            ("set names utf8mb4", Deed::Nothing),
            ("set resource group g", Deed::LeaveTraces),
            ("SET SESSION /**/ AUTHORIZATION a@b", Deed::LeaveTraces),
            ("set session sql_mode = ''", Deed::Nothing),
            ("handler t open", Deed::Make),
            ("LOCK TABLES t WRITE", Deed::LockTables),
            ("flush tables with read lock", Deed::LockTables),
            ("flush privileges", Deed::Nothing),
            ("unlock tables", Deed::UnlockTables),
            ("select get_lock('a', 1)", Deed::LockName),
            ("DO GET_LOCK('a', 1)", Deed::LockName),
            ("select release_lock('a')", Deed::UnlockName),
            ("do release_all_locks()", Deed::UnlockNames),
            ("select is_free_lock('a')", Deed::Nothing),
            ("/* never ends", Deed::Nothing),
        ] {
            assert_eq!(Deed::of(text.as_bytes()), deed, "{text}");
        }
    }

    #[test]
    fn locks_by_name_are_counted_and_things_stay() {
        let mut holdings = Holdings::default();
        let mut note = |deed, nothing| {
            holdings.note(deed);
            assert_eq!(holdings.is_nothing(), nothing, "{deed:?}");
        };
        note(Deed::UnlockName, true);
        note(Deed::LockName, false);
        note(Deed::LockName, false);
        note(Deed::UnlockName, false);
        note(Deed::UnlockName, true);
        note(Deed::LockTables, false);
        note(Deed::UnlockTables, true);
        note(Deed::LockName, false);
        note(Deed::UnlockNames, true);
        note(Deed::Make, false);
        note(Deed::UnlockTables, false);
        let mut prepared = Holdings::default();
        prepared.note_prepared(Deed::UnlockName);
        assert!(prepared.is_nothing());
        prepared.note_prepared(Deed::LockName);
        prepared.note(Deed::UnlockNames);
        assert!(!prepared.is_nothing(), "it may be run again");
    }
}
