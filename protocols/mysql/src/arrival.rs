//! What a client says to a greeting (manual, "Protocol::HandshakeResponse41", "Protocol::HandshakeResponse320",
//! "Protocol::SSLRequest"; MariaDB's "Connecting").

use attache_wire::Fault;
use bytes::Buf;

use crate::capabilities::Capabilities;
use crate::field::{take_length, take_text, take_until_nul};
use crate::intent::Intent;

/// Octets of an SSLRequest: flags, the longest packet, a collation, 23 octets without a meaning.
const SSL_REQUEST_LEN: usize = 32;
/// Octets without a meaning, of which the last four are MariaDB's flags where the client does not say it is MySQL's.
const FILLER_LEN: usize = 19;

const FORM: Fault = Fault::Malformed("the client's answer to the greeting is not a HandshakeResponse41");

/// What a client wants, and how it says who it is.
pub(crate) struct Arrival<'a> {
    pub(crate) intent: Intent,
    /// The method that the client names.
    pub(crate) plugin: Option<&'a [u8]>,
    pub(crate) answer: &'a [u8],
}

impl<'a> Arrival<'a> {
    /// The form of the packet follows the flags that the client set, of which those count that it was offered.
    pub(crate) fn parse(payload: &'a [u8], offered: Capabilities) -> Result<Self, Fault> {
        let flags = flags(payload)?;
        let mut rest = payload;
        Self::take(&mut rest, flags, offered).ok_or(FORM)
    }

    fn take(bytes: &mut &'a [u8], mut flags: Capabilities, offered: Capabilities) -> Option<Self> {
        bytes.try_get_u32_le().ok()?;
        let max_packet = bytes.try_get_u32_le().ok()?;
        let collation = bytes.try_get_u8().ok()?.into();
        bytes.split_off(..FILLER_LEN)?;
        let extended = bytes.try_get_u32_le().ok()?;
        if !flags.has(Capabilities::LONG_PASSWORD) {
            flags = flags | Capabilities(u64::from(extended) << 32);
        }
        take_until_nul(bytes)?;
        let answer = take_answer(bytes, flags)?;
        let database = flags.has(Capabilities::CONNECT_WITH_DB).then(|| take_name(bytes));
        let plugin = flags.has(Capabilities::PLUGIN_AUTH).then(|| take_name(bytes));
        let attributes = take_attributes(bytes, flags)?.to_vec();
        let intent = Intent {
            capabilities: flags & offered,
            max_packet,
            collation,
            database: database.filter(|name| !name.is_empty()).map(<[u8]>::to_vec),
            attributes,
            ..Intent::default()
        };
        Some(Self { intent, plugin, answer })
    }
}

/// The flags without MariaDB's half, if this is a packet that is understood here.
fn flags(mut payload: &[u8]) -> Result<Capabilities, Fault> {
    let len = payload.len();
    let low = payload.try_get_u16_le().map_err(|_| FORM)?;
    if !Capabilities(low.into()).has(Capabilities::PROTOCOL_41) {
        return Err(Fault::Unsupported("the protocol of before MySQL 4.1"));
    }
    let high = payload.try_get_u16_le().map_err(|_| FORM)?;
    let flags = Capabilities(u64::from(low) | u64::from(high) << 16);
    // Some clients set the flag in the full packet too, although they were not offered it and do without.
    if flags.has(Capabilities::SSL) && len <= SSL_REQUEST_LEN {
        return Err(Fault::Unsupported("TLS: this route is served in plain text"));
    }
    Ok(flags)
}

fn take_answer<'a>(bytes: &mut &'a [u8], flags: Capabilities) -> Option<&'a [u8]> {
    if flags.has(Capabilities::PLUGIN_AUTH_LENENC) {
        take_text(bytes)
    } else if flags.has(Capabilities::SECURE_CONNECTION) {
        take_short(bytes)
    } else {
        take_until_nul(bytes)
    }
}

/// A string behind one octet of length.
pub(crate) fn take_short<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = bytes.try_get_u8().ok()?;
    bytes.split_off(..usize::from(len))
}

/// A name in front of a NUL. Some clients leave the NUL out at the end of a packet, or the whole name.
pub(crate) fn take_name<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    take_until_nul(bytes).unwrap_or_else(|| std::mem::take(bytes))
}

/// Keys and values, each with its length in front, behind the length of them all.
pub(crate) fn take_attributes<'a>(bytes: &mut &'a [u8], flags: Capabilities) -> Option<&'a [u8]> {
    if !flags.has(Capabilities::CONNECT_ATTRS) || bytes.is_empty() {
        return Some(&[]);
    }
    let len = take_length(bytes)?;
    let attributes = bytes.split_off(..usize::try_from(len).ok()?)?;
    are_pairs(attributes).then_some(attributes)
}

fn are_pairs(mut attributes: &[u8]) -> bool {
    while !attributes.is_empty() {
        if take_text(&mut attributes).is_none() || take_text(&mut attributes).is_none() {
            return false;
        }
    }
    true
}
