//! Transcripts, and short ways to make messages.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use attache_postgres::{ChannelBinding, Intent, Login, Options, Postgres};
use attache_transcripts::Transcript;
use attache_wire::testing::run;
use attache_wire::{Credential, Nonce, Opening, Protocol, Secret, Terms, TlsFacts, TlsStart};
use bytes::BytesMut;

/// The nonce of every recorded login.
pub(crate) const NONCE: Nonce = [7; 24];

pub(crate) fn postgres(channel_binding: ChannelBinding, database: Option<&str>) -> Postgres {
    Postgres::new(Options { channel_binding, ..Options::default() }, database.map(str::to_owned))
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

pub(crate) fn transcripts(folder: &str) -> Vec<Transcript> {
    Transcript::all(format!("{}/tests/data/{folder}", env!("CARGO_MANIFEST_DIR")))
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
