//! A text of SQL as words, texts and signs.
//!
//! What has no end goes to the end of the text: whether that is an error is the server's to say. Nothing is copied
//! but strings and names with something in them that does not stand for itself.

use std::borrow::Cow;

use crate::dialect::{Comments, Dialect, Dollars, Escapes, Holds, Quote};
use crate::escapes::plain;

/// A piece of a statement. White space and comments are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token<'a> {
    /// A key word, a name (also a quoted one) or a number.
    Word(Cow<'a, [u8]>),
    /// What a string means.
    Text(Cow<'a, [u8]>),
    /// Everything else.
    Sign(u8),
}

/// Goes through a text.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    rest: &'a [u8],
    dialect: Dialect,
}

impl<'a> Lexer<'a> {
    pub fn new(sql: &'a [u8], dialect: Dialect) -> Self {
        Self { rest: sql, dialect }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let first = *self.rest.first()?;
        if let Some((prefix, quote)) = self.opening() {
            self.cut(prefix);
            return Some(self.quoted(quote));
        }
        if first == b'$'
            && self.dialect.dollars == Dollars::Quote
            && let Some(text) = self.dollar_quoted()
        {
            return Some(Token::Text(text.into()));
        }
        if self.begins_number(first) {
            return Some(Token::Word(self.number().into()));
        }
        if self.dialect.is_in_word(first) {
            let dialect = self.dialect;
            return Some(Token::Word(self.cut_while(|octet| dialect.is_in_word(octet)).into()));
        }
        self.cut(1);
        Some(Token::Sign(first))
    }
}

impl<'a> Lexer<'a> {
    fn cut(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn cut_while(&mut self, is_part: impl Fn(u8) -> bool) -> &'a [u8] {
        self.cut(self.rest.iter().take_while(|octet| is_part(**octet)).count())
    }

    fn skip_blanks(&mut self) {
        let dialect = self.dialect;
        loop {
            self.cut_while(|octet| dialect.is_blank(octet));
            if !self.skip_comment() {
                return;
            }
        }
    }

    /// Whether there was one.
    fn skip_comment(&mut self) -> bool {
        match (self.dialect.comments, self.rest) {
            (Comments::Nested, [b'/', b'*', ..]) => self.skip_nested(),
            (Comments::Flat, [b'/', b'*', ..]) => self.skip_flat(),
            (Comments::Nested, [b'-', b'-', ..]) => {
                self.cut_while(|octet| !matches!(octet, b'\n' | b'\r'));
            }
            (Comments::Flat, [b'#', ..] | [b'-', b'-']) => self.skip_line(),
            (Comments::Flat, [b'-', b'-', next, ..]) if *next == b' ' || next.is_ascii_control() => {
                self.skip_line();
            }
            (Comments::Nested | Comments::Flat, _) => return false,
        }
        true
    }

    fn skip_line(&mut self) {
        self.cut_while(|octet| octet != b'\n');
    }

    fn skip_flat(&mut self) {
        self.cut(2);
        let end = self.rest.windows(2).position(|two| two == b"*/");
        self.cut(end.map_or(self.rest.len(), |end| end + 2));
    }

    fn skip_nested(&mut self) {
        let mut depth = 0_usize;
        while !self.rest.is_empty() {
            match self.rest {
                [b'/', b'*', ..] => {
                    depth += 1;
                    self.cut(2);
                }
                [b'*', b'/', ..] => {
                    depth -= 1;
                    self.cut(2);
                    if depth == 0 {
                        return;
                    }
                }
                _ => _ = self.cut(1),
            }
        }
    }

    /// Of a server on which a dollar sign may quote: it is part of a name there, and ends a number.
    fn begins_number(&self, first: u8) -> bool {
        self.dialect.dollars == Dollars::Quote && (first.is_ascii_digit() || first == b'$')
    }

