//! The mode of a read-only session, set with a statement behind its login (manual, "SET TRANSACTION").
//!
//! A change of user and a reset end it with everything else of a session, and so are followed by it as a login is.

use attache_wire::{Credential, Fault};
use bytes::BytesMut;

use crate::capabilities::Capabilities;
use crate::packet::Packet;
use crate::question;
use crate::rejection::{ERR, rejection};

pub(crate) const STATEMENT: &[u8] = b"SET SESSION TRANSACTION READ ONLY";
const OK: u8 = 0x00;

/// Asks for it.
pub(crate) fn ask(capabilities: Capabilities, out: &mut BytesMut) {
    question::put(STATEMENT, capabilities, out);
}

/// The answer. A server that does not do it is not used: sessions would write.
pub(crate) fn hear(packet: &Packet, credential: Option<&Credential>) -> Result<(), Fault> {
    match packet.payload.first() {
        Some(&OK) if packet.sequence == 1 => Ok(()),
        Some(&ERR) => Err(rejection(&packet.payload, packet.sequence, credential)),
        Some(_) | None => {
            Err(Fault::Malformed("the answer to SET SESSION TRANSACTION is neither OK nor an error"))
        }
    }
}
