//! How each protocol says hello: the only thing that these tests must be told.

use std::io;
use std::thread;

use attache_kit::script::Peer;

/// One protocol, as seen from outside.
#[derive(Clone, Copy)]
pub struct Speech {
    pub protocol: &'static str,
    /// Whether a server is met before its client is greeted.
    pub server_first: bool,
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
    Speech {
        protocol: "tcp",
        server_first: false,
        hello: b"",
        welcome: |_| Ok(()),
        welcomed: b"",
        word: b"hello",
        refused: None,
    },
    Speech {
        protocol: "postgres",
        server_first: false,
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
    Speech {
        protocol: "mysql",
        server_first: true,
        // Protocol 4.1, caching_sha2_password, the user "nobody" and an empty answer.
        hello: b"\x3e\0\0\x01\x01\xa2\x08\0\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
                 nobody\0\0caching_sha2_password\0",
        welcome: |peer| {
            peer.send(
                b"\x53\0\0\0\x0a8.0-of-a-script\0\x07\0\0\0abcdefgh\0\x09\xa2\x2d\x02\0\x08\0\x15\0\0\0\0\0\0\0\0\0\0\
                  ijklmnopqrst\0mysql_native_password\0",
            )?;
            peer.read_some()?;
            peer.send(b"\x07\0\0\x02\0\0\0\x02\0\0\0")
        },
        welcomed: b"\0\0\0\x02\0\0\0",
        // A command that asks for nothing; sent back, it is an OK.
        word: b"\x07\0\0\0\0\0\0\x02\0\0\0",
        refused: Some((b"attache: ", b"\xff\x10\x04")),
    },
    Speech {
        protocol: "redis",
        server_first: false,
        // Whoever connects is logged in, and hears nothing of it.
        hello: b"",
        welcome: |peer| {
            peer.read_some()?;
            peer.send(b"+OK\r\n-ERR unknown command 'HELLO'\r\n+PONG\r\n")
        },
        welcomed: b"",
        // An inline command; sent back, it is a reply.
        word: b"+OK\r\n",
        refused: Some((b" attache: ", b"-ERR max number of clients reached")),
    },
];

/// Keeps a promise for every registered protocol, all at once: much of it is waiting.
pub fn each(promise: impl Fn(Speech) + Sync) {
    thread::scope(|scope| {
        for speech in all() {
            let promise = &promise;
            let kept = thread::Builder::new().name(speech.protocol.to_owned());
            kept.spawn_scoped(scope, move || promise(speech)).expect("a thread starts");
        }
    });
}

fn all() -> Vec<Speech> {
    let registered = attache::registry::protocols();
    assert!(!registered.is_empty());
    let speech = |name: &str| SPEECHES.iter().find(|speech| speech.protocol == name).copied();
    let registered = registered.iter().map(|kind| kind.facts.name);
    registered
        .map(|name| speech(name).unwrap_or_else(|| panic!("how does {name} say hello? Add it to speech.rs")))
        .collect()
}
