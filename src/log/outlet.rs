//! Standard error that makes nobody wait.
//!
//! Whoever reads the log may stop reading: a disk that is full, a collector that is stuck, a terminal that is held. A write
//! would wait then, and with it every session of its thread. So what cannot be written now is kept for a while, and lost
//! beyond that; when somebody reads again, a line says how much.

use std::io::{self, IoSlice, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ReadWriteFlags, pwritev2};

/// So much is kept for a reader that pauses, in octets: some hundred sessions.
const BACKLOG: usize = 256 * 1024;
/// What a pipe that is not full takes without a wait (pipe(7), `PIPE_BUF`), in octets.
const AT_ONCE: usize = 4096;
/// How long the last lines of the process may take to be read.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Means with [`pwritev2`] that the file is written where it stands.
const WHERE_IT_STANDS: u64 = u64::MAX;

/// Where lines go.
pub(super) trait Sink {
    /// Whether a write would not wait, within this time.
    fn is_ready(&self, patience: Duration) -> bool;

    /// Writes what is taken at once; [`io::ErrorKind::WouldBlock`] where nothing is.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
}

#[derive(Default)]
pub(super) struct StandardError {
    /// Whether it has to be asked first if a write would wait: a file or a terminal, or an old kernel.
    asks: AtomicBool,
}

impl Sink for StandardError {
    fn is_ready(&self, patience: Duration) -> bool {
        let stderr = io::stderr();
        let patience = Timespec::try_from(patience).ok();
        // Where it cannot be told, the write has to find out.
        poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], patience.as_ref()).map_or(true, |ready| ready > 0)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if !self.asks.load(Ordering::Relaxed) {
            let whole = [IoSlice::new(bytes)];
            match pwritev2(io::stderr(), &whole, WHERE_IT_STANDS, ReadWriteFlags::NOWAIT) {
                // A file says so where it had to wait for its disk only.
                Err(Errno::AGAIN) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
                    self.asks.store(true, Ordering::Relaxed);
                }
                other => return other.map_err(io::Error::from),
            }
        }
        if self.is_ready(Duration::ZERO) {
            io::stderr().write(bytes)
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
}

/// A sink, and what it has not taken yet. Cheap to clone.
pub(super) struct Outlet<S>(Arc<Shared<S>>);

struct Shared<S> {
    sink: S,
    /// Whether lines are text for people.
    text: bool,
    unread: Mutex<Unread>,
}

#[derive(Default)]
struct Unread {
    kept: Vec<u8>,
    /// Lines that were not kept.
    lost: u64,
}

impl<S> Clone for Outlet<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Sink> Outlet<S> {
    pub(super) fn new(sink: S, text: bool) -> Self {
        Self(Arc::new(Shared { sink, text, unread: Mutex::default() }))
    }

    fn tell(&self, line: &[u8]) {
        let mut unread = self.lock();
        self.pass_on(&mut unread, Duration::ZERO);
        if unread.kept.is_empty() || unread.kept.len() + line.len() <= BACKLOG {
            unread.kept.extend_from_slice(line);
            self.pass_on(&mut unread, Duration::ZERO);
        } else {
            unread.lost += 1;
        }
    }

    /// Writes what has been kept, as far as it is taken.
    pub(super) fn catch_up(&self) {
        self.pass_on(&mut self.lock(), Duration::ZERO);
    }

    /// The same at the end, with some patience.
    pub(super) fn finish(&self) {
        self.pass_on(&mut self.lock(), LAST_LINES);
    }

    fn pass_on(&self, unread: &mut Unread, patience: Duration) {
        loop {
            while !unread.kept.is_empty() {
                let first = &unread.kept[..unread.kept.len().min(AT_ONCE)];
                match self.0.sink.write(first) {
                    Ok(written) => drop(unread.kept.drain(..written)),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if patience.is_zero() || !self.0.sink.is_ready(patience) {
                            return;
                        }
                    }
                    // Nobody reads any more.
                    Err(_) => *unread = Unread::default(),
                }
            }
            match std::mem::take(&mut unread.lost) {
                0 => return,
                lost => unread.kept.extend_from_slice(self.confession(lost).as_bytes()),
            }
        }
    }

    /// A line as the log's other lines are.
    fn confession(&self, lines: u64) -> String {
        let (now, what) = (Timestamp::now(), "lines of the log were lost: nobody read them");
        match self.0.text {
            true => format!("{now}  WARN {what} lines={lines}\n"),
            false => format!(
                "{{\"timestamp\":\"{now}\",\"level\":\"WARN\",\"message\":\"{what}\",\"lines\":{lines},\
                 \"target\":\"attache::log\"}}\n"
            ),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Unread> {
        self.0.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each line comes in one piece.
impl<S: Sink> io::Write for Outlet<S> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.tell(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Takes so many octets more.
    #[derive(Default)]
    struct Pipe {
        room: AtomicUsize,
        taken: Mutex<Vec<u8>>,
    }

    impl Sink for Arc<Pipe> {
        fn is_ready(&self, _: Duration) -> bool {
            self.room.load(Ordering::Relaxed) > 0
        }

        fn write(&self, bytes: &[u8]) -> io::Result<usize> {
            let written = bytes.len().min(self.room.load(Ordering::Relaxed));
            if written == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room.fetch_sub(written, Ordering::Relaxed);
            self.taken.lock().unwrap().extend_from_slice(&bytes[..written]);
            Ok(written)
        }
    }

    fn text(pipe: &Pipe) -> String {
        String::from_utf8(pipe.taken.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn lines_that_are_not_read_are_kept_whole_and_in_order() {
        let pipe = Arc::new(Pipe::default());
        let outlet = Outlet::new(Arc::clone(&pipe), false);
        for line in ["one\n", "two\n"] {
            outlet.tell(line.as_bytes());
        }
        assert_eq!(text(&pipe), "");
        pipe.room.store(6, Ordering::Relaxed);
        outlet.catch_up();
        assert_eq!(text(&pipe), "one\ntw");
        pipe.room.store(usize::MAX, Ordering::Relaxed);
        outlet.tell(b"three\n");
        assert_eq!(text(&pipe), "one\ntwo\nthree\n");
    }

    #[test]
    fn what_is_lost_beyond_that_is_told_in_a_line_like_the_others() {
        let pipe = Arc::new(Pipe::default());
        let outlet = Outlet::new(Arc::clone(&pipe), false);
        let line = [b"x".repeat(AT_ONCE - 1).as_slice(), b"\n"].concat();
        for _ in 0..BACKLOG / AT_ONCE + 3 {
            outlet.tell(&line);
        }
        assert!(outlet.lock().kept.len() <= BACKLOG);
        pipe.room.store(usize::MAX, Ordering::Relaxed);
        outlet.finish();
        let (told, lines) = (text(&pipe), BACKLOG / AT_ONCE);
        assert_eq!(told.lines().count(), lines + 1);
        let last: serde_json::Value = serde_json::from_str(told.lines().last().expect("a line")).unwrap();
        assert_eq!((&last["level"], &last["lines"]), (&"WARN".into(), &3.into()), "{last}");
    }
}
