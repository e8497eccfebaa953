//! A client written by hand, for what no driver sends: bytes, and the answer's bytes.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use attache_kit::SOON;

pub const PROTOCOL_3_0: u32 = 3 << 16;
pub const PROTOCOL_3_2: u32 = 3 << 16 | 2;
const CANCEL_REQUEST: u32 = 80_877_102;
/// What a socket that should be silent is listened to. It is the price of a right answer, and not paid by others.
const SILENCE: Duration = Duration::from_millis(200);

pub struct Raw {
    stream: TcpStream,
    /// Everything from AuthenticationOk to ReadyForQuery.
    pub greeting: Vec<Message>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

/// The fields of an ErrorResponse or a NoticeResponse.
#[derive(Debug)]
pub struct Report(BTreeMap<char, String>);

impl Raw {
    pub fn connect(addr: SocketAddr) -> Raw {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream, greeting: Vec::new() }
    }

    pub fn log_in(addr: SocketAddr, parameters: &[(&str, &str)]) -> Raw {
        Raw::log_in_as(addr, PROTOCOL_3_0, parameters)
    }

    pub fn log_in_as(addr: SocketAddr, version: u32, parameters: &[(&str, &str)]) -> Raw {
        let mut raw = Raw::connect(addr);
        raw.send(&startup(version, parameters));
        raw.greeting = raw.until(b'Z');
        raw
    }

    pub fn refused(addr: SocketAddr, parameters: &[(&str, &str)]) -> Report {
        let mut raw = Raw::connect(addr);
        raw.send(&startup(PROTOCOL_3_0, parameters));
        raw.last_words()
    }

    /// One ErrorResponse, and then the end.
    pub fn last_words(&mut self) -> Report {
        let message = self.message().expect("an ErrorResponse before the end");
        assert_eq!(message.tag as char, 'E', "{message:?}");
        assert_eq!(self.rest(), b"", "nothing follows an ErrorResponse that ends a session");
        message.report()
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn query(&mut self, sql: &str) -> Vec<Message> {
        self.send(&query(sql));
        self.until(b'Z')
    }

    /// The first column of the first row.
    pub fn value(&mut self, sql: &str) -> String {
        let messages = self.query(sql);
        let row =
            messages.iter().find(|message| message.tag == b'D').unwrap_or_else(|| panic!("{messages:?}"));
        String::from_utf8_lossy(&row.body[6..]).into_owned()
    }

    /// The next message; nothing at an orderly end between two.
    pub fn message(&mut self) -> Option<Message> {
        let mut head = [0; 5];
        match self.stream.read(&mut head[..1]).unwrap() {
            0 => return None,
            _ => self.stream.read_exact(&mut head[1..]).unwrap(),
        }
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body).unwrap();
        Some(Message { tag: head[0], body })
    }

    /// All messages up to the next one of this kind.
    pub fn until(&mut self, tag: u8) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let message = self.message().unwrap_or_else(|| panic!("the end after {messages:?}"));
            messages.push(message);
            if messages.last().is_some_and(|message| message.tag == tag) {
                return messages;
            }
        }
    }

    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Everything up to the end; a reset is an end too.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            outcome => drop(outcome.unwrap()),
        }
        bytes
    }

    /// Whether nothing comes for a moment.
    pub fn is_silent(&mut self) -> bool {
        self.stream.set_read_timeout(Some(SILENCE)).unwrap();
        let silent = self.stream.peek(&mut [0]).is_err();
        self.stream.set_read_timeout(Some(SOON)).unwrap();
        silent
    }

    /// The body of BackendKeyData: process id and key.
    pub fn key(&self) -> Vec<u8> {
        self.greeting.iter().find(|message| message.tag == b'K').expect("BackendKeyData").body.clone()
    }

    pub fn pid(&self) -> u32 {
        u32::from_be_bytes(self.key()[..4].try_into().unwrap())
    }

    /// ParameterStatus of the greeting.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.greeting.iter().filter(|message| message.tag == b'S').map(Message::strings);
        pairs.filter(|pair| pair[0] == name).map(|pair| pair.get(1).cloned().unwrap_or_default()).next()
    }
}

impl Message {
    pub fn strings(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
    }

    pub fn report(&self) -> Report {
        assert!(matches!(self.tag, b'E' | b'N'), "{self:?}");
        let fields = self.body.split(|byte| *byte == 0).filter(|field| !field.is_empty());
        Report(
            fields
                .map(|field| (field[0] as char, String::from_utf8_lossy(&field[1..]).into_owned()))
                .collect(),
        )
    }
}

impl Report {
    pub fn code(&self) -> &str {
        &self.0[&'C']
    }

    pub fn message(&self) -> &str {
        &self.0[&'M']
    }

    /// Our own reports name the session: `… (session 0123abcd-00000001)`.
    pub fn session(&self) -> &str {
        let message = self.message();
        let (_, session) = message.rsplit_once("(session ").unwrap_or_else(|| panic!("no session: {self:?}"));
        session.trim_end_matches(')')
    }
}

pub fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for text in parameters.iter().flat_map(|(name, value)| [name, value]) {
        body.extend(text.bytes().chain([0]));
    }
    body.push(0);
    untagged(&body)
}

pub fn cancel(key: &[u8]) -> Vec<u8> {
    untagged(&[&CANCEL_REQUEST.to_be_bytes(), key].concat())
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &[sql.as_bytes(), b"\0"].concat())
}

pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag], untagged(body).as_slice()].concat()
}

pub fn untagged(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes(), body].concat()
}
