//! What a protocol is, before any route has it.

use crate::access::TlsWish;

/// Facts about a protocol that hold for every route.
#[derive(Debug, Clone, Copy)]
pub struct Features {
    /// The name in `protocol:` and in metrics.
    pub name: &'static str,
    /// What a URL of this protocol begins with.
    pub schemes: &'static [Scheme],
    /// The port that is meant where an endpoint names none.
    pub default_port: Option<u16>,
    /// Whether the server says the first word on a link.
    pub server_first: bool,
    /// Whether a URL without a database means the one that is called as its user is.
    pub database_of_user: bool,
    /// Whether TLS can be asked for inside the protocol, which is then the default way.
    pub negotiates_tls: bool,
    /// The application protocol to name in the TLS handshake (RFC 7301).
    pub alpn: Option<&'static str>,
    /// Whether a route must have a credential with a user in it.
    pub needs_user: bool,
    /// Whether a login is part of the protocol, so that a URL may name a user and a database.
    pub has_login: bool,
    /// Whether its servers can be told apart as primary and replicas.
    pub has_roles: bool,
    /// Whether a client that has finished sending may still be waiting for an answer before its
    /// session has begun. Where not, such a client has given up.
    pub half_open_clients: bool,
}

/// What a URL of a protocol begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    pub name: &'static str,
    /// What it says of TLS by itself, where it says anything.
    pub tls: Option<TlsWish>,
}

impl Scheme {
    /// One that leaves TLS to the URL's parameters.
    pub const fn new(name: &'static str) -> Self {
        Self { name, tls: None }
    }

    pub const fn with(self, tls: TlsWish) -> Self {
        Self { tls: Some(tls), ..self }
    }
}

/// What may be done with links beside the session that they were opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing: each session opens its own, and closes it.
    Nothing,
    /// They may be logged in before a client comes.
    Warm,
    /// They may also be reset after a session, and serve another.
    Reused,
}
