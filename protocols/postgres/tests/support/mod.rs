//! Transcripts, and short ways to make messages.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use attache_postgres::{ChannelBinding, Intent, Login, Options, Postgres};
use attache_wire::testing::run;
use attache_wire::{Credential, Nonce, Opening, Protocol, Secret, Terms, TlsFacts, TlsStart};
use bytes::BytesMut;

/// The nonce of every recorded login.
pub(crate) const NONCE: Nonce = [7; 24];

pub(crate) fn postgres(channel_binding: ChannelBinding, database: Option<&str>) -> Postgres {
    Postgres::new(Options { channel_binding }, database.map(str::to_owned))
}

pub(crate) fn credential(user: &str, secret: Option<&[u8]>) -> Arc<Credential> {
    let secret = secret.map(|secret| Secret::new(secret.to_vec().into()));
    Arc::new(Credential::new(Some(user.to_owned()), secret, 1))
}

pub(crate) fn terms(tls: TlsStart, password: &str) -> Terms {
    let credential = Some(credential("orders", Some(password.as_bytes())));
    Terms { credential, tls, allow_cleartext: false, ask_role: false, private: false, nonce: NONCE }
}

pub(crate) fn startup(minor: u16, parameters: &[&str]) -> Vec<u8> {
    let mut body = vec![0, 3, (minor >> 8) as u8, minor as u8];
    parameters.iter().for_each(|text| body.extend([text.as_bytes(), b"\0"].concat()));
    body.push(0);
    [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
}

pub(crate) fn intent(packet: &[u8]) -> Intent {
    let accepted = run(postgres(ChannelBinding::Prefer, None).accept(None, NONCE), &[packet], &[], None);
    match accepted.end {
        Ok(Some(Opening::Session(intent))) => intent,
        other => panic!("not a session: {other:?}"),
    }
}

pub(crate) fn login(channel_binding: ChannelBinding, terms: Terms) -> Login {
    let intent = intent(&startup(0, &["user", "app"]));
    postgres(channel_binding, None).login(&intent, None, terms)
}

pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

pub(crate) fn auth(code: u32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes(), data].concat())
}

pub(crate) fn error(code: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0").as_bytes())
}

/// What a server says once it has accepted somebody.
pub(crate) fn welcome() -> Vec<u8> {
    let parameter = message(b'S', b"server_version\x0018.4\0");
    [auth(0, b""), parameter, message(b'K', b"\0\0\0\x07key!"), message(b'Z', b"I")].concat()
}

pub(crate) fn tls(hash: Option<&[u8]>) -> TlsFacts {
    TlsFacts { server_end_point: hash.map(<[u8]>::to_vec), alpn: None }
}

pub(crate) fn client_hears(
    protocol: &Postgres,
    intent: &Intent,
    greeting: attache_postgres::Greeting,
) -> Vec<u8> {
    let mut out = BytesMut::new();
    protocol.welcome(intent, greeting, &mut out);
    out.to_vec()
}

/// One file of `tests/data`, line by line.
pub(crate) struct Transcript {
    pub(crate) name: String,
    pub(crate) lines: Vec<(String, String)>,
}

impl Transcript {
    #[allow(clippy::disallowed_methods, reason = "tests read their data")]
    pub(crate) fn all(folder: &str) -> Vec<Self> {
        let folder = format!("{}/tests/data/{folder}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let read = |path: std::path::PathBuf| Self {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            lines: std::fs::read_to_string(&path).unwrap().lines().map(split).collect(),
        };
        files.map(read).collect()
    }

    pub(crate) fn value(&self, key: &str) -> &str {
        let line = self.lines.iter().find(|(known, _)| known == key);
        line.map_or_else(|| panic!("{}: no line {key}", self.name), |(_, value)| value)
    }

    /// All octets of one kind.
    pub(crate) fn octets(&self, kind: &str) -> Vec<u8> {
        self.lines.iter().filter(|(known, _)| known == kind).flat_map(|(_, text)| unescape(text)).collect()
    }

    /// The server's octets, before and after the TLS handshake if there is one.
    pub(crate) fn segments(&self) -> Vec<Vec<u8>> {
        let mut segments = vec![Vec::new()];
        for (kind, text) in &self.lines {
            match kind.as_str() {
                "TLS" => segments.push(Vec::new()),
                "S" => segments.last_mut().unwrap().extend(unescape(text)),
                _ => {}
            }
        }
        segments
    }
}

fn split(line: &str) -> (String, String) {
    let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
    (kind.to_owned(), rest.to_owned())
}

/// `\x00` stands for an octet; everything else for itself.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut octets = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        octets.push(u8::from_str_radix(&part[..2], 16).unwrap());
        octets.extend(&part.as_bytes()[2..]);
    }
    octets
}

/// Splits a stream of messages.
pub(crate) fn messages(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let len = 1 + u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        let (message, rest) = bytes.split_at(len);
        found.push(message);
        bytes = rest;
    }
    found
}
