//! One schedule: how Attaché is configured, who comes, and what happens when. Drawn from one number.

use std::fmt;
use std::time::Duration;

use attache::config::domain::{Live, Role};

use crate::book::{Condition, Login};
use crate::dice::Dice;
use crate::script;
use crate::speech::Dialect;
use crate::tls::Trust;
use crate::wire::Fault;

/// How long the events take; what they begin may end a little later.
pub const LENGTH: Duration = Duration::from_secs(30);

/// More sessions than there are clients.
const MANY: usize = 1000;

/// How passwords begin that no database ever accepts.
pub const WRONG: &str = "wrong";

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub dialect: Dialect,
    pub servers: usize,
    pub tls: bool,
    pub role: Role,
    pub wait: Duration,
    pub connect_timeout: Duration,
    pub probe_interval: Duration,
    pub poll: Duration,
    pub live: Live,
    pub within: Duration,
    pub warm: usize,
    pub reuse: bool,
    pub max_sessions: usize,
    /// Whether clients send cancel requests.
    pub cancels: bool,
    pub deadline: Duration,
    pub first: Login,
    pub clients: Vec<Guest>,
    pub events: Vec<Event>,
    /// When whoever is left is asked to leave.
    pub length: Duration,
    /// Whether the process is stopped while clients are at work.
    pub stopped: bool,
}

/// A client.
#[derive(Debug, Clone, Copy)]
pub struct Guest {
    pub from: Duration,
    pub habit: Habit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Connects for each of its questions.
    Hopper,
    /// Stays as long as it may, with transactions and slow questions.
    Stayer,
    /// Stays, and rarely asks.
    Sleeper,
    /// Leaves without a word, at any moment.
    Leaver,
    /// Asks on and on, and never reads.
    Mute,
    /// Does the same in each of its sessions.
    Regular,
}

/// Something that happens, as the steps that it consists of.
#[derive(Debug, Clone)]
pub struct Event {
    pub name: &'static str,
    pub steps: Vec<(Duration, Step)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The folder holds this from now on.
    Mount(Login),
    Unmount(Loss),
    /// The folder holds again what it held.
    Remount,
    /// The folder holds another client certificate from now on, beside what it holds.
    Renew,
    /// A reload says that the folder lies elsewhere; what it holds there, if it is there yet.
    Move(Option<Login>),
    /// The database accepts this too.
    Allow(Login),
    /// The database accepts no other password of this user any more.
    Replace(Login),
    Forbid(Login),
    /// A server changes, and its connections with it.
    Server(usize, Condition, Farewell),
    /// This server is the primary from now on, and no other one.
    Promote(usize),
    /// This server is the primary from now on, and the other one has not heard of it.
    Crown(usize),
    /// One of the open connections to servers.
    Cut(u64, Fault),
    /// Servers show this certificate from now on.
    Show(usize),
    /// The file of authorities names these from now on.
    Trust(Trust),
    Reload(Reload),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    Folder,
    Key,
    Empty,
}

/// What becomes of the connections of a server that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// They live on.
    None,
    /// They end in the server's words.
    Polite,
    Hurt(Fault),
    Thaw,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    Nothing,
    /// What sessions that live have nothing to do with.
    Wait,
    Pool,
    Policy(Live),
    /// So many sessions at once from now on.
    Seats(usize),
    /// The folder lies elsewhere.
    Path,
    /// Sessions that live would have come about differently.
    Login,
    /// There is no route any more.
    Remove,
    /// There is one again.
    Restore,
}

impl Reload {
    /// The new policy.
    pub fn policy(self) -> Option<Live> {
        if let Self::Policy(live) = self { Some(live) } else { None }
    }

    /// How many sessions there may be.
    pub fn seats(self) -> Option<usize> {
        if let Self::Seats(most) = self { Some(most) } else { None }
    }

    /// Whether sessions that live have to end for it.
    pub fn ends_sessions(self) -> bool {
        matches!(self, Self::Login | Self::Remove)
    }
}

