//! One route of any protocol between a script and clients of bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use attache_kit::ports::{self, Port};
use attache_kit::process::{Launch, Process};
use attache_kit::{Metrics, Mounted, Script, eventually};
use serde_json::Value;

use crate::speech::Speech;

pub const SECRET: &str = "s3cret-that-nobody-sees";
pub const SOON: Duration = Duration::from_secs(20);

pub struct House {
    pub attache: Process,
    pub speech: Speech,
    pub health: Port,
    pub control: Port,
    listen: Port,
    sockets: usize,
    _secret: Mounted,
}

impl House {
    /// Short limits, so that every end is near. `route` has further lines of the route.
    pub fn start(speech: Speech, upstream: SocketAddr, route: &str) -> House {
        let (listen, health, control) = (ports::reserve(), ports::reserve(), ports::reserve());
        let secret = Mounted::new(&[("username", "app"), ("password", SECRET)]);
        let config = format!(
            "health: {}\ncontrol: {}\nlog: {{ format: json, level: trace }}\ndrain: {{ deadline: 2s }}\nroutes:\n  \
             it:\n    protocol: {}\n    listen: {}\n    credential: {{ path: {} }}\n    allow_cleartext: true\n    \
             upstream: {{ endpoints: \"{upstream}\", tls: off, probe_interval: off, connect_timeout: 400ms, wait: \
             800ms }}\n    {route}\n",
            health.addr(),
            control.addr(),
            speech.protocol,
            listen.addr(),
            secret.path().display(),
        );
        let attache = Launch::binary(env!("CARGO_BIN_EXE_attache")).config(&config).start();
        attache.wait_for("that it has started", SOON, |line| line["message"] == "started");
        let sockets = attache.sockets();
        House { attache, speech, health, control, listen, sockets, _secret: secret }
    }

    pub fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.listen.addr()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream }
    }

    /// A client that has said hello.
    pub fn hello(&self) -> Client {
        let mut client = self.connect();
        client.send(self.speech.hello);
        client
    }

    /// A client whose session has begun, proven by a word that came back.
    pub fn session(&self) -> Client {
        let mut client = self.hello();
        client.until(self.speech.welcomed);
        client.speak(self.speech.word);
        client
    }

    /// Waits until nothing of any session is left.
    pub fn settles(&self) {
        eventually("all sockets of sessions to be closed", SOON, || {
            (self.attache.sockets() <= self.sockets).then_some(())
        });
        eventually("the gauges to come back to nothing", SOON, || {
            let metrics = Metrics::scrape(self.health.addr());
            let left = |name| metrics.value(name, &[]).unwrap_or_default();
            (left("attache_sessions_active") == 0.0 && left("attache_links") == 0.0).then_some(())
        });
    }

    /// The line of the first session to end after `since` lines.
    pub fn ended(&self, since: usize) -> Value {
        self.attache.wait_for_since(since, "the end of a session", SOON, |line| line["kind"] == "session")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let log = self.attache.stderr();
            assert!(!log.contains(SECRET), "the secret is in the log:\n{log}");
            assert!(!log.contains("panic"), "something panicked:\n{log}");
        }
    }
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
        Some((words, _)) => has(bytes, words),
        None => bytes.is_empty(),
    }
}

pub fn has(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}
