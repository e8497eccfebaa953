//! What is said on both sides of Attaché, whatever the protocol: a client's session, and what it got.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::wire::End;
use crate::world::World;
use crate::{mysql, mysql_server, postgres, redis};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    Redis,
    Mysql,
}

impl Dialect {
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Mysql => "mysql",
        }
    }

    /// The server's side of one connection, to its end.
    pub async fn serve(self, world: &World, conn: usize, end: End, closing: Arc<Notify>) {
        let mut wire = Wire::new(end);
        match self {
            Self::Postgres => postgres::serve(world, conn, &mut wire, closing).await,
            Self::Redis => redis::serve(world, conn, &mut wire, closing).await,
            Self::Mysql => mysql_server::serve(world, conn, &mut wire, closing).await,
        }
        if world.tls().is_some() {
            wire.close().await;
        }
    }
}

/// What a client asks. Each question has a number that no other one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    Read(u64),
    /// The answer takes its time.
    Slow(u64, Duration),
    /// Only a primary does it.
    Write(u64),
    Begin(u64),
    Commit(u64),
}

impl Question {
    pub fn number(self) -> u64 {
        match self {
            Self::Read(number)
            | Self::Slow(number, _)
            | Self::Write(number)
            | Self::Begin(number)
            | Self::Commit(number) => number,
        }
    }
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// By this connection of the server, to this question.
    Done { conn: usize, number: u64 },
    /// An error that leaves the session as it is.
    Error(Told),
}

/// An error, as a client hears it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub code: String,
    pub text: String,
}

/// How a session was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The last error before the end.
    pub told: Option<Told>,
    pub how: How,
    /// A frame or an answer was only half there.
    pub torn: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    End,
    Reset,
    /// The client gave up waiting.
    Silence,
}

/// A stream, plain or not.
pub trait Speak: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Speak for S {}

/// A stream, and what was read of it and not understood.
pub struct Wire {
    end: Box<dyn Speak>,
    pub input: BytesMut,
    /// Something was sent by half.
    pub sending: bool,
    /// What a cancel request has to name.
    pub key: Option<Vec<u8>>,
}

impl Wire {
    pub fn new(end: End) -> Wire {
        Wire { end: Box::new(end), input: BytesMut::new(), sending: false, key: None }
    }

    /// Goes on in TLS, as a server.
    pub async fn secure(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        assert!(self.input.is_empty(), "nothing is said in front of a handshake");
        let plain = std::mem::replace(&mut self.end, Box::new(tokio::io::empty()));
        self.end = Box::new(TlsAcceptor::from(config).accept(plain).await?);
        Ok(())
    }

    /// The end, as the protocol below has it.
    async fn close(&mut self) {
        let _ = timeout(Duration::from_secs(1), self.end.shutdown()).await;
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sending = true;
        self.end.write_all(bytes).await?;
        self.sending = false;
        Ok(())
    }

    /// Reads some more; an end is an error.
    pub async fn more(&mut self) -> io::Result<()> {
        match self.end.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// A client's session.
pub struct Session {
    dialect: Dialect,
    wire: Wire,
    /// Answers that an open transaction still owes.
    queued: usize,
}

impl Session {
    pub fn new(dialect: Dialect, end: End) -> Session {
        Session { dialect, wire: Wire::new(end), queued: 0 }
    }

    /// From the client's first words to the moment when it may ask.
    /// The server's connection is known where the protocol tells.
    pub async fn begin(&mut self, patience: Duration) -> Result<Option<usize>, Broken> {
        let begun = match self.dialect {
            Dialect::Postgres => timeout(patience, postgres::begin(&mut self.wire)).await,
            // Nothing is said before the first command.
            Dialect::Redis => Ok(Ok(None)),
            Dialect::Mysql => timeout(patience, mysql::begin(&mut self.wire)).await,
        };
        begun.unwrap_or_else(|_| Err(self.broken(How::Silence, None)))
    }

    pub async fn ask(&mut self, question: Question, patience: Duration) -> Result<Answer, Broken> {
        let asked = match self.dialect {
            Dialect::Postgres => timeout(patience, postgres::ask(&mut self.wire, question)).await,
            Dialect::Redis => timeout(patience, redis::ask(&mut self.wire, &mut self.queued, question)).await,
            Dialect::Mysql => timeout(patience, mysql::ask(&mut self.wire, question)).await,
        };
        asked.unwrap_or_else(|_| Err(self.broken(How::Silence, None)))
    }

    /// What a cancel request has to name, where the protocol has any.
    pub fn key(&self) -> Option<Vec<u8>> {
        self.wire.key.clone()
    }

    /// Waits, and hears whatever comes unasked.
    pub async fn idle(&mut self, time: Duration) -> Result<(), Broken> {
        let told = tokio::select! {
            biased;
            broken = async {
                match self.dialect {
                    Dialect::Postgres => postgres::unasked(&mut self.wire).await,
                    Dialect::Redis => redis::unasked(&mut self.wire).await,
                    Dialect::Mysql => mysql::unasked(&mut self.wire).await,
                }
            } => broken,
            () = sleep(time) => return Ok(()),
        };
        Err(told)
    }

    /// Says goodbye and hangs up.
    pub async fn leave(mut self) {
        let goodbye = match self.dialect {
            Dialect::Postgres => vec![b'X', 0, 0, 0, 4],
            Dialect::Redis => b"*1\r\n$4\r\nQUIT\r\n".to_vec(),
            Dialect::Mysql => mysql::goodbye(),
        };
        let _ = timeout(Duration::from_secs(1), self.wire.send(&goodbye)).await;
    }

    /// Asks, and does not read the answer.
    pub async fn ask_blindly(&mut self, number: u64) -> io::Result<()> {
        let question = match self.dialect {
            Dialect::Postgres => postgres::question(Question::Read(number)),
            Dialect::Redis => redis::question(Question::Read(number)),
            Dialect::Mysql => mysql::question(Question::Read(number)),
        };
        self.wire.send(&question).await
    }

    fn broken(&self, how: How, told: Option<Told>) -> Broken {
        Broken { told, how, torn: !self.wire.input.is_empty() }
    }
}

/// What an error of the stream means for a client that heard this before.
pub fn broken(wire: &Wire, error: &io::Error, told: Option<Told>, midway: bool) -> Broken {
    let how = match error.kind() {
        io::ErrorKind::UnexpectedEof => How::End,
        _ => How::Reset,
    };
    Broken { told, how, torn: midway || !wire.input.is_empty() }
}
