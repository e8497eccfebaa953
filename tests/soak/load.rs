//! Clients with real drivers: some come back for every few operations, some stay, one logs in again on its session, one
//! is idle most of the time.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use crate::judge::{self, Attempt, Kind, WAIT};
use crate::report::Tally;
use crate::timeline::Timeline;

/// Whatever takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(WAIT.as_secs() + 30);
/// How often an idle client looks whether its work is over.
const GLANCE: Duration = Duration::from_millis(100);

/// A session by a protocol's driver. Each session has a token, which it leaves with the server and asks for again.
pub trait Driver: Sized {
    /// How many kinds of operations there are.
    const OPERATIONS: usize;
    /// What connecting comes to: whether it ends with Attaché's word or with the server's first answer.
    const CONNECTING: Kind = Kind::Connecting;
    /// Whether a session can log in again.
    const RELOGS: bool;

    /// Logs in.
    async fn connect(addr: SocketAddr, token: &str) -> Result<Self, Trouble>;
    /// Finds the session as new, and leaves the token.
    async fn begin(&mut self) -> Result<(), Trouble>;
    /// One operation; `act` is a name that no other one bears.
    async fn operate(&mut self, number: usize, act: &str) -> Result<(), Trouble>;
    async fn relogin(&mut self) -> Result<(), Trouble>;
    async fn leave(self);
    /// Without a word, as a process that dies.
    fn vanish(self) {}
}

/// What went wrong with an operation.
#[derive(Debug)]
pub enum Trouble {
    /// It failed, with these words.
    Failed(String),
    /// The answer is another's, or an act was carried out twice. Nothing excuses that.
    Wrong(String),
}

impl Trouble {
    pub fn failed(error: impl std::fmt::Debug) -> Trouble {
        Trouble::Failed(format!("{error:?}"))
    }
}

/// The answer was this one, as it had to be.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Result<(), Trouble> {
    if got == wanted { Ok(()) } else { Err(Trouble::Wrong(format!("{what}: {got:?} instead of {wanted:?}"))) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    Reconnecting,
    Staying,
    Relogging,
    Idling,
}

const CLIENTS: [Habit; 6] = [
    Habit::Reconnecting,
    Habit::Reconnecting,
    Habit::Staying,
    Habit::Staying,
    Habit::Relogging,
    Habit::Idling,
];

impl Habit {
    fn pause(self) -> Duration {
        Duration::from_millis(match self {
            Habit::Reconnecting => 60,
            Habit::Staying => 15,
            Habit::Relogging => 50,
            Habit::Idling => 3000,
        })
    }

    /// After so many operations the client says goodbye and comes again.
    fn stays(self) -> usize {
        match self {
            Habit::Reconnecting => 2,
            Habit::Staying | Habit::Relogging | Habit::Idling => usize::MAX,
        }
    }
}

/// What clients and scripts of one protocol share.
#[derive(Debug)]
pub struct World {
    pub timeline: Timeline,
    pub over: AtomicBool,
    pub tally: Mutex<Tally>,
    /// Whether the route ends sessions of old passwords.
    pub retires: AtomicBool,
}

/// Over all worlds: several may follow each other on one server.
static ACTS: AtomicU64 = AtomicU64::new(0);

impl World {
    pub fn new() -> World {
        World {
            timeline: Timeline::new(),
            over: AtomicBool::new(false),
            tally: Mutex::default(),
            retires: AtomicBool::new(false),
        }
    }

    /// Ends the world when it is dropped: a test that breaks off must not leave clients at work.
    pub fn ended_by_drop(&self) -> impl Drop + use<'_> {
        Ending(self)
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// What makes the soak fail, whatever else happens.
    pub fn complain(&self, complaint: String) {
        self.tally.lock().unwrap().complaints.push(complaint);
        self.over.store(true, Ordering::SeqCst);
    }

    /// For a script: shorter when all is over.
    pub fn pause(&self, long: Duration) {
        let end = self.timeline.now() + long;
        while !self.is_over() && self.timeline.now() < end {
            thread::sleep(GLANCE.min(end.saturating_sub(self.timeline.now())));
        }
    }

    pub fn name_of_an_act(&self) -> String {
        format!("act-{}", ACTS.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes note of an operation. `false` where the session is of no more use.
    fn judge(&self, what: Kind, well: Duration, from: Duration, outcome: Result<(), Trouble>) -> bool {
        let to = self.timeline.now();
        let mut tally = self.tally.lock().unwrap();
        tally.note(what, from, to);
        let (told, excuse) = match outcome {
            Ok(()) => return true,
            Err(Trouble::Wrong(told)) => (told, None),
            Err(Trouble::Failed(told)) => {
                let attempt = Attempt { what, well, from, to, told };
                let retires = self.retires.load(Ordering::SeqCst);
                let excuse = judge::excuse(&attempt, &self.timeline.spells(), retires);
                (attempt.told, excuse)
            }
        };
        match excuse {
            Some(excuse) => tally.excused(excuse),
            None => {
                tally.fail(Attempt { what, well, from, to, told });
                self.over.store(true, Ordering::SeqCst);
            }
        }
        false
    }
}

struct Ending<'a>(&'a World);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

/// Runs all clients until the world is over.
pub fn work<D: Driver>(world: &World, addr: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let habits = CLIENTS.into_iter().filter(|habit| D::RELOGS || *habit != Habit::Relogging);
    let clients = habits.map(|habit| client::<D>(world, addr, habit));
    runtime.block_on(join_all(clients));
}

async fn client<D: Driver>(world: &World, addr: SocketAddr, habit: Habit) {
    while !world.is_over() {
        session::<D>(world, addr, habit).await;
        pause(world, Duration::from_millis(20)).await;
    }
}

async fn session<D: Driver>(world: &World, addr: SocketAddr, habit: Habit) {
    let token = world.name_of_an_act();
    let start = world.timeline.now();
    let mut session = match bounded(D::connect(addr, &token)).await {
        Ok(session) => session,
        Err(trouble) => {
            world.judge(D::CONNECTING, start, start, Err(trouble));
            return;
        }
    };
    world.judge(D::CONNECTING, start, start, Ok(()));
    let mut well = world.timeline.now();
    if !world.judge(Kind::Operation, well, well, bounded(session.begin()).await) {
        return;
    }
    for number in 0..habit.stays() {
        if world.is_over() {
            break;
        }
        let from = world.timeline.now();
        let (what, outcome) = if habit == Habit::Relogging && number % 3 == 2 {
            (Kind::Relogin, bounded(session.relogin()).await)
        } else {
            let act = world.name_of_an_act();
            (Kind::Operation, bounded(session.operate(number % D::OPERATIONS, &act)).await)
        };
        if !world.judge(what, well, from, outcome) {
            return;
        }
        well = world.timeline.now();
        pause(world, habit.pause()).await;
    }
    let left = timeout(PATIENCE, session.leave()).await;
    let left = left.map_err(|_| Trouble::Wrong(format!("no goodbye within {PATIENCE:?}")));
    world.judge(Kind::Goodbye, well, well, left);
}

async fn bounded<T>(work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    match timeout(PATIENCE, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Trouble::Wrong(format!("no answer within {PATIENCE:?}"))),
    }
}

async fn pause(world: &World, long: Duration) {
    let end = world.timeline.now() + long;
    while !world.is_over() {
        let left = end.saturating_sub(world.timeline.now());
        if left.is_zero() {
            return;
        }
        sleep(left.min(GLANCE)).await;
    }
}
