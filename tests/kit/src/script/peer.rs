//! The client as a script sees it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};
use socket2::SockRef;

use super::ServerTls;

/// A script that waits longer than this for its client is wrong.
const PATIENCE: Duration = Duration::from_secs(60);
const READ_AT_ONCE: usize = 64 * 1024;

/// One connection of a scripted server. Dropping it closes the connection in order.
#[derive(Debug)]
pub struct Peer {
    stream: Stream,
    socket: Arc<TcpStream>,
    number: usize,
}

#[derive(Debug)]
enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ServerConnection, Socket>>),
}

/// A socket with one descriptor however many hold it, so that closing it is closing it.
#[derive(Debug)]
struct Socket(Arc<TcpStream>);

impl Peer {
    pub(super) fn new(socket: Arc<TcpStream>, number: usize) -> io::Result<Peer> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Peer { stream: Stream::Plain(Socket(Arc::clone(&socket))), socket, number })
    }

    /// 0, 1, 2 … in the order of their coming.
    pub fn number(&self) -> usize {
        self.number
    }

    pub fn read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Whatever comes next; nothing at the end.
    pub fn read_some(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; READ_AT_ONCE];
        let count = match self.stream.read(&mut bytes) {
            // A client that leaves without TLS's own goodbye has left all the same.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            outcome => outcome?,
        };
        bytes.truncate(count);
        Ok(bytes)
    }

    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let more = self.read_some()?;
            if more.is_empty() {
                return Ok(bytes);
            }
            bytes.extend(more);
        }
    }

    /// Reads as many bytes as `wanted` has; others are an error.
    pub fn expect(&mut self, wanted: &[u8]) -> io::Result<()> {
        let bytes = self.read_exact(wanted.len())?;
        if bytes == wanted {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "expected {:?}, got {:?}",
            wanted.escape_ascii().to_string(),
            bytes.escape_ascii().to_string()
        )))
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Goes over to TLS, as the server, up to the end of the handshake.
    pub fn start_tls(self, tls: &ServerTls) -> io::Result<Peer> {
        let Stream::Plain(mut socket) = self.stream else {
            return Err(io::Error::other("the connection speaks TLS already"));
        };
        let mut connection = ServerConnection::new(tls.config()).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        let stream = Stream::Tls(Box::new(StreamOwned::new(connection, socket)));
        Ok(Peer { stream, ..self })
    }

    pub fn alpn(&self) -> Option<String> {
        Some(String::from_utf8_lossy(self.tls()?.alpn_protocol()?).into_owned())
    }

    /// What the client's TLS called this server.
    pub fn server_name(&self) -> Option<String> {
        Some(self.tls()?.server_name()?.to_string())
    }

    /// The client's own certificate, as DER.
    pub fn client_certificate(&self) -> Option<Vec<u8>> {
        Some(self.tls()?.peer_certificates()?.first()?.to_vec())
    }

    /// Nothing more will be sent; reading goes on.
    pub fn finish(&mut self) {
        if let Stream::Tls(tls) = &mut self.stream {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Ends the connection with a reset instead of an end.
    pub fn reset(self) {
        let _ = SockRef::from(&*self.socket).set_linger(Some(Duration::ZERO));
    }

    fn tls(&self) -> Option<&ServerConnection> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => Some(&tls.conn),
        }
    }
}

/// PostgreSQL's two kinds of frame, for scripts that play its server.
impl Peer {
    /// A packet without a tag: startup, TLS request or cancel. Its length is included.
    pub fn read_startup(&mut self) -> io::Result<Vec<u8>> {
        let mut packet = self.read_exact(4)?;
        let rest = self.read_exact(body_length(&packet)?)?;
        packet.extend(rest);
        Ok(packet)
    }

    /// Tag and body.
    pub fn read_message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let head = self.read_exact(5)?;
        let body = self.read_exact(body_length(&head[1..])?)?;
        Ok((head[0], body))
    }

    pub fn send_message(&mut self, tag: u8, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
        let mut frame = vec![tag];
        frame.extend(length.to_be_bytes());
        frame.extend(body);
        self.send(&frame)
    }
}

fn body_length(length: &[u8]) -> io::Result<usize> {
    let length: [u8; 4] = length.try_into().map_err(io::Error::other)?;
    let body =
        u32::from_be_bytes(length).checked_sub(4).ok_or_else(|| io::Error::other("a length below 4"))?;
    usize::try_from(body).map_err(io::Error::other)
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(into),
            Stream::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(into)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}
