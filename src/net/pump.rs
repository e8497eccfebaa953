//! One direction of a relay: reads from one stream, and writes to the other what a watch lets pass.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use attache_wire::{Fault, Passage};
use bytes::{Buf, Bytes, BytesMut};
use prometheus_client::metrics::counter::Counter;
use tokio::io::AsyncWrite;

use super::socket::Vigil;
use super::stream::Stream;

/// What one read takes at most, in octets: large enough for bulk, small enough to stay in the cache.
const SCRATCH: usize = 64 * 1024;
/// How many reads are made in one go, before other sessions of the thread have theirs.
const TURNS: usize = 32;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// One direction.
pub(super) struct Pump {
    /// Read, and not yet taken by the other side.
    spill: BytesMut,
    /// Read, and not yet to be passed on. Hardly ever anything, so the smallest buffer there is.
    held: Vec<u8>,
    pub(super) state: State,
    /// Over what the source says next.
    vigil: Vigil,
    /// Bytes may wait inside the writer (TLS).
    unflushed: bool,
    /// Whether the destination hears of the source's end by a half-close, or by whoever polls.
    pub(super) passes_end: bool,
    meter: Counter,
    pub(super) passed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// What comes next is not for the destination; nothing is read.
    Paused,
    /// The source has ended; the destination is to be told once the spill is empty.
    Ending,
    Ended,
    /// The destination takes nothing any more; the other direction goes on.
    Broken(io::ErrorKind),
}

/// What becomes of bytes, and what goes in place of those that are dropped.
pub(super) struct Judged {
    pub(super) passage: Passage,
    pub(super) instead: Bytes,
}

impl From<Passage> for Judged {
    fn from(passage: Passage) -> Self {
        Self { passage, instead: Bytes::new() }
    }
}

/// Where a pump broke.
pub(super) enum Broken {
    Source(io::Error),
    Destination(io::Error),
    /// The source said what it must not say.
    Rule(Fault),
}

impl Pump {
    pub(super) fn new(meter: Counter, passes_end: bool) -> Self {
        Self {
            spill: BytesMut::new(),
            held: Vec::new(),
            state: State::Open,
            vigil: Vigil::default(),
            unflushed: false,
            passes_end,
            meter,
            passed: 0,
        }
    }

    /// Whether everything that may be passed on has been.
    pub(super) fn settled(&self) -> bool {
        self.spill.is_empty() && !self.unflushed
    }

    /// Whether whatever is sent to the destination now stands behind everything that was passed on.
    pub(super) fn has_passed_all(&self) -> bool {
        self.spill.is_empty()
    }

    /// Bytes that were read before. They are passed on first.
    pub(super) fn admit(
        &mut self,
        bytes: &[u8],
        mut seen: impl FnMut(&[u8]) -> Result<Judged, Fault>,
    ) -> Result<(), Broken> {
        if !bytes.is_empty() {
            let passing = self.sort(bytes, &mut seen)?;
            self.spill.extend_from_slice(passing);
        }
        Ok(())
    }

    /// The same of bytes that were held. Where all of them go on to be held they are not moved: a statement of some MiB may
    /// come octet by octet.
    fn admit_held(
        &mut self,
        bytes: Vec<u8>,
        seen: &mut impl FnMut(&[u8]) -> Result<Judged, Fault>,
    ) -> Result<(), Broken> {
        let judged = seen(&bytes).map_err(Broken::Rule)?;
        if judged.passage == Passage::Hold(0) {
            self.held = bytes;
            return Ok(());
        }
        let passing = self.sort_judged(&bytes, judged, seen)?;
        self.spill.extend_from_slice(passing);
        Ok(())
    }

    /// The source is another one, or others have read from it, or another task polls from now on.
    pub(super) fn renew_vigil(&mut self) {
        self.vigil.renew();
    }

    /// Goes on after a pause, of which what was held is given back.
    pub(super) fn resume(&mut self) {
        if self.state == State::Paused {
            self.state = State::Open;
        }
    }

    /// What was held, if anything, for whoever acts in the pause.
    pub(super) fn take_held(&mut self) -> BytesMut {
        std::mem::take(&mut self.held).as_slice().into()
    }

