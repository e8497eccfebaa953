//! What a protocol knows of URLs and of its clients: for whoever starts a route from one line.
//!
//! Nothing here parses or prints: the house reads the URL and asks for the meaning of its parameters, and the
//! protocol says how its clients find a listener of ours.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// What one parameter of a URL asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlParameter {
    /// How the link to the server is protected.
    Tls(TlsWish),
    /// A file of the authorities to trust; `None` means those of the system.
    Authorities(Option<String>),
    /// A socket of the server on this machine, or the folder that it is in.
    Socket(String),
    /// The port that is part of a socket's name.
    Port(String),
    /// A key of the configuration's `upstream`, and what it is set to.
    Upstream { key: &'static str, value: &'static str },
    /// One of the protocol's options, by its name: it has the values that the parameter has.
    Option(&'static str),
    /// A matter between the client and the server: the client is to hear of it.
    Client,
    /// A secret: a URL is no place for it.
    Secret,
    /// Not known, or not to be had in a URL.
    Unknown,
}

/// How much a URL wants of the link to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsWish {
    Off,
    /// Encrypted perhaps, but whoever answers is believed.
    Unverified,
    VerifyCa,
    VerifyFull,
}

/// A listener of ours, and what its clients should ask for.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    pub at: At<'a>,
    pub user: Option<&'a str>,
    pub database: Option<&'a str>,
    /// Parameters of the URL that are the client's.
    pub parameters: &'a [(String, String)],
}

/// Where a listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At<'a> {
    /// `host` is an address, without brackets.
    Tcp {
        host: &'a str,
        port: u16,
    },
    Unix(&'a str),
}

/// How a client of the protocol is led to a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directions {
    /// Environment variables that clients heed.
    pub env: Vec<(&'static str, String)>,
    /// Variables that would lead them elsewhere, or ask of us what only the server can do.
    pub clear: &'static [&'static str],
    /// A client that people have at hand, with its arguments.
    pub example: Vec<String>,
    /// The URL that Java's drivers want, where they have a form of their own.
    pub jdbc: Option<String>,
}

/// A part of a URL. Plain names stay readable; everything else may mean something there.
pub fn encoded(text: &str) -> String {
    match text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
        true => text.to_owned(),
        false => utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
    }
}

/// Host and port as they stand in a URL.
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
