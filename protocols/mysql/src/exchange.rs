//! How a client says who it is: in its first packet, and in one more where it is asked (manual, "Authentication
//! Phase", "Protocol::AuthSwitchRequest"). At the beginning of a session and at a change of user it is the same.

use attache_wire::{Fault, Step, Turn};
use zeroize::Zeroize;

use crate::answer::{self, Verdict};
use crate::intent::Intent;
use crate::packet;
use crate::plugin::Plugin;

/// The longest packet of a client that has not been let in, in octets: 64 KiB of connection attributes, which is as
/// many as libmysqlclient sends, and room for names and an answer.
pub const MAX_RESPONSE_LEN: usize = 72 * 1024;

/// Where the exchange stands.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// The client's first packet is to come, with this number.
    First(u8),
    /// The client was asked to answer by this method, in a packet with this number.
    Asked(u8, Plugin, Intent),
}

impl Exchange {
    /// Goes on as far as the input allows. `read` understands the first packet.
    pub(crate) fn step(
        &mut self,
        turn: &mut Turn<'_>,
        nonce: &[u8; 20],
        read: impl Fn(&[u8]) -> Result<(Intent, Verdict), Fault>,
    ) -> Result<Step<Intent>, Fault> {
        while let Some((sequence, mut payload)) = packet::take(turn.input, MAX_RESPONSE_LEN)? {
            let heard = self.hear(sequence, &payload, &read);
            // Whatever it was, a password perhaps: it ends here.
            payload.zeroize();
            match heard? {
                (intent, Verdict::Taken(prelude)) => {
                    let sequence = sequence.wrapping_add(1);
                    return Ok(Step::Done(Intent { sequence, prelude, ..intent }));
                }
                (intent, Verdict::Ask(plugin)) => {
                    answer::ask(plugin, nonce, sequence.wrapping_add(1), turn.output);
                    *self = Self::Asked(sequence.wrapping_add(2), plugin, intent);
                }
            }
        }
        Ok(Step::Read)
    }

    /// What an answer to the client's next packet bears.
    pub(crate) fn next_number(&self) -> u8 {
        match self {
            Self::First(expected) | Self::Asked(expected, ..) => expected.wrapping_add(1),
        }
    }

    fn hear(
        &mut self,
        sequence: u8,
        payload: &[u8],
        read: impl Fn(&[u8]) -> Result<(Intent, Verdict), Fault>,
    ) -> Result<(Intent, Verdict), Fault> {
        match self {
            Self::First(expected) | Self::Asked(expected, ..) if *expected != sequence => {
                Err(Fault::Malformed("a packet of the client does not bear the next number"))
            }
            Self::First(_) => read(payload),
            Self::Asked(_, plugin, intent) => Ok((std::mem::take(intent), answer::again(*plugin, payload))),
        }
    }
}
