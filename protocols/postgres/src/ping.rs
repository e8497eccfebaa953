//! A round trip: Sync, which the server answers with ReadyForQuery and which changes nothing outside a
//! transaction (section "Extended Query").

use attache_wire::{Fault, Machine, Step, Turn};

use crate::frame;

const SYNC: u8 = b'S';
const READY_FOR_QUERY: u8 = b'Z';
/// Notices and changed parameters may come before the answer; each is far shorter, in octets.
const MAX_FRAME_LEN: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) enum Ping {
    #[default]
    Ask,
    Listen,
}

impl Machine for Ping {
    type Output = ();

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<()>, Fault> {
        match self {
            Self::Ask => {
                frame::put(turn.output, SYNC, &[]);
                *self = Self::Listen;
                Ok(Step::Read)
            }
            Self::Listen => {
                while let Some(frame) = frame::next(turn.input, MAX_FRAME_LEN)? {
                    if frame.tag() == READY_FOR_QUERY {
                        return Ok(Step::Done(()));
                    }
                }
                Ok(Step::Read)
            }
        }
    }

    fn limit(&self) -> usize {
        MAX_FRAME_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;

    #[test]
    fn the_answer_is_found_behind_whatever_the_server_has_to_say() {
        let (mut ping, mut output) = (Ping::default(), BytesMut::new());
        let mut step = |input: &[u8]| {
            let mut input = BytesMut::from(input);
            ping.step(&mut Turn { input: &mut input, output: &mut output, tls: None })
        };
        assert_eq!(step(b""), Ok(Step::Read));
        assert_eq!(step(b"N\0\0\0\x05\0"), Ok(Step::Read));
        assert_eq!(step(b"S\0\0\0\x08a\0b\0Z\0\0\0\x05I"), Ok(Step::Done(())));
        assert_eq!(&output[..], b"S\0\0\0\x04");
    }

    #[test]
    fn a_frame_that_is_too_long_is_not_waited_for() {
        let mut ping = Ping::Listen;
        let (mut input, mut output) = (BytesMut::from(&b"N\x7f\0\0\0"[..]), BytesMut::new());
        let step = ping.step(&mut Turn { input: &mut input, output: &mut output, tls: None });
        assert_eq!(step, Err(Fault::TooLong(MAX_FRAME_LEN)));
    }
}
