//! A change of user, as a client asks for it (manual, "COM_CHANGE_USER").
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
use crate::intent::Intent;
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
    nonce: [u8; 20],
    exchange: Exchange,
}

impl Reopen {
    pub(crate) fn new(before: Intent, nonce: Nonce) -> Self {
        Self { before, nonce: offer::text(nonce), exchange: Exchange::First(0) }
    }
}

impl Machine for Reopen {
    type Output = Intent;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Intent>, Fault> {
        self.exchange.step(turn, &self.nonce, |payload| read(payload, &self.before).ok_or(FORM))
    }

    fn limit(&self) -> usize {
        MAX_RESPONSE_LEN
    }

    fn next_number(&self) -> Option<u8> {
        Some(self.exchange.next_number())
    }
}

/// A client that uses `mysql_native_password` here takes the nonce of its greeting, and never waits for another.
fn read(mut bytes: &[u8], before: &Intent) -> Option<(Intent, Verdict)> {
    let bytes = &mut bytes;
    bytes.try_get_u8().ok().filter(|command| *command == CHANGE_USER)?;
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
