//! A TCP relay that breaks on command, and remembers every byte that went through it.
//!
//! It stands between Attaché and a server. What it recorded proves what was, and above all what was not,
//! sent: a credential for instance, to a server whose certificate is wrong.

mod connection;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use connection::Connection;
use socket2::{Domain, Socket, Type};

use crate::house::SOON;
use crate::ports::{self, Port};
use crate::wait::eventually;

/// A test that looks for a credential needs the beginning, not a copy of 100 MB.
const RECORD_LIMIT: usize = 1024 * 1024;
const REBIND_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// What is wrong with the network now. Byte counts are per connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Nobody listens. Connections that live stay.
    Refuse,
    /// New connections are accepted and closed at once.
    Hangup,
    /// New connections are accepted, and nothing ever comes; live ones freeze. Both go on when it is lifted.
    Blackhole,
    /// After that many bytes in that direction both sides get a reset; with 0, instead of the next byte.
    Reset { after: u64, direction: Direction },
    /// The same with an orderly close: a reply that ends in the middle.
    Close { after: u64, direction: Direction },
    /// After that many bytes nothing more passes that way, and the connections stay.
    Stall { after: u64, direction: Direction },
    /// Each piece waits that long before it goes on.
    Delay(Duration),
    /// So many bytes at once, then a pause: who sends has to wait, and nothing arrives whole.
    Trickle { bytes: usize, pause: Duration },
}

/// A fault as one way of one connection meets it: so many bytes pass, then something happens.
#[derive(Debug, Clone, Copy)]
struct Rule {
    limit: u64,
    then: Then,
    delay: Duration,
    /// The most that passes at once.
    piece: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Hold,
    Reset,
    Close,
}

impl Fault {
    fn rule(self, way: Direction) -> Rule {
        let open = Rule { limit: u64::MAX, then: Then::Hold, delay: Duration::ZERO, piece: usize::MAX };
        let limited =
            |limit, then, direction| if direction == way { Rule { limit, then, ..open } } else { open };
        match self {
            Fault::None | Fault::Refuse | Fault::Hangup => open,
            Fault::Blackhole => Rule { limit: 0, ..open },
            Fault::Reset { after, direction } => limited(after, Then::Reset, direction),
            Fault::Close { after, direction } => limited(after, Then::Close, direction),
            Fault::Stall { after, direction } => limited(after, Then::Hold, direction),
            Fault::Delay(delay) => Rule { delay, ..open },
            Fault::Trickle { bytes, pause } => Rule { delay: pause, piece: bytes.max(1), ..open },
        }
    }
}

/// A relay to one upstream, on a port that stays the same whatever happens. Ends on drop.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    addr: SocketAddr,
    /// Kept from others, where nobody else chose the address.
    _port: Option<Port>,
    acceptor: Option<JoinHandle<()>>,
}

impl Relay {
    pub fn to(upstream: SocketAddr) -> Relay {
        Relay::recording(upstream, RECORD_LIMIT)
    }

    /// Without a memory, for a test that runs for long: nothing is recorded, and connections that are over are forgotten.
    pub fn forgetful(upstream: SocketAddr) -> Relay {
        Relay::recording(upstream, 0)
    }

    /// On an address of the caller's choice, without a memory.
    pub fn at(addr: SocketAddr, upstream: SocketAddr) -> Relay {
        Relay::listening(addr, None, upstream, 0)
    }

    fn recording(upstream: SocketAddr, limit: usize) -> Relay {
        let port = ports::reserve();
        Relay::listening(port.addr(), Some(port), upstream, limit)
    }

