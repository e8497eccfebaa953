//! What the server said at login that the client must hear (manual, "OK_Packet").

use std::fmt;

use attache_wire::{Credential, Fault, ServerRole};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::capabilities::Capabilities;
use crate::field::{put_length, take_length, take_text};
use crate::plugin::Plugin;
use crate::rejection::shows_secret;
use crate::relogin::Link;
use crate::start::Start;

/// What MariaDB put in front of its version until 11.0, for replicas that know no version above 5.
const COMPATIBLE: &[u8] = b"5.5.5-";
/// In an OK packet: what has changed in the session is told behind the text.
const STATE_CHANGED: u16 = 0x4000;
/// MariaDB's hash over password, nonce and certificate begins with it.
const FINGERPRINT: u8 = 1;
const FORM: Fault = Fault::Malformed("the OK packet of a login is cut short");

/// A login that went well.
#[derive(Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The payload of the last OK packet as the client is to have it.
    pub(crate) ok: Bytes,
    /// The flags of both links.
    pub(crate) capabilities: Capabilities,
    /// The last that the server gave.
    pub(crate) nonce: [u8; 20],
    /// The method that the account was logged in by.
    pub(crate) plugin: Option<Plugin>,
    /// As the server's first words have it.
    pub(crate) version: Vec<u8>,
    /// The thread that KILL names.
    pub(crate) connection_id: u32,
    pub(crate) role: Option<ServerRole>,
    /// The database that was asked for; empty for none.
    pub(crate) database: Vec<u8>,
    /// What a reset has to restore, where that was to be found out and could be.
    pub(crate) start: Option<Start>,
}

impl Greeting {
    /// The version in its usual form.
    pub(crate) fn server_version(&self) -> Option<String> {
        let version = self.version.strip_prefix(COMPATIBLE).unwrap_or(&self.version);
        let text: String = String::from_utf8_lossy(version).chars().filter(|c| !c.is_control()).collect();
        (!text.is_empty()).then_some(text)
    }

    /// What a login in its midst has to know of the session's link.
    pub(crate) fn link(&self) -> Link {
        Link {
            capabilities: self.capabilities,
            nonce: self.nonce,
            plugin: self.plugin,
            connection_id: self.connection_id,
        }
    }
}

/// Neither the server's text is shown nor its nonce.
impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greeting")
            .field("version", &String::from_utf8_lossy(&self.version))
            .field("capabilities", &self.capabilities)
            .field("plugin", &self.plugin)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// The OK packet without what is between the server and us: MariaDB's fingerprint, by which a client could guess at
/// the password (MariaDB's "Zero-Configuration SSL"), and a text with the secret in it.
pub(crate) fn for_the_client(
    payload: &Bytes,
    capabilities: Capabilities,
    credential: Option<&Credential>,
) -> Result<Bytes, Fault> {
    let ok = OkPacket::parse(payload, capabilities).ok_or(FORM)?;
    if shows_secret(credential, payload) {
        return Ok(ok.bare(capabilities, false));
    }
    Ok(if ok.text.first() == Some(&FINGERPRINT) { ok.bare(capabilities, true) } else { payload.clone() })
}

struct OkPacket<'a> {
    status: u16,
    text: &'a [u8],
    /// What has changed in the session, with its length in front.
    changes: &'a [u8],
}

impl<'a> OkPacket<'a> {
    /// Zero, two numbers, status, the number of warnings, a text.
    fn parse(payload: &'a [u8], capabilities: Capabilities) -> Option<Self> {
        let mut rest = payload.get(1..)?;
        take_length(&mut rest)?;
        take_length(&mut rest)?;
        let status = rest.try_get_u16_le().ok()?;
        rest.try_get_u16_le().ok()?;
        let tracked = capabilities.has(Capabilities::SESSION_TRACK) && !rest.is_empty();
        let text = if tracked { take_text(&mut rest)? } else { std::mem::take(&mut rest) };
        Some(Self { status, text, changes: rest })
    }

    /// The same without its text, and without the changes of the session if so wished.
    fn bare(&self, capabilities: Capabilities, with_changes: bool) -> Bytes {
        let changed = with_changes && capabilities.has(Capabilities::SESSION_TRACK);
        let told = changed && self.status & STATE_CHANGED != 0;
        let mut out = BytesMut::from(&[0, 0, 0][..]);
        out.put_u16_le(if told { self.status } else { self.status & !STATE_CHANGED });
        out.put_u16_le(0);
        if told {
            put_length(&mut out, 0);
            out.put_slice(self.changes);
        }
        out.freeze()
    }
}
