//! Everything that can go wrong inside a protocol machine.
//!
//! Closed and comparable, so that a test can name the fault it expects and the house can decide
//! what to tell the client, whether to try again, and under which name to count it.

use bytes::Bytes;

/// Why a machine gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The peer broke the protocol; the text names the rule. The peer is at fault.
    Malformed(&'static str),
    /// The server answered the login with an error of its own.
    Rejected(Box<Rejection>),
    /// The peer asks for something of the protocol that is not spoken here; the text names it.
    Unsupported(&'static str),
    /// More than this many octets would have had to be kept to go on.
    TooLong(usize),
    /// Bytes arrived in plain text where a TLS handshake had to start: possibly injected by an attacker
    /// on the path (the class of CVE-2021-23214 and CVE-2021-23222).
    EarlyData,
    /// To go on would have exposed the secret or trusted the wrong server.
    Insecure(Insecure),
    /// The credential lacks what the server asks for; the text names it. The operator is at fault.
    Incomplete(&'static str),
}

/// Ways in which a login would have been weaker than the route allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insecure {
    /// TLS is required, and the server answered that it has none.
    TlsDeclined,
    /// The server wants the password in clear text over a connection that is not encrypted.
    CleartextPassword,
    /// The server wants a weakly hashed password over a connection that is not encrypted.
    WeakHash,
    /// Channel binding is required, and the server or its certificate cannot give it.
    NoChannelBinding,
    /// The server could not prove that it knows the password: it is not the server that was meant,
    /// or someone stands in between.
    ServerSignature,
}

/// The server's own refusal of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// What kind of refusal this is for us.
    pub kind: RejectionKind,
    /// The server's own code (an SQLSTATE, an error number).
    pub code: String,
    /// The server's own text, bounded, free of the secret: for the log.
    pub message: String,
    /// The server's own frame, to be passed on where the refusal is none of our business.
    pub frame: Bytes,
}

impl Rejection {
    /// A text of the server's as one line of bounded length, for [`message`](Self::message). It may be in any encoding.
    pub fn line(text: &[u8]) -> String {
        let text = String::from_utf8_lossy(text);
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE_CHARS).collect()
    }
}

/// The most characters of the server's text that go to the log.
const MAX_MESSAGE_CHARS: usize = 300;

/// What a server's refusal of a login means for what is tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionKind {
    /// The user, the password or the certificate was not accepted.
    Credential,
    /// The server is starting, stopping or recovering: later or elsewhere it may work.
    NotNow,
    /// Anything else: it would not change by trying again.
    Other,
}
