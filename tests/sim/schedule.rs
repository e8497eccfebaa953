//! Plays one schedule: the script changes the world, clients work, and at the end everything has to be as it was.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::book::{Change, Condition, Duty, Episode, Login, Verdict};
use crate::cancels::CANCELLED;
use crate::clients::Client;
use crate::folder::Folder;
use crate::house::{House, Shared};
use crate::oracle;
use crate::plan::{Farewell, Loss, Plan, Reload, Step};
use crate::removal;
use crate::settling;
use crate::tls::{Authorities, Trust};
use crate::wire::{Fault, Line};
use crate::world::{Target, World};

/// When everything is in order again, even the longest pause between two attempts is over after this.
const SETTLED: Duration = Duration::from_secs(90);
/// The last words of sessions that are cut.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Seconds until there is a turn for whoever was told no too often, and a few.
const TURN_SECONDS: usize = 16;

/// What became of a schedule.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Promises that were broken.
    pub wrong: Vec<String>,
    pub log: Vec<String>,
    pub counts: Counts,
    /// What servers said to logins, and since when that can be told.
    pub verdicts: Vec<Verdict>,
    pub start: Option<Instant>,
    /// Whether the connection broke that was to break.
    pub was_cut: bool,
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub logins: usize,
    pub rejected: usize,
    pub questions: usize,
    /// Questions that were cancelled.
    pub cancelled: usize,
    /// Things that went wrong for clients because nobody could have helped it.
    pub excused: usize,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.logins += other.logins;
        self.rejected += other.rejected;
        self.questions += other.questions;
        self.cancelled += other.cancelled;
        self.excused += other.excused;
    }
}

pub fn run(plan: &Plan) -> Outcome {
    play(plan, false, None)
}

/// The same, with a log.
pub fn tell(plan: &Plan) -> Outcome {
    play(plan, true, None)
}

/// The same, with a connection that breaks by a call of this number.
pub fn cut(plan: &Plan, target: Target, call: u32, fault: Fault) -> Outcome {
    play(plan, false, Some((target, call, fault)))
}

fn play(plan: &Plan, verbose: bool, cut: Option<(Target, u32, Fault)>) -> Outcome {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let world = World::new(plan, verbose);
        let _playing = world.play();
        if let Some((target, call, fault)) = cut {
            world.cut(target, call, fault);
        }
        Schedule::new(plan, &world).play().await;
        world.close_the_books();
        let (was_cut, judged) = (world.was_cut(), oracle::judge(plan, &world.state()));
        let mut state = world.state();
        let wrong = [std::mem::take(&mut state.wrong), judged].concat();
        Outcome {
            wrong,
            log: std::mem::take(&mut state.log),
            counts: count(&state),
            verdicts: std::mem::take(&mut state.verdicts),
            start: Some(state.start),
            was_cut,
        }
    })
}

fn count(state: &crate::world::State) -> Counts {
    Counts {
        logins: state.verdicts.iter().filter(|verdict| verdict.accepted).count(),
        rejected: state.verdicts.iter().filter(|verdict| !verdict.accepted).count(),
        questions: state.conns.iter().map(|conn| conn.executed.len()).sum(),
        cancelled: state.episodes.iter().filter(|episode| is_cancelled(episode)).count(),
        excused: state.episodes.iter().filter(|episode| !is_cancelled(episode)).count(),
    }
}

fn is_cancelled(episode: &Episode) -> bool {
    matches!(episode, Episode::Refused { told, .. } if told.code == CANCELLED)
}

struct Schedule<'a> {
    plan: &'a Plan,
    world: &'a World,
    house: Shared,
    folder: Folder,
    authorities: Authorities,
    /// Connections that were cut.
    cut: Vec<Line>,
    start: Instant,
}

