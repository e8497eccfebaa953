//! The startup packet: what is kept of the client's, and how the server's is made of it.

use std::fmt;

use attache_wire::Fault;
use bytes::{BufMut, Bytes, BytesMut};

use crate::frame::{take_string, take_u32};
use crate::put_untagged;
use crate::statement::SETTING;

/// The longest startup packet, in octets, in either direction: PostgreSQL's own bound
/// (`MAX_STARTUP_PACKET_LENGTH`).
pub const MAX_STARTUP_LEN: usize = 10_000;

/// The newest minor version of protocol 3 that is spoken here: 3.2, with cancel keys of up to 256 octets.
pub(crate) const NEWEST_MINOR: u16 = 2;
/// Protocol 3, in the upper half of a version.
pub(crate) const MAJOR: u16 = 3;

/// What a client asked for in its startup packet.
#[derive(Clone, PartialEq, Eq)]
pub struct Intent {
    minor: u16,
    /// Pairs of NUL-terminated strings, in the client's order, without the NUL that ends the list.
    parameters: Bytes,
}

impl Intent {
    /// Reads what follows the version in a startup packet. It is copied: a session that lives for days
    /// must not hold on to the buffer that it was read into.
    pub(crate) fn parse(minor: u16, body: &[u8]) -> Result<Self, Fault> {
        let end = body.len().checked_sub(1).filter(|end| body[*end] == 0);
        let end = end.ok_or(Fault::Malformed("the startup packet does not end with a NUL"))?;
        let intent = Self { minor, parameters: Bytes::copy_from_slice(&body[..end]) };
        let mut rest = &intent.parameters[..];
        while !rest.is_empty() {
            take_pair(&mut rest)
                .ok_or(Fault::Malformed("the startup packet is not a list of names and values"))?;
        }
        Ok(intent)
    }

    /// What a probe asks for: protocol 3.0, which every server speaks.
    pub(crate) fn probe(application: &str, database: &str) -> Self {
        let mut parameters = BytesMut::new();
        put_pair(&mut parameters, b"application_name", application.as_bytes());
        put_pair(&mut parameters, b"database", database.as_bytes());
        Self { minor: 0, parameters: parameters.freeze() }
    }

    /// The minor version that the client asked for.
    pub fn minor(&self) -> u16 {
        self.minor
    }

    /// All parameters in the client's order, protocol options (`_pq_.…`) among them.
    pub fn parameters(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.parameters[..];
        std::iter::from_fn(move || take_pair(&mut rest))
    }

    /// The value of a parameter; of several, the last, as PostgreSQL takes it.
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        self.parameters().filter(|(known, _)| *known == name.as_bytes()).map(|(_, value)| value).last()
    }

    /// Whether this is a replication connection, logical or physical (section "Streaming Replication
    /// Protocol").
    pub fn is_replication(&self) -> bool {
        const NO: [&[u8]; 6] = [b"", b"false", b"off", b"no", b"0", b"f"];
        self.parameter("replication")
            .is_some_and(|value| !NO.contains(&value.to_ascii_lowercase().as_slice()))
    }

    /// What a link must have been logged in with to serve this client: the packet for the server, without its user.
    /// `None` for replication, which leaves a link in a state of its own, and for what no server would take.
    pub(crate) fn key(&self, database: Option<&str>) -> Option<Vec<u8>> {
        let packet = (!self.is_replication()).then(|| self.packet("", database, false).ok())??;
        Some(packet.to_vec())
    }

    /// The packet for the server: byte for byte what the client sent, except the user, and the
    /// database where the route names one. Each is replaced where it stands, or appended. On a read-only route the mode
    /// of transactions comes last.
    pub(crate) fn packet(
        &self,
        user: &str,
        database: Option<&str>,
        read_only: bool,
    ) -> Result<BytesMut, Fault> {
        if [Some(user), database].into_iter().flatten().any(|name| name.contains('\0')) {
            return Err(Fault::Incomplete("a user or database name with a NUL octet cannot be sent"));
        }
        let mut body = BytesMut::with_capacity(self.parameters.len() + user.len() + 64);
        let mut missing = [("user", Some(user)), ("database", database)];
        let is_setting = |name: &[u8]| name.eq_ignore_ascii_case(SETTING.as_bytes());
        for (name, value) in self.parameters().filter(|(name, _)| !read_only || !is_setting(name)) {
            let ours = missing.iter().position(|(known, _)| known.as_bytes() == name);
            let replaced = ours.and_then(|at| replacement(at, user, database));
            put_pair(&mut body, name, replaced.map_or(value, str::as_bytes));
            ours.into_iter().for_each(|at| missing[at].1 = None);
        }
        for (name, value) in missing {
            value.into_iter().for_each(|value| put_pair(&mut body, name.as_bytes(), value.as_bytes()));
        }
        if read_only {
            // Behind whatever `options` may say: the last word counts.
            put_pair(&mut body, SETTING.as_bytes(), b"on");
        }
        body.put_u8(0);
        self.enclose(&body)
    }

    fn enclose(&self, body: &[u8]) -> Result<BytesMut, Fault> {
        let mut packet = BytesMut::with_capacity(8 + body.len());
        put_untagged(&mut packet, version(self.spoken_minor()), body);
        if packet.len() > MAX_STARTUP_LEN {
            return Err(Fault::TooLong(MAX_STARTUP_LEN));
        }
        Ok(packet)
    }

    /// The version that the server is asked for. 3.1 never existed (section "Protocol Versions"); what
    /// is newer than what is spoken here is negotiated down.
    fn spoken_minor(&self) -> u16 {
        match self.minor {
            0 | 1 => 0,
            newer => newer.min(NEWEST_MINOR),
        }
    }

    /// Whether the client must be told that it gets an older minor version than it asked for.
    pub(crate) fn is_too_new(&self) -> bool {
        self.minor > NEWEST_MINOR
    }
}

/// Parameters may name anything; only how much there is of it is shown.
impl fmt::Debug for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intent")
            .field("minor", &self.minor)
            .field("parameter_octets", &self.parameters.len())
            .finish_non_exhaustive()
    }
}

/// A version number as it stands in a packet.
pub(crate) fn version(minor: u16) -> u32 {
    u32::from(MAJOR) << 16 | u32::from(minor)
}

/// Splits a version number into major and minor.
pub(crate) fn split_version(mut code: &[u8]) -> Option<(u16, u16)> {
    let code = take_u32(&mut code)?;
    Some(((code >> 16) as u16, (code & 0xffff) as u16))
}

fn replacement<'a>(at: usize, user: &'a str, database: Option<&'a str>) -> Option<&'a str> {
    if at == 0 { Some(user) } else { database }
}

/// A name is never empty: an empty one would have ended the list.
fn take_pair<'a>(bytes: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let name = take_string(bytes).filter(|name| !name.is_empty())?;
    Some((name, take_string(bytes)?))
}

fn put_pair(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    for string in [name, value] {
        out.put_slice(string);
        out.put_u8(0);
    }
}
