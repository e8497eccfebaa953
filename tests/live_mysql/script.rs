//! A server by hand, for what no real one can be made to say. It is strict about what clients say: every packet must
//! bear the next number.

use std::io;

use attache_kit::script::Peer;
use attache_kit::{Script, ServerTls};

pub const NONCE: &[u8; 20] = b"abcdefghijklmnopqrst";
/// What the server takes everybody for.
pub const ACCOUNT: &str = "scripted@%";

const SSL: u32 = 1 << 11;
/// Long passwords and flags, a database, 4.1, transactions, nonces of 20 octets, many results, plugins, attributes.
const FLAGS: u32 = 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 13 | 1 << 15 | 3 << 16 | 1 << 19 | 1 << 20;
const TLS_REQUEST_LEN: usize = 32;
/// Flags, length of packets, character set, filler.
const USER_AT: usize = 32;

const COM_QUIT: u8 = 1;
const COM_QUERY: u8 = 3;
pub const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];

/// A conversation with one client.
pub struct Talk {
    peer: Peer,
    /// The number that the next packet bears, whoever sends it.
    sequence: u8,
    /// The client's first proof.
    pub proof: Vec<u8>,
}

/// A server that greets with this plugin, and then does as it is told.
pub fn server(
    plugin: &'static str,
    tls: Option<ServerTls>,
    scene: impl Fn(&mut Talk) -> io::Result<()> + Send + Sync + 'static,
) -> Script {
    Script::serve(move |peer| {
        let Some(mut talk) = Talk::begin(peer, plugin, tls.as_ref())? else { return Ok(()) };
        scene(&mut talk)
    })
}

impl Talk {
    /// The greeting and the client's answer, which is none where the client leaves.
    fn begin(peer: Peer, plugin: &str, tls: Option<&ServerTls>) -> io::Result<Option<Talk>> {
        let mut talk = Talk { peer, sequence: 0, proof: Vec::new() };
        talk.put(&greeting(plugin, tls.is_some()))?;
        let Ok(mut answer) = talk.take() else { return Ok(None) };
        if answer.len() == TLS_REQUEST_LEN {
            let tls = tls.ok_or_else(|| io::Error::other("TLS, which was not offered"))?;
            talk.peer = talk.peer.start_tls(tls)?;
            let Ok(next) = talk.take() else { return Ok(None) };
            answer = next;
        }
        let user = answer[USER_AT..].iter().position(|byte| *byte == 0);
        let length_at = USER_AT + user.ok_or_else(|| io::Error::other("a user without an end"))? + 1;
        let length = usize::from(answer[length_at]);
        talk.proof = answer[length_at + 1..][..length].to_vec();
        Ok(Some(talk))
    }

    pub fn put(&mut self, payload: &[u8]) -> io::Result<()> {
        self.put_numbered(self.sequence, payload)?;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }

    /// A packet with whatever number.
    pub fn put_numbered(&mut self, sequence: u8, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?.to_le_bytes();
        self.raw(&[&[length[0], length[1], length[2], sequence], payload].concat())
    }

    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.peer.send(bytes)
    }

    pub fn take(&mut self) -> io::Result<Vec<u8>> {
        let head = self.peer.read_exact(4)?;
        if head[3] != self.sequence {
            return Err(io::Error::other(format!("number {} and not {}", head[3], self.sequence)));
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.peer.read_exact(u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize)
    }

    pub fn expect(&mut self, wanted: &[u8]) -> io::Result<()> {
        let taken = self.take()?;
        if taken == wanted { Ok(()) } else { Err(io::Error::other("not what it should be")) }
    }

    /// Another method of authentication, and what it needs to know.
    pub fn switch(&mut self, plugin: &str, data: &[u8]) -> io::Result<()> {
        self.put(&[b"\xfe", plugin.as_bytes(), b"\0", data].concat())
    }

    /// The client hangs up, and says nothing before.
    pub fn is_left_in_silence(&mut self) -> io::Result<()> {
        match self.peer.read_to_end() {
            Ok(nothing) if nothing.is_empty() => Ok(()),
            // It has not even read everything.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(error),
            Ok(said) => Err(io::Error::other(format!("{} octets more than it should have said", said.len()))),
        }
    }

    /// Lets the client in, and tells it who it is whenever it asks.
    pub fn welcome(&mut self) -> io::Result<()> {
        self.put(OK)?;
        loop {
            self.sequence = 0;
            let Ok(command) = self.take() else { return Ok(()) };
            match command.first() {
                Some(&COM_QUIT) => return Ok(()),
                Some(&COM_QUERY) if command.windows(12).any(|text| text == b"current_user") => self.tell()?,
                _ => self.put(OK)?,
            }
        }
    }

    fn tell(&mut self) -> io::Result<()> {
        let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        // utf8mb4, 255 characters, VAR_STRING
        let kind = [0x0c, 45, 0, 0xff, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0];
        let column = [text("def"), text(""), text(""), text(""), text("who"), text(""), kind.to_vec()];
        for packet in [&[1], &column.concat()[..], EOF, &text(ACCOUNT), EOF] {
            self.put(packet)?;
        }
        Ok(())
    }
}

pub fn greeting(plugin: &str, tls: bool) -> Vec<u8> {
    let flags = (if tls { FLAGS | SSL } else { FLAGS }).to_le_bytes();
    let mut greeting = b"\x0a8.4.0-scripted\0\x07\0\0\0".to_vec();
    greeting.extend(&NONCE[..8]);
    greeting.extend([0, flags[0], flags[1], 45, 2, 0, flags[2], flags[3], 21]);
    greeting.extend([0; 10]);
    greeting.extend(&NONCE[8..]);
    greeting.push(0);
    greeting.extend(plugin.as_bytes());
    greeting.push(0);
    greeting
}
