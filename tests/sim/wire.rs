//! Connections in memory that take time, deliver in pieces, and break when they are told to.
//!
//! They behave as TCP does where that matters here: what has arrived can be read behind a reset, what was under way
//! is lost; whoever closes with something unread resets; whoever writes to somebody who is gone hears of it with the
//! next call.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use attache::sim::Wire;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How a connection delivers.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// From one end to the other.
    pub latency: Duration,
    /// The most octets that one call takes or gives.
    pub piece: usize,
    /// So many octets are under way or unread before a writer has to wait.
    pub room: usize,
}

impl Manner {
    /// A network that nobody complains of.
    pub const PLAIN: Manner = Manner { latency: Duration::from_millis(1), piece: usize::MAX, room: 4096 };
}

/// What can happen to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Reset,
    /// Both ends see an orderly end where none was meant.
    End,
    /// Nothing arrives any more, and nobody is told.
    Freeze,
}

impl Fault {
    pub const ALL: [Fault; 3] = [Fault::Reset, Fault::End, Fault::Freeze];
}

/// When something that was written had been read to its end, if ever.
pub type Heard = Arc<OnceLock<Instant>>;

/// One connection, for whoever wants to hurt it.
#[derive(Debug, Clone)]
pub struct Line(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    manner: Manner,
    /// By who writes: the first end, the second.
    lanes: [Lane; 2],
    reset: bool,
    cut: Option<Cut>,
    /// When it began.
    born: Instant,
}

/// What is to happen to a connection, and when.
#[derive(Debug)]
struct Cut {
    side: usize,
    /// So many calls of this side are still to come.
    calls: u32,
    fault: Fault,
    /// When it happened.
    done: Option<Instant>,
}

