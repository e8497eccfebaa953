//! Inline commands: a line of words, quoted as a shell quotes (`sdssplitargs` in the server's `sds.c`).

/// Splits a line, without its line feed, into words. `None` where a quote is not closed, or something follows a
/// closing quote: there the server ends the connection.
pub(crate) fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = Vec::new();
    loop {
        line = &line[line.iter().take_while(|octet| is_space(**octet)).count()..];
        if line.is_empty() {
            return Some(words);
        }
        let mut word = Vec::new();
        line = take_word(line, &mut word)?;
        words.push(word);
    }
}

/// Takes one word off the front. A quote may open in the midst of it, and ends it when it closes.
fn take_word<'a>(mut line: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    while let Some((octet, rest)) = line.split_first() {
        line = rest;
        match octet {
            b' ' | b'\n' | b'\r' | b'\t' => return Some(line),
            b'"' => return take_quoted(line, word, b'"'),
            b'\'' => return take_quoted(line, word, b'\''),
            octet => word.push(*octet),
        }
    }
    Some(line)
}

fn take_quoted<'a>(mut line: &'a [u8], word: &mut Vec<u8>, quote: u8) -> Option<&'a [u8]> {
    loop {
        line = match line {
            [b'\\', b'x', high, low, rest @ ..] if quote == b'"' && is_hex(*high, *low) => {
                word.push(hex(*high) << 4 | hex(*low));
                rest
            }
            [b'\\', octet, rest @ ..] if quote == b'"' => {
                word.push(unescape(*octet));
                rest
            }
            [b'\\', b'\'', rest @ ..] if quote == b'\'' => {
                word.push(b'\'');
                rest
            }
            [end, rest @ ..] if *end == quote => {
                return rest.first().is_none_or(|octet| is_space(*octet)).then_some(rest);
            }
            [octet, rest @ ..] => {
                word.push(*octet);
                rest
            }
            [] => return None,
        }
    }
}

fn unescape(octet: u8) -> u8 {
    match octet {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        octet => octet,
    }
}

fn is_hex(high: u8, low: u8) -> bool {
    high.is_ascii_hexdigit() && low.is_ascii_hexdigit()
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        digit => digit.to_ascii_lowercase() - b'a' + 10,
    }
}

/// `isspace` of the C locale.
fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let words = split(line.as_bytes())?;
        Some(words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect())
    }

    #[test]
    fn lines_are_split_as_the_server_splits_them() {
        for (line, expected) in [
            ("PING\r", &["PING"][..]),
            ("  AUTH\t a   b ", &["AUTH", "a", "b"]),
            ("AU\"TH\" x", &["AUTH", "x"]),
            ("'AUTH' \"a b\" 'c\\'d'", &["AUTH", "a b", "c'd"]),
            (r#""\x41UTH" "\n\q\"" '\x41'"#, &["AUTH", "\nq\"", "\\x41"]),
            ("\u{b}PING\u{c}x", &["PING\u{c}x"]),
            ("\"\" ''", &["", ""]),
            ("", &[]),
            ("\r", &[]),
        ] {
            assert_eq!(
                words(line).as_deref(),
                Some(&expected.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()[..]),
                "{line}"
            );
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_or_goes_on_is_none() {
        for line in ["\"AUTH", "'AUTH", "'AUTH'x", "\"a\"b", "\"a\\\"", "'a\\'"] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}
