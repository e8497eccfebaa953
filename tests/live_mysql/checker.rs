//! Wrong data is impossible: no session ever sees another's state or another's reply, nor is it hit by another's KILL.
//!
//! Many clients, each with a token of its own, go through warm and reused links: they leave whatever can be left on a
//! link, end in every way that there is, have themselves killed at the worst moment, and others send KILL with the ids of
//! sessions that are over. Each looks whether its link is as new, and whether every reply is its own.
#![expect(clippy::print_stdout, reason = "it tells its seed, and what it has counted")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::house::*;
use crate::raw::Raw;
use crate::reuse::{TRACES, account, clean};
use crate::servers::{self, Db};
use crate::warm::{pooled, takes};

const CLIENTS: usize = 6;
const USUAL_SECONDS: u64 = 2;
/// Seconds for each server and way of using links, and the seed, for whoever looks for more or for the same again.
const SECONDS: &str = "ATTACHE_CHECK_SECONDS";
const SEED: &str = "ATTACHE_CHECK_SEED";
/// Errors of a statement that a KILL QUERY or a time limit has ended.
const INTERRUPTED: [u16; 3] = [1317, 1969, 3024];
/// The server knows no thread of that id.
const NO_SUCH_THREAD: u16 = 1094;

#[test]
fn no_session_sees_the_state_or_the_reply_of_another() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let (seconds, seed) = (number(SECONDS).unwrap_or(USUAL_SECONDS), number(SEED).unwrap_or_else(now));
    println!("{SEED}={seed}");
    for db in servers::each() {
        for (name, pool) in [("checked_reuse", "warm: 4, reuse: true"), ("checked_once", "warm: 4")] {
            check(db, name, pool, Duration::from_secs(seconds), seed);
        }
    }
}

fn check(db: &Db, name: &str, pool: &str, time: Duration, seed: u64) {
    account(db, name);
    let house = pooled(db, name, pool).top("workers: 2").start();
    let world = World { house: &house, name, over: AtomicBool::new(false), old_ids: Mutex::default() };
    let (ends, storm) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (world, chance) =
                    (&world, Chance(seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
                scope.spawn(move || {
                    let mut client = Client { world, number, chance, sessions: 0, ends: BTreeMap::new() };
                    client.run();
                    client.ends
                })
            })
            .collect();
        let storm = scope.spawn(|| world.storm(Chance(seed)));
        let end = Instant::now() + time;
        while Instant::now() < end && clients.iter().all(|client| !client.is_finished()) {
            thread::sleep(Duration::from_millis(20));
        }
        world.over.store(true, Ordering::Relaxed);
        let ends: Vec<_> =
            clients.into_iter().map(|client| client.join().expect("nothing wrong was seen")).collect();
        (ends, storm.join().expect("the storm goes on"))
    });
    let mut all = BTreeMap::new();
    for (end, count) in ends.into_iter().flatten() {
        *all.entry(end).or_insert(0) += count;
    }
    let (hits, misses) = (takes(&house, "hit"), takes(&house, "miss"));
    println!(
        "{:?}, {pool}: {all:?}, {storm} old ids killed; links: {hits} warm, {misses} new; nothing wrong was seen",
        db.flavour()
    );
    assert!(all.len() == End::ALL.len() && all.values().all(|count| *count > 0), "{all:?}");
    assert!(storm > 0 && hits > 0.0, "{storm} {hits}");
}

/// A generator of numbers that a seed repeats (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// What all clients share.
struct World<'a> {
    house: &'a House,
    /// The account, and its database.
    name: &'a str,
    over: AtomicBool,
    /// Of sessions that are over: nobody is to be hit by them.
    old_ids: Mutex<Vec<u32>>,
}