    /// Moves what can be moved. `Ok` means that nothing more can be done now.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        destination: &mut Stream,
        mut seen: impl FnMut(&[u8]) -> Result<Judged, Fault>,
    ) -> Result<(), Broken> {
        for _ in 0..TURNS {
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
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// One read and one write at most. `true` asks for another turn.
    fn turn(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        destination: &mut Stream,
        seen: &mut impl FnMut(&[u8]) -> Result<Judged, Fault>,
    ) -> Poll<Result<bool, Broken>> {
        if self.owes() {
            ready!(self.drain(cx, destination)).map_err(Broken::Destination)?;
        }
        match self.state {
            State::Open => {
                ready!(self.carry(cx, source, destination, seen))?;
                return Poll::Ready(Ok(!self.rests()));
            }
            State::Ending if !self.passes_end => return Poll::Ready(Ok(false)),
            State::Ending => {
                ready!(Pin::new(destination).poll_shutdown(cx)).map_err(Broken::Destination)?;
                self.state = State::Ended;
            }
            State::Paused | State::Ended | State::Broken(_) => return Poll::Ready(Ok(false)),
        }
        Poll::Ready(Ok(true))
    }

    /// Reads into the thread's buffer and writes from it; only the rest is kept.
    fn carry(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        destination: &mut Stream,
        seen: &mut impl FnMut(&[u8]) -> Result<Judged, Fault>,
    ) -> Poll<Result<(), Broken>> {
        BUFFER.with_borrow_mut(|scratch| {
            let read = ready!(source.poll_receive(cx, &mut self.vigil, scratch)).map_err(Broken::Source)?;
            if read == 0 {
                self.held = Vec::new();
                self.state = State::Ending;
                return Poll::Ready(Ok(()));
            }
            let bytes = &scratch[..read];
            if !self.held.is_empty() {
                self.held.extend_from_slice(bytes);
                let bytes = std::mem::take(&mut self.held);
                return Poll::Ready(self.admit_held(bytes, seen));
            }
            let passing = self.sort(bytes, seen)?;
            if !self.spill.is_empty() {
                self.spill.extend_from_slice(passing);
                return Poll::Ready(Ok(()));
            }
            if passing.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let written = match destination.poll_send(cx, passing) {
                Poll::Ready(written) => written.map_err(Broken::Destination)?,
                Poll::Pending => 0,
            };
            self.sent(written, destination);
            if written < passing.len() {
                self.spill.extend_from_slice(&passing[written..]);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// What of these bytes may be passed on behind the spill; the rest is held.
    fn sort<'a>(
        &mut self,
        bytes: &'a [u8],
        seen: &mut impl FnMut(&[u8]) -> Result<Judged, Fault>,
    ) -> Result<&'a [u8], Broken> {
        let judged = seen(bytes).map_err(Broken::Rule)?;
        // Without a call, for it is nearly always so.
        if judged.passage == Passage::All {
            return Ok(bytes);
        }
        self.sort_judged(bytes, judged, seen)
    }

    /// The same, of bytes that were judged.
    fn sort_judged<'a>(
        &mut self,
        mut bytes: &'a [u8],
        mut judged: Judged,
        seen: &mut impl FnMut(&[u8]) -> Result<Judged, Fault>,
    ) -> Result<&'a [u8], Broken> {
        loop {
            let Judged { passage, instead } = judged;
            let passing = match passage {
                Passage::All => return Ok(bytes),
                Passage::Hold(passing) => passing,
                Passage::Until(passing) => {
                    self.state = State::Paused;
                    passing
                }
                Passage::Bye(passing) => {
                    self.state = State::Ending;
                    return Ok(&bytes[..passing]);
                }
                Passage::Instead { passed, dropped } => {
                    self.spill.extend_from_slice(&bytes[..passed]);
                    self.spill.extend_from_slice(&instead);
                    bytes = &bytes[passed + dropped..];
                    if bytes.is_empty() {
                        return Ok(bytes);
                    }
                    judged = seen(bytes).map_err(Broken::Rule)?;
                    continue;
                }
            };
            let (passing, held) = bytes.split_at(passing);
            self.held.extend_from_slice(held);
            return Ok(passing);
        }
    }

    /// Whether nothing can be done before the source says more, and that will be heard.
    fn rests(&self) -> bool {
        self.vigil.is_kept() && self.state == State::Open && !self.owes()
    }

    /// Whether there is something to drain, be it a buffer to give back.
    fn owes(&self) -> bool {
        self.spill.capacity() > 0 || self.unflushed
    }

    /// Empties the spill and whatever the writer holds.
    fn drain(&mut self, cx: &mut Context<'_>, destination: &mut Stream) -> Poll<io::Result<()>> {
        while !self.spill.is_empty() {
            let written = ready!(Pin::new(&mut *destination).poll_write(cx, &self.spill))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.spill.advance(written);
            self.sent(written, destination);
        }
        // An idle session owns no buffer.
        self.spill = BytesMut::new();
        if self.unflushed {
            ready!(Pin::new(destination).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn sent(&mut self, octets: usize, destination: &Stream) {
        self.passed += octets as u64;
        self.meter.inc_by(octets as u64);
        self.unflushed = destination.holds_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_to_be_held_stays_where_it_is() {
        let mut pump = Pump::new(Counter::default(), true);
        let mut held = Vec::with_capacity(SCRATCH);
        for octet in *b"a statement that comes octet by octet" {
            held.push(octet);
            let place = held.as_ptr();
            let all = |_: &[u8]| Ok(Passage::Hold(0).into());
            assert!(pump.admit_held(held, &mut { all }).is_ok());
            held = std::mem::take(&mut pump.held);
            assert_eq!(held.as_ptr(), place);
        }
        let rest = |bytes: &[u8]| Ok(Passage::Hold(bytes.len() - 5).into());
        assert!(pump.admit_held(held, &mut { rest }).is_ok());
        assert_eq!(
            (&pump.spill[..], &pump.held[..]),
            (&b"a statement that comes octet by "[..], &b"octet"[..])
        );
    }
}
