//! What there is outside of Attaché: servers that come and go, accounts whose passwords change, a mounted Secret; and
//! a book of everything that happened, from which it is judged.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use attache::sim::{self, Connecting, Wire};
use rustls::ServerConfig;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::book::{Change, Condition, Conn, Duty, Episode, Facts, Login, Presence, Report, Server, Verdict};
use crate::dice::Dice;
use crate::plan::{Plan, Reload};
use crate::speech::Dialect;
use crate::stay::Stays;
use crate::tls;
use crate::wire::{self, End, Fault, Line, Manner};

/// What there is, and the book.
#[derive(Debug)]
pub struct State {
    pub dialect: Dialect,
    /// Whether servers speak TLS.
    pub tls: bool,
    pub start: Instant,
    pub now: Facts,
    pub past: Vec<Facts>,
    pub conns: Vec<Conn>,
    pub verdicts: Vec<Verdict>,
    /// What servers told of themselves.
    pub reports: Vec<Report>,
    pub episodes: Vec<Episode>,
    pub reloads: Vec<(Instant, Reload)>,
    /// When the process was told to end.
    pub stopped: Option<Instant>,
    /// When it had ended.
    pub ended: Option<Instant>,
    pub wrong: Vec<String>,
    pub log: Vec<String>,
    chance: Dice,
    network: Dice,
    /// Whether to keep a log.
    verbose: bool,
    /// What is to be cut, and by which call.
    cut: Option<(Target, u32, Fault)>,
    /// Connections of clients.
    pub arrivals: Vec<Line>,
    /// Clients that have a session, or are about to.
    pub guests: BTreeMap<usize, Presence>,
    pub stays: Stays,
    /// Sessions that have sent a cancel request.
    pub cancels: Vec<u64>,
}

/// A connection, by the order in which they come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Client(usize),
    Server(usize),
    /// No connection, but Attaché's whole session with this client: it is dropped where it stands.
    Session(usize),
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct World(Arc<Mutex<State>>);

/// The first server; the others have the addresses behind it.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

impl World {
    pub fn new(plan: &Plan, verbose: bool) -> World {
        let Plan { seed, dialect, servers, tls, .. } = *plan;
        let duty = |at| if at == 0 { Duty::Primary } else { Duty::Replica };
        let servers = (0..servers).map(|at| Server { condition: Condition::Up, duty: duty(at) }).collect();
        let start = Instant::now();
        let now = Facts {
            at: start,
            change: Change::Beginning,
            servers,
            primary: 0,
            shown: 0,
            valid: Vec::new(),
            mounted: None,
        };
        World(Arc::new(Mutex::new(State {
            dialect,
            tls,
            start,
            now,
            past: Vec::new(),
            conns: Vec::new(),
            verdicts: Vec::new(),
            reports: Vec::new(),
            episodes: Vec::new(),
            reloads: Vec::new(),
            stopped: None,
            ended: None,
            wrong: Vec::new(),
            log: Vec::new(),
            chance: Dice::of(seed, "chance of the house"),
            network: Dice::of(seed, "network"),
            verbose,
            cut: None,
            arrivals: Vec::new(),
            guests: BTreeMap::new(),
            stays: Stays::default(),
            cancels: Vec::new(),
        })))
    }

    /// Makes this the world of the house on this thread.
    pub fn play(&self) -> sim::Playing {
        sim::play(Rc::new(self.clone()))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics under this lock")
    }