impl<'a> Schedule<'a> {
    fn new(plan: &'a Plan, world: &'a World) -> Schedule<'a> {
        let folder = Folder::new(plan.first.clone());
        world.change(Change::Beginning, |facts| {
            facts.valid.push(plan.first.clone());
            facts.mounted = Some(plan.first.clone());
        });
        let authorities = Authorities::new(plan.tls);
        let house = House::open(plan, folder.path(), &authorities.file());
        let house = Arc::new(Mutex::new(Some(house)));
        Schedule { plan, world, house, folder, authorities, cut: Vec::new(), start: Instant::now() }
    }

    async fn play(mut self) {
        let until = self.start + self.plan.length;
        let stay = if self.plan.stopped { self.plan.deadline * 2 } else { Duration::ZERO };
        tokio::spawn(settling::watch(self.plan.clone(), self.world.clone(), Arc::clone(&self.house)));
        let mut clients = JoinSet::new();
        for number in 0..self.plan.clients.len() {
            clients.spawn(Client::new(number, self.plan, self.world, &self.house, until + stay).run());
        }
        for (at, step) in self.plan.steps() {
            sleep_until(self.start + at).await;
            self.world.tell(|| format!("{step:?}"));
            self.step(step);
        }
        sleep_until(until).await;
        self.heal();
        if self.plan.stopped {
            self.stop().await;
        } else {
            self.leave(&mut clients).await;
            self.settle().await;
            self.stop().await;
        }
        self.leave(&mut clients).await;
        self.nothing_is_left().await;
    }

    /// All clients come to their end by themselves.
    async fn leave(&self, clients: &mut JoinSet<()>) {
        let all = async {
            while let Some(ended) = clients.join_next().await {
                ended.expect("a client does not panic");
            }
        };
        if timeout(SETTLED * 2, all).await.is_err() {
            self.world.wrong("a client never came to its end".to_owned());
        }
    }

    /// Nobody is there, and everything works: a new client is served, and the books are balanced.
    async fn settle(&self) {
        if !self.newcomer_is_served().await {
            self.world.wrong("everything works, and a new client was not served".to_owned());
        }
        let end = Instant::now() + SETTLED;
        let mut lacking = Some(String::new());
        while lacking.is_some() && Instant::now() < end {
            sleep(Duration::from_millis(250)).await;
            lacking = self.lacking();
        }
        if let Some(lacking) = lacking {
            self.world.wrong(format!("everything works and nobody is there, but {lacking}"));
        }
    }

    /// The first try may come in the very moment in which a policy ends sessions. A route that was put in again may have been
    /// told no too often, and fails at once until the next turn.
    async fn newcomer_is_served(&self) -> bool {
        let was_out = self.world.state().reloads.iter().any(|(_, what)| *what == Reload::Restore);
        let (tries, pause) = if was_out { (TURN_SECONDS, 1) } else { (2, 0) };
        let mut newcomer = Client::new(0, self.plan, self.world, &self.house, Instant::now() + SETTLED);
        for _ in 0..tries {
            if newcomer.is_served().await {
                return true;
            }
            sleep(Duration::from_secs(pause)).await;
        }
        false
    }

    /// What is not as it should be when nobody is there.
    fn lacking(&self) -> Option<String> {
        let status = self.with_house(|house| house.status())?;
        let credential = status.credential.as_ref()?;
        if credential.state != "ok" {
            return Some(format!("the credential is {credential:?}"));
        }
        let active: i64 = status.links_by_generation.values().sum();
        if status.sessions != 0 || active != 0 {
            return Some(format!("{} sessions and {active} links are counted", status.sessions));
        }
        let warm = status.warm_links_by_generation.unwrap_or_default();
        let used = credential.generation_in_use;
        if warm.iter().any(|(generation, links)| *links != 0 && Some(*generation) != used) {
            return Some(format!("links wait by generation: {warm:?}, of which {used:?} is used"));
        }
        let open = self.world.state().open();
        let waiting = usize::try_from(warm.values().sum::<i64>()).unwrap_or(usize::MAX);
        (open.len() != waiting)
            .then(|| format!("connections {open:?} to servers are open, and {waiting} links wait"))
    }

    /// The process is told to end, and does.
    async fn stop(&self) {
        let (route, drain, policy) =
            self.with_house(|house| (house.route(), house.drain.clone(), house.policy()));
        let route = route.expect("it was put in again");
        let begun = Instant::now();
        self.world.state().stopped = Some(begun);
        self.world.tell(|| "the process is told to end".to_owned());
        route.wind_down();
        drain.run(policy).await;
        let took = begun.elapsed();
        if took > policy.deadline + LAST_WORDS {
            self.world.wrong(format!("the drain took {took:?} of {:?}", policy.deadline));
        }
        let house = self.house.lock().expect("nothing panics under this lock").take();
        drop(route);
        let left = house.map(House::end).unwrap_or_default();
        self.world.tell(|| format!("the process has ended after {took:?} with {left} sessions"));
        self.world.state().ended = Some(Instant::now());
    }

    /// The process is gone, and with it everything that it did.
    async fn nothing_is_left(&self) {
        sleep(SETTLED).await;
        let open = self.world.state().open();
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if open.len() + tasks != 0 {
            self.world.wrong(format!("connections {open:?} and {tasks} tasks are left"));
        }
    }

    fn with_house<T>(&self, act: impl FnOnce(&mut House) -> T) -> T {
        let mut house = self.house.lock().expect("nothing panics under this lock");
        act(house.as_mut().expect("the process has not ended"))
    }

    fn step(&mut self, step: Step) {
        let world = self.world.clone();
        let accounts =
            |act: &dyn Fn(&mut Vec<Login>)| world.change(Change::Accounts, |facts| act(&mut facts.valid));
        match step {
            Step::Mount(login) => self.mount(login),
            Step::Unmount(loss) => {
                if self.folder.lose(loss) {
                    world.change(Change::Secret, |facts| facts.mounted = None);
                }
            }
            Step::Remount => self.mount(self.folder.content()),
            Step::Renew => {
                self.folder.certify();
                self.mount(self.folder.content());
            }
            Step::Move(login) => self.move_folder(login),
            Step::Allow(login) => accounts(&|valid| valid.push(login.clone())),
            Step::Replace(login) => accounts(&|valid| {
                valid.retain(|other| other.user != login.user);
                valid.push(login.clone());
            }),
            Step::Forbid(login) => accounts(&|valid| valid.retain(|other| *other != login)),
            Step::Server(server, condition, farewell) => self.turn(server, condition, farewell),
            Step::Promote(server) => self.promote(server),
            Step::Crown(server) => world.change(Change::Server, |facts| {
                facts.servers[server].duty = Duty::Primary;
                facts.primary = server;
            }),
            Step::Cut(which, fault) => self.cut(which, fault),
            Step::Show(certificate) => world.change(Change::Trust, |facts| facts.shown = certificate),
            Step::Trust(whom) => self.authorities.write(whom),
            Step::Reload(Reload::Restore) => self.restore(),
            Step::Reload(what) => self.reload(what),
        }
    }

    fn mount(&mut self, login: Login) {
        self.folder.write(login.clone());
        self.world.change(Change::Secret, |facts| facts.mounted = Some(login));
    }

    fn move_folder(&mut self, login: Option<Login>) {
        self.folder.move_with(login.clone().unwrap_or_else(|| self.folder.content()));
        if login.is_none() {
            self.folder.lose(Loss::Folder);
        }
        self.world.change(Change::Secret, |facts| facts.mounted = login);
        let path = self.folder.path().to_owned();
        self.with_house(|house| house.move_credential(path));
        self.world.state().reloads.push((Instant::now(), Reload::Path));
    }

    fn reload(&self, what: Reload) {
        self.with_house(|house| house.reload(what));
        self.world.state().reloads.push((Instant::now(), what));
    }

    /// Puts the route in again, if it is out. Nothing but what was left behind is counted in that moment.
    fn restore(&self) {
        let Some(since) = self.with_house(|house| house.out_since) else { return };
        self.reload(Reload::Restore);
        let status = self.with_house(|house| house.status()).expect("it is in again");
        let left = removal::left_behind(self.plan, &self.world.state(), &status, since.elapsed());
        left.into_iter().for_each(|wrong| self.world.wrong(wrong));
    }

    fn turn(&mut self, server: usize, condition: Condition, farewell: Farewell) {
        let before = self.world.state().now.servers[server].condition;
        if condition == Condition::Starting && before != Condition::Down {
            return;
        }
        self.world.change(Change::Server, |facts| facts.servers[server].condition = condition);
        match farewell {
            Farewell::None => {}
            Farewell::Polite => self.world.hurt_all(server, |conn| conn.closing.notify_one()),
            Farewell::Hurt(fault) => self.world.hurt_all(server, |conn| conn.line.hurt(fault)),
            Farewell::Thaw => self.world.thaw_all(server),
        }
    }

    fn promote(&mut self, server: usize) {
        let before: Vec<Duty> = self.world.state().now.servers.iter().map(|server| server.duty).collect();
        self.world.change(Change::Server, |facts| {
            facts.primary = server;
            for (at, other) in facts.servers.iter_mut().enumerate() {
                other.duty = if at == server { Duty::Primary } else { Duty::Replica };
            }
        });
        for (at, duty) in before.iter().enumerate() {
            if at != server && *duty == Duty::Primary {
                self.world.hurt_all(at, |_| {});
            }
        }
    }

    fn cut(&mut self, which: u64, fault: Fault) {
        let mut state = self.world.state();
        let mut open: Vec<_> = state.conns.iter_mut().filter(|conn| conn.is_open()).collect();
        if open.is_empty() {
            return;
        }
        let at = usize::try_from(which % open.len() as u64).expect("an index");
        open[at].hurt.get_or_insert_with(Instant::now);
        open[at].line.hurt(fault);
        self.cut.push(open[at].line.clone());
    }

    /// Whatever the events have left behind is put in order.
    fn heal(&mut self) {
        self.world.tell(|| "everything is put in order".to_owned());
        let login = self.plan.last_login();
        if self.plan.tls {
            self.authorities.write(Trust::Both);
        }
        // Whoever hears nothing for so long takes a connection for dead.
        self.cut.iter().for_each(|line| line.hurt(Fault::Reset));
        self.world.let_go();
        let servers = self.world.state().now.servers.clone();
        for (server, is) in servers.iter().enumerate() {
            if is.condition != Condition::Up {
                self.turn(server, Condition::Up, Farewell::Thaw);
            }
        }
        if servers.iter().filter(|server| server.duty == Duty::Primary).count() != 1 {
            let primary = self.world.state().now.primary;
            self.promote(primary);
        }
        self.world.change(Change::Accounts, |facts| facts.valid = vec![login.clone()]);
        self.mount(login);
        self.restore();
    }
}