impl World<'_> {
    /// Kills sessions that are over, through sessions of its own.
    fn storm(&self, mut chance: Chance) -> usize {
        let mut sent = 0;
        while !self.over.load(Ordering::Relaxed) {
            let mut session = self.house.raw(self.name);
            for _ in 0..chance.below(30) {
                let id = {
                    let ids = self.old_ids.lock().unwrap();
                    let latest = ids.len().min(16);
                    (latest > 0).then(|| ids[ids.len() - 1 - chance.below(latest)])
                };
                let Some(id) = id else { break };
                let what = chance.pick(&["QUERY ", "", "CONNECTION "]);
                match self.kill(&mut session, what, id) {
                    // Its link is being closed, or its client has not been heard to go.
                    None => {}
                    Some(number) => assert_eq!(number, NO_SUCH_THREAD),
                }
                sent += 1;
            }
            session.send(0, &[1]);
        }
        sent
    }

    /// The number of the error, if it is one.
    fn kill(&self, session: &mut Raw, what: &str, id: u32) -> Option<u16> {
        session.ask(&format!("KILL {what}{id}"));
        session.reply().err().map(|report| report.number)
    }

    /// Sends KILL QUERY over a connection of its own, and does not wait for anything.
    fn interrupt(&self, id: u32) {
        self.house.raw(self.name).ask(&format!("KILL QUERY {id}"));
    }
}

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Goodbye,
    Close,
    InTransaction,
    InQuery,
    HalfAQuery,
    TimedOut,
    /// Has its query killed, and leaves when it is.
    Killed,
    /// Has it killed, and leaves at once: the KILL may come too late.
    KilledTooLate,
}

impl End {
    const ALL: [End; 8] = [
        End::Goodbye,
        End::Close,
        End::InTransaction,
        End::InQuery,
        End::HalfAQuery,
        End::TimedOut,
        End::Killed,
        End::KilledTooLate,
    ];
}

struct Client<'a> {
    world: &'a World<'a>,
    number: usize,
    chance: Chance,
    sessions: usize,
    ends: BTreeMap<End, usize>,
}

