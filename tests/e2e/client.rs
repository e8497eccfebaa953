//! A PostgreSQL client by hand, which may stop anywhere: in the middle of a packet, of a login, of a reply.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use attache_kit::house::MARK;

/// Longer than anything that Attaché is configured to take here.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Client {
    stream: TcpStream,
}

/// One message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

/// How a connection ended, and what came before.
#[derive(Debug)]
pub struct Ending {
    pub bytes: Vec<u8>,
    /// A reset instead of an orderly end.
    pub reset: bool,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("Attaché takes clients in");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        stream.set_nodelay(true).expect("a TCP socket");
        Client { stream }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("Attaché reads");
    }

    /// What can be sent before the other side has hung up.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub fn message(&mut self) -> Message {
        self.try_message().expect("a message of the server")
    }

    pub fn try_message(&mut self) -> Option<Message> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes(head[1..].try_into().expect("four octets")) as usize;
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body).ok()?;
        Some(Message { tag: head[0], body })
    }

    /// Logs in without a password.
    pub fn log_in(&mut self) {
        self.send(&startup());
        self.until_ready();
    }

    /// Reads up to ReadyForQuery; returns what came before, and the transaction's state.
    pub fn until_ready(&mut self) -> (Vec<Message>, u8) {
        let mut before = Vec::new();
        loop {
            let message = self.message();
            assert_ne!(message.code().as_deref(), Some("28P01"), "{message:?}");
            match message.tag {
                b'Z' => return (before, message.body[0]),
                _ => before.push(message),
            }
        }
    }

    /// Sends a query and does not wait.
    pub fn ask(&mut self, sql: &str) {
        self.send(&frame(b'Q', format!("{sql}\0").as_bytes()));
    }

    /// The first column of the first row, with the transaction's state.
    pub fn query(&mut self, sql: &str) -> (String, u8) {
        self.ask(sql);
        let (messages, state) = self.until_ready();
        let row = messages.iter().find(|message| message.tag == b'D');
        let value = row.map(|row| row.body.get(6..).unwrap_or_default().to_vec()).unwrap_or_default();
        if let Some(error) = messages.iter().find(|message| message.tag == b'E') {
            panic!("{sql}: {error:?}");
        }
        (String::from_utf8_lossy(&value).into_owned(), state)
    }

    /// Everything up to the end.
    pub fn ending(mut self) -> Ending {
        self.read_to_the_end()
    }

    pub fn read_to_the_end(&mut self) -> Ending {
        let mut bytes = Vec::new();
        let mut chunk = [0; 64 * 1024];
        let reset = loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => break false,
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("waited {PATIENCE:?} for the end, after {:?}", bytes.escape_ascii().to_string())
                }
                Err(_) => break true,
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(MARK), "the client was told a secret: {text}");
        Ending { bytes, reset }
    }

    /// The SQLSTATE of the one ErrorResponse that the connection ends with.
    pub fn refusal(self) -> String {
        let Ending { bytes, reset } = self.ending();
        assert!(!reset, "a reset after {:?}", bytes.escape_ascii().to_string());
        let mut rest = &bytes[..];
        let mut last = None;
        while let Some((message, more)) = Message::split(rest) {
            (last, rest) = (Some(message), more);
        }
        assert!(rest.is_empty(), "half a message at the end: {:?}", rest.escape_ascii().to_string());
        let code = last.as_ref().and_then(Message::code);
        code.unwrap_or_else(|| panic!("no ErrorResponse at the end: {last:?}"))
    }

    /// No more will be sent; reading goes on.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("an open socket");
    }

    /// Goes away as a process that was killed with unread bytes does.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a TCP socket");
    }

    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("as many octets");
        bytes
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl Message {
    fn split(bytes: &[u8]) -> Option<(Message, &[u8])> {
        let (head, rest) = bytes.split_first_chunk::<5>()?;
        let length = u32::from_be_bytes(head[1..].try_into().ok()?) as usize;
        let (body, rest) = rest.split_at_checked(length.checked_sub(4)?)?;
        Some((Message { tag: head[0], body: body.to_vec() }, rest))
    }

    /// The SQLSTATE of an ErrorResponse.
    pub fn code(&self) -> Option<String> {
        let fields = self.body.split(|octet| *octet == 0);
        let mut codes = fields.filter_map(|field| field.strip_prefix(b"C"));
        let code = codes.next().filter(|_| self.tag == b'E')?;
        Some(String::from_utf8_lossy(code).into_owned())
    }
}

pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short body");
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

/// Protocol 3.0, for a user whom the server does not know.
pub fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0nobody\0database\0postgres\0\0";
    let length = u32::try_from(body.len() + 4).expect("a short body");
    [&length.to_be_bytes()[..], body].concat()
}

pub const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
