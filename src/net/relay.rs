//! Copying both ways, in one task, without a buffer while nothing is in flight.
//!
//! Reads go into a buffer that the whole thread shares; only what the other side does not take at once is
//! kept, and given back when it has. A watch, where there is one, sees each byte once it is passed on.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use attache_wire::Watch;
use bytes::{Buf, BytesMut};
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::link::Link;
use super::stream::Stream;

/// What one read takes at most, in octets: large enough for bulk, small enough to stay in the cache.
const SCRATCH: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// What interrupts the copying. All but the first two end it.
#[derive(Debug)]
pub enum Event {
    /// The client has finished sending on a watched session. Said once.
    ClientEnded,
    /// Nothing is outstanding on either side. Said only to whoever asked for it.
    Quiet,
    /// Both sides have finished sending, and everything has arrived.
    Finished,
    /// The client can be neither read nor written.
    Client(io::Error),
    /// The server can be neither read nor written, and what it had sent has been passed on.
    Upstream(io::Error),
    /// The server has finished sending on a watched session, and what it sent has been passed on.
    UpstreamClosed,
}

/// Two links being copied into each other. Of the links only the streams are kept.
pub struct Copier {
    client: Stream,
    server: Stream,
    /// From the client to the server.
    up: Pump,
    /// From the server to the client.
    down: Pump,
    watch: Option<Box<dyn Watch>>,
    client_end_told: bool,
}

/// One direction.
struct Pump {
    /// Read, and not yet taken by the other side.
    spill: BytesMut,
    state: State,
    /// Bytes may wait inside the writer (TLS).
    unflushed: bool,
    /// Whether the destination hears of the source's end by a half-close, or by whoever polls.
    passes_end: bool,
    meter: Counter,
    passed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The source has ended; the destination is to be told once the spill is empty.
    Ending,
    Ended,
    /// The destination takes nothing any more; the other direction goes on.
    Broken(io::ErrorKind),
}

impl Copier {
    /// What the machines left unread and unsent goes first.
    pub fn new(client: Link, server: Link, watch: Option<Box<dyn Watch>>, meters: [Counter; 2]) -> Self {
        let [sent, received] = meters;
        let mut copier = Self {
            up: Pump::new(client.input, sent, true),
            down: Pump::new(server.input, received, watch.is_none()),
            client: client.stream,
            server: server.stream,
            client_end_told: watch.is_none(),
            watch,
        };
        if let Some(watch) = &mut copier.watch {
            watch.from_client(&copier.up.spill);
            watch.from_server(&copier.down.spill);
        }
        copier
    }

    /// The two links back, to the client and to the server.
    pub fn into_links(self) -> (Link, Link) {
        (Link::new(self.client), Link::new(self.server))
    }

    /// Octets passed on so far: to the server, to the client.
    pub fn passed(&self) -> (u64, u64) {
        (self.up.passed, self.down.passed)
    }

    /// Whether the session could end now without anyone losing anything.
    pub fn quiet(&self) -> bool {
        let settled = self.up.settled() && self.down.settled();
        settled && self.watch.as_ref().is_some_and(|watch| watch.quiet())
    }

    /// Whether a refusal may be sent to the client now.
    pub fn may_speak(&self) -> bool {
        self.down.settled() && self.watch.as_ref().is_some_and(|watch| watch.may_speak())
    }

    /// Whether the client has said that it is leaving, or has stopped sending. Of a session that is not watched
    /// nobody knows whether the client still wants an answer: there it never has.
    pub fn client_left(&self) -> bool {
        let finished = matches!(self.up.state, State::Ending | State::Ended);
        self.watch.as_ref().is_some_and(|watch| finished || watch.client_left())
    }

    /// Copies until there is nothing more to do now. `until_quiet` asks for [`Event::Quiet`].
    pub fn poll(&mut self, cx: &mut Context<'_>, until_quiet: bool) -> Poll<Event> {
        if let Some(end) = self.pump(cx) {
            return Poll::Ready(end);
        }
        let down_done = self.down.state == State::Ending && self.down.settled();
        match (self.up.state, self.down.state) {
            _ if down_done && !self.down.passes_end => Poll::Ready(Event::UpstreamClosed),
            (State::Ended, State::Ended) => Poll::Ready(Event::Finished),
            (State::Broken(kind), State::Ended) => Poll::Ready(Event::Upstream(kind.into())),
            (State::Ending | State::Ended, _) if !std::mem::replace(&mut self.client_end_told, true) => {
                Poll::Ready(Event::ClientEnded)
            }
            _ if until_quiet && self.quiet() => Poll::Ready(Event::Quiet),
            _ => Poll::Pending,
        }
    }

