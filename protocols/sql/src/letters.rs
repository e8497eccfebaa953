//! Letters of two octets of which the second looks like ASCII: a backslash, or a quote of names. Which character set a
//! session has no watch follows, so a text is read in all of these ways.

/// How octets above ASCII make letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    /// Each takes the next octet with it (BIG5, GBK, UHC, JOHAB), or two and two make one (GB18030).
    Pairs,
    /// Some do, others are letters by themselves (SJIS, CP932).
    ShiftJis,
}

/// The text in each of these readings in which it is another: letters are nothing but octets above ASCII there.
pub(crate) fn readings(sql: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    [Letters::Pairs, Letters::ShiftJis].into_iter().filter_map(|letters| letters.masked(sql))
}

impl Letters {
    /// `None` where nothing would change.
    fn masked(self, sql: &[u8]) -> Option<Vec<u8>> {
        let mut masked = None;
        let mut at = sql.iter().position(|octet| !octet.is_ascii())?;
        while let Some(two) = sql.get(at..at + 2) {
            let is_pair = self.leads(two[0]) && is_second(two[1]);
            if is_pair && two[1].is_ascii() {
                masked.get_or_insert_with(|| sql.to_vec())[at + 1] = two[0];
            }
            at += if is_pair { 2 } else { 1 };
        }
        masked
    }

    fn leads(self, octet: u8) -> bool {
        match self {
            Self::Pairs => !octet.is_ascii(),
            Self::ShiftJis => matches!(octet, 0x81..=0x9f | 0xe0..=0xfc),
        }
    }
}

/// Of any of these character sets. Quotes of strings and signs of comments are none.
fn is_second(octet: u8) -> bool {
    matches!(octet, b'0'..=b'9' | 0x40..=0x7e | 0x80..=0xfe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_hides_its_second_octet_and_no_other() {
        let read = |sql: &[u8]| readings(sql).map(|text| text.escape_ascii().to_string()).collect::<Vec<_>>();
        assert_eq!(read(b"'\\' abc"), [""; 0]);
        assert_eq!(read("'é\\'".as_bytes()), [""; 0], "a pair, or two letters of one octet");
        assert_eq!(read(b"\x95\\'\x95'"), [r"\x95\x95\'\x95\'"; 2]);
        assert_eq!(read(b"\xb1\\\x95\x95\\"), [r"\xb1\xb1\x95\x95\\"].map(str::to_owned));
        assert_eq!(read(b"\x81`\x81"), [r"\x81\x81\x81"; 2]);
        assert_eq!(read(b"\x813\x813\\"), [r"\x81\x81\x81\x81\\"; 2]);
    }
}
