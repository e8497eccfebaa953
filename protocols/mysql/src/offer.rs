//! The greeting that a client gets: the server's own, without what happens on our link to the server alone (manual,
//! "Protocol::HandshakeV10"; MariaDB's "Connecting").
//!
//! Version, connection id, status and collation are the server's, so that a client finds what it would find without us
//! and KILL works. The nonce is ours: what a client makes of it proves nothing to anybody.

use attache_wire::Nonce;
use bytes::{BufMut, BytesMut};

use crate::capabilities::Capabilities;
use crate::hello::{Flavour, Hello};
use crate::packet;
use crate::plugin::Plugin;

/// The version of the protocol.
const PROTOCOL: u8 = 10;
/// Octets of the nonce that stand in front of the flags.
const NONCE_HEAD_LEN: usize = 8;
/// The length of the nonce that is announced: with the NUL that ends it.
const NONCE_LEN: u8 = 21;
/// Symbols of a nonce. Clients treat it as a C string, and servers leave the dollar sign out of it.
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a client is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) capabilities: Capabilities,
    pub(crate) plugin: Plugin,
    pub(crate) nonce: [u8; 20],
    pub(crate) connection_id: u32,
}

impl Offer {
    pub(crate) fn new(hello: &Hello, allow_local_infile: bool, nonce: Nonce) -> Self {
        let hidden = match allow_local_infile {
            true => hidden(),
            false => hidden() | Capabilities::LOCAL_FILES,
        };
        Self {
            capabilities: hello.capabilities - hidden,
            plugin: first_plugin(hello.flavour),
            nonce: text(nonce),
            connection_id: hello.connection_id,
        }
    }

    /// Appends the greeting.
    pub(crate) fn put(&self, hello: &Hello, out: &mut BytesMut) {
        let (head, tail) = self.nonce.split_at(NONCE_HEAD_LEN);
        let mut flags = BytesMut::new();
        self.put_flags(hello, &mut flags);
        let id = self.connection_id.to_le_bytes();
        let name = self.plugin.name().as_bytes();
        packet::put(
            out,
            0,
            &[&[PROTOCOL], &hello.version, b"\0", &id, head, b"\0", &flags, tail, b"\0", name, b"\0"],
        );
    }

    /// From the first half of the flags to the ten octets in front of the rest of the nonce. The last four of them are
    /// MariaDB's where the greeting does not say that the server is MySQL.
    fn put_flags(&self, hello: &Hello, out: &mut BytesMut) {
        let [low, high, extended] = [0, 16, 32].map(|shift| self.capabilities.0 >> shift);
        let extended = if self.capabilities.has(Capabilities::LONG_PASSWORD) { 0 } else { extended };
        out.put_u16_le(low as u16);
        out.put_u8(hello.collation);
        out.put_u16_le(hello.status);
        out.put_u16_le(high as u16);
        out.put_u8(NONCE_LEN);
        out.put_bytes(0, 6);
        out.put_u32_le(extended as u32);
    }
}

/// What belongs to one link alone and is not to be had on a client's, what only a server's own login can keep, and what would
/// hide commands.
fn hidden() -> Capabilities {
    Capabilities::SSL
        | Capabilities::COMPRESS
        | Capabilities::ZSTD
        | Capabilities::MULTI_FACTOR
        | Capabilities::VERIFY_SERVER_CERTIFICATE
        | Capabilities::COM_MULTI
}

/// What the server's own clients expect of it.
fn first_plugin(flavour: Flavour) -> Plugin {
    match flavour {
        Flavour::MySql => Plugin::CachingSha2,
        Flavour::MariaDb => Plugin::Native,
    }
}

/// Fresh bytes as text without NUL.
pub(crate) fn text(nonce: Nonce) -> [u8; 20] {
    std::array::from_fn(|at| ALPHABET[usize::from(nonce[at] & 63)])
}
