//! Words and texts of SQL, as far as that takes to tell them from each other (manual, "Language Structure").
//!
//! What a comment says that begins with `!` is run, and heard here. `ANSI_QUOTES` and `NO_BACKSLASH_ESCAPES` are not
//! known of. Nothing is copied, and escapes stay as they are.

/// A piece of a statement. White space and comments are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A key word, a name (also a quoted one) or a number.
    Word(&'a [u8]),
    /// What stands in a string.
    Text(&'a [u8]),
    /// Everything else.
    Sign(u8),
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
            self.take(self.0.iter().take_while(|octet| is_blank(**octet)).count());
            match self.0 {
                [b'#', ..] | [b'-', b'-'] => self.skip_line(),
                [b'-', b'-', next, ..] if is_blank(*next) => self.skip_line(),
                // It is run, by every server or from a version on.
                [b'/', b'*', b'!', ..] => self.enter(3),
                [b'/', b'*', b'M' | b'm', b'!', ..] => self.enter(4),
                [b'/', b'*', ..] => self.skip_comment(),
                // The end of one that is run.
                [b'*', b'/', ..] => _ = self.take(2),
                _ => {}
            }
            if self.0.len() == before {
                return;
            }
        }
    }

    fn skip_line(&mut self) {
        self.take(self.0.iter().position(|octet| *octet == b'\n').unwrap_or(self.0.len()));
    }

    fn enter(&mut self, mark: usize) {
        self.take(mark);
        self.take(self.0.iter().take_while(|octet| octet.is_ascii_digit()).count());
    }

    fn skip_comment(&mut self) {
        self.take(2);
        let end = self.0.windows(2).position(|two| two == b"*/");
        self.take(end.map_or(self.0.len(), |end| end + 2));
    }

    /// Up to the quote that ends it; one that is doubled does not, and in a string one behind a backslash.
    fn quoted(&mut self, quote: u8) -> &'a [u8] {
        self.take(1);
        let mut end = 0;
        while let Some(octet) = self.0.get(end) {
            match *octet {
                b'\\' if quote != b'`' => end += 2,
                octet if octet == quote && self.0.get(end + 1) == Some(&quote) => end += 2,
                octet if octet == quote => break,
                _ => end += 1,
            }
        }
        let text = self.take(end);
        self.take(1);
        text
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        Some(match *self.0.first()? {
            quote @ (b'\'' | b'"') => Token::Text(self.quoted(quote)),
            b'`' => Token::Word(self.quoted(b'`')),
            first if is_in_word(first) => {
                Token::Word(self.take(self.0.iter().take_while(|octet| is_in_word(**octet)).count()))
            }
            sign => {
                self.take(1);
                Token::Sign(sign)
            }
        })
    }
}

fn is_blank(octet: u8) -> bool {
    octet.is_ascii_whitespace() || octet == 0x0b
}

/// Letters of other alphabets have octets above ASCII.
pub(crate) fn is_in_word(octet: u8) -> bool {
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
        assert_eq!(tokens("a 'b''c' `d``e` \"f\\\"g\""), ["w:a", "t:b\\'\\'c", "w:d``e", "t:f\\\\\\\"g"]);
        assert_eq!(tokens("a#b\nc-- d\ne--f"), ["w:a", "w:c", "w:e", "-", "-", "w:f"]);
        assert_eq!(tokens("a/*b*/c/*!50000 d*/e/*M! f */g"), ["w:a", "w:c", "w:d", "w:e", "w:f", "w:g"]);
        assert_eq!(tokens("@@session.x:=1"), ["@", "@", "w:session", ".", "w:x", ":", "=", "w:1"]);
    }

    #[test]
    fn what_has_no_end_goes_to_the_end() {
        for sql in ["'a", "'a\\", "`a", "/* a", "/*! a", "-- a", "--", "#"] {
            assert!(tokens(sql).len() <= 1, "{sql}");
        }
    }
}
