//! One schedule: how Attaché is configured, who comes, and what happens when. Drawn from one number.

use std::fmt;
use std::time::Duration;

use attache::config::domain::{Live, Role};

use crate::dice::Dice;
use crate::speech::Dialect;
use crate::wire::Fault;
use crate::world::{Condition, Login};

/// How long the events take; what they begin may end a little later.
const LENGTH: Duration = Duration::from_secs(30);

/// How passwords begin that no database ever accepts.
const WRONG: &str = "wrong";

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub dialect: Dialect,
    pub servers: usize,
    pub role: Role,
    pub wait: Duration,
    pub connect_timeout: Duration,
    pub probe_interval: Duration,
    pub poll: Duration,
    pub live: Live,
    pub within: Duration,
    pub warm: usize,
    pub reuse: bool,
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
    /// The database accepts this too.
    Allow(Login),
    /// The database accepts no other password of this user any more.
    Replace(Login),
    Forbid(Login),
    /// A server changes, and its connections with it.
    Server(usize, Condition, Farewell),
    /// This server is the primary from now on, and no other one.
    Promote(usize),
    /// One of the open connections to servers.
    Cut(u64, Fault),
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
    /// Sessions that live would have come about differently.
    Login,
}

impl Plan {
    pub fn draw(seed: u64) -> Plan {
        let mut dice = Dice::of(seed, "plan");
        let seconds = |dice: &mut Dice, all: &[u64]| Duration::from_secs(dice.pick(all));
        let dialect = dice.pick(&[Dialect::Postgres, Dialect::Postgres, Dialect::Redis]);
        let servers = usize::try_from(dice.pick(&[1, 1, 2, 3])).expect("a few");
        let role = if servers > 1 && dice.in_hundred(75) { Role::Primary } else { Role::Any };
        let warm = if dialect == Dialect::Postgres { dice.pick(&[0, 0, 1, 3]) } else { 0 };
        let mut plan = Plan {
            seed,
            dialect,
            servers,
            role,
            wait: seconds(&mut dice, &[15, 20, 30]),
            connect_timeout: seconds(&mut dice, &[1, 2, 5]),
            probe_interval: seconds(&mut dice, &[0, 5, 5, 10]),
            poll: Duration::from_millis(dice.pick(&[500, 1000, 5000])),
            live: dice.pick(&[Live::Keep, Live::Keep, Live::Drain, Live::Cut]),
            within: seconds(&mut dice, &[1, 5, 20]),
            warm,
            reuse: warm > 0 && dice.in_hundred(60),
            deadline: seconds(&mut dice, &[5, 15, 25]),
            first: Login::new("app_a", "password-0"),
            clients: Vec::new(),
            events: Vec::new(),
            length: LENGTH,
            stopped: dice.in_hundred(50),
        };
        plan.clients = guests(&mut dice);
        plan.events = Writer::new(&plan, Dice::of(seed, "events")).events();
        plan
    }

