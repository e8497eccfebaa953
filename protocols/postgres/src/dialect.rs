//! How PostgreSQL's SQL is written (manual, "Lexical Structure").

use attache_sql::{Comments, Dialect, Dollars, Escapes, Foreign, Holds, Prefix, Quote};

/// With `standard_conforming_strings`, which is on since version 9.1, and without it.
pub(crate) const READINGS: [Dialect; 2] = [dialect(&[STANDARD, NAME]), dialect(&[ESCAPING, NAME])];

const STANDARD: Quote = Quote { mark: b'\'', holds: Holds::Text, escapes: Escapes::None };
const ESCAPING: Quote = Quote { escapes: Escapes::Numbers, ..STANDARD };
const NAME: Quote = Quote { mark: b'"', holds: Holds::Name, escapes: Escapes::None };

const fn dialect(quotes: &'static [Quote]) -> Dialect {
    Dialect {
        quotes,
        prefixes: &[
            Prefix { letters: b"e", quote: ESCAPING },
            Prefix { letters: b"u&", quote: Quote { escapes: Escapes::Unicode, ..STANDARD } },
            Prefix { letters: b"u&", quote: Quote { escapes: Escapes::Unicode, ..NAME } },
        ],
        dollars: Dollars::Quote,
        comments: Comments::Nested,
        foreign: Foreign::Letters,
    }
}