    /// A number, with the letters in it, or the number of a parameter.
    fn number(&mut self) -> &'a [u8] {
        let dialect = self.dialect;
        let more = self.rest[1..].iter().take_while(|octet| **octet != b'$' && dialect.is_in_word(**octet));
        self.cut(1 + more.count())
    }

    /// The quote that begins here, and how many letters stand in front of it.
    fn opening(&self) -> Option<(usize, Quote)> {
        let first = self.rest.first()?;
        let bare = self.dialect.quotes.iter().find(|quote| quote.mark == *first).map(|quote| (0, *quote));
        bare.or_else(|| {
            let prefix = self.dialect.prefixes.iter().find(|prefix| {
                let letters = self.rest.get(..prefix.letters.len()).unwrap_or_default();
                letters.eq_ignore_ascii_case(prefix.letters)
                    && self.rest.get(letters.len()) == Some(&prefix.quote.mark)
            })?;
            Some((prefix.letters.len(), prefix.quote))
        })
    }

    fn quoted(&mut self, quote: Quote) -> Token<'a> {
        let escape = match quote.escapes {
            Escapes::Unicode => self.clone().escape_of_unicode(quote),
            Escapes::None | Escapes::Numbers | Escapes::Letters => b'\\',
        };
        let mut content = plain(self.between(quote), quote, escape);
        while let Some(next) = self.continuation(quote) {
            let next = Quote { escapes: quote.escapes, ..next };
            let more = plain(self.between(next), next, escape);
            content.to_mut().extend_from_slice(&more);
        }
        match quote.holds {
            Holds::Text => Token::Text(content),
            Holds::Name => Token::Word(content),
        }
    }

    /// What stands between the mark here and the one that ends it.
    fn between(&mut self, quote: Quote) -> &'a [u8] {
        self.cut(1);
        let mut end = 0;
        while let Some(octet) = self.rest.get(end) {
            match *octet {
                octet if quote.escapes.shields(octet) => end += 2,
                octet if octet == quote.mark && self.rest.get(end + 1) == Some(&quote.mark) => end += 2,
                octet if octet == quote.mark => break,
                _ => end += 1,
            }
        }
        let content = self.cut(end);
        self.cut(1);
        content
    }

    /// A string that continues the one that was just read. Where the server wants a line end between the two and there is
    /// none, it complains.
    fn continuation(&mut self, quote: Quote) -> Option<Quote> {
        if quote.holds == Holds::Name {
            return None;
        }
        self.skip_blanks();
        let first = self.rest.first()?;
        self.dialect.quotes.iter().find(|next| next.holds == Holds::Text && next.mark == *first).copied()
    }

    /// What is said behind quotes (`UESCAPE '!'`), or the usual.
    fn escape_of_unicode(mut self, quote: Quote) -> u8 {
        const WORD: &[u8] = b"uescape";
        self.between(quote);
        while let Some(next) = self.continuation(quote) {
            self.between(Quote { escapes: quote.escapes, ..next });
        }
        self.skip_blanks();
        if !self.cut(WORD.len()).eq_ignore_ascii_case(WORD) {
            return b'\\';
        }
        self.skip_blanks();
        match self.rest {
            [b'\'', escape, b'\'', ..] => *escape,
            _ => b'\\',
        }
    }

    /// `$tag$ … $tag$`, if it is one.
    fn dollar_quoted(&mut self) -> Option<&'a [u8]> {
        let in_tag = |octet: u8| self.dialect.is_in_word(octet) && octet != b'$';
        let tag_len = self.rest[1..].iter().position(|octet| !in_tag(*octet))?;
        let tag = self.rest.get(..tag_len + 2).filter(|tag| tag.ends_with(b"$"))?;
        if tag[1].is_ascii_digit() {
            return None;
        }
        self.cut(tag.len());
        let end = self.rest.windows(tag.len()).position(|part| part == tag).unwrap_or(self.rest.len());
        let text = self.cut(end);
        self.cut(tag.len());
        Some(text)
    }
}