#[derive(Debug, Default)]
struct Lane {
    under_way: VecDeque<(Instant, VecDeque<u8>)>,
    octets: usize,
    /// When the end arrives.
    end: Option<Instant>,
    frozen: bool,
    /// Whoever reads it is gone.
    unheard: bool,
    /// What was written, and when.
    written: Account,
    /// How many octets were read.
    read: usize,
    /// Who wants to know when so many octets have been read.
    curious: Vec<(usize, Heard)>,
    /// Of octets that are encrypted only the number counts.
    sealed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// A fingerprint of octets and moments (FNV-1a), and how many octets there were.
#[derive(Debug, Clone, Copy)]
struct Account {
    octets: usize,
    print: u64,
}

impl Default for Account {
    fn default() -> Account {
        Account { octets: 0, print: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Account {
    fn enter(&mut self, after: Duration, count: usize, bytes: &[u8]) {
        self.octets += count;
        let (moment, count) = (after.as_micros().to_le_bytes(), count.to_le_bytes());
        for byte in moment.iter().chain(&count).chain(bytes) {
            self.print = (self.print ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// A connection and its two ends.
pub fn pair(manner: Manner) -> (End, End, Line) {
    let born = Instant::now();
    let line = Line(Arc::new(Mutex::new(Inner {
        manner,
        lanes: Default::default(),
        reset: false,
        cut: None,
        born,
    })));
    let end = |side| End { line: line.clone(), side, alarm: None };
    (end(0), end(1), line)
}

impl Line {
    pub fn hurt(&self, fault: Fault) {
        let mut inner = self.lock();
        match fault {
            Fault::Reset => inner.reset(),
            Fault::End => inner.lanes.iter_mut().for_each(|lane| {
                lane.lose_what_is_under_way();
                lane.end.get_or_insert_with(Instant::now);
            }),
            Fault::Freeze => inner.lanes.iter_mut().for_each(|lane| lane.frozen = true),
        }
        inner.wake();
    }

    /// What crosses it is encrypted.
    pub fn seal(&self) {
        self.lock().lanes.iter_mut().for_each(|lane| lane.sealed = true);
    }

    /// What was written on either side, for whoever compares.
    pub fn account(&self) -> String {
        let [one, other] = self.lock().lanes.each_ref().map(|lane| lane.written);
        format!("{} octets {:016x}, {} octets {:016x}", one.octets, one.print, other.octets, other.print)
    }

    /// When the other end has read the next so many octets that servers write.
    pub fn heard(&self, octets: usize) -> Heard {
        let lane = &mut self.lock().lanes[1];
        let heard = Heard::default();
        lane.curious.push((lane.written.octets + octets, Arc::clone(&heard)));
        heard
    }

    /// Takes note that it was cut from elsewhere.
    pub fn was_dropped(&self) {
        let done = Some(Instant::now());
        self.lock().cut = Some(Cut { side: 0, calls: 0, fault: Fault::Reset, done });
    }

    /// When it was cut by a call.
    pub fn cut(&self) -> Option<Instant> {
        self.lock().cut.as_ref()?.done
    }

    /// Nothing breaks it any more by itself; what froze it before is noticed now.
    pub fn let_go(&self) {
        let mut inner = self.lock();
        if inner.cut.take_if(|cut| cut.done.is_none()).is_none() && inner.cut.is_some() {
            inner.reset();
            inner.wake();
        }
    }

    pub fn is_frozen(&self) -> bool {
        self.lock().lanes.iter().any(|lane| lane.frozen)
    }

    /// Goes on after a freeze.
    pub fn thaw(&self) {
        let mut inner = self.lock();
        inner.lanes.iter_mut().for_each(|lane| lane.frozen = false);
        inner.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

impl Inner {
    fn reset(&mut self) {
        self.reset = true;
        self.lanes.iter_mut().for_each(Lane::lose_what_is_under_way);
    }

    /// Counts a call; what happens with it.
    fn count(&mut self, side: usize) -> Option<Fault> {
        let cut = self.cut.as_mut().filter(|cut| cut.side == side && cut.done.is_none())?;
        cut.calls -= 1;
        (cut.calls == 0).then(|| {
            cut.done = Some(Instant::now());
            cut.fault
        })
    }

    fn wake(&mut self) {
        for lane in &mut self.lanes {
            lane.reader.take().into_iter().chain(lane.writer.take()).for_each(Waker::wake);
        }
    }
}

impl Lane {
    fn lose_what_is_under_way(&mut self) {
        let now = Instant::now();
        self.under_way.retain(|(arrives, _)| *arrives <= now);
        self.octets = self.under_way.iter().map(|(_, bytes)| bytes.len()).sum();
    }

    fn has_arrived(&self) -> bool {
        let now = Instant::now();
        !self.frozen && self.under_way.front().is_some_and(|(arrives, _)| *arrives <= now)
    }

    fn has_ended(&self) -> bool {
        !self.frozen && self.under_way.is_empty() && self.end.is_some_and(|at| at <= Instant::now())
    }

    /// When the next thing arrives that has not.
    fn next(&self) -> Option<Instant> {
        if self.frozen { None } else { self.under_way.front().map(|(at, _)| *at).or(self.end) }
    }

    fn take(&mut self, piece: usize, into: &mut ReadBuf<'_>) {
        let (_, bytes) = self.under_way.front_mut().expect("something has arrived");
        let count = bytes.len().min(piece).min(into.remaining());
        let taken: Vec<u8> = bytes.drain(..count).collect();
        if bytes.is_empty() {
            self.under_way.pop_front();
        }
        self.octets -= count;
        self.read += count;
        let read = self.read;
        for (_, heard) in self.curious.extract_if(.., |(octets, _)| *octets <= read) {
            heard.get_or_init(Instant::now);
        }
        into.put_slice(&taken);
        self.writer.take().into_iter().for_each(Waker::wake);
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct End {
    line: Line,
    side: usize,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl End {
    /// The call of this number, from 1, breaks the connection.
    pub fn cut_at(&self, call: u32, fault: Fault) {
        self.line.lock().cut = Some(Cut { side: self.side, calls: call, fault, done: None });
    }

    fn count(&self) {
        let fault = self.line.lock().count(self.side);
        if let Some(fault) = fault {
            self.line.hurt(fault);
        }
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let end = self.get_mut();
        end.count();
        loop {
            let next = {
                let mut inner = end.line.lock();
                let (piece, reset) = (inner.manner.piece, inner.reset);
                let lane = &mut inner.lanes[1 - end.side];
                if lane.has_arrived() {
                    lane.take(piece, into);
                    return Poll::Ready(Ok(()));
                }
                if reset {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                if lane.has_ended() {
                    return Poll::Ready(Ok(()));
                }
                lane.reader = Some(cx.waker().clone());
                lane.next()
            };
            let Some(next) = next else { return Poll::Pending };
            let alarm = end.alarm.insert(Box::pin(sleep_until(next)));
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let end = self.get_mut();
        end.count();
        let mut inner = end.line.lock();
        let (Manner { latency, piece, room }, age) = (inner.manner, inner.born.elapsed());
        if inner.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let lane = &mut inner.lanes[end.side];
        if lane.end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if lane.octets >= room {
            lane.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = bytes.len().min(piece).min(room - lane.octets);
        lane.written.enter(age, count, if lane.sealed { &[] } else { &bytes[..count] });
        if lane.unheard {
            inner.reset();
            inner.wake();
            return Poll::Ready(Ok(count));
        }
        lane.under_way.push_back((Instant::now() + latency, bytes[..count].iter().copied().collect()));
        lane.octets += count;
        lane.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().count();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = self.get_mut();
        end.count();
        let mut inner = end.line.lock();
        if inner.reset {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        inner.end(end.side);
        Poll::Ready(Ok(()))
    }
}

impl Inner {
    /// This side has nothing more to say.
    fn end(&mut self, side: usize) {
        let arrives = Instant::now() + self.manner.latency;
        let lane = &mut self.lanes[side];
        lane.end.get_or_insert(arrives);
        lane.reader.take().into_iter().for_each(Waker::wake);
    }
}

impl Wire for End {
    fn is_silent(&self) -> bool {
        let inner = self.line.lock();
        let lane = &inner.lanes[1 - self.side];
        !inner.reset && !lane.has_arrived() && !lane.has_ended()
    }

    fn abort(&self) {
        self.line.lock().reset();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut inner = self.line.lock();
        let unread = !inner.lanes[1 - self.side].under_way.is_empty();
        inner.lanes[1 - self.side].unheard = true;
        if unread {
            inner.reset();
        } else {
            inner.end(self.side);
        }
        inner.wake();
    }
}
