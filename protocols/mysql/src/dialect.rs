//! How the SQL of MySQL and MariaDB is written (manual, "Language Structure").
//!
//! What a comment says that begins with `!` is run by some servers and not by others: no lexer can know.

use attache_sql::{Comments, Dialect, Dollars, Escapes, Foreign, Holds, Quote};

/// As it is by default, with `ANSI_QUOTES`, where a backslash escapes nothing between double quotes, and with
/// `NO_BACKSLASH_ESCAPES`. What stands between double quotes is a text in all of them, though it may be a name.
pub(crate) const READINGS: [Dialect; 3] = [
    dialect(&[SINGLE, DOUBLE, NAME]),
    dialect(&[SINGLE, Quote { escapes: Escapes::None, ..DOUBLE }, NAME]),
    dialect(&[Quote { escapes: Escapes::None, ..SINGLE }, Quote { escapes: Escapes::None, ..DOUBLE }, NAME]),
];

const SINGLE: Quote = Quote { mark: b'\'', holds: Holds::Text, escapes: Escapes::Letters };
const DOUBLE: Quote = Quote { mark: b'"', ..SINGLE };
const NAME: Quote = Quote { mark: b'`', holds: Holds::Name, escapes: Escapes::None };

const fn dialect(quotes: &'static [Quote]) -> Dialect {
    let (comments, foreign) = (Comments::Flat, Foreign::Blanks);
    Dialect { quotes, prefixes: &[], dollars: Dollars::Letter, comments, foreign }
}
