//! One route of any protocol between a script and clients of bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use attache_kit::{House, Mounted, Route, SECRET, SOON, Script};
use attache_wire::testing::contains;

use crate::speech::Speech;

impl Speech {
    /// Neither a server that cannot be reached nor a session that stays is waited for long.
    pub fn route(&self, upstream: SocketAddr) -> Route {
        let secret = Mounted::new(&[("username", "app"), ("password", SECRET)]);
        let route = Route::new(env!("CARGO_BIN_EXE_attache"), self.protocol).endpoints([upstream]);
        let route = route.secret(&Arc::new(secret)).tls("off").key("allow_cleartext: true").unprobed();
        let route = route.top("log: { format: json, level: trace }").top("drain: { deadline: 2s }");
        route.upstream("wait: 300ms")
    }

    /// A client that has said hello.
    pub fn greet(&self, house: &House) -> Client {
        let mut client = connect(house);
        client.send(self.hello);
        client
    }

    /// A client whose session has begun, proven by a word that came back.
    pub fn session(&self, house: &House) -> Client {
        let mut client = self.greet(house);
        client.until(self.welcomed);
        client.speak(self.word);
        client
    }
}

pub fn connect(house: &House) -> Client {
    let stream = TcpStream::connect(house.addr()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_nodelay(true).unwrap();
    Client { stream }
}

/// A server that welcomes everyone and sends back what it hears.
pub fn echo(speech: Speech) -> Script {
    Script::serve(move |mut peer| {
        (speech.welcome)(&mut peer)?;
        while let Ok(said) = peer.read_some() {
            if said.is_empty() || peer.send(&said).is_err() {
                break;
            }
        }
        Ok(())
    })
}

pub struct Client {
    stream: TcpStream,
}

impl Client {
    pub fn send(&mut self, bytes: &[u8]) {
        // Whoever is being turned away may be hung up on in the middle of a word.
        let _ = self.stream.write_all(bytes);
    }

    /// Says a word and hears it again.
    pub fn speak(&mut self, word: &[u8]) {
        self.stream.write_all(word).unwrap();
        let mut heard = vec![0; word.len()];
        self.stream.read_exact(&mut heard).unwrap();
        assert_eq!(heard, word);
    }

    /// Reads up to these words.
    pub fn until(&mut self, words: &[u8]) {
        let mut heard = Vec::new();
        while !heard.ends_with(words) {
            let mut one = [0];
            self.stream.read_exact(&mut one).unwrap_or_else(|error| {
                panic!("{error} instead of a welcome, after {:?}", heard.escape_ascii().to_string())
            });
            heard.push(one[0]);
        }
    }

    /// All that comes up to the end, in order or not. Never the secret.
    pub fn ending(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Err(error) = self.stream.read_to_end(&mut bytes) {
            let timed_out = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(!timed_out, "no end within {SOON:?}, after {:?}", bytes.escape_ascii().to_string());
        }
        assert!(!String::from_utf8_lossy(&bytes).contains(SECRET));
        bytes
    }

    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Whether `bytes` end the session in words of the protocol, or hold none at all where it has no words.
pub fn is_refusal(speech: &Speech, bytes: &[u8]) -> bool {
    match speech.refused {
        Some((words, _)) => contains(bytes, words),
        None => bytes.is_empty(),
    }
}
