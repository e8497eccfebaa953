//! What both scanners need: numbers that arrive digit by digit, and the limits of what they may say.

/// The most arguments of a command, as servers have it (`INT_MAX` in `processMultibulkBuffer`).
pub(crate) const MAX_ARGUMENTS: i64 = i32::MAX as i64;
/// The longest argument, in octets: far more than any `proto-max-bulk-len` (512 MB by default), and small enough
/// that sums of it cannot overflow.
pub(crate) const MAX_ARGUMENT_LEN: i64 = 1 << 40;

/// A decimal number up to its CR LF, as strict as servers are (`string2ll`): no plus, no leading zero, no blank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Number {
    #[default]
    Empty,
    Minus,
    /// Of a negative number, the digits count downwards.
    Negative(i64),
    Positive(i64),
    Zero,
    /// The carriage return has come.
    Ending(i64),
}

/// What an octet made of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digit {
    More(Number),
    /// The line feed has come.
    Done(i64),
}

impl Number {
    /// Takes the next octet in; `None` if that makes it no number.
    pub(crate) fn push(self, octet: u8) -> Option<Digit> {
        let digit = i64::from(octet.wrapping_sub(b'0'));
        let next = match (self, octet) {
            (Self::Empty, b'-') => Self::Minus,
            (Self::Empty, b'0') => Self::Zero,
            (Self::Empty, b'1'..=b'9') => Self::Positive(digit),
            (Self::Minus, b'1'..=b'9') => Self::Negative(-digit),
            (Self::Positive(value), b'0'..=b'9') => {
                Self::Positive(value.checked_mul(10)?.checked_add(digit)?)
            }
            (Self::Negative(value), b'0'..=b'9') => {
                Self::Negative(value.checked_mul(10)?.checked_sub(digit)?)
            }
            (Self::Zero, b'\r') => Self::Ending(0),
            (Self::Positive(value) | Self::Negative(value), b'\r') => Self::Ending(value),
            (Self::Ending(value), b'\n') => return Some(Digit::Done(value)),
            (
                Self::Empty
                | Self::Minus
                | Self::Negative(_)
                | Self::Positive(_)
                | Self::Zero
                | Self::Ending(_),
                _,
            ) => return None,
        };
        Some(Digit::More(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<i64> {
        let mut number = Number::default();
        for (at, octet) in text.bytes().enumerate() {
            match number.push(octet)? {
                Digit::More(next) => number = next,
                Digit::Done(value) => return (at + 1 == text.len()).then_some(value),
            }
        }
        None
    }

    #[test]
    fn numbers_are_read_as_servers_read_them() {
        for (text, value) in [("0", 0), ("-1", -1), ("10", 10), ("9223372036854775807", i64::MAX)] {
            assert_eq!(read(&format!("{text}\r\n")), Some(value), "{text}");
        }
        assert_eq!(read("-9223372036854775808\r\n"), Some(i64::MIN));
        for text in ["", "-", "-0", "01", "+1", " 1", "1 ", "1x", "9223372036854775808", "0x1", "00"] {
            assert_eq!(read(&format!("{text}\r\n")), None, "{text}");
        }
        assert_eq!(read("1\n"), None);
        assert_eq!(read("1\rX"), None);
    }
}
