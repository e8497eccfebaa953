//! What the server said at login that the client must hear, in order and untouched.

use std::fmt;

use attache_wire::{Chance, Fault, ServerRole};
use bytes::BytesMut;

use crate::cancel::{PID_LEN, is_ticket};
use crate::frame::{self, Frame, HEADER_LEN, take_string};
use crate::startup::{Intent, NEWEST_MINOR, version};

/// The most octets that a server may say before ReadyForQuery. PostgreSQL says some 500; notices of
/// a login trigger may add to that.
pub const MAX_GREETING_LEN: usize = 256 * 1024;

/// The most characters of a server's version that are kept.
const MAX_VERSION_CHARS: usize = 100;

/// The frames from the server's first word to ReadyForQuery, without those of the authentication.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Greeting {
    frames: BytesMut,
    ticket: Option<Vec<u8>>,
    server_version: Option<String>,
    role: Option<ServerRole>,
    negotiation: Negotiation,
}

/// Whether the server has named the protocol version that it speaks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Negotiation {
    /// It takes what it was asked for.
    #[default]
    Silent,
    /// It sent NegotiateProtocolVersion.
    Told,
}

impl Greeting {
    /// Process id and key of the backend, if the server gave any.
    pub(crate) fn ticket(&self) -> Option<&[u8]> {
        self.ticket.as_deref()
    }

    /// `server_version` as the server reported it.
    pub fn server_version(&self) -> Option<&str> {
        self.server_version.as_deref()
    }

    /// The server's role, as it reported it or as it was asked.
    pub(crate) fn role(&self) -> Option<ServerRole> {
        self.role
    }

    pub(crate) fn set_role(&mut self, role: Option<ServerRole>) {
        self.role = role;
    }

    /// Appends what the client hears. NegotiateProtocolVersion is ours where the client asked for more
    /// than was passed on to the server, so that the server had nothing to say about it.
    pub(crate) fn tell(&self, intent: &Intent, out: &mut BytesMut) {
        if intent.is_too_new() && self.negotiation == Negotiation::Silent {
            let newest = version(NEWEST_MINOR).to_be_bytes();
            frame::put(out, b'v', &[&newest, &[0; 4]]);
        }
        out.extend_from_slice(&self.frames);
    }

    /// The same greeting with another key, as long as the server's where there is chance enough. The process id
    /// stays: clients compare it with that of a notification, and it opens nothing.
    pub(crate) fn disguised(&self, chance: &Chance) -> Self {
        let Some(ticket) = &self.ticket else { return self.clone() };
        let (pid, key) = ticket.split_at(PID_LEN);
        let ours = [pid, &chance[..key.len().min(chance.len())]].concat();
        let frames = self.replaced(|frame, out| match frame[0] {
            b'K' => frame::put(out, b'K', &[&ours]),
            _ => out.extend_from_slice(frame),
        });
        let Self { frames: _, ticket: _, server_version, role, negotiation } = self;
        let (server_version, ticket) = (server_version.clone(), Some(ours));
        Self { frames, ticket, server_version, role: *role, negotiation: *negotiation }
    }

    /// The value of a parameter is another than it was at the login. One that was not told then is told behind the
    /// others.
    pub(crate) fn report(&mut self, name: &[u8], value: &[u8]) {
        let mut told = false;
        self.frames = self.replaced(|frame, out| {
            let is_it = frame[0] == b'S' && take_string(&mut &frame[HEADER_LEN..]) == Some(name);
            if is_it || (frame[0] == b'Z' && !told) {
                frame::put(out, b'S', &[name, b"\0", value, b"\0"]);
                told = true;
            }
            if !is_it {
                out.extend_from_slice(frame);
            }
        });
        self.learn(name, value);
    }

    /// The frames, each as `put` has it.
    fn replaced(&self, mut put: impl FnMut(&[u8], &mut BytesMut)) -> BytesMut {
        let mut out = BytesMut::with_capacity(self.frames.len());
        frame::whole(&self.frames).for_each(|frame| put(frame, &mut out));
        out
    }

    /// Keeps a frame as it is.
    pub(crate) fn keep(&mut self, frame: &Frame) {
        self.frames.extend_from_slice(frame.as_bytes());
    }

    /// Keeps NegotiateProtocolVersion.
    pub(crate) fn keep_negotiation(&mut self, frame: &Frame) -> Result<(), Fault> {
        if self.negotiation == Negotiation::Told {
            return Err(Fault::Malformed("a second NegotiateProtocolVersion"));
        }
        self.negotiation = Negotiation::Told;
        self.keep(frame);
        Ok(())
    }

    /// Keeps ParameterStatus, and remembers the server's version and role.
    pub(crate) fn keep_parameter(&mut self, frame: &Frame) -> Result<(), Fault> {
        const FORM: Fault = Fault::Malformed("ParameterStatus is not a name and a value");
        let mut body = frame.body();
        let name = take_string(&mut body).ok_or(FORM)?;
        let value = take_string(&mut body).filter(|_| body.is_empty()).ok_or(FORM)?;
        self.learn(name, value);
        self.keep(frame);
        Ok(())
    }

    fn learn(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"server_version" => {
                let text = String::from_utf8_lossy(value);
                self.server_version =
                    Some(text.chars().filter(|c| !c.is_control()).take(MAX_VERSION_CHARS).collect());
            }
            b"in_hot_standby" => self.role = reported(value),
            _ => {}
        }
    }

    /// Keeps BackendKeyData, and remembers it as the session's ticket.
    pub(crate) fn keep_key(&mut self, frame: &Frame) -> Result<(), Fault> {
        if self.ticket.is_some() || !is_ticket(frame.body()) {
            return Err(Fault::Malformed(
                "BackendKeyData comes twice, or its key is not 4 to 256 octets long",
            ));
        }
        self.ticket = Some(frame.body().to_vec());
        self.keep(frame);
        Ok(())
    }
}

/// Since version 14 a server reports whether it is recovering, that is following a primary.
fn reported(in_hot_standby: &[u8]) -> Option<ServerRole> {
    match in_hot_standby {
        b"on" => Some(ServerRole::Replica),
        b"off" => Some(ServerRole::Primary),
        _ => None,
    }
}

/// The key in it is not shown, nor what the server reports.
impl fmt::Debug for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greeting")
            .field("octets", &self.frames.len())
            .field("server_version", &self.server_version)
            .field("role", &self.role)
            .field("negotiation", &self.negotiation)
            .finish_non_exhaustive()
    }
}
