//! How SQL is written on one kind of server, with one choice of the settings that decide on it.

/// What a lexer has to know of a server.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    pub quotes: &'static [Quote],
    /// In front of quotes, without a blank between: they say how what is quoted is written.
    pub prefixes: &'static [Prefix],
    pub dollars: Dollars,
    pub comments: Comments,
    pub foreign: Foreign,
}

/// A mark that begins something and ends it. Doubled, it stands for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    pub mark: u8,
    pub holds: Holds,
    pub escapes: Escapes,
}

/// Letters, in lower case, and the quote that follows.
#[derive(Debug, Clone, Copy)]
pub struct Prefix {
    pub letters: &'static [u8],
    pub quote: Quote,
}

/// What stands in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A string. Another one right behind it continues it.
    Text,
    Name,
}

/// What an octet in quotes means that may not stand for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    None,
    /// A backslash and a letter, or the number of an octet or of a letter (PostgreSQL's `E'…'`).
    Numbers,
    /// A backslash and a letter (MySQL).
    Letters,
    /// A backslash, or what stands behind UESCAPE, and the number of a letter (SQL's `U&'…'`). It does not keep a quote
    /// from ending.
    Unicode,
}

/// Whether `$tag$ … $tag$` is a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dollars {
    Quote,
    Letter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comments {
    /// `--` to the end of the line, and `/* … */`, which may stand in each other (PostgreSQL).
    Nested,
    /// `#`, or `--` and a blank or a control character, to the end of the line, and `/* … */` (MySQL).
    Flat,
}

/// What octets above ASCII are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    Letters,
    /// Some of them are, in some character sets: there the others are letters of which no word that matters is made.
    Blanks,
}

impl Escapes {
    /// Whether an octet takes the next one's meaning away, also that of a quote.
    pub(crate) fn shields(self, octet: u8) -> bool {
        match self {
            Self::None | Self::Unicode => false,
            Self::Numbers | Self::Letters => octet == b'\\',
        }
    }
}

impl Dialect {
    pub(crate) fn is_blank(&self, octet: u8) -> bool {
        const VERTICAL_TAB: u8 = 0x0b;
        let foreign = !octet.is_ascii() && self.foreign == Foreign::Blanks;
        octet.is_ascii_whitespace() || octet == VERTICAL_TAB || foreign
    }

    pub(crate) fn is_in_word(&self, octet: u8) -> bool {
        let foreign = !octet.is_ascii() && self.foreign == Foreign::Letters;
        octet.is_ascii_alphanumeric() || octet == b'_' || octet == b'$' || foreign
    }
}
