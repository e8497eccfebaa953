//! A server's first words (manual, "Protocol::HandshakeV10"; MariaDB's "Connecting").
//!
//! They come in plain text unless TLS is the first thing on the link: nothing in them decides anything but how
//! the login goes on, and the words of an error are not repeated to anybody.

use attache_wire::{Fault, Insecure, Machine, Step, TlsStart, Turn};
use bytes::Buf;

use crate::capabilities::Capabilities;
use crate::field::take_until_nul;
use crate::packet;
use crate::rejection;

/// The longest first packet, in octets. A greeting has about 100, an error at most 522.
const MAX_HELLO_LEN: usize = 2048;
/// The longest version, in octets. MySQL keeps 60.
const MAX_VERSION_LEN: usize = 256;
/// The longest name of an authentication method, in octets, as MySQL bounds names.
const MAX_PLUGIN_LEN: usize = 64;
/// The version of the protocol that servers have spoken since 3.21.
const PROTOCOL: u8 = 10;
/// Octets of the nonce in front of the flags, and behind them.
const NONCE_HEAD_LEN: usize = 8;
const NONCE_TAIL_LEN: usize = 12;
/// The least octets that the second part of the nonce takes: it and a NUL.
const MIN_TAIL_LEN: usize = NONCE_TAIL_LEN + 1;

/// What a server said before anybody asked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// As it came, with the `5.5.5-` that MariaDB put in front of its own until 11.0.
    pub(crate) version: Vec<u8>,
    /// The thread that KILL names.
    pub(crate) connection_id: u32,
    pub(crate) nonce: [u8; 20],
    /// With MariaDB's extended half.
    pub(crate) capabilities: Capabilities,
    pub(crate) collation: u8,
    pub(crate) status: u16,
    /// The authentication method that the server starts with, as it came; empty where it names none.
    pub(crate) plugin: Vec<u8>,
    pub(crate) flavour: Flavour,
}

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    MySql,
    MariaDb,
}

/// Reads a server's first words.
#[derive(Debug)]
pub(crate) struct ReadHello {
    tls: TlsStart,
    state: State,
}

#[derive(Debug)]
enum State {
    Connected,
    /// TLS is the first thing on the link, and its handshake was asked for.
    Encrypting,
    Listening,
}

impl ReadHello {
    pub(crate) fn new(tls: TlsStart) -> Self {
        Self { tls, state: State::Connected }
    }

    fn listen(&mut self, turn: &mut Turn<'_>) -> Result<Step<Hello>, Fault> {
        self.state = State::Listening;
        let Some(packet) = packet::next(turn.input, MAX_HELLO_LEN)? else {
            return Ok(Step::Read);
        };
        match packet.payload.first() {
            Some(&PROTOCOL) => Hello::parse(&packet.payload[1..]).map(Step::Done),
            Some(&rejection::ERR) => Err(rejection::before_greeting(&packet.payload, self.tls)),
            Some(9) => {
                Err(Fault::Unsupported("a server that speaks version 9 of the protocol, as before 3.21"))
            }
            Some(_) => {
                Err(Fault::Unsupported("a server whose first packet is not of version 10 of the protocol"))
            }
            None => Err(FORM),
        }
    }
}

impl Machine for ReadHello {
    type Output = Hello;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Hello>, Fault> {
        match (&self.state, self.tls) {
            (State::Connected, TlsStart::Direct) => {
                self.state = State::Encrypting;
                Ok(Step::StartTls)
            }
            (State::Encrypting, _) if turn.tls.is_none() => Err(Fault::Insecure(Insecure::TlsDeclined)),
            (State::Connected, TlsStart::Off | TlsStart::Negotiated)
            | (State::Encrypting | State::Listening, _) => self.listen(turn),
        }
    }

    fn limit(&self) -> usize {
        MAX_HELLO_LEN
    }
}

const FORM: Fault = Fault::Malformed("the server's greeting is not that of version 10 of the protocol");

