//! A change of user, as a client asks for it (manual, "COM_CHANGE_USER"), or the other wish for which the relay pauses: a
//! [KILL](crate::kill).
//!
//! Everything but the user is heard, and the client is asked again where its method waits for a nonce, as a server
//! would. How it ended is said later.

use attache_wire::{Fault, Machine, Nonce, Step, Turn};
use bytes::Buf;

use crate::answer::{self, Verdict};
use crate::arrival::{take_attributes, take_name, take_short};
use crate::capabilities::Capabilities;
use crate::exchange::{Exchange, MAX_RESPONSE_LEN};
use crate::field::take_until_nul;
use crate::intent::{Intent, Prelude, Wish};
use crate::kill::Kill;
use crate::offer;
use crate::plugin::Plugin;

/// The first octet of a COM_CHANGE_USER.
pub(crate) const CHANGE_USER: u8 = 0x11;

const FORM: Fault = Fault::Malformed("the client's COM_CHANGE_USER is not formed as one");

/// Reads a COM_CHANGE_USER.
#[derive(Debug)]
pub(crate) struct Reopen {
    /// What the client wanted so far: flags, the longest packet, character set.
    before: Intent,
    /// The flags of the link.
    agreed: Capabilities,
    nonce: [u8; 20],
    exchange: Exchange,
}

impl Reopen {
    pub(crate) fn new(before: Intent, agreed: Capabilities, nonce: Nonce) -> Self {
        Self { before, agreed, nonce: offer::text(nonce), exchange: Exchange::First(0) }
    }
}

impl Machine for Reopen {
    type Output = Intent;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Intent>, Fault> {
        self.exchange.step(turn, &self.nonce, |payload| read(payload, &self.before, self.agreed).ok_or(FORM))
    }

    fn limit(&self) -> usize {
        MAX_RESPONSE_LEN
    }

    fn next_number(&self) -> Option<u8> {
        Some(self.exchange.next_number())
    }
}

fn read(payload: &[u8], before: &Intent, agreed: Capabilities) -> Option<(Intent, Verdict)> {
    match payload.first() {
        Some(&CHANGE_USER) => change_of_user(payload, before),
        Some(_) | None => {
            let kill = Kill::parse(payload, agreed)?;
            let intent = Intent { wish: Wish::Kill(Box::new(kill)), ..before.clone() };
            Some((intent, Verdict::Taken(Prelude::Nothing)))
        }
    }
}

/// A client that uses `mysql_native_password` here takes the nonce of its greeting, and never waits for another.
fn change_of_user(mut bytes: &[u8], before: &Intent) -> Option<(Intent, Verdict)> {
    let bytes = &mut bytes;
    bytes.try_get_u8().ok()?;
    take_until_nul(bytes)?;
    let flags = before.capabilities;
    let secure = flags.has(Capabilities::SECURE_CONNECTION);
    let answer = if secure { take_short(bytes)? } else { take_until_nul(bytes)? };
    let database = take_until_nul(bytes)?;
    let collation = bytes.try_get_u16_le().unwrap_or(before.collation);
    let plugin = (flags.has(Capabilities::PLUGIN_AUTH) && !bytes.is_empty()).then(|| take_name(bytes));
    let attributes = take_attributes(bytes, flags)?.to_vec();
    let database = (!database.is_empty()).then(|| database.to_vec());
    let offered = before.offered.unwrap_or(Plugin::Native);
    let verdict = answer::first(plugin, answer, offered, Plugin::Native);
    Some((Intent { collation, database, attributes, ..before.clone() }, verdict))
}
