//! Wrong data is impossible: no session ever sees another's state or another's reply.
//!
//! Many clients, each with a token of its own, go through warm and reused links: they leave whatever can be left on
//! a link, end in every way that there is, cancel themselves at the worst moment, and others send the keys of
//! sessions that are over. Each looks whether its link is as new, and whether every reply is its own.
#![expect(clippy::print_stdout, reason = "it tells its seed, and what it has counted")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::house::*;
use crate::raw::{self, Message, Raw};
use crate::reuse::{CLEAN, TRACES};
use crate::servers::{self, Db};
use crate::warm::{pooled, takes};

const CLIENTS: usize = 8;
const USUAL_SECONDS: u64 = 4;
/// Seconds for each server and way of using links, and the seed, for whoever looks for more or for the same again.
const SECONDS: &str = "ATTACHE_CHECK_SECONDS";
const SEED: &str = "ATTACHE_CHECK_SEED";

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
    let account = db.account(name);
    let house = pooled(db, &account, pool).workers(2).start();
    let world = World { house: &house, name, over: AtomicBool::new(false), old_keys: Mutex::default() };
    let counts = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (world, chance) =
                    (&world, Chance(seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
                scope
                    .spawn(move || Client { world, number, chance, sessions: 0, ends: BTreeMap::new() }.run())
            })
            .collect();
        let storm = scope.spawn(|| world.storm(Chance(seed)));
        let end = Instant::now() + time;
        while Instant::now() < end && clients.iter().all(|client| !client.is_finished()) {
            thread::sleep(Duration::from_millis(20));
        }
        world.over.store(true, Ordering::Relaxed);
        let counts: Vec<_> =
            clients.into_iter().map(|client| client.join().expect("nothing wrong was seen")).collect();
        (counts, storm.join().expect("the storm goes on"))
    });
    let (ends, storm) = counts;
    let mut all = BTreeMap::new();
    for (end, count) in ends.into_iter().flatten() {
        *all.entry(end).or_insert(0) += count;
    }
    let (hits, misses) = (takes(&house, "hit"), takes(&house, "miss"));
    println!(
        "{:?}, {pool}: {all:?}, {storm} old keys sent; links: {hits} warm, {misses} new; nothing wrong was seen",
        db.version()
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
    old_keys: Mutex<Vec<Vec<u8>>>,
}

impl World<'_> {
    /// Sends cancel requests for sessions that are over.
    fn storm(&self, mut chance: Chance) -> usize {
        let mut sent = 0;
        while !self.over.load(Ordering::Relaxed) {
            let key = {
                let keys = self.old_keys.lock().unwrap();
                let latest = keys.len().min(16);
                (latest > 0).then(|| keys[keys.len() - 1 - chance.below(latest)].clone())
            };
            match key {
                Some(key) => {
                    self.cancel(&key);
                    sent += 1;
                }
                None => thread::yield_now(),
            }
        }
        sent
    }

    /// Sends a cancel request, and does not wait for anything.
    fn cancel(&self, key: &[u8]) {
        Raw::connect(self.house.addr()).send(&raw::cancel(key));
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
    /// Cancels its query, and leaves when that is cancelled.
    Cancelled,
    /// Cancels, and leaves at once: the request may come too late.
    CancelledTooLate,
}

