//! Short ways to make packets, and sessions of which the flags are known.

use std::sync::Arc;

use attache_mysql::{Greeting, Hello, Intent, Mysql, Options, SessionWatch};
use attache_wire::testing::run;
use attache_wire::{Credential, Nonce, Opening, Protocol, Relay, Secret, Terms, TlsStart};

pub(crate) const NONCE: Nonce = *b"abcdefghijklmnopqrst\0\xff$.";
/// What that nonce looks like to a client.
pub(crate) const NONCE_TEXT: &[u8; 20] = b"VWXYZabcdefghijklmno";

pub(crate) const LONG_PASSWORD: u64 = 1;
pub(crate) const CONNECT_WITH_DB: u64 = 1 << 3;
pub(crate) const COMPRESS: u64 = 1 << 5;
pub(crate) const LOCAL_FILES: u64 = 1 << 7;
pub(crate) const PROTOCOL_41: u64 = 1 << 9;
pub(crate) const SSL: u64 = 1 << 11;
pub(crate) const SECURE: u64 = 1 << 15;
pub(crate) const PLUGIN_AUTH: u64 = 1 << 19;
pub(crate) const CONNECT_ATTRS: u64 = 1 << 20;
pub(crate) const LENENC: u64 = 1 << 21;
pub(crate) const DEPRECATE_EOF: u64 = 1 << 24;
pub(crate) const OPTIONAL_METADATA: u64 = 1 << 25;
pub(crate) const QUERY_ATTRIBUTES: u64 = 1 << 27;
pub(crate) const ZSTD: u64 = 1 << 26;
pub(crate) const MULTI_FACTOR: u64 = 1 << 28;
pub(crate) const COM_MULTI: u64 = 1 << 33;
pub(crate) const CACHE_METADATA: u64 = 1 << 36;
/// What every server has that is spoken to.
pub(crate) const BASICS: u64 = PROTOCOL_41 | SECURE | PLUGIN_AUTH | LENENC | CONNECT_WITH_DB;
pub(crate) const EVERYTHING: u64 = 0x7f_ffff_ffff;

/// What a server says that has these flags, and is MySQL's if it says so.
pub(crate) fn greeting(flags: u64) -> Vec<u8> {
    let mysql = flags & LONG_PASSWORD != 0;
    let (version, plugin): (&[u8], &[u8]) = match mysql {
        true => (b"9.7.0", b"caching_sha2_password"),
        false => (b"5.5.5-10.11.19-MariaDB", b"mysql_native_password"),
    };
    let extended = if mysql { 0 } else { flags >> 32 };
    let parts: [&[u8]; 15] = [
        b"\x0a",
        version,
        b"\0\x2a\0\0\x01",
        b"12345678\0",
        &(flags as u16).to_le_bytes(),
        b"\x2d",
        b"\x02\0",
        &((flags >> 16) as u16).to_le_bytes(),
        b"\x15",
        &[0; 6],
        &(extended as u32).to_le_bytes(),
        b"123456789012",
        b"\0",
        plugin,
        b"\0",
    ];
    packet(0, &parts.concat())
}

pub(crate) fn hello(flags: u64) -> Hello {
    let machine = mysql(false).hello(TlsStart::Off).unwrap();
    run(machine, &[&greeting(flags)], &[], None).end.unwrap().unwrap()
}

pub(crate) fn mysql(allow_local_infile: bool) -> Mysql {
    Mysql::new(Options { allow_local_infile, ..Options::default() }, None)
}

pub(crate) fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let [low, middle, high, _] = (payload.len() as u32).to_le_bytes();
    [&[low, middle, high, sequence][..], payload].concat()
}

/// A HandshakeResponse41 up to the user, with its flags.
pub(crate) fn head(flags: u64) -> Vec<u8> {
    let extended = if flags & LONG_PASSWORD != 0 { 0 } else { (flags >> 32) as u32 };
    let mut payload = (flags as u32).to_le_bytes().to_vec();
    payload.extend([0, 0, 0, 1, 45]);
    payload.extend([0; 19]);
    payload.extend(extended.to_le_bytes());
    payload
}

/// A HandshakeResponse41 of a client that names a method.
pub(crate) fn response(flags: u64, answer: &[u8], plugin: &str) -> Vec<u8> {
    let flags = flags | PROTOCOL_41 | SECURE | PLUGIN_AUTH | LENENC;
    let answer = [&[answer.len() as u8], answer].concat();
    let database: &[u8] = if flags & CONNECT_WITH_DB != 0 { b"shop\0" } else { b"" };
    packet(1, &[&head(flags), &b"app\0"[..], &answer, database, plugin.as_bytes(), b"\0"].concat())
}

pub(crate) fn intent(server: u64, client: u64) -> Intent {
    let plugin = if server & LONG_PASSWORD != 0 { "caching_sha2_password" } else { "mysql_native_password" };
    let accept = mysql(true).accept(Some(&hello(server)), NONCE);
    match run(accept, &[&response(client, b"12345678901234567890", plugin)], &[], None).end {
        Ok(Some(Opening::Session(intent))) => intent,
        other => panic!("not a session: {other:?}"),
    }
}

pub(crate) fn terms() -> Terms {
    let secret = Secret::new(b"correct horse".to_vec().into());
    Terms {
        credential: Some(Arc::new(Credential::new(Some("orders".to_owned()), Some(secret), 1))),
        tls: TlsStart::Off,
        allow_cleartext: true,
        ask_role: false,
        private: true,
        nonce: NONCE,
    }
}

/// A login that went well.
pub(crate) fn greeted(intent: &Intent, server: u64) -> Greeting {
    let login = mysql(true).login(intent, Some(hello(server)), terms());
    run(login, &[&packet(2, b"\0\0\0\x02\0\0\0")], &[], None).end.unwrap().unwrap()
}

/// The watch of a session whose links both have these flags.
pub(crate) fn watch(flags: u64) -> SessionWatch {
    let server = flags | BASICS;
    let intent = intent(server, flags);
    match mysql(true).relay(&intent, &greeted(&intent, server)) {
        Relay::Watched(watch) => *watch,
        Relay::Opaque => panic!("not watched"),
    }
}

/// The packets of a stream.
pub(crate) fn packets(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let len = 4 + u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) as usize;
        let (packet, rest) = bytes.split_at(len);
        found.push(packet);
        bytes = rest;
    }
    found
}
