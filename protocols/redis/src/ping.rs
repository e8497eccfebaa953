//! A round trip: PING, which every user may send and which changes nothing.

use attache_wire::{Fault, Machine, RejectionKind, Step, Turn};

use crate::frame::{self, MAX_REPLY_LEN, Reader};
use crate::rejection::{kind, rejection};

#[derive(Debug, Default)]
pub(crate) enum Ping {
    #[default]
    Ask,
    Listen(Reader),
}

impl Machine for Ping {
    type Output = ();

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<()>, Fault> {
        let reader = match self {
            Self::Ask => {
                frame::put(turn.output, &[b"PING"]);
                *self = Self::Listen(Reader::default());
                return Ok(Step::Read);
            }
            Self::Listen(reader) => reader,
        };
        while let Some(reply) = reader.next(turn.input)? {
            match reply.error() {
                // Whoever answers that it is not allowed, or that a script runs, is alive.
                Some(text) if kind(text) != RejectionKind::Other => return Err(rejection(text, None)),
                Some(_) | None if reply.is_push() => {}
                Some(_) | None => return Ok(Step::Done(())),
            }
        }
        Ok(Step::Read)
    }

    fn limit(&self) -> usize {
        MAX_REPLY_LEN
    }
}

#[cfg(test)]
mod tests {
    use attache_wire::testing::run_every_split;

    use super::*;

    #[test]
    fn any_answer_but_a_refusal_is_a_sign_of_life() {
        let end = |said: &[u8]| run_every_split(Ping::default, &[said], None).end;
        assert_eq!(end(b"+PONG\r\n"), Ok(Some(())));
        assert_eq!(end(b">2\r\n+invalidate\r\n*0\r\n+PONG\r\n"), Ok(Some(())));
        assert_eq!(end(b"-NOPERM no\r\n"), Ok(Some(())));
        assert_eq!(end(b"+PON"), Ok(None));
        assert!(matches!(end(b"-LOADING wait\r\n"), Err(Fault::Rejected(_))));
        assert!(matches!(end(b"HTTP/1.1 400\r\n"), Err(Fault::Malformed(_))));
    }
}