impl Client<'_> {
    fn run(&mut self) {
        while !self.world.over.load(Ordering::Relaxed) {
            let end = if self.sessions < End::ALL.len() {
                // Each begins with another one, so that all are there soon.
                End::ALL[(self.sessions + self.number) % End::ALL.len()]
            } else {
                self.chance.pick(&End::ALL)
            };
            self.sessions += 1;
            self.session(end);
            *self.ends.entry(end).or_insert(0) += 1;
        }
    }

    fn session(&mut self, end: End) {
        let name = self.world.name;
        let token = format!("{}-{}", self.number, self.sessions);
        let (collation, clean) = match self.chance.below(3) {
            0 => (
                8,
                clean(name).replace("utf8mb4_general_ci", "latin1_swedish_ci").replace("utf8mb4", "latin1"),
            ),
            _ => (45, clean(name)),
        };
        let mut session = Raw::log_in_as(self.world.house.addr(), name, 0, collation)
            .unwrap_or_else(|report| panic!("{token}: {report:?}"));
        assert_eq!(session.value(TRACES), clean, "{token} found traces of another");
        for round in 0..self.chance.below(4) {
            self.leave_a_trace(&mut session, &token, round);
        }
        if self.chance.below(2) == 0 {
            pipeline(&mut session, &token);
        }
        let id = session.id;
        self.end(session, end, &token);
        self.world.old_ids.lock().unwrap().push(id);
    }

    fn leave_a_trace(&mut self, session: &mut Raw, token: &str, round: usize) {
        let name = self.world.name;
        let (set, ask) = match self.chance.below(7) {
            0 => (format!("set @token = '{token}'"), "select @token".to_owned()),
            1 => (
                format!("create temporary table t{round} select '{token}' as token"),
                format!("select token from t{round}"),
            ),
            2 => (format!("prepare p{round} from 'select \"{token}\"'"), format!("execute p{round}")),
            3 => (
                format!("select get_lock('{token}', 0)"),
                format!("select '{token}' where is_used_lock('{token}') = connection_id()"),
            ),
            4 => (
                "set time_zone = '+05:00', wait_timeout = 77, timestamp = 1".to_owned(),
                format!("select '{token}' where @@wait_timeout = 77"),
            ),
            5 => (format!("use {name}_other"), format!("select '{token}' where database() = '{name}_other'")),
            _ => (
                format!("set role {name}_role"),
                format!("select '{token}' where current_role() like '%{name}_role%'"),
            ),
        };
        session.value(&set);
        assert_eq!(session.value(&ask), token, "{set}");
        // Long enough to be hit by whatever is on its way.
        let sleepy = format!("select '{token}' from (select sleep(0.002) as slept) asleep where slept = 0");
        assert_eq!(session.value(&sleepy), token);
    }

    fn end(&mut self, mut session: Raw, end: End, token: &str) {
        let name = self.world.name;
        const GOODBYE: &[u8] = &[1];
        let sleepy = format!("select '{token}' from (select sleep(0.02) as slept) asleep");
        let or_not = |chance: &mut Chance, session: &mut Raw| {
            if chance.below(2) == 0 {
                session.send(0, GOODBYE);
            }
        };
        match end {
            End::Goodbye => session.send(0, GOODBYE),
            End::Close => {}
            End::InTransaction => {
                session.value("begin");
                session.value(&format!("insert into {name}.kept (token) values ('{token}')"));
                or_not(&mut self.chance, &mut session);
            }
            End::InQuery => {
                session.ask(&sleepy);
                or_not(&mut self.chance, &mut session);
            }
            End::HalfAQuery => {
                let cut = sleepy.len() - self.chance.below(20);
                let head = [sleepy.len() as u8 + 1, 0, 0, 0, 3];
                session.send_raw(&[&head[..], &sleepy.as_bytes()[..cut - 1]].concat());
            }
            End::TimedOut => {
                session.ask("set max_statement_time = 0.005");
                if session.reply().is_err() {
                    session.value("set max_execution_time = 5");
                }
                session.ask(&sleepy);
                // MySQL ends the sleep, and not always the statement.
                if let Err(report) = session.reply() {
                    assert!(INTERRUPTED.contains(&report.number), "{token}: {report:?}");
                }
                session.send(0, GOODBYE);
            }
            End::Killed => {
                let endless = "select sleep(60) from (select 1 union select 2) two";
                session.ask(endless);
                // Before the statement has begun, it would end nothing.
                while session.is_silent() {
                    self.world.interrupt(session.id);
                }
                match session.reply() {
                    Ok((value, _)) => assert_eq!(value, "1", "{token}: the sleep was ended"),
                    Err(report) => assert!(INTERRUPTED.contains(&report.number), "{token}: {report:?}"),
                }
                session.send(0, GOODBYE);
            }
            End::KilledTooLate => {
                session.ask(&sleepy);
                self.world.interrupt(session.id);
                match session.reply() {
                    Ok((value, _)) => assert_eq!(value, token),
                    Err(report) => assert!(INTERRUPTED.contains(&report.number), "{token}: {report:?}"),
                }
                for _ in 0..self.chance.below(3) {
                    self.world.interrupt(session.id);
                }
                session.send(0, GOODBYE);
            }
        }
    }
}

/// Several statements in one go, of which one fails: each answer is in its place.
fn pipeline(session: &mut Raw, token: &str) {
    let statements = [format!("select '{token}-1'"), "selekt 1".to_owned(), format!("select '{token}-3'")];
    for sql in &statements {
        session.ask(sql);
    }
    let seen: Vec<_> = statements
        .iter()
        .map(|_| match session.reply() {
            Ok((value, _)) => value,
            Err(report) => report.number.to_string(),
        })
        .collect();
    assert_eq!(seen, [format!("{token}-1"), "1064".to_owned(), format!("{token}-3")]);
}