    fn listening(addr: SocketAddr, port: Option<Port>, upstream: SocketAddr, limit: usize) -> Relay {
        let state = Mutex::new(State::towards(upstream));
        let shared = Arc::new(Shared { state, changed: Condvar::new(), record_limit: limit });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept_until_over(addr)
        });
        drop(shared.wait_until(|state| state.listening));
        Relay { shared, addr, _port: port, acceptor: Some(acceptor) }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Holds for new and for live connections when this returns.
    pub fn set(&self, fault: Fault) {
        self.shared.change(|state| state.fault = fault);
        if fault == Fault::Refuse {
            self.wake_acceptor();
        }
        drop(self.shared.wait_until(|state| state.listening != (fault == Fault::Refuse)));
    }

    /// Where new connections go from now on, as when an address moves to another server. Live ones stay.
    pub fn lead_to(&self, upstream: SocketAddr) {
        self.shared.change(|state| state.upstream = upstream);
    }

    /// Resets every live connection now.
    pub fn cut(&self) {
        for connection in self.connections_so_far() {
            connection.reset();
        }
        self.shared.wake();
    }

    /// How many connections were accepted so far; a relay without a memory knows of some of them only.
    pub fn connections(&self) -> usize {
        self.shared.state().connections.len()
    }

    pub fn live(&self) -> usize {
        self.connections_so_far().iter().filter(|connection| connection.is_live()).count()
    }

    /// How many bytes have passed on each live connection: to the server, and to the client.
    pub fn carried(&self) -> Vec<(u64, u64)> {
        let live = self.connections_so_far().into_iter().filter(|connection| connection.is_live());
        live.map(|connection| connection.carried()).collect()
    }

    /// What went through in that direction, all connections in the order of their coming. Of each the
    /// first MiB is kept.
    pub fn sent(&self, direction: Direction) -> Vec<u8> {
        self.connections_so_far().iter().flat_map(|connection| connection.record(direction)).collect()
    }

    /// Everything that was sent to the server, once all connections are over.
    pub fn sent_over(&self) -> Vec<u8> {
        eventually("the connections to end", SOON, || (self.live() == 0).then_some(()));
        self.sent(Direction::ToServer)
    }

    fn connections_so_far(&self) -> Vec<Arc<Connection>> {
        self.shared.state().connections.clone()
    }

    /// Knocks at the relay's own door; whoever knocked before it is still let in. Nobody may be listening
    /// any more, and then nobody need be woken.
    fn wake_acceptor(&self) {
        let knock = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor is left");
        knock.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("loopback has a free port");
        let knocker = knock.local_addr().ok().and_then(|addr| addr.as_socket());
        self.shared.change(|state| state.knocker = knocker);
        if knock.connect(&self.addr().into()).is_err() {
            self.shared.change(|state| state.knocker = None);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.change(|state| state.over = true);
        self.wake_acceptor();
        self.cut();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

#[derive(Debug)]
struct Shared {
    /// Of each connection and way; 0 where nothing is kept.
    record_limit: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    upstream: SocketAddr,
    fault: Fault,
    listening: bool,
    over: bool,
    /// The address of our own connection that tells the acceptor to stop listening.
    knocker: Option<SocketAddr>,
    connections: Vec<Arc<Connection>>,
}

impl State {
    fn towards(upstream: SocketAddr) -> State {
        let (fault, connections) = (Fault::None, Vec::new());
        State { upstream, fault, listening: false, over: false, knocker: None, connections }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn upstream(&self) -> SocketAddr {
        self.state().upstream
    }

    fn change(&self, how: impl FnOnce(&mut State)) {
        how(&mut self.state());
        self.changed.notify_all();
    }

    /// Makes everybody who waits look again, for a reason outside the state.
    fn wake(&self) {
        self.change(|_| {});
    }

    fn wait_until(&self, mut condition: impl FnMut(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.state(), |state| !condition(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn accept_until_over(self: Arc<Self>, addr: SocketAddr) {
        while !self.wait_until(|state| state.over || state.fault != Fault::Refuse).over {
            let listener = eventually("the relay's port", REBIND_DEADLINE, || TcpListener::bind(addr).ok());
            self.change(|state| state.listening = true);
            self.accept_from(&listener);
            drop(listener);
            self.change(|state| state.listening = false);
        }
    }

    fn accept_from(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().map_while(Result::ok) {
            let mut state = self.state();
            if state.knocker.is_some() && state.knocker == client.peer_addr().ok() {
                state.knocker = None;
                return;
            }
            if self.record_limit == 0 {
                state.connections.retain(|connection| connection.is_live());
            }
            let connection = Arc::new(Connection::new(client, self.record_limit));
            state.connections.push(Arc::clone(&connection));
            let shared = Arc::clone(self);
            thread::spawn(move || connection.carry(&shared));
        }
    }
}
