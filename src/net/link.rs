//! One side of a session, and the driver that runs a machine over it.
//!
//! Limits, TLS upgrades and the rule that a refusal is flushed before a failure is reported are
//! written here once, for every protocol. Deadlines are the caller's: it drops the future.

use std::io;

use attache_wire::{Fault, Machine, Step, TlsFacts, Turn};
use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use zeroize::Zeroize;

use super::stream::Stream;
use super::tls::{self, Certificate, TlsClient};
use crate::failure::{Cause, Trouble};

/// How much is read at once during a handshake, in octets: every login message in practice.
const READ_SIZE: usize = 4 * 1024;

/// A byte stream with its two buffers.
#[derive(Debug, Default)]
pub struct Link {
    pub stream: Stream,
    /// Read, but not yet understood.
    pub input: BytesMut,
    /// Written by a machine, but not yet sent.
    pub output: BytesMut,
    /// Facts about the TLS session, once there is one.
    pub tls: Option<TlsFacts>,
    /// When that session began.
    pub secured_at: Option<Instant>,
    /// The certificate that the server showed.
    pub certificate: Option<Certificate>,
}

impl Link {
    pub fn new(stream: Stream) -> Self {
        Self { stream, ..Self::default() }
    }

    /// Runs a machine to its end. `tls` is what the machine may upgrade to.
    ///
    /// # Errors
    /// The machine's fault, or what became of the stream. What the machine wrote was sent before.
    pub async fn drive<M: Machine>(
        &mut self,
        mut machine: M,
        tls: Option<&TlsClient>,
    ) -> Result<M::Output, Trouble> {
        loop {
            let mut turn = Turn { input: &mut self.input, output: &mut self.output, tls: self.tls.as_ref() };
            let step = machine.step(&mut turn);
            let flushed = self.flush().await;
            let step = step?;
            flushed.map_err(|error| tls::trouble(&error))?;
            match step {
                Step::Done(value) => return Ok(value),
                Step::Read => self.read(machine.limit()).await?,
                // Boxed, for it takes more room than all the rest, and few machines come here.
                Step::StartTls => Box::pin(self.start_tls(tls)).await?,
            }
        }
    }

    /// Sends what was written, and wipes it: it may have been a password.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let sent = self.stream.write_all(&self.output).await;
        self.output.as_mut().zeroize();
        self.output.clear();
        sent?;
        self.stream.flush().await
    }

    /// Sends what is left to be said, and then the end. What becomes of it is nobody's concern any more.
    pub async fn part(&mut self) {
        if self.flush().await.is_ok() {
            let _ = self.stream.shutdown().await;
        }
    }

    /// Waits until the peer has gone, keeping what it says meanwhile up to `limit` octets. Pending for
    /// ever once that is reached: the peer is plainly there.
    pub async fn gone(&mut self, limit: usize) {
        while self.input.len() < limit {
            if self.read(limit).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Whether nothing waits on it: nothing to be sent, nothing to be understood, nothing to be read, and no end.
    pub fn is_idle(&mut self) -> bool {
        self.is_settled() && self.stream.is_silent()
    }

    /// The same as far as the runtime has heard, right after something was read from it.
    pub fn seems_idle(&mut self) -> bool {
        self.is_settled() && self.stream.seems_silent()
    }

    fn is_settled(&self) -> bool {
        self.input.is_empty() && self.output.is_empty()
    }

    async fn read(&mut self, limit: usize) -> Result<(), Trouble> {
        let room = limit.saturating_sub(self.input.len()).min(READ_SIZE);
        if room == 0 {
            return Err(Fault::TooLong(limit).into());
        }
        // A server may refuse a client certificate only now, behind the handshake.
        let read = self.stream.read_buf(&mut (&mut self.input).limit(room)).await;
        match read.map_err(|error| tls::trouble(&error))? {
            0 => Err(Cause::Closed.into()),
            _ => Ok(()),
        }
    }

    async fn start_tls(&mut self, tls: Option<&TlsClient>) -> Result<(), Trouble> {
        if !self.input.is_empty() {
            return Err(Fault::EarlyData.into());
        }
        let tls = tls.ok_or_else(|| Trouble::new(Cause::TlsSetup, "TLS is off on this route"))?;
        let (stream, facts, certificate) = tls.handshake(std::mem::take(&mut self.stream)).await?;
        self.stream = stream;
        self.tls = Some(facts);
        self.secured_at = Some(Instant::now());
        self.certificate = certificate;
        Ok(())
    }
}
