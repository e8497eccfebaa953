//! A server as far as it matters to whoever counts its answers: what it does with each message (`postgres.c`, `copyfromparse.c`),
//! whatever nonsense a client sends.

use std::collections::VecDeque;

use crate::support::{error, message};

/// What a message of the client's makes the server do. It stands in the body, which no watch reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Work,
    Fail,
    /// COPY FROM STDIN, so many times one behind the other where several statements are in one message.
    Copy(u8),
    /// BEGIN.
    Open,
    /// COMMIT.
    Close,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) tag: u8,
    pub(crate) deed: Deed,
}

/// What is read next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    #[default]
    Commands,
    /// Everything up to a Sync is passed over: a command of the extended protocol has failed.
    Skipping,
    /// Data, for a COPY of the simple protocol behind which so many others come.
    SimpleCopy(u8),
    Copy,
    Gone,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Server {
    inbox: VecDeque<Asked>,
    outbox: VecDeque<Vec<u8>>,
    mode: Mode,
    /// Commands of the extended protocol were heard, and no Sync behind them.
    in_batch: bool,
    in_transaction: bool,
    failed: bool,
    release: Release,
}

/// What becomes of a command amid data.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// The COPY fails. The command is not executed.
    V13,
    /// The session ends.
    #[default]
    V14,
}

impl Asked {
    pub(crate) fn bytes(self) -> Vec<u8> {
        message(self.tag, b"whatever\0")
    }
}

impl Server {
    pub(crate) fn of(release: Release) -> Self {
        Self { release, ..Self::default() }
    }

    pub(crate) fn ask(&mut self, asked: Asked) {
        self.inbox.push_back(asked);
    }

    /// The next message that is on its way to the client.
    pub(crate) fn said(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        self.in_transaction
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.mode == Mode::Gone
    }

    /// Whether nothing is begun, and nothing will be said before the client says more.
    pub(crate) fn rests(&self) -> bool {
        self.may_be_left_with(|_| false)
    }

    /// The same; that it is ready again may still be said.
    pub(crate) fn has_no_more_than_ready(&self) -> bool {
        self.may_be_left_with(|said| said[0] == b'Z')
    }

    fn may_be_left_with(&self, unheard: impl Fn(&[u8]) -> bool) -> bool {
        let mut server = self.clone();
        (0..self.inbox.len()).for_each(|_| server.read());
        let idle = server.mode == Mode::Commands && !server.in_batch && !server.in_transaction;
        idle && server.outbox.iter().all(|said| unheard(said))
    }

    pub(crate) fn has_more_to_read(&self) -> bool {
        !self.inbox.is_empty()
    }

