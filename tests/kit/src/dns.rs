//! A name server whose answers a test programs, and which counts what it was asked.
//!
//! It answers as a resolver of a cluster does: whole chains of aliases at once, over UDP and TCP. A name that it does
//! not know does not exist. Records are written without compression, and only the question is read.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// So many steps of aliases are followed.
const LONGEST_CHAIN: usize = 16;
const LONGEST_UDP: usize = 4096;
/// What does not fit is to be asked for over TCP (RFC 1035, section 4.2.1).
const LONGEST_UDP_ANSWER: usize = 512;
/// How soon a stopped server's thread notices it.
const GLANCE: Duration = Duration::from_millis(50);
const PORT_TRIES: usize = 20;

const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;

/// Kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Kind {
    A = 1,
    Cname = 5,
    Aaaa = 28,
    Srv = 33,
}

/// What the server says of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Address(IpAddr),
    /// Another name for the same host.
    Alias(String),
    Service {
        priority: u16,
        weight: u16,
        port: u16,
        target: String,
    },
}

/// What else it may say to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Failure,
    Silence,
}

/// The server; it stops on drop.
#[derive(Debug)]
pub struct Dns {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    zone: Mutex<Zone>,
}

#[derive(Debug, Default)]
struct Zone {
    records: HashMap<String, Vec<(u32, Record)>>,
    troubles: HashMap<(String, u16), Trouble>,
    asked: HashMap<(String, u16), usize>,
}

impl Dns {
    /// On a free port of 127.0.0.1, the same for UDP and TCP.
    pub fn start() -> Dns {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        (0..PORT_TRIES).find_map(|_| Dns::at(any).ok()).expect("loopback has a port that is free for both")
    }

    pub fn at(addr: SocketAddr) -> io::Result<Dns> {
        let udp = UdpSocket::bind(addr)?;
        let addr = udp.local_addr()?;
        let tcp = TcpListener::bind(addr)?;
        udp.set_read_timeout(Some(GLANCE))?;
        let shared = Arc::new(Shared::default());
        let (one, other) = (Arc::clone(&shared), Arc::clone(&shared));
        thread::spawn(move || one.serve_udp(&udp));
        thread::spawn(move || other.serve_tcp(&tcp));
        Ok(Dns { addr, shared })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Replaces what is said of a name. Without records it exists, and has nothing.
    pub fn set(&self, name: &str, lifetime: Duration, records: &[Record]) {
        let seconds = u32::try_from(lifetime.as_secs()).expect("a lifetime is short");
        let records = records.iter().map(|record| (seconds, record.clone())).collect();
        self.zone().records.insert(plain(name), records);
    }

    /// One address that lives long.
    pub fn address(&self, name: &str, address: &str) {
        let address = address.parse().expect("an address of a test");
        self.set(name, Duration::from_secs(300), &[Record::Address(address)]);
    }

    pub fn alias(&self, name: &str, target: &str) {
        self.set(name, Duration::from_secs(300), &[Record::Alias(target.to_string())]);
    }

    /// Makes the server fail, or say nothing, when it is asked this.
    pub fn trouble(&self, name: &str, kind: Kind, trouble: Trouble) {
        self.zone().troubles.insert((plain(name), kind as u16), trouble);
    }

    /// Ends such a trouble.
    pub fn heal(&self, name: &str, kind: Kind) {
        self.zone().troubles.remove(&(plain(name), kind as u16));
    }

    /// How often it was asked this.
    pub fn asked(&self, name: &str, kind: Kind) -> usize {
        self.zone().asked.get(&(plain(name), kind as u16)).copied().unwrap_or(0)
    }

    /// How many questions it was asked in all.
    pub fn questions(&self) -> usize {
        self.zone().asked.values().sum()
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.shared.zone()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
    }
}

impl Shared {
    fn serve_udp(&self, socket: &UdpSocket) {
        let mut packet = [0; LONGEST_UDP];
        while !self.over.load(Ordering::SeqCst) {
            let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
            if let Some(answer) = self.answer(&packet[..length]) {
                let fits = answer.len() <= LONGEST_UDP_ANSWER;
                let answer = if fits { answer } else { truncated(&packet[..length]) };
                let _ = socket.send_to(&answer, from);
            }
        }
    }

    fn serve_tcp(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming().map_while(Result::ok) {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let shared = Arc::clone(&self);
            thread::spawn(move || shared.serve_stream(stream));
        }
    }

