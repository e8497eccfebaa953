//! The client's first packets (sections "Start-up", "Canceling Requests in Progress", "SSL Session
//! Encryption", "GSSAPI Session Encryption").
//!
//! Encryption is declined: the client is on this machine. Nobody asks it for a password.

use attache_wire::{Fault, Machine, Opening, Step, Turn};
use bytes::{Buf, BufMut};

use crate::cancel::{CANCEL_REQUEST, CancelRequest};
use crate::startup::{Intent, MAJOR, MAX_STARTUP_LEN, split_version};
use crate::upgrade::SSL_REQUEST;

const GSSENC_REQUEST: u32 = 80_877_104;
/// The length and the code, which every packet begins with.
const PREFIX_LEN: usize = 8;

/// The first octet of a TLS handshake. As the first octet of a length it would mean 352 MiB.
const TLS_HANDSHAKE: u8 = 0x16;
/// A TLS record: fatal alert, handshake_failure (RFC 8446, section 6).
const TLS_ALERT: &[u8] = &[0x15, 3, 3, 0, 2, 2, 40];

/// Reads what a client wants.
#[derive(Debug, Default)]
pub struct Accept {
    declined: Declined,
}

/// Which encryption the client has asked for in vain. Each may be asked for once.
#[derive(Debug, Default, Clone, Copy)]
enum Declined {
    #[default]
    Nothing,
    Tls,
    Gss,
    Both,
}

enum Packet {
    TlsRequest,
    GssRequest,
    Cancel(CancelRequest),
    Startup(Intent),
}

impl Machine for Accept {
    type Output = Opening<Intent, CancelRequest>;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Self::Output>, Fault> {
        while let Some(packet) = next_packet(turn)? {
            self.declined = match packet {
                Packet::TlsRequest => self.declined.and_tls()?,
                Packet::GssRequest => self.declined.and_gss()?,
                Packet::Cancel(request) => return Ok(Step::Done(Opening::Errand(request))),
                Packet::Startup(intent) => return Ok(Step::Done(Opening::Session(intent))),
            };
            turn.output.put_u8(b'N');
        }
        Ok(Step::Read)
    }

    fn limit(&self) -> usize {
        MAX_STARTUP_LEN
    }
}

impl Declined {
    fn and_tls(self) -> Result<Self, Fault> {
        match self {
            Self::Nothing => Ok(Self::Tls),
            Self::Gss => Ok(Self::Both),
            Self::Tls | Self::Both => {
                Err(Fault::Malformed("a second SSLRequest after the first was declined"))
            }
        }
    }

    fn and_gss(self) -> Result<Self, Fault> {
        match self {
            Self::Nothing => Ok(Self::Gss),
            Self::Tls => Ok(Self::Both),
            Self::Gss | Self::Both => {
                Err(Fault::Malformed("a second GSSENCRequest after the first was declined"))
            }
        }
    }
}

/// Takes the next packet off the input. Its length and its code are judged before its body is there.
fn next_packet(turn: &mut Turn<'_>) -> Result<Option<Packet>, Fault> {
    if turn.input.first() == Some(&TLS_HANDSHAKE) {
        turn.output.put_slice(TLS_ALERT);
        return Err(Fault::Unsupported(
            "direct TLS (sslnegotiation=direct): this route is served in plain text",
        ));
    }
    let Some(length) = turn.input.first_chunk().map(|length| u32::from_be_bytes(*length) as usize) else {
        return Ok(None);
    };
    if !(PREFIX_LEN..=MAX_STARTUP_LEN).contains(&length) {
        return Err(Fault::Malformed("the first packet is not 8 to 10000 octets long"));
    }
    let Some(code) = turn.input.get(4..PREFIX_LEN) else {
        return Ok(None);
    };
    check_version(code)?;
    if turn.input.len() < length {
        return Ok(None);
    }
    let mut packet = turn.input.split_to(length);
    packet.advance(4);
    parse(packet.get_u32(), &packet).map(Some)
}

/// Requests have numbers in place of a version, chosen so that no version will ever collide with them.
fn check_version(code: &[u8]) -> Result<(), Fault> {
    const REQUESTS: u16 = (SSL_REQUEST >> 16) as u16;
    match split_version(code) {
        Some((MAJOR | REQUESTS, _)) => Ok(()),
        Some(_) | None => Err(Fault::Unsupported("a major version of the protocol other than 3")),
    }
}

fn parse(code: u32, body: &[u8]) -> Result<Packet, Fault> {
    match code {
        SSL_REQUEST if body.is_empty() => Ok(Packet::TlsRequest),
        GSSENC_REQUEST if body.is_empty() => Ok(Packet::GssRequest),
        SSL_REQUEST | GSSENC_REQUEST => {
            Err(Fault::Malformed("a request for encryption is not 8 octets long"))
        }
        CANCEL_REQUEST => CancelRequest::parse(body).map(Packet::Cancel),
        version if version >> 16 == u32::from(MAJOR) => {
            Intent::parse((version & 0xffff) as u16, body).map(Packet::Startup)
        }
        _ => Err(Fault::Unsupported("a request code other than those for TLS, GSSAPI and cancelling")),
    }
}
