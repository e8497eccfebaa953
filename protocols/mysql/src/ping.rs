//! A round trip: COM_PING, which changes nothing; and the goodbye, COM_QUIT (manual, "Utility Commands").

use attache_wire::{Fault, Machine, Step, Turn};
use bytes::BytesMut;

use crate::packet;
use crate::rejection::{ERR, rejection};

const COM_QUIT: u8 = 0x01;
const COM_PING: u8 = 0x0e;
const OK: u8 = 0x00;
/// An answer is an OK packet or an error, in octets.
const MAX_ANSWER_LEN: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) enum Ping {
    #[default]
    Ask,
    Listen,
}

/// Appends the goodbye. The server answers by closing.
pub(crate) fn quit(out: &mut BytesMut) {
    packet::put(out, 0, &[&[COM_QUIT]]);
}

impl Machine for Ping {
    type Output = ();

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<()>, Fault> {
        match self {
            Self::Ask => {
                packet::put(turn.output, 0, &[&[COM_PING]]);
                *self = Self::Listen;
                Ok(Step::Read)
            }
            Self::Listen => listen(turn),
        }
    }

    fn limit(&self) -> usize {
        MAX_ANSWER_LEN
    }
}

/// A server that has given up an idle link may have said so before it was asked.
fn listen(turn: &mut Turn<'_>) -> Result<Step<()>, Fault> {
    let Some(packet) = packet::next(turn.input, MAX_ANSWER_LEN)? else {
        return Ok(Step::Read);
    };
    match packet.payload.first() {
        Some(&OK) if packet.sequence == 1 => Ok(Step::Done(())),
        Some(&ERR) => Err(rejection(&packet.payload, 0, None)),
        Some(_) | None => Err(Fault::Malformed("the answer to COM_PING is neither OK nor an error")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attache_wire::RejectionKind;
    use attache_wire::testing::run_every_split;

    const ASKED: &[u8] = b"\x01\0\0\0\x0e";

    #[test]
    fn an_answer_is_a_sign_of_life() {
        let run = run_every_split(Ping::default, &[b"\x07\0\0\x01\0\0\0\x02\0\0\0left"], None);
        assert_eq!((run.end, &run.output[..], &run.unread[..]), (Ok(Some(())), ASKED, &b"left"[..]));
    }

    #[test]
    fn a_server_that_has_given_up_the_link_is_heard() {
        let run = run_every_split(Ping::default, &[b"\x0c\0\0\0\xff\x1d\x04#08S01bye"], None);
        let Err(Fault::Rejected(rejection)) = run.end else { panic!("{:?}", run.end) };
        assert_eq!((rejection.kind, rejection.code.as_str()), (RejectionKind::NotNow, "1053"));
    }

    #[test]
    fn anything_else_is_malformed() {
        for answer in [&b"\x07\0\0\x02\0\0\0\x02\0\0\0"[..], b"\x01\0\0\x01\xfe", b"\0\0\0\x01"] {
            let run = run_every_split(Ping::default, &[answer], None);
            assert!(matches!(run.end, Err(Fault::Malformed(_))), "{:?}", run.end);
        }
        let run = run_every_split(Ping::default, &[b"\xff\xff\xff\x01"], None);
        assert_eq!(run.end, Err(Fault::TooLong(MAX_ANSWER_LEN)));
    }

    #[test]
    fn the_goodbye_is_one_command() {
        let mut out = BytesMut::new();
        quit(&mut out);
        assert_eq!(&out[..], b"\x01\0\0\0\x01");
    }
}