    fn serve_stream(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut packet)?;
            if let Some(answer) = self.answer(&packet) {
                let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
                stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat())?;
            }
        }
    }

    fn answer(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let question = Question::read(packet)?;
        let mut zone = self.zone();
        *zone.asked.entry((question.name.clone(), question.kind)).or_default() += 1;
        match zone.troubles.get(&(question.name.clone(), question.kind)) {
            Some(Trouble::Silence) => None,
            Some(Trouble::Failure) => Some(question.reply(SERVER_FAILURE, &[])),
            None => {
                let (code, answers) = zone.look_up(&question.name, question.kind);
                Some(question.reply(code, &answers))
            }
        }
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Zone {
    /// The records that answer a question, aliases on the way among them.
    fn look_up(&self, name: &str, kind: u16) -> (u8, Vec<Vec<u8>>) {
        let mut answers = Vec::new();
        let mut name = name.to_string();
        for _ in 0..LONGEST_CHAIN {
            let Some(records) = self.records.get(&name) else { return (NO_SUCH_NAME, answers) };
            let of_kind = records.iter().filter(|(_, record)| record.kind() as u16 == kind);
            answers.extend(of_kind.map(|(seconds, record)| record.bytes(&name, *seconds)));
            let alias = records.iter().find_map(|(seconds, record)| match record {
                Record::Alias(target) => Some((*seconds, record, target)),
                Record::Address(_) | Record::Service { .. } => None,
            });
            let Some((seconds, record, target)) = alias else { break };
            answers.push(record.bytes(&name, seconds));
            name = plain(target);
        }
        (NO_ERROR, answers)
    }
}

impl Record {
    fn kind(&self) -> Kind {
        match self {
            Record::Address(IpAddr::V4(_)) => Kind::A,
            Record::Address(IpAddr::V6(_)) => Kind::Aaaa,
            Record::Alias(_) => Kind::Cname,
            Record::Service { .. } => Kind::Srv,
        }
    }

    fn bytes(&self, name: &str, seconds: u32) -> Vec<u8> {
        let data = match self {
            Record::Address(IpAddr::V4(address)) => address.octets().to_vec(),
            Record::Address(IpAddr::V6(address)) => address.octets().to_vec(),
            Record::Alias(target) => labels(target),
            Record::Service { priority, weight, port, target } => {
                [&[*priority, *weight, *port].map(u16::to_be_bytes).concat()[..], &labels(target)].concat()
            }
        };
        let length = u16::try_from(data.len()).expect("records of tests are short");
        let head = [&(self.kind() as u16).to_be_bytes()[..], &[0, 1], &seconds.to_be_bytes()].concat();
        [labels(name), head, length.to_be_bytes().to_vec(), data].concat()
    }
}

/// The one question of a query.
struct Question {
    id: [u8; 2],
    name: String,
    kind: u16,
    /// As it came, for the case of its letters must come back.
    bytes: Vec<u8>,
}

impl Question {
    const HEADER_LEN: usize = 12;

    fn read(packet: &[u8]) -> Option<Question> {
        let id = *packet.first_chunk()?;
        let mut rest = packet.get(Self::HEADER_LEN..)?;
        let start = rest;
        let mut name = Vec::new();
        loop {
            let (length, after) = rest.split_first()?;
            let (label, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            if label.is_empty() {
                break;
            }
            name.push(String::from_utf8_lossy(label).to_lowercase());
        }
        let kind = u16::from_be_bytes(*rest.first_chunk()?);
        let length = start.len() - rest.len() + 4;
        Some(Question { id, name: name.join("."), kind, bytes: start.get(..length)?.to_vec() })
    }

    /// Recursion was desired and is available.
    fn reply(&self, code: u8, answers: &[Vec<u8>]) -> Vec<u8> {
        let count = u16::try_from(answers.len()).expect("answers of tests are few").to_be_bytes();
        let head = [&self.id[..], &[0x81, 0x80 | code], &[0, 1], &count, &[0; 4]].concat();
        [&head, &self.bytes, &answers.concat()].map(Vec::as_slice).concat()
    }
}

/// Nothing but the question and the flag that says so.
fn truncated(packet: &[u8]) -> Vec<u8> {
    let mut reply = Question::read(packet).map(|question| question.reply(NO_ERROR, &[])).unwrap_or_default();
    if let Some(flags) = reply.get_mut(2) {
        *flags |= 0x02;
    }
    reply
}

fn labels(name: &str) -> Vec<u8> {
    let name = plain(name);
    let label = |label: &str| {
        let length = u8::try_from(label.len()).expect("a label has up to 63 octets");
        [&[length], label.as_bytes()].concat()
    };
    name.split('.').filter(|part| !part.is_empty()).flat_map(label).chain([0]).collect()
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}
