//! Words and texts of SQL, as far as that takes to tell them from each other (manual, "Lexical Structure").
//!
//! Strings are those of `standard_conforming_strings`, which is on since version 9.1. Nothing is copied, and escapes
//! stay as they are.

/// A piece of a statement. White space and comments are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A key word, a name (also a quoted one) or a number.
    Word(&'a [u8]),
    /// What stands in a string, of either kind of quotes.
    Text(&'a [u8]),
    /// Everything else.
    Sign(u8),
}

impl<'a> Token<'a> {
    pub(crate) fn text(&self) -> Option<&'a [u8]> {
        match self {
            Self::Text(text) => Some(text),
            Self::Word(_) | Self::Sign(_) => None,
        }
    }
}

/// Goes through a text.
#[derive(Debug)]
pub(crate) struct Lexer<'a>(&'a [u8]);

impl<'a> Lexer<'a> {
    pub(crate) fn new(sql: &'a [u8]) -> Self {
        Self(sql)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn skip_blanks(&mut self) {
        loop {
            let before = self.0.len();
            let blanks = self.0.iter().take_while(|octet| octet.is_ascii_whitespace() || **octet == 0x0b);
            self.take(blanks.count());
            if self.0.starts_with(b"--") {
                self.take(
                    self.0.iter().position(|octet| matches!(octet, b'\n' | b'\r')).unwrap_or(self.0.len()),
                );
            } else if self.0.starts_with(b"/*") {
                self.skip_comment();
            }
            if self.0.len() == before {
                return;
            }
        }
    }

    /// Comments nest.
    fn skip_comment(&mut self) {
        let mut depth = 0_u32;
        while !self.0.is_empty() {
            if self.0.starts_with(b"/*") {
                depth += 1;
                self.take(2);
            } else if self.0.starts_with(b"*/") {
                depth -= 1;
                self.take(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.take(1);
            }
        }
    }

    /// Up to the quote that ends it; one that is doubled does not, and one behind a backslash where that escapes.
    fn quoted(&mut self, quote: u8, backslash_escapes: bool) -> &'a [u8] {
        self.take(1);
        let mut end = 0;
        while let Some(octet) = self.0.get(end) {
            match *octet {
                b'\\' if backslash_escapes => end += 2,
                octet if octet == quote && self.0.get(end + 1) == Some(&quote) => end += 2,
                octet if octet == quote => break,
                _ => end += 1,
            }
        }
        let text = self.take(end);
        self.take(1);
        text
    }

    /// `$tag$ … $tag$`, if it is one.
    fn dollar_quoted(&mut self) -> Option<&'a [u8]> {
        let tag_len = self.0[1..].iter().position(|octet| !is_in_word(*octet) || *octet == b'$')?;
        let tag = self.0.get(..tag_len + 2).filter(|tag| tag.ends_with(b"$"))?;
        if tag[1].is_ascii_digit() {
            return None;
        }
        self.take(tag.len());
        let end = self.0.windows(tag.len()).position(|part| part == tag).unwrap_or(self.0.len());
        let text = self.take(end);
        self.take(tag.len());
        Some(text)
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let first = *self.0.first()?;
        if first == b'$'
            && let Some(text) = self.dollar_quoted()
        {
            return Some(Token::Text(text));
        }
        match first {
            b'\'' => Some(Token::Text(self.quoted(b'\'', false))),
            b'"' => Some(Token::Word(self.quoted(b'"', false))),
            first if is_in_word(first) => Some(self.word()),
            sign => {
                self.take(1);
                Some(Token::Sign(sign))
            }
        }
    }
}

impl<'a> Lexer<'a> {
    /// A word; or a string with a letter in front that says how it is written.
    fn word(&mut self) -> Token<'a> {
        let word = self.take(self.0.iter().take_while(|octet| is_in_word(**octet)).count());
        match (word, self.0.first()) {
            (b"e" | b"E", Some(b'\'')) => Token::Text(self.quoted(b'\'', true)),
            (b"n" | b"N" | b"b" | b"B" | b"x" | b"X", Some(b'\'')) => Token::Text(self.quoted(b'\'', false)),
            (word, _) => Token::Word(word),
        }
    }
}

/// Letters of other alphabets have octets above ASCII.
fn is_in_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_' || octet == b'$' || !octet.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(sql: &str) -> Vec<String> {
        let shown = |token| match token {
            Token::Word(word) => format!("w:{}", word.escape_ascii()),
            Token::Text(text) => format!("t:{}", text.escape_ascii()),
            Token::Sign(sign) => format!("{}", sign.escape_ascii()),
        };
        Lexer::new(sql.as_bytes()).map(shown).collect()
    }

    #[test]
    fn strings_names_and_comments_are_told_apart() {
        assert_eq!(tokens("a 'b''c' \"d\"\"e\""), ["w:a", "t:b\\'\\'c", "w:d\\\"\\\"e"]);
        assert_eq!(tokens("'a\\' b E'c\\'d' e"), ["t:a\\\\", "w:b", "t:c\\\\\\'d", "w:e"]);
        assert_eq!(tokens("$$a'b$$ $t$c$$d$t$ $1 e$f"), ["t:a\\'b", "t:c$$d", "w:$1", "w:e$f"]);
        assert_eq!(tokens("a--b\nc/*d/*e*/f*/g"), ["w:a", "w:c", "w:g"]);
        assert_eq!(tokens("a - b/c"), ["w:a", "-", "w:b", "/", "w:c"]);
    }

    #[test]
    fn what_has_no_end_goes_to_the_end() {
        for sql in ["'a", "E'a\\", "\"a", "$$a", "$x$a$x", "/* a /*", "-- a", "$", "$x", "x'"] {
            // It ends, and takes nothing twice.
            assert!(tokens(sql).len() <= 2, "{sql}");
        }
    }
}
