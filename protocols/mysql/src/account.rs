//! Who we are, as the server hears it (manual, "Protocol::SSLRequest", "Protocol::HandshakeResponse41",
//! "COM_CHANGE_USER").

use attache_wire::Fault;
use bytes::{BufMut, BytesMut};

use crate::capabilities::Capabilities;
use crate::field::{put_length, put_text};
use crate::intent::Intent;
use crate::packet;
use crate::plugin::Plugin;

const COM_CHANGE_USER: u8 = 0x11;
/// Our own connection attribute: who is between the client and the server. All others are the client's.
const OUR_ATTRIBUTE: (&[u8], &[u8]) = (b"attache_version", env!("CARGO_PKG_VERSION").as_bytes());
/// The most octets of all attributes that servers take ("Performance Schema Connection Attribute Tables").
const MAX_ATTRIBUTES_LEN: usize = 64 * 1024;
/// Octets between the collation and the name of the user.
const RESERVED_LEN: usize = 23;

/// What is told to the server in every kind of login.
pub(crate) struct Account<'a> {
    pub(crate) intent: &'a Intent,
    pub(crate) capabilities: Capabilities,
    pub(crate) user: &'a str,
    /// Empty for none.
    pub(crate) database: &'a [u8],
    pub(crate) plugin: Plugin,
    pub(crate) proof: &'a [u8],
}

/// Appends the request for TLS, which is the head of the response that follows it.
pub(crate) fn put_tls_request(intent: &Intent, capabilities: Capabilities, sequence: u8, out: &mut BytesMut) {
    packet::put(out, sequence, &[&head(intent, capabilities | Capabilities::SSL)]);
}

impl Account<'_> {
    /// Appends the answer to the server's greeting.
    pub(crate) fn put_response(&self, sequence: u8, out: &mut BytesMut) -> Result<(), Fault> {
        self.check()?;
        let (mut proof, mut tail) = (BytesMut::new(), BytesMut::new());
        match self.capabilities.has(Capabilities::PLUGIN_AUTH_LENENC) {
            true => put_length(&mut proof, self.proof.len() as u64),
            false => proof.put_u8(short(self.proof)),
        }
        if self.capabilities.has(Capabilities::CONNECT_WITH_DB) {
            put_ended(self.database, &mut tail);
        }
        self.put_tail(&mut tail);
        let head = head(self.intent, self.capabilities);
        packet::put(out, sequence, &[&head, self.user.as_bytes(), b"\0", &proof, self.proof, &tail]);
        Ok(())
    }

    /// Appends the command that logs in again.
    pub(crate) fn put_change_user(&self, out: &mut BytesMut) -> Result<(), Fault> {
        self.check()?;
        let mut tail = BytesMut::new();
        put_ended(self.database, &mut tail);
        tail.put_u16_le(self.intent.collation);
        self.put_tail(&mut tail);
        let head: &[&[u8]] = &[&[COM_CHANGE_USER], self.user.as_bytes(), b"\0", &[short(self.proof)]];
        packet::put(out, 0, &[head, &[self.proof, &tail]].concat());
        Ok(())
    }

    fn put_tail(&self, out: &mut BytesMut) {
        if self.capabilities.has(Capabilities::PLUGIN_AUTH) {
            put_ended(self.plugin.name().as_bytes(), out);
        }
        if self.capabilities.has(Capabilities::CONNECT_ATTRS) {
            let attributes = attributes(&self.intent.attributes);
            put_text(out, &attributes);
        }
    }

    /// A NUL would end a name early, and what follows would be taken for something else.
    fn check(&self) -> Result<(), Fault> {
        if self.user.contains('\0') {
            return Err(Fault::Incomplete("a user name with a NUL octet cannot be sent"));
        }
        if self.database.contains(&0) {
            return Err(Fault::Unsupported("a name of a database with a NUL octet"));
        }
        Ok(())
    }
}

/// Flags, the longest packet, the collation (one octet has to do here), nothing, and MariaDB's flags in its last four
/// octets.
fn head(intent: &Intent, capabilities: Capabilities) -> BytesMut {
    let [plain @ .., _, _, _, _] = capabilities.0.to_le_bytes();
    let [_, _, _, _, extended @ ..] = capabilities.0.to_le_bytes();
    let mut head = BytesMut::with_capacity(9 + RESERVED_LEN);
    head.put_slice(&plain);
    head.put_u32_le(intent.max_packet);
    head.put_u8(u8::try_from(intent.collation).unwrap_or_default());
    head.put_bytes(0, RESERVED_LEN - extended.len());
    head.put_slice(&extended);
    head
}

/// The client's attributes, and ours behind them if there is room.
fn attributes(theirs: &[u8]) -> BytesMut {
    let mut all = BytesMut::from(theirs);
    let (name, value) = OUR_ATTRIBUTE;
    put_text(&mut all, name);
    put_text(&mut all, value);
    if all.len() > MAX_ATTRIBUTES_LEN {
        all.truncate(theirs.len());
    }
    all
}

fn put_ended(text: &[u8], out: &mut BytesMut) {
    out.put_slice(text);
    out.put_u8(0);
}

fn short(proof: &[u8]) -> u8 {
    u8::try_from(proof.len()).expect("a proof that is sent unasked is a hash")
}
