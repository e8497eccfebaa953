//! What of a text is minded, in each way that a server may read it.
//!
//! Settings of a session decide what some octets of a string mean, and no watch follows them. So a text is read in all
//! of these ways, and what is found in one of them counts.

use crate::dialect::Dialect;
use crate::letters;
use crate::lexer::{Lexer, Token};

/// The longest statement that is searched, in octets: many times what anybody types, and bounded, for it is kept until it
/// is whole.
pub const MAX_CHECKED_LEN: usize = 4 * 1024 * 1024;

/// How deep code is searched that stands in a string of other code: deeper than anybody writes.
const MOST_NESTED: u8 = 8;
/// What is deeper still is minded unheard.
const TOO_DEEP: &str = "code in strings of code in strings";

/// One statement, as far as it has been heard.
pub trait Statement: Default {
    /// Takes in the next token, which is no semicolon. What is minded of it has a name.
    fn hear(&mut self, token: &Token<'_>, search: Search) -> Option<&'static str>;

    /// There is nothing more of it.
    fn end(self) -> Option<&'static str>;
}

/// The first thing in a text that its statements mind. Of the readings the first is the usual one; they may differ only
/// in what backslashes mean.
pub fn finding<S: Statement>(sql: &[u8], readings: &[Dialect]) -> Option<&'static str> {
    let found = finding_of::<S>(sql, readings);
    found.or_else(|| letters::readings(sql).find_map(|sql| finding_of::<S>(&sql, readings)))
}

fn finding_of<S: Statement>(sql: &[u8], readings: &[Dialect]) -> Option<&'static str> {
    let most = if sql.contains(&b'\\') { readings.len() } else { 1 };
    let mut searches = readings.iter().take(most).map(|dialect| Search { dialect: *dialect, depth: 0 });
    searches.find_map(|search| search.first::<S>(sql))
}

/// One reading of a text, or of a string in it.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    dialect: Dialect,
    depth: u8,
}

impl Search {
    /// The first thing that is minded in a string that is code itself.
    pub fn within<S: Statement>(self, text: &[u8]) -> Option<&'static str> {
        if self.depth == MOST_NESTED {
            return Some(TOO_DEEP);
        }
        Self { depth: self.depth + 1, ..self }.first::<S>(text)
    }

    fn first<S: Statement>(self, sql: &[u8]) -> Option<&'static str> {
        let mut statement = S::default();
        let found = Lexer::new(sql, self.dialect).find_map(|token| match token {
            Token::Sign(b';') => std::mem::take(&mut statement).end(),
            token @ (Token::Word(_) | Token::Text(_) | Token::Sign(_)) => statement.hear(&token, self),
        });
        found.or_else(|| statement.end())
    }
}