impl End {
    const ALL: [End; 8] = [
        End::Goodbye,
        End::Close,
        End::InTransaction,
        End::InQuery,
        End::HalfAQuery,
        End::TimedOut,
        End::Cancelled,
        End::CancelledTooLate,
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
    fn run(mut self) -> BTreeMap<End, usize> {
        while !self.world.over.load(Ordering::Relaxed) {
            let end = if self.sessions < End::ALL.len() {
                End::ALL[self.sessions]
            } else {
                self.chance.pick(&End::ALL)
            };
            self.sessions += 1;
            self.session(end);
            *self.ends.entry(end).or_insert(0) += 1;
        }
        self.ends
    }

    fn session(&mut self, end: End) {
        let token = format!("{}-{}", self.number, self.sessions);
        let application = self.chance.pick(&["", "shop", "office"]);
        let parameters =
            [("user", "nobody"), ("database", self.world.name), ("application_name", application)];
        let mut session = Raw::log_in(self.world.house.addr(), &parameters);
        let key = session.key();
        assert_eq!(session.parameter("application_name").as_deref(), Some(application), "{token}");
        assert_eq!(session.value(TRACES), CLEAN, "{token} found traces of another");
        for round in 0..self.chance.below(4) {
            self.leave_a_trace(&mut session, &token, round);
        }
        if self.chance.below(2) == 0 {
            pipeline(&mut session, &token);
        }
        self.end(session, end, &token);
        let mut keys = self.world.old_keys.lock().unwrap();
        keys.push(key);
    }

    fn leave_a_trace(&mut self, session: &mut Raw, token: &str, round: usize) {
        let lock = self.number * 1_000_000 + self.sessions;
        let (set, ask) = match self.chance.below(6) {
            0 => (format!("set mine.token = '{token}'"), "show mine.token".to_owned()),
            1 => (
                format!("create temp table t{round} as select '{token}' as token"),
                format!("select token from t{round}"),
            ),
            2 => (format!("prepare p{round} as select '{token}'"), format!("execute p{round}")),
            3 => {
                (format!("declare c{round} cursor with hold for select '{token}'"), format!("fetch c{round}"))
            }
            4 => (
                format!("select pg_advisory_lock({lock})"),
                format!(
                    "select '{token}' where exists (select from pg_locks where objid = {lock} and granted)"
                ),
            ),
            _ => (
                format!("listen \"{token}\""),
                "select max(name) from pg_listening_channels() as listening(name)".to_owned(),
            ),
        };
        session.query(&set);
        assert_eq!(session.value(&ask), token, "{set}");
        // Long enough to be hit by whatever is on its way.
        let sleepy = format!("select '{token}' from pg_sleep(0.002)");
        assert_eq!(session.value(&sleepy), token);
    }

    fn end(&mut self, mut session: Raw, end: End, token: &str) {
        let goodbye = raw::message(b'X', b"");
        let sleepy = raw::query(&format!("select '{token}' from pg_sleep(0.02)"));
        match end {
            End::Goodbye => session.send(&goodbye),
            End::Close => {}
            End::InTransaction => {
                session.query("begin");
                session.query(&format!("create temp table left_open as select '{token}'"));
                session.send(if self.chance.below(2) == 0 { &goodbye } else { b"" });
            }
            End::InQuery => {
                session.send(&sleepy);
                session.send(if self.chance.below(2) == 0 { &goodbye } else { b"" });
            }
            End::HalfAQuery => session.send(&sleepy[..sleepy.len() - 1 - self.chance.below(20)]),
            End::TimedOut => {
                session.query("set statement_timeout = 5");
                session.send(&sleepy);
                assert_eq!(error(&session.until(b'Z')).as_deref(), Some("57014"), "{token}");
                session.send(&goodbye);
            }
            End::Cancelled => {
                session.send(&raw::query("select pg_sleep(60)"));
                // Before the statement has begun, it would cancel nothing.
                let cancelled = loop {
                    self.world.cancel(&session.key());
                    if !session.is_silent() {
                        break error(&session.until(b'Z'));
                    }
                };
                assert_eq!(cancelled.as_deref(), Some("57014"), "{token}");
                session.send(&goodbye);
            }
            End::CancelledTooLate => {
                let key = session.key();
                session.send(&sleepy);
                self.world.cancel(&key);
                let answer = session.until(b'Z');
                assert!(error(&answer).is_none_or(|code| code == "57014"), "{token}: {answer:?}");
                for _ in 0..self.chance.below(3) {
                    self.world.cancel(&key);
                }
                session.send(&goodbye);
            }
        }
    }
}

/// Several statements in one go, of which one fails: each answer is in its place.
fn pipeline(session: &mut Raw, token: &str) {
    let parse = |sql: &str| raw::message(b'P', format!("\0{sql}\0\0\0").as_bytes());
    let run = [raw::message(b'B', &[0; 8]), raw::message(b'E', &[0; 5])].concat();
    let sync = raw::message(b'S', b"");
    let mut sent = Vec::new();
    for sql in [format!("select '{token}-1'"), "select 1/0".to_owned(), format!("select '{token}-3'")] {
        sent.extend([parse(&sql), run.clone(), sync.clone()].concat());
    }
    session.send(&sent);
    let mut seen = String::new();
    for _ in 0..3 {
        let answer = session.until(b'Z');
        let row = answer.iter().find(|message| message.tag == b'D');
        let row = row.map(|row| String::from_utf8_lossy(&row.body[6..]).into_owned());
        write!(seen, "{} ", row.or(error(&answer)).unwrap()).unwrap();
    }
    assert_eq!(seen, format!("{token}-1 22012 {token}-3 "));
}

fn error(answer: &[Message]) -> Option<String> {
    answer.iter().find(|message| message.tag == b'E').map(|message| message.report().code().to_owned())
}