    /// A schedule in which nothing happens by itself.
    pub fn quiet(dialect: Dialect) -> Plan {
        let second = Duration::from_secs(1);
        Plan {
            seed: 0,
            dialect,
            servers: 1,
            role: Role::Any,
            wait: second * 15,
            connect_timeout: second,
            probe_interval: Duration::ZERO,
            poll: second / 2,
            live: Live::Keep,
            within: second,
            warm: 0,
            reuse: false,
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
            Step::Mount(login) if !login.password.starts_with(WRONG) => Some((at, login)),
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

/// Writes the events of a schedule.
struct Writer {
    dice: Dice,
    servers: usize,
    dialect: Dialect,
    login: Login,
    other_user: &'static str,
    serial: u32,
    primary: usize,
}

impl Writer {
    fn new(plan: &Plan, dice: Dice) -> Writer {
        let Plan { servers, dialect, first, .. } = plan;
        let login = first.clone();
        Writer { dice, servers: *servers, dialect: *dialect, login, other_user: "app_b", serial: 0, primary: 0 }
    }

    fn events(mut self) -> Vec<Event> {
        let mut at = self.dice.between(2000, 8000);
        let mut events = Vec::new();
        while at < LENGTH {
            events.push(self.event(at));
            // Mostly one after another; sometimes one in the midst of another.
            at += match self.dice.in_hundred(70) {
                true => self.dice.between(8_000, 20_000),
                false => self.dice.between(0, 3000),
            };
        }
        events
    }

    fn event(&mut self, at: Duration) -> Event {
        let gap = self.dice.between(0, 10_000);
        let (name, steps) = match self.dice.roll(12) {
            0 | 1 => {
                let new = self.next(false);
                ("the Secret first", vec![(at, Step::Mount(new.clone())), (at + gap, Step::Replace(new))])
            }
            2 | 3 => {
                let new = self.next(false);
                ("the database first", vec![(at, Step::Replace(new.clone())), (at + gap, Step::Mount(new))])
            }
            4 => self.overlap("the other user", at, gap, true),
            5 => self.overlap("two passwords", at, gap, false),
            6 => self.secret_breaks(at, gap),
            7 => self.server_restarts(at),
            8 => self.primary_moves(at),
            9 => self.server_hangs(at, gap),
            10 => {
                let (which, fault) = (self.dice.next(), self.dice.pick(&Fault::ALL));
                ("a connection breaks", vec![(at, Step::Cut(which, fault))])
            }
            _ => {
                let policy = self.dice.pick(&[Live::Keep, Live::Drain, Live::Cut]);
                let all = [Reload::Nothing, Reload::Wait, Reload::Pool, Reload::Policy(policy), Reload::Login];
                ("reload", vec![(at, Step::Reload(self.dice.pick(&all)))])
            }
        };
        Event { name, steps }
    }

    fn next(&mut self, other: bool) -> Login {
        self.serial += 1;
        if other {
            let before = if self.login.user == "app_a" { "app_a" } else { "app_b" };
            self.login.user = std::mem::replace(&mut self.other_user, before).to_owned();
        }
        self.login.password = format!("password-{}", self.serial);
        self.login.clone()
    }

    /// The new login is good before the old one is bad.
    fn overlap(
        &mut self,
        name: &'static str,
        at: Duration,
        gap: Duration,
        other: bool,
    ) -> (&'static str, Vec<(Duration, Step)>) {
        let old = self.login.clone();
        let new = self.next(other);
        let end = at + gap + self.dice.between(0, 10_000);
        (name, vec![(at, Step::Allow(new.clone())), (at + gap, Step::Mount(new)), (end, Step::Forbid(old))])
    }

    fn secret_breaks(&mut self, at: Duration, gap: Duration) -> (&'static str, Vec<(Duration, Step)>) {
        if self.dice.in_hundred(40) {
            let good = self.login.clone();
            let wrong = Login::new(&good.user, &format!("{WRONG}-{}", self.serial));
            self.serial += 1;
            return ("the wrong Secret", vec![(at, Step::Mount(wrong)), (at + gap, Step::Mount(good))]);
        }
        let loss = self.dice.pick(&[Loss::Folder, Loss::Key, Loss::Empty]);
        ("the Secret breaks", vec![(at, Step::Unmount(loss)), (at + gap, Step::Remount)])
    }

    fn server_restarts(&mut self, at: Duration) -> (&'static str, Vec<(Duration, Step)>) {
        let server = self.server();
        let farewell = self.dice.pick(&[Farewell::Polite, Farewell::Hurt(Fault::Reset), Farewell::Hurt(Fault::End)]);
        let down = at + self.dice.between(0, 8000);
        let up = down + self.dice.between(0, 3000);
        let steps = vec![
            (at, Step::Server(server, Condition::Down, farewell)),
            (down, Step::Server(server, Condition::Starting, Farewell::None)),
            (up, Step::Server(server, Condition::Up, Farewell::None)),
        ];
        ("a server restarts", steps)
    }

    /// The primary goes, another one takes over, and it comes back as a replica.
    fn primary_moves(&mut self, at: Duration) -> (&'static str, Vec<(Duration, Step)>) {
        if self.servers == 1 {
            return self.server_restarts(at);
        }
        let old = self.primary;
        self.primary = (old + 1 + usize::try_from(self.dice.roll(self.servers as u64 - 1)).expect("an index"))
            % self.servers;
        let promoted = at + self.dice.between(0, 9000);
        let back = promoted + self.dice.between(0, 6000);
        // Redis changes its role with its connections open.
        if self.dialect == Dialect::Redis && self.dice.in_hundred(50) {
            return ("switchover", vec![(at, Step::Promote(self.primary))]);
        }
        let farewell = self.dice.pick(&[Farewell::Polite, Farewell::Hurt(Fault::Reset)]);
        let gone = self.dice.pick(&[Condition::Down, Condition::Dark]);
        let steps = vec![
            (at, Step::Server(old, gone, farewell)),
            (promoted, Step::Promote(self.primary)),
            (back, Step::Server(old, Condition::Up, Farewell::None)),
        ];
        ("failover", steps)
    }

    fn server_hangs(&mut self, at: Duration, gap: Duration) -> (&'static str, Vec<(Duration, Step)>) {
        let server = self.server();
        let how = self.dice.pick(&[Condition::Deaf, Condition::Dark]);
        let end = at + gap;
        let steps = vec![
            (at, Step::Server(server, how, Farewell::Hurt(Fault::Freeze))),
            (end, Step::Server(server, Condition::Up, Farewell::Thaw)),
        ];
        ("a server hangs", steps)
    }

    fn server(&mut self) -> usize {
        match self.dice.in_hundred(60) {
            true => self.primary,
            false => usize::try_from(self.dice.roll(self.servers as u64)).expect("an index"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {}, {} servers, role {}, wait {:?}, connect_timeout {:?}, probes {:?}, poll {:?}",
            self.seed,
            self.dialect.name(),
            self.servers,
            self.role.name(),
            self.wait,
            self.connect_timeout,
            self.probe_interval,
            self.poll
        )?;
        writeln!(
            f,
            "live {:?} within {:?}, warm {}, reuse {}, deadline {:?}, {}",
            self.live,
            self.within,
            self.warm,
            self.reuse,
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
