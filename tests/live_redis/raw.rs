//! A client by hand, for what no program shows: the octets of a reply, and messages that nobody asked for.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use attache_kit::{LONG, SECRET};

use crate::servers::USER;

pub struct Raw {
    stream: BufReader<TcpStream>,
}

impl Raw {
    pub fn connect(addr: SocketAddr) -> Raw {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream: BufReader::new(stream) }
    }

    /// To the server itself, logged in.
    pub fn direct(addr: SocketAddr) -> Raw {
        let mut raw = Raw::connect(addr);
        assert_eq!(raw.ask(&["AUTH", USER, SECRET]), "+OK\r\n");
        raw
    }

    /// How long an answer may take.
    pub fn patience(&self, time: Duration) {
        self.stream.get_ref().set_read_timeout(Some(time)).unwrap();
    }

    /// A half of its own, to write while the other reads.
    pub fn writer(&self) -> TcpStream {
        self.stream.get_ref().try_clone().unwrap()
    }

    pub fn send(&mut self, words: &[&str]) {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.stream.get_mut().write_all(&command(&words)).unwrap();
    }

    pub fn ask(&mut self, words: &[&str]) -> String {
        self.send(words);
        self.text()
    }

    /// The next reply as text.
    pub fn text(&mut self) -> String {
        String::from_utf8(self.reply()).unwrap()
    }

    /// The octets of the next reply or message, whole.
    pub fn reply(&mut self) -> Vec<u8> {
        let mut reply = Vec::new();
        let mut left = 1;
        while left > 0 {
            left += self.frame(&mut reply);
            left -= 1;
        }
        reply
    }

    /// What comes until the server has nothing more to say.
    pub fn last_words(&mut self) -> String {
        String::from_utf8(self.rest().unwrap()).unwrap()
    }

    /// The octets of it, or of what came before the connection broke.
    pub fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => Ok(rest),
            Err(error) => Err(Broken { error, rest }),
        }
    }

    /// Takes in one frame; gives how many are inside of it.
    fn frame(&mut self, reply: &mut Vec<u8>) -> usize {
        let start = reply.len();
        self.stream.read_until(b'\n', reply).unwrap();
        let line = &reply[start..];
        assert!(line.ends_with(b"\r\n"), "the connection ended after {:?}", reply.escape_ascii().to_string());
        let number = || str::from_utf8(&line[1..line.len() - 2]).unwrap().parse::<i64>().unwrap();
        match line[0] {
            b'$' | b'=' if number() >= 0 => {
                let whole = reply.len() + usize::try_from(number()).unwrap() + 2;
                let from = reply.len();
                reply.resize(whole, 0);
                self.stream.read_exact(&mut reply[from..]).unwrap();
                0
            }
            b'*' | b'~' | b'>' => usize::try_from(number()).unwrap_or(0),
            b'%' => 2 * usize::try_from(number()).unwrap(),
            _ => 0,
        }
    }
}

/// A connection that did not end in order.
#[derive(Debug)]
pub struct Broken {
    pub error: io::Error,
    pub rest: Vec<u8>,
}

/// An array of bulk strings.
pub fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
