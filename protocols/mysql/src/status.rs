//! What a server says of a session at the end of a result: its status flags (manual, "OK_Packet", "EOF_Packet",
//! "SERVER_STATUS_flags_enum").

use bytes::Buf;

use crate::field::take_length;

/// The length of an EOF in octets: its mark, a count of warnings, status flags.
const EOF_LEN: usize = 5;

/// A set of status flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(u16);

impl Status {
    const IN_TRANSACTION: u16 = 1;
    const MORE_RESULTS: u16 = 1 << 3;
    const CURSOR_EXISTS: u16 = 1 << 6;
    const LAST_ROW_SENT: u16 = 1 << 7;
    const OUT_PARAMETERS: u16 = 1 << 12;
    const IN_READ_ONLY_TRANSACTION: u16 = 1 << 13;

    /// Of the first octets of an OK, and of an EOF in the form of either: the old one is of one length alone.
    pub(crate) fn of(head: &[u8], len: usize) -> Option<Self> {
        let mut head = head.get(1..)?;
        if len == EOF_LEN {
            head.try_get_u16_le().ok()?;
        } else {
            take_length(&mut head)?;
            take_length(&mut head)?;
        }
        head.try_get_u16_le().ok().map(Self)
    }

    pub(crate) fn in_transaction(self) -> bool {
        self.0 & (Self::IN_TRANSACTION | Self::IN_READ_ONLY_TRANSACTION) != 0
    }

    /// Another result follows this one.
    pub(crate) fn more_results(self) -> bool {
        self.0 & Self::MORE_RESULTS != 0
    }

    /// The rows stay on the server until they are fetched.
    pub(crate) fn cursor_exists(self) -> bool {
        self.0 & Self::CURSOR_EXISTS != 0
    }

    /// The rows are the parameters that a procedure gives back.
    pub(crate) fn out_parameters(self) -> bool {
        self.0 & Self::OUT_PARAMETERS != 0
    }

    /// A cursor has given its last row, and is closed.
    pub(crate) fn last_row_sent(self) -> bool {
        self.0 & Self::LAST_ROW_SENT != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_behind_two_numbers_or_behind_the_warnings() {
        let of = |bytes: &[u8]| Status::of(bytes, bytes.len()).map(|status| status.0);
        assert_eq!(of(b"\0\0\0\x02\0\0\0"), Some(2));
        assert_eq!(of(b"\0\xfc\x01\x01\xfe12345678\x01\x20\0\0"), Some(0x2001));
        assert_eq!(of(b"\xfe\0\0\x42\0"), Some(0x42));
        assert_eq!(of(b"\xfe\0\0\x22\0\0\0"), Some(0x22), "an OK that marks an end");
        for short in [&b""[..], b"\0", b"\0\0\0\x02", b"\xfe\xff\0\0\0\0"] {
            assert_eq!(of(short), None, "{short:?}");
        }
    }
}
