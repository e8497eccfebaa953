//! What stands in quotes, as the server understands it.

use std::borrow::Cow;

use crate::dialect::{Escapes, Quote};

/// The meaning of what stands between two marks. `escape` is what begins an escape, where there are any.
pub(crate) fn plain(content: &[u8], quote: Quote, escape: u8) -> Cow<'_, [u8]> {
    let escape = (quote.escapes != Escapes::None).then_some(escape);
    if !content.iter().any(|octet| *octet == quote.mark || Some(*octet) == escape) {
        return content.into();
    }
    let (mut rest, mut out) = (content, Vec::with_capacity(content.len()));
    while let Some((octet, after)) = rest.split_first() {
        let more = match *octet {
            octet if Some(octet) == escape => put(quote.escapes, escape, after, &mut out),
            octet => {
                out.push(octet);
                // Inside of quotes their mark is always doubled.
                usize::from(octet == quote.mark)
            }
        };
        rest = after.get(more..).unwrap_or_default();
    }
    out.into()
}

/// Appends what an escape means whose first octet has been read. Returns how many octets follow that are part of it.
fn put(escapes: Escapes, escape: Option<u8>, rest: &[u8], out: &mut Vec<u8>) -> usize {
    match escapes {
        Escapes::None => 0,
        Escapes::Numbers => numbered(rest, out),
        Escapes::Letters => lettered(rest, out),
        Escapes::Unicode => unicode(escape, rest, out),
    }
}

/// Manual of PostgreSQL, "String Constants with C-Style Escapes".
fn numbered(rest: &[u8], out: &mut Vec<u8>) -> usize {
    let Some((first, after)) = rest.split_first() else { return 0 };
    match first {
        b'0'..=b'7' => octet(rest, 8, 3, out),
        b'x' if after.first().is_some_and(u8::is_ascii_hexdigit) => 1 + octet(after, 16, 2, out),
        b'u' => letter(after, 4, out).map_or(1, |()| 5),
        b'U' => letter(after, 8, out).map_or(1, |()| 9),
        b'b' => put_one(0x08, out),
        b'f' => put_one(0x0c, out),
        b'n' => put_one(b'\n', out),
        b'r' => put_one(b'\r', out),
        b't' => put_one(b'\t', out),
        other => put_one(*other, out),
    }
}

/// Manual of MySQL, "String Literals", table "Special Character Escape Sequences".
fn lettered(rest: &[u8], out: &mut Vec<u8>) -> usize {
    match rest.first() {
        None => 0,
        Some(b'0') => put_one(0, out),
        Some(b'b') => put_one(0x08, out),
        Some(b'n') => put_one(b'\n', out),
        Some(b'r') => put_one(b'\r', out),
        Some(b't') => put_one(b'\t', out),
        Some(b'Z') => put_one(0x1a, out),
        // For LIKE, which wants to see the backslash.
        Some(wildcard @ (b'%' | b'_')) => {
            out.push(b'\\');
            put_one(*wildcard, out)
        }
        Some(other) => put_one(*other, out),
    }
}

/// Manual of PostgreSQL, "String Constants with Unicode Escapes".
fn unicode(escape: Option<u8>, rest: &[u8], out: &mut Vec<u8>) -> usize {
    match rest.split_first() {
        Some((first, _)) if Some(*first) == escape => put_one(*first, out),
        Some((b'+', after)) => letter(after, 6, out).map_or(0, |()| 7),
        Some(_) => letter(rest, 4, out).map_or(0, |()| 4),
        None => 0,
    }
}

fn put_one(octet: u8, out: &mut Vec<u8>) -> usize {
    out.push(octet);
    1
}

/// An octet by its number of so many digits at the most. Returns how many there were.
fn octet(rest: &[u8], radix: u32, most: usize, out: &mut Vec<u8>) -> usize {
    let digits = rest.iter().take(most).map_while(|octet| char::from(*octet).to_digit(radix));
    let (number, len) = digits.fold((0, 0), |(number, len), digit| (number * radix + digit, len + 1));
    // Of three octal digits the server, too, takes what an octet holds.
    let [octet, ..] = u32::to_le_bytes(number);
    out.push(octet);
    len
}

/// A letter by its number of exactly so many hexadecimal digits. One that does not exist is an error of the server's.
fn letter(rest: &[u8], len: usize, out: &mut Vec<u8>) -> Option<()> {
    let mut digits = rest.get(..len)?.iter().map(|octet| char::from(*octet).to_digit(16));
    let number = digits.try_fold(0, |number: u32, digit| Some(number << 4 | digit?))?;
    let letter = char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}
