//! A client by hand, for what no driver shows: numbers of packets, and silence where words should be.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use attache_kit::SOON;

const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const MAX_PACKET: u32 = 1 << 24;
const UTF8MB4: u8 = 45;

const COM_QUIT: u8 = 1;
const COM_QUERY: u8 = 3;
const ERR: u8 = 0xff;
const EOF: u8 = 0xfe;
/// The flag for an open transaction, in the status that ends a reply.
const IN_TRANSACTION: u16 = 1;

/// A session, or what will be one.
pub struct Raw {
    stream: TcpStream,
    /// The server's thread, as the greeting told it.
    pub id: u32,
    /// As the greeting told it.
    pub version: String,
    plugin: String,
}

/// An ERR packet, and the number that it bore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub sequence: u8,
    pub number: u16,
    pub sqlstate: String,
    pub text: String,
}

impl Report {
    fn parse(sequence: u8, payload: &[u8]) -> Report {
        assert_eq!(payload.first(), Some(&ERR), "{}", payload.escape_ascii());
        let number = u16::from_le_bytes(payload[1..3].try_into().unwrap());
        let rest = String::from_utf8_lossy(&payload[3..]).into_owned();
        let (sqlstate, text) = match rest.strip_prefix('#') {
            Some(rest) => rest.split_at(5),
            None => ("", rest.as_str()),
        };
        Report { sequence, number, sqlstate: sqlstate.to_owned(), text: text.to_owned() }
    }

    pub fn code(&self) -> (u16, &str) {
        (self.number, &self.sqlstate)
    }

    /// By which the log knows it.
    pub fn session(&self) -> &str {
        let (_, rest) = self.text.split_once("(session ").unwrap_or_else(|| panic!("no session: {self:?}"));
        rest.split_once(')').unwrap().0
    }
}

impl Raw {
    /// Reads the greeting, or what came instead.
    pub fn greeted(addr: SocketAddr) -> Result<Raw, Report> {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut raw = Raw { stream, id: 0, version: String::new(), plugin: String::new() };
        let (sequence, greeting) = raw.packet().expect("a greeting or an error");
        if greeting[0] == ERR {
            return Err(Report::parse(sequence, &greeting));
        }
        assert_eq!((sequence, greeting[0]), (0, 10), "{}", greeting.escape_ascii());
        let end = greeting.iter().position(|byte| *byte == 0).unwrap();
        raw.version = String::from_utf8(greeting[1..end].to_vec()).unwrap();
        raw.id = u32::from_le_bytes(greeting[end + 1..end + 5].try_into().unwrap());
        let plugin = greeting.strip_suffix(b"\0").unwrap_or(&greeting).rsplit(|byte| *byte == 0).next();
        raw.plugin = String::from_utf8(plugin.unwrap().to_vec()).unwrap();
        Ok(raw)
    }

    /// As anybody and without a password.
    pub fn log_in(addr: SocketAddr, database: &str) -> Result<Raw, Report> {
        Raw::log_in_as(addr, database, 0, UTF8MB4)
    }

    /// The same with these flags beside the usual ones, and with this collation.
    pub fn log_in_as(addr: SocketAddr, database: &str, flags: u32, collation: u8) -> Result<Raw, Report> {
        let mut raw = Raw::greeted(addr)?;
        raw.answer_as(database, flags, collation);
        let (sequence, payload) = raw.packet().expect("a word about the login");
        match payload[0] {
            0 => {
                assert_eq!(sequence, 2, "the OK is numbered behind the answer");
                Ok(raw)
            }
            _ => Err(Report::parse(sequence, &payload)),
        }
    }

    /// Answers the greeting, and does not wait for what comes of that.
    pub fn answer(&mut self, database: &str) {
        self.answer_as(database, 0, UTF8MB4);
    }

    fn answer_as(&mut self, database: &str, flags: u32, collation: u8) {
        let usual = CONNECT_WITH_DB | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH;
        let mut answer = (usual | flags).to_le_bytes().to_vec();
        answer.extend(MAX_PACKET.to_le_bytes());
        answer.push(collation);
        answer.extend([0; 23]);
        answer.extend(b"nobody\0\0");
        answer.extend(database.as_bytes());
        answer.push(0);
        answer.extend(self.plugin.as_bytes());
        answer.push(0);
        self.send(1, &answer);
    }

    pub fn send(&mut self, sequence: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        let head = [length[0], length[1], length[2], sequence];
        self.stream.write_all(&[&head[..], payload].concat()).unwrap();
    }

    /// The next packet and its number; nothing at the end.
    pub fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 4];
        match self.stream.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return None,
            outcome => outcome.unwrap(),
        }
        let mut payload = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
        self.stream.read_exact(&mut payload).unwrap();
        Some((head[3], payload))
    }

    pub fn ask(&mut self, sql: &str) {
        self.send(0, &[&[COM_QUERY], sql.as_bytes()].concat());
    }

    /// The first column of the first row; and whether a transaction is open now.
    pub fn query(&mut self, sql: &str) -> (String, bool) {
        self.ask(sql);
        self.reply().unwrap_or_else(|report| panic!("{sql}: {report:?}"))
    }

    pub fn value(&mut self, sql: &str) -> String {
        self.query(sql).0
    }

    /// The reply to a statement. Packets are numbered upward from one.
    pub fn reply(&mut self) -> Result<(String, bool), Report> {
        let mut expected = 0;
        let mut next = || {
            let (sequence, payload) = self.packet().expect("a reply");
            expected += 1;
            assert_eq!(sequence, expected, "{}", payload.escape_ascii());
            if payload[0] == ERR { Err(Report::parse(sequence, &payload)) } else { Ok(payload) }
        };
        let first = next()?;
        if first[0] == 0 {
            // An OK: affected rows and last id are below 251 here.
            return Ok((String::new(), is_open(&first[3..5])));
        }
        while next()?[0] != EOF {}
        let mut value = None;
        loop {
            let packet = next()?;
            if packet[0] == EOF && packet.len() == 5 {
                return Ok((value.unwrap_or_default(), is_open(&packet[3..5])));
            }
            value.get_or_insert_with(|| first_column(&packet));
        }
    }

    /// Says goodbye, and hears the end.
    pub fn leave(mut self) {
        self.send(0, &[COM_QUIT]);
        assert_eq!(self.packet(), None);
    }

    /// Whether nothing has come that was not read.
    pub fn is_silent(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The one ERR before the end, behind whatever else is still on its way.
    pub fn last_words(&mut self) -> Report {
        let packets: Vec<_> = std::iter::from_fn(|| self.packet()).collect();
        let errors = packets.iter().filter(|(_, payload)| payload[0] == ERR).count();
        let (sequence, payload) = packets.last().expect("a word before the end");
        assert_eq!(errors, 1, "{packets:?}");
        Report::parse(*sequence, payload)
    }
}

fn is_open(status: &[u8]) -> bool {
    u16::from_le_bytes(status.try_into().unwrap()) & IN_TRANSACTION != 0
}

fn first_column(row: &[u8]) -> String {
    match row[0] {
        0xfb => "NULL".to_owned(),
        length @ 0..=250 => String::from_utf8_lossy(&row[1..=usize::from(length)]).into_owned(),
        _ => panic!("a value that is longer than tests by hand need"),
    }
}