impl Plan {
    pub fn draw(seed: u64) -> Plan {
        let mut dice = Dice::of(seed, "plan");
        let seconds = |dice: &mut Dice, all: &[u64]| Duration::from_secs(dice.pick(all));
        let dialect = dice.pick(&[
            Dialect::Postgres,
            Dialect::Postgres,
            Dialect::Mysql,
            Dialect::Mysql,
            Dialect::Redis,
        ]);
        let servers = usize::try_from(dice.pick(&[1, 1, 2, 3])).expect("a few");
        let role = if servers > 1 && dice.in_hundred(75) { Role::Primary } else { Role::Any };
        let warm = dice.pick(&[0, 0, 1, 3]);
        let mut plan = Plan {
            seed,
            dialect,
            servers,
            tls: dice.in_hundred(5),
            role,
            wait: seconds(&mut dice, &[15, 20, 30]),
            connect_timeout: seconds(&mut dice, &[1, 2, 5]),
            probe_interval: seconds(&mut dice, &[0, 5, 5, 10]),
            poll: Duration::from_millis(dice.pick(&[500, 1000, 5000, 30_000])),
            live: dice.pick(&[Live::Keep, Live::Keep, Live::Drain, Live::Cut]),
            within: seconds(&mut dice, &[1, 5, 20]),
            warm,
            // A link of Redis' cannot be reset.
            reuse: warm > 0 && dialect != Dialect::Redis && dice.in_hundred(60),
            max_sessions: dice.pick(&[MANY, MANY, MANY, MANY, MANY, MANY, 1, 2, 3]),
            cancels: dialect == Dialect::Postgres && dice.in_hundred(50),
            deadline: seconds(&mut dice, &[5, 15, 25]),
            first: Login::new("app_a", "password-0"),
            clients: Vec::new(),
            events: Vec::new(),
            length: LENGTH,
            stopped: dice.in_hundred(50),
        };
        plan.clients = guests(&mut dice);
        plan.events = script::write(&plan, Dice::of(seed, "events"));
        plan
    }

    /// A schedule in which nothing happens by itself.
    pub fn quiet(dialect: Dialect) -> Plan {
        let second = Duration::from_secs(1);
        Plan {
            seed: 0,
            dialect,
            servers: 1,
            tls: false,
            role: Role::Any,
            wait: second * 15,
            connect_timeout: second,
            probe_interval: Duration::ZERO,
            poll: second / 2,
            live: Live::Keep,
            within: second,
            warm: 0,
            reuse: false,
            max_sessions: MANY,
            cancels: false,
            deadline: second * 5,
            first: Login::new("app_a", "password-0"),
            clients: Vec::new(),
            events: Vec::new(),
            length: second * 10,
            stopped: false,
        }
    }

    /// This many clients of this habit, from the beginning.
    pub fn with_clients(mut self, count: usize, habit: Habit) -> Plan {
        self.clients.extend(std::iter::repeat_n(Guest { from: Duration::ZERO, habit }, count));
        self
    }

    /// These steps, each at so many milliseconds.
    pub fn with_steps(mut self, name: &'static str, steps: &[(u64, Step)]) -> Plan {
        let steps = steps.iter().map(|(at, step)| (Duration::from_millis(*at), step.clone())).collect();
        self.events.push(Event { name, steps });
        self
    }

    /// What folder and database agree on in the end.
    pub fn last_login(&self) -> Login {
        let steps = self.events.iter().flat_map(|event| &event.steps);
        let mounted = steps.filter_map(|(at, step)| match step {
            Step::Mount(login) | Step::Move(Some(login)) if !login.password.starts_with(WRONG) => {
                Some((at, login))
            }
            _ => None,
        });
        mounted.max_by_key(|(at, _)| **at).map_or_else(|| self.first.clone(), |(_, login)| login.clone())
    }

    /// All steps in order.
    pub fn steps(&self) -> Vec<(Duration, Step)> {
        let mut steps: Vec<_> = self.events.iter().flat_map(|event| event.steps.clone()).collect();
        steps.sort_by_key(|(at, _)| *at);
        steps
    }
}

fn guests(dice: &mut Dice) -> Vec<Guest> {
    const HABITS: [Habit; 9] = [
        Habit::Hopper,
        Habit::Hopper,
        Habit::Hopper,
        Habit::Stayer,
        Habit::Stayer,
        Habit::Stayer,
        Habit::Sleeper,
        Habit::Leaver,
        Habit::Mute,
    ];
    let count = 2 + dice.roll(4);
    let guest = |_| Guest { from: dice.between(0, 3000), habit: dice.pick(&HABITS) };
    (0..count).map(guest).collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {}{}, {} servers, role {}, wait {:?}, connect_timeout {:?}, probes {:?}, poll {:?}",
            self.seed,
            self.dialect.name(),
            if self.tls { " over TLS" } else { "" },
            self.servers,
            self.role.name(),
            self.wait,
            self.connect_timeout,
            self.probe_interval,
            self.poll
        )?;
        writeln!(
            f,
            "live {:?} within {:?}, warm {}, reuse {}, at most {} sessions, cancels {}, deadline {:?}, {}",
            self.live,
            self.within,
            self.warm,
            self.reuse,
            self.max_sessions,
            self.cancels,
            self.deadline,
            if self.stopped { "stopped at work" } else { "everybody leaves" }
        )?;
        for (number, guest) in self.clients.iter().enumerate() {
            writeln!(f, "  client {number}: {:?} from {:?}", guest.habit, guest.from)?;
        }
        for event in &self.events {
            writeln!(f, "  {}:", event.name)?;
            for (at, step) in &event.steps {
                writeln!(f, "    {:8.3} {step:?}", at.as_secs_f64())?;
            }
        }
        Ok(())
    }
}