    /// Both directions, as far as they go now.
    fn pump(&mut self, cx: &mut Context<'_>) -> Option<Event> {
        let watch = &mut self.watch;
        let up = self.up.poll(cx, &mut self.client, &mut self.server, |bytes| {
            if let Some(watch) = watch {
                watch.from_client(bytes);
            }
        });
        let down = self.down.poll(cx, &mut self.server, &mut self.client, |bytes| {
            if let Some(watch) = watch {
                watch.from_server(bytes);
            }
        });
        match (up, down) {
            (Err(Broken::Source(error)), _) | (_, Err(Broken::Destination(error))) => {
                Some(Event::Client(error))
            }
            (_, Err(Broken::Source(error))) => Some(Event::Upstream(error)),
            // A server that is gone for writing may have said why: its last words still reach the client.
            (Ok(()) | Err(Broken::Destination(_)), Ok(())) => None,
        }
    }
}

/// On which side of a pump something broke.
enum Broken {
    Source(io::Error),
    Destination(io::Error),
}

impl Pump {
    fn new(spill: BytesMut, meter: Counter, passes_end: bool) -> Self {
        Self { spill, state: State::Open, unflushed: false, passes_end, meter, passed: 0 }
    }

    fn settled(&self) -> bool {
        self.spill.is_empty() && !self.unflushed
    }

    /// Moves what can be moved. `Ok` means that nothing more can be done now.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        destination: &mut Stream,
        mut seen: impl FnMut(&[u8]),
    ) -> Result<(), Broken> {
        loop {
            match self.turn(cx, source, destination, &mut seen) {
                Poll::Pending | Poll::Ready(Ok(false)) => return Ok(()),
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Err(Broken::Destination(error))) => {
                    self.state = State::Broken(error.kind());
                    self.spill = BytesMut::new();
                    return Err(Broken::Destination(error));
                }
                Poll::Ready(Err(broken)) => return Err(broken),
            }
        }
    }

    /// One read and one write at most. `true` asks for another turn.
    fn turn(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        destination: &mut Stream,
        seen: &mut impl FnMut(&[u8]),
    ) -> Poll<Result<bool, Broken>> {
        ready!(self.drain(cx, destination)).map_err(Broken::Destination)?;
        match self.state {
            State::Open => ready!(self.carry(cx, source, destination, seen))?,
            State::Ending if !self.passes_end => return Poll::Ready(Ok(false)),
            State::Ending => {
                ready!(Pin::new(destination).poll_shutdown(cx)).map_err(Broken::Destination)?;
                self.state = State::Ended;
            }
            State::Ended | State::Broken(_) => return Poll::Ready(Ok(false)),
        }
        Poll::Ready(Ok(true))
    }

    /// Reads into the thread's buffer and writes from it; only the rest is kept.
    fn carry(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        destination: &mut Stream,
        seen: &mut impl FnMut(&[u8]),
    ) -> Poll<Result<(), Broken>> {
        BUFFER.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(source).poll_read(cx, &mut buffer)).map_err(Broken::Source)?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                self.state = State::Ending;
                return Poll::Ready(Ok(()));
            }
            seen(bytes);
            let written = match Pin::new(destination).poll_write(cx, bytes) {
                Poll::Ready(written) => written.map_err(Broken::Destination)?,
                Poll::Pending => 0,
            };
            self.count(written);
            self.unflushed = true;
            self.spill.extend_from_slice(&bytes[written..]);
            Poll::Ready(Ok(()))
        })
    }

    /// Empties the spill and whatever the writer holds.
    fn drain(&mut self, cx: &mut Context<'_>, destination: &mut Stream) -> Poll<io::Result<()>> {
        while !self.spill.is_empty() {
            let written = ready!(Pin::new(&mut *destination).poll_write(cx, &self.spill))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.spill.advance(written);
            self.count(written);
            self.unflushed = true;
        }
        // An idle session owns no buffer.
        self.spill = BytesMut::new();
        if self.unflushed {
            ready!(Pin::new(destination).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn count(&mut self, octets: usize) {
        self.passed += octets as u64;
        self.meter.inc_by(octets as u64);
    }
}
