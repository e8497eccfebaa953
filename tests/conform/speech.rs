//! How each protocol says hello: the only thing that these tests must be told.

use std::io;

use attache_kit::script::Peer;

/// One protocol, as seen from outside.
#[derive(Clone, Copy)]
pub struct Speech {
    pub protocol: &'static str,
    /// A client's first words, which ask for a session.
    pub hello: &'static [u8],
    /// Logs any client in, as the simplest server does. What comes behind is sent back.
    pub welcome: fn(&mut Peer) -> io::Result<()>,
    /// The last words of a welcome, as they reach the client; empty where there are none.
    pub welcomed: &'static [u8],
    /// A word from the client that can follow, and that the server sends back.
    pub word: &'static [u8],
    /// What every refusal has in it, where the protocol can refuse, and what one for too many sessions has.
    pub refused: Option<(&'static [u8], &'static [u8])>,
}

const SPEECHES: &[Speech] = &[
    Speech { protocol: "tcp", hello: b"", welcome: |_| Ok(()), welcomed: b"", word: b"hello", refused: None },
    Speech {
        protocol: "postgres",
        hello: b"\0\0\0\x15\0\x03\0\0user\0nobody\0\0",
        welcome: |peer| {
            peer.read_startup()?;
            peer.send_message(b'R', &[0, 0, 0, 0])?;
            peer.send_message(b'Z', b"I")
        },
        welcomed: b"Z\0\0\0\x05I",
        // A notice: whoever sends one, it asks for nothing.
        word: b"N\0\0\0\x05\0",
        refused: Some((b"SFATAL\0", b"C53300\0")),
    },
];

/// Every registered protocol with its speech.
pub fn all() -> Vec<Speech> {
    let registered = attache::registry::protocols();
    assert!(!registered.is_empty());
    let speech = |name: &str| SPEECHES.iter().find(|speech| speech.protocol == name).copied();
    let registered = registered.iter().map(|kind| kind.facts.name);
    registered
        .map(|name| speech(name).unwrap_or_else(|| panic!("how does {name} say hello? Add it to speech.rs")))
        .collect()
}
