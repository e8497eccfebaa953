//! What a client is told when it is turned away: an ERR packet with the number and the SQLSTATE that drivers and pools
//! act on (manual, "ERR_Packet"; "Server Error Message Reference").

use attache_wire::{Moment, Notice, Refusal};
use bytes::BytesMut;

use crate::intent::Intent;
use crate::packet;

const ERR: u8 = 0xff;
/// The most characters of a text: MySQL's own clients keep 512 octets.
const MAX_TEXT_CHARS: usize = 500;

pub(crate) fn refuse(notice: &Notice<'_>, moment: Moment<'_, Intent>, out: &mut BytesMut) {
    let (number, sqlstate) = code(notice.refusal);
    let text = text(notice);
    let number = number.to_le_bytes();
    let state = [b"#", sqlstate.as_bytes()].concat();
    let (sequence, state) = match moment {
        // Clients look for an SQLSTATE only once they know the server's flags.
        Moment::Silence => (0, &[][..]),
        // Behind the greeting, and behind an answer that may not have been understood.
        Moment::Opening => (2, &state[..]),
        Moment::Waiting(intent) => (intent.sequence, &state[..]),
        Moment::Session(sequence) => (sequence, &state[..]),
    };
    packet::put(out, sequence, &[&[ERR], &number, state, text.as_bytes()]);
}

/// An error number and an SQLSTATE. Class 08 is what drivers and pools take for a connection that is gone.
fn code(refusal: Refusal) -> (u16, &'static str) {
    match refusal {
        // ER_UNKNOWN_ERROR: of the errors that mean "no connection" all but this one are the clients' own (2003, 2013).
        Refusal::Unavailable => (1105, "08S01"),
        // ER_NET_READ_INTERRUPTED
        Refusal::TimedOut => (1159, "08S01"),
        // Nothing failed on the way, it was not wanted: class 08, rejected by the server.
        Refusal::Insecure => (1105, "08004"),
        // ER_ACCESS_DENIED_ERROR
        Refusal::NoCredential | Refusal::LoginRejected => (1045, "28000"),
        // ER_CON_COUNT_ERROR
        Refusal::TooManySessions => (1040, "08004"),
        // ER_SPECIFIC_ACCESS_DENIED_ERROR
        Refusal::NotAllowed => (1227, "42000"),
        // ER_MALFORMED_PACKET
        Refusal::ProtocolViolation => (1835, "HY000"),
        // ER_NOT_SUPPORTED_YET
        Refusal::Unsupported => (1235, "42000"),
        // ER_SERVER_SHUTDOWN
        Refusal::ShuttingDown => (1053, "08S01"),
    }
}

/// An ERR packet has one text: the cause, by which session to find it in the log, and what to do.
fn text(notice: &Notice<'_>) -> String {
    let mut text = format!("attache: {} (session {})", notice.cause, notice.session);
    if !notice.hint.is_empty() {
        text.push_str(": ");
        text.push_str(notice.hint);
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(refusal: Refusal, hint: &str, moment: Moment<'_, Intent>) -> Vec<u8> {
        let mut out = BytesMut::new();
        let cause = "no server could\nbe reached";
        refuse(&Notice { refusal, cause, hint, session: "7f3a" }, moment, &mut out);
        out.to_vec()
    }

    #[test]
    fn an_error_before_the_greeting_has_no_sqlstate() {
        let expected = b"\x38\0\0\0\xff\x51\x04attache: no server could be reached (session 7f3a)";
        let told = told(Refusal::Unavailable, "", Moment::Silence);
        assert_eq!(told[4..], expected[4..]);
        assert_eq!((usize::from(told[0]), told[3]), (expected.len() - 4, 0));
    }

    #[test]
    fn an_error_bears_the_number_that_the_client_waits_for() {
        let waiting = Intent { sequence: 4, ..Intent::default() };
        for (moment, number) in
            [(Moment::Opening, 2), (Moment::Waiting(&waiting), 4), (Moment::Session(9), 9)]
        {
            let told = told(Refusal::ShuttingDown, "try again", moment);
            assert_eq!(told[3..13], [&[number, 0xff, 0x1d, 0x04][..], b"#08S01"].concat());
            assert!(told.ends_with(b"(session 7f3a): try again"));
        }
    }

    #[test]
    fn a_text_has_the_length_that_clients_keep() {
        let told = told(Refusal::LoginRejected, &"h".repeat(2000), Moment::Opening);
        assert_eq!(told.len(), 4 + 9 + MAX_TEXT_CHARS);
        assert_eq!(told[5..13], *b"\x15\x04#28000");
    }
}