    pub(crate) fn has_more_to_say(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// A COPY fails by itself: a limit of time, a cancel request.
    pub(crate) fn interrupt(&mut self) {
        match self.mode {
            Mode::SimpleCopy(_) | Mode::Copy => self.fail_copy(),
            Mode::Commands | Mode::Skipping | Mode::Gone => {}
        }
    }

    /// Reads the next message.
    pub(crate) fn read(&mut self) {
        let Some(Asked { tag, deed }) = self.inbox.pop_front() else { return };
        match (self.mode, tag) {
            (Mode::Gone, _) => {}
            (Mode::Skipping, b'S') => {
                self.mode = Mode::Commands;
                self.sync();
            }
            (Mode::Skipping, _) => {}
            (Mode::Commands, b'Q') => self.query(deed),
            (Mode::Commands, b'F') => self.answer(deed, b'V'),
            (Mode::Commands, b'S') => self.sync(),
            (Mode::Commands, b'P' | b'B' | b'D' | b'C' | b'E') => self.extended(tag, deed),
            (Mode::Commands, b'H' | b'd' | b'c' | b'f') => {}
            (Mode::SimpleCopy(_) | Mode::Copy, b'H' | b'S') => {}
            (Mode::SimpleCopy(_) | Mode::Copy, b'd') if deed == Deed::Fail => self.fail_copy(),
            (Mode::SimpleCopy(_), b'f') => self.fail_simple(),
            (Mode::SimpleCopy(left), b'c') => {
                self.say(b'C', b"COPY 0\0");
                self.copies(left);
            }
            (Mode::Copy, b'f') => self.fail(),
            (Mode::Copy, b'c') => {
                self.say(b'C', b"COPY 0\0");
                self.mode = Mode::Commands;
            }
            (Mode::SimpleCopy(_) | Mode::Copy, b'd') => {}
            (Mode::SimpleCopy(_) | Mode::Copy, _) if self.release == Release::V13 => self.fail_copy(),
            (Mode::Commands | Mode::SimpleCopy(_) | Mode::Copy, _) => {
                self.say(b'E', b"SFATAL\0VFATAL\0C08P01\0\0");
                self.mode = Mode::Gone;
            }
        }
    }

    fn query(&mut self, deed: Deed) {
        self.in_batch = false;
        match deed {
            Deed::Copy(times) => self.copies(times),
            Deed::Work | Deed::Fail | Deed::Open | Deed::Close => self.answer(deed, b'C'),
        }
    }

    fn copies(&mut self, left: u8) {
        match left {
            0 => self.ready(),
            left => {
                self.say(b'G', b"\0\0\0");
                self.mode = Mode::SimpleCopy(left - 1);
            }
        }
    }

    fn answer(&mut self, deed: Deed, tag: u8) {
        match deed {
            Deed::Fail => {
                self.outbox.push_back(error("42601", "no"));
                self.failed = self.in_transaction;
            }
            Deed::Open => self.begin(),
            Deed::Close => self.commit(),
            Deed::Work | Deed::Copy(_) => self.say(tag, b"SELECT 1\0"),
        }
        self.ready();
    }

    fn extended(&mut self, tag: u8, deed: Deed) {
        self.in_batch = true;
        match (tag, deed) {
            (_, Deed::Fail) => self.fail(),
            (b'E', Deed::Copy(_)) => {
                self.say(b'G', b"\0\0\0");
                self.mode = Mode::Copy;
            }
            (b'E', Deed::Open) => self.begin(),
            (b'E', Deed::Close) => self.commit(),
            (b'E', _) => self.say(b'C', b"SELECT 1\0"),
            (b'P', _) => self.say(b'1', b""),
            (b'B', _) => self.say(b'2', b""),
            (b'D', _) => self.say(b'n', b""),
            _ => self.say(b'3', b""),
        }
    }

    fn begin(&mut self) {
        self.in_transaction = true;
        self.say(b'C', b"BEGIN\0");
    }

    fn commit(&mut self) {
        (self.in_transaction, self.failed) = (false, false);
        self.say(b'C', b"COMMIT\0");
    }

    fn fail(&mut self) {
        self.outbox.push_back(error("42601", "no"));
        (self.failed, self.mode) = (self.in_transaction, Mode::Skipping);
    }

    fn fail_copy(&mut self) {
        match self.mode {
            Mode::SimpleCopy(_) => self.fail_simple(),
            Mode::Copy | Mode::Commands | Mode::Skipping | Mode::Gone => self.fail(),
        }
    }

    fn fail_simple(&mut self) {
        self.outbox.push_back(error("42601", "no"));
        self.failed = self.in_transaction;
        self.ready();
    }

    fn sync(&mut self) {
        self.in_batch = false;
        self.ready();
    }

    fn ready(&mut self) {
        self.mode = Mode::Commands;
        self.in_batch = false;
        let status = match (self.in_transaction, self.failed) {
            (false, _) => b'I',
            (true, false) => b'T',
            (true, true) => b'E',
        };
        self.say(b'Z', &[status]);
    }

    fn say(&mut self, tag: u8, body: &[u8]) {
        self.outbox.push_back(message(tag, body));
    }
}