impl Hello {
    /// Everything behind the version of the protocol.
    fn parse(mut bytes: &[u8]) -> Result<Self, Fault> {
        let bytes = &mut bytes;
        let version = take_until_nul(bytes).filter(|it| it.len() <= MAX_VERSION_LEN).ok_or(FORM)?;
        let connection_id = bytes.try_get_u32_le().map_err(|_| FORM)?;
        let head = bytes.split_off(..NONCE_HEAD_LEN).ok_or(FORM)?;
        let fixed = Fixed::take(bytes).ok_or(FORM)?;
        check(fixed.capabilities)?;
        let tail = take_tail(bytes, fixed.nonce_len).ok_or(FORM)?;
        let plugin = if fixed.capabilities.has(Capabilities::PLUGIN_AUTH) { name(bytes)? } else { &[] };
        let mut nonce = [0; NONCE_HEAD_LEN + NONCE_TAIL_LEN];
        nonce[..NONCE_HEAD_LEN].copy_from_slice(head);
        nonce[NONCE_HEAD_LEN..].copy_from_slice(tail);
        Ok(Self {
            version: version.to_vec(),
            connection_id,
            nonce,
            capabilities: fixed.capabilities,
            collation: fixed.collation,
            status: fixed.status,
            plugin: plugin.to_vec(),
            flavour: flavour(version, fixed.capabilities),
        })
    }
}

/// What stands between the two parts of the nonce.
struct Fixed {
    capabilities: Capabilities,
    collation: u8,
    status: u16,
    nonce_len: u8,
}

impl Fixed {
    /// A NUL, half of the flags, collation, status, the other half, the length of the nonce, ten octets without a
    /// meaning, of which the last four are MariaDB's extended flags unless the server says that it is MySQL.
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        bytes.try_get_u8().ok()?;
        let low = bytes.try_get_u16_le().ok()?;
        let collation = bytes.try_get_u8().ok()?;
        let status = bytes.try_get_u16_le().ok()?;
        let high = bytes.try_get_u16_le().ok()?;
        let nonce_len = bytes.try_get_u8().ok()?;
        bytes.split_off(..6)?;
        let extended = bytes.try_get_u32_le().ok()?;
        let plain = Capabilities(u64::from(low) | u64::from(high) << 16);
        let extended = if plain.has(Capabilities::LONG_PASSWORD) { 0 } else { extended };
        let capabilities = plain | Capabilities(u64::from(extended) << 32);
        Some(Self { capabilities, collation, status, nonce_len })
    }
}

fn check(capabilities: Capabilities) -> Result<(), Fault> {
    if capabilities.has(Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION) {
        Ok(())
    } else {
        Err(Fault::Unsupported("a server that does not speak the protocol of 4.1"))
    }
}

/// The second part of the nonce, and what pads it.
fn take_tail<'a>(bytes: &mut &'a [u8], nonce_len: u8) -> Option<&'a [u8]> {
    let len = usize::from(nonce_len).saturating_sub(NONCE_HEAD_LEN).max(MIN_TAIL_LEN);
    let tail = bytes.split_off(..len.min(bytes.len()))?;
    tail.get(..NONCE_TAIL_LEN)
}

/// Some servers leave out the NUL behind the name (MySQL's bug 59453).
fn name<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
    let name = take_until_nul(bytes).unwrap_or(bytes);
    if name.len() <= MAX_PLUGIN_LEN { Ok(name) } else { Err(FORM) }
}

/// MariaDB does not say that it is MySQL where it has extended flags; its version always names it.
fn flavour(version: &[u8], capabilities: Capabilities) -> Flavour {
    let named = version.windows(7).any(|window| window.eq_ignore_ascii_case(b"mariadb"));
    match named || !capabilities.has(Capabilities::LONG_PASSWORD) {
        true => Flavour::MariaDb,
        false => Flavour::MySql,
    }
}