    /// Something happened that people may want to read of.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        self.state().tell(what);
    }

    /// A promise was broken.
    pub fn wrong(&self, what: String) {
        let mut state = self.state();
        state.tell(|| format!("WRONG: {what}"));
        state.wrong.push(what);
    }

    /// Something went wrong for a client.
    pub fn note(&self, episode: Episode) {
        let mut state = self.state();
        state.tell(|| episode.to_string());
        state.episodes.push(episode);
    }

    /// How servers speak TLS, if they do.
    pub fn tls(&self) -> Option<Arc<ServerConfig>> {
        let state = self.state();
        state.tls.then(|| tls::server(state.now.shown))
    }

    pub fn stands(&self, client: usize, presence: Presence) {
        let mut state = self.state();
        if presence == Presence::Away {
            state.stays.end(client);
        }
        state.guests.insert(client, presence);
    }

    /// Every connection, and what has passed on it.
    pub fn close_the_books(&self) {
        let mut state = self.state();
        let all = state.arrivals.iter().map(|line| ("of a client", line));
        let all = all.chain(state.conns.iter().map(|conn| ("to a server", &conn.line)));
        let lines: Vec<_> =
            all.map(|(whose, line)| format!("connection {whose}: {}", line.account())).collect();
        lines.into_iter().for_each(|line| state.tell(|| line));
    }

    /// The connection by which a server acted upon this question.
    pub fn executed_by(&self, number: u64) -> Option<usize> {
        self.state().conns.iter().position(|conn| conn.executed.contains(&number))
    }

    /// Changes what there is, and enters it into the book.
    pub fn change(&self, change: Change, act: impl FnOnce(&mut Facts)) {
        let mut state = self.state();
        let before = state.now.clone();
        act(&mut state.now);
        state.now.change = change;
        state.now.at = Instant::now();
        state.past.push(before);
    }

    /// The script hurts every connection to a server.
    pub fn hurt_all(&self, server: usize, hurt: impl Fn(&Conn)) {
        let now = Instant::now();
        for conn in self.state().conns.iter_mut().filter(|conn| conn.is_open() && conn.server == server) {
            conn.hurt.get_or_insert(now);
            hurt(conn);
        }
    }

    /// What the server said before it closed is heard too.
    pub fn thaw_all(&self, server: usize) {
        self.hurt_all(server, |_| {});
        self.state().conns.iter().filter(|conn| conn.server == server).for_each(|conn| conn.line.thaw());
    }

    /// Whether the server accepts this login now, which is entered into the book.
    pub fn judges(&self, conn: usize, began: Instant, login: Login) -> bool {
        let mut state = self.state();
        let accepted = state.now.valid.contains(&login);
        let server = state.conns[conn].server;
        state.tell(|| {
            let verdict = if accepted { "accepts" } else { "rejects" };
            format!("server {server} {verdict} {login} ({conn})")
        });
        if accepted {
            state.conns[conn].login = Some(Instant::now());
            state.conns[conn].shown = Some(login.clone());
        }
        state.verdicts.push(Verdict { began, at: Instant::now(), login, accepted });
        accepted
    }

    /// A server is about to tell in so many octets what it is, which is entered into the book.
    pub fn tells_duty(&self, conn: usize, duty: Duty, octets: usize) {
        let mut state = self.state();
        let Conn { server, line, .. } = &state.conns[conn];
        let report = Report { server: *server, duty, heard: line.heard(octets) };
        state.reports.push(report);
    }

    /// Cuts a connection with this call of the house, from 1.
    pub fn cut(&self, target: Target, call: u32, fault: Fault) {
        self.state().cut = Some((target, call, fault));
    }

    /// After how many turns the session with the client that comes next is to be dropped.
    pub fn turns_of_next_session(&self) -> Option<u32> {
        let state = self.state();
        let (target, turns, _) = state.cut?;
        (target == Target::Session(state.arrivals.len())).then_some(turns)
    }

    /// Cuts nothing more.
    pub fn let_go(&self) {
        let mut state = self.state();
        state.cut = None;
        let lines = state.conns.iter().map(|conn| &conn.line).chain(&state.arrivals);
        lines.for_each(Line::let_go);
    }

    /// Whether that has happened.
    pub fn was_cut(&self) -> bool {
        let state = self.state();
        let lines = state.conns.iter().map(|conn| &conn.line).chain(&state.arrivals);
        lines.into_iter().any(|line| line.cut().is_some())
    }

    /// A connection of a client to the house: the client's end, and the house's.
    pub fn client_line(&self) -> (End, End, Line) {
        let mut state = self.state();
        let manner = Manner { latency: Duration::ZERO, ..state.manner(&[4096, 2048, 512]) };
        let (client, house, line) = wire::pair(manner);
        if let Some((target, call, fault)) = state.cut
            && target == Target::Client(state.arrivals.len())
        {
            house.cut_at(call, fault);
        }
        state.arrivals.push(line.clone());
        (client, house, line)
    }

    fn open(&self, server: usize) -> End {
        let mut state = self.state();
        // How long a handshake is does not depend on what is drawn here: its octets are nobody's but its library's.
        let manner = state.manner(&[4096, 512, 64]);
        let manner = if state.tls { Manner { piece: usize::MAX, room: 1 << 16, ..manner } } else { manner };
        let (house, far, line) = wire::pair(manner);
        if state.tls {
            line.seal();
        }
        if state.now.servers[server].condition == Condition::Deaf {
            line.hurt(Fault::Freeze);
        }
        let closing = Arc::new(Notify::new());
        let conn = state.conns.len();
        if let Some((target, call, fault)) = state.cut
            && target == Target::Server(conn)
        {
            house.cut_at(call, fault);
        }
        let (closed, hurt, login, executed) = (None, None, None, Vec::new());
        let opened = Instant::now();
        state.tell(|| format!("connection {conn} to server {server}"));
        state.conns.push(Conn {
            server,
            opened,
            line,
            closed,
            unheard: false,
            hurt,
            login,
            shown: None,
            executed,
            cancelled: Arc::new(Notify::new()),
            closing: Arc::clone(&closing),
        });
        let dialect = state.dialect;
        drop(state);
        let world = self.clone();
        tokio::spawn(async move {
            dialect.serve(&world, conn, far, closing).await;
            let conn = &mut world.state().conns[conn];
            (conn.closed, conn.unheard) = (Some(Instant::now()), conn.line.is_frozen());
        });
        house
    }
}

