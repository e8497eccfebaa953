//! One connection through the relay: two threads that copy, and ask before each piece what may pass.

use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use socket2::SockRef;

use super::{Direction, Fault, Rule, Shared, Then};

const DIAL_DEADLINE: Duration = Duration::from_secs(5);
/// How often a blocked writer looks whether its connection was cut.
const WRITE_PATIENCE: Duration = Duration::from_millis(100);
const CHUNK: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Connection {
    ends: Mutex<Vec<Arc<TcpStream>>>,
    cut: AtomicBool,
    live: AtomicBool,
    record_limit: usize,
    to_server: Mutex<Record>,
    to_client: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    total: u64,
    bytes: Vec<u8>,
}

impl Connection {
    pub(super) fn new(client: TcpStream, record_limit: usize) -> Connection {
        Connection {
            ends: Mutex::new(vec![Arc::new(client)]),
            cut: AtomicBool::new(false),
            live: AtomicBool::new(true),
            record_limit,
            to_server: Mutex::default(),
            to_client: Mutex::default(),
        }
    }

    /// Runs the connection to its end.
    pub(super) fn carry(self: Arc<Self>, shared: &Arc<Shared>) {
        match self.admission(shared) {
            Some(Fault::Hangup) => self.close(),
            Some(_) => match TcpStream::connect_timeout(&shared.upstream(), DIAL_DEADLINE) {
                Ok(server) => self.pump_both(shared, &Arc::new(server)),
                Err(_) => self.reset(),
            },
            None => self.reset(),
        }
        self.live.store(false, Ordering::SeqCst);
        self.ends().clear();
    }

    /// The fault that a new connection meets, or nothing if it was over before it began.
    fn admission(&self, shared: &Shared) -> Option<Fault> {
        let state = shared.wait_until(|state| self.is_cut() || state.over || state.fault != Fault::Blackhole);
        (!self.is_cut() && !state.over).then_some(state.fault)
    }

    pub(super) fn is_live(&self) -> bool {
        self.live.load(Ordering::SeqCst)
    }

    pub(super) fn record(&self, direction: Direction) -> Vec<u8> {
        self.recorded(direction).bytes.clone()
    }

    pub(super) fn carried(&self) -> (u64, u64) {
        (self.recorded(Direction::ToServer).total, self.recorded(Direction::ToClient).total)
    }

    /// Both sides get a reset: with no linger, closing discards instead of finishing. Closing happens when
    /// the copying threads let go, so they are woken by the end of reading, which sends nothing.
    pub(super) fn reset(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for end in self.ends().drain(..) {
            let _ = SockRef::from(&*end).set_linger(Some(Duration::ZERO));
            let _ = end.shutdown(Shutdown::Read);
        }
    }

    fn close(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for end in self.ends().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    fn pump_both(self: &Arc<Self>, shared: &Arc<Shared>, server: &Arc<TcpStream>) {
        let client = {
            let mut ends = self.ends();
            ends.push(Arc::clone(server));
            // Cut while we were dialling: the client's end is gone already.
            if self.is_cut() { None } else { ends.first().cloned() }
        };
        let Some(client) = client else { return self.reset() };
        for end in [&client, server] {
            let _ = end.set_nodelay(true);
        }
        let back = thread::spawn({
            let (this, shared) = (Arc::clone(self), Arc::clone(shared));
            let (client, server) = (Arc::clone(&client), Arc::clone(server));
            move || this.pump(&shared, Direction::ToClient, &server, &client)
        });
        self.pump(shared, Direction::ToServer, &client, server);
        let _ = back.join();
    }

    fn pump(&self, shared: &Shared, direction: Direction, from: &TcpStream, to: &TcpStream) {
        self.copy(shared, direction, from, to);
        // The other way may be stalled, and must see that the connection was cut.
        shared.wake();
    }

    fn copy(&self, shared: &Shared, direction: Direction, from: &TcpStream, to: &TcpStream) {
        let mut chunk = [0; CHUNK];
        loop {
            match (&*from).read(&mut chunk) {
                _ if self.is_cut() => return,
                Ok(0) => return self.pass_end(shared, direction, to),
                Ok(count) => self.pass(shared, direction, &chunk[..count], to),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.reset(),
            }
        }
    }

    /// Half-close goes through as itself, unless that way is stalled.
    fn pass_end(&self, shared: &Shared, direction: Direction, to: &TcpStream) {
        if self.admitted(shared, direction).is_some() {
            let _ = to.shutdown(Shutdown::Write);
        }
    }

    fn pass(&self, shared: &Shared, direction: Direction, mut bytes: &[u8], to: &TcpStream) {
        while !bytes.is_empty() {
            let Some(rule) = self.admitted(shared, direction) else { return };
            let count = self.rest(direction, &rule).min(rule.piece).min(bytes.len());
            let (now, later) = bytes.split_at(count);
            if !now.is_empty() {
                thread::sleep(rule.delay);
            }
            self.write(direction, now, to);
            // Looked at again: a cut after N bytes does not wait for byte N + 1.
            self.enforce(direction, &shared.state().fault.rule(direction));
            bytes = later;
        }
    }

    /// What holds for the next bytes, once anything may happen to them; nothing if the connection is over.
    fn admitted(&self, shared: &Shared, direction: Direction) -> Option<Rule> {
        let held = |rule: &Rule| rule.then == Then::Hold && self.rest(direction, rule) == 0;
        let state =
            shared.wait_until(|state| self.is_cut() || state.over || !held(&state.fault.rule(direction)));
        (!self.is_cut() && !state.over).then(|| state.fault.rule(direction))
    }

    fn enforce(&self, direction: Direction, rule: &Rule) {
        if self.rest(direction, rule) > 0 {
            return;
        }
        match rule.then {
            Then::Hold => {}
            Then::Reset => self.reset(),
            Then::Close => self.close(),
        }
    }

    fn rest(&self, direction: Direction, rule: &Rule) -> usize {
        let rest = rule.limit.saturating_sub(self.recorded(direction).total);
        usize::try_from(rest).unwrap_or(usize::MAX)
    }

    fn write(&self, direction: Direction, mut bytes: &[u8], to: &TcpStream) {
        while !bytes.is_empty() && !self.is_cut() {
            match self.write_some(direction, bytes, to) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::AGAIN) => wait_for_room(to),
                Err(Errno::INTR) => {}
                Err(_) => self.reset(),
            }
        }
    }

    /// What is written is recorded before anybody who has answered it can ask for the record: nothing is waited for in here.
    fn write_some(&self, direction: Direction, bytes: &[u8], to: &TcpStream) -> Result<usize, Errno> {
        let mut record = self.recorded(direction);
        let count = send(to, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        record.note(&bytes[..count], self.record_limit);
        Ok(count)
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    fn ends(&self) -> MutexGuard<'_, Vec<Arc<TcpStream>>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recorded(&self, direction: Direction) -> MutexGuard<'_, Record> {
        let record = match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        };
        record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With patience, so that a reader who has stopped cannot keep a cut connection alive.
fn wait_for_room(to: &TcpStream) {
    let patience = Timespec::try_from(WRITE_PATIENCE).ok();
    let _ = poll(&mut [PollFd::new(to, PollFlags::OUT)], patience.as_ref());
}

impl Record {
    fn note(&mut self, bytes: &[u8], limit: usize) {
        self.total += bytes.len() as u64;
        let room = limit - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}