impl State {
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.verbose {
            let at = self.start.elapsed().as_secs_f64();
            self.log.push(format!("{at:8.3} {}", what()));
        }
    }

    /// Connections to servers that are open.
    pub fn open(&self) -> Vec<usize> {
        (0..self.conns.len()).filter(|conn| self.conns[*conn].is_open()).collect()
    }

    /// How things stood over time, the present last.
    pub fn history(&self) -> impl Iterator<Item = &Facts> {
        self.past.iter().chain([&self.now])
    }

    /// What a server needs for something small.
    pub fn moment(&mut self) -> Duration {
        self.network.between(0, 30)
    }

    fn manner(&mut self, rooms: &[usize]) -> Manner {
        if self.cut.is_some() {
            return Manner::PLAIN;
        }
        let latency = Duration::from_millis(self.network.pick(&[0, 1, 1, 3, 10, 40]));
        let piece = self.network.pick(&[usize::MAX, usize::MAX, usize::MAX, 64, 9, 1]);
        let room = self.network.pick(rooms);
        Manner { latency, piece, room }
    }
}

impl sim::World for World {
    fn fill(&self, bytes: &mut [u8]) {
        self.state().chance.fill(bytes);
    }

    fn connect(&self, address: SocketAddr) -> Connecting {
        let world = self.clone();
        Box::pin(async move {
            let (server, latency) = {
                let mut state = world.state();
                (index(address), Duration::from_millis(state.network.pick(&[0, 1, 2, 20])))
            };
            sleep(latency).await;
            let condition = world.state().now.servers[server].condition;
            match condition {
                Condition::Up | Condition::Starting | Condition::Deaf => {
                    Ok(Box::new(world.open(server)) as Box<dyn Wire>)
                }
                Condition::Down => Err(io::ErrorKind::ConnectionRefused.into()),
                Condition::Dark => never().await,
            }
        })
    }
}

fn never() -> Connecting {
    Box::pin(std::future::pending())
}

pub fn address(server: usize) -> String {
    let last = FIRST.octets()[3] + u8::try_from(server).expect("a handful of servers");
    Ipv4Addr::new(10, 0, 0, last).to_string()
}

fn index(address: SocketAddr) -> usize {
    let SocketAddr::V4(address) = address else { panic!("{address} is nobody's") };
    usize::from(address.ip().octets()[3] - FIRST.octets()[3])
}
