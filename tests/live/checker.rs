//! Wrong data is impossible: no session ever sees another's state or another's reply.
//!
//! Many clients, each with a token of its own, go through warm and reused links: they leave whatever can be left on
//! a link, end in every way that there is, cancel themselves at the worst moment, and others send the keys of
//! sessions that are over. Each looks whether its link is as new, and whether every reply is its own.
#![expect(clippy::print_stdout, reason = "it tells what it has counted")]

use std::fmt::Write as _;

use attache_kit::House;
use attache_kit::chance::Chance;
use attache_kit::crowd::{Crowd, Member, Past};

use crate::raw::{self, Message, Raw};
use crate::reuse::{CLEAN, TRACES};
use crate::servers::{self, Db};
use crate::warm::{pooled, takes};

const CLIENTS: usize = 8;
/// For each server and way of using links.
const SECONDS: u64 = 4;

#[test]
fn no_session_sees_the_state_or_the_reply_of_another() {
    let crowd = Crowd::of(CLIENTS, SECONDS);
    for db in servers::each() {
        for (name, pool) in [("checked_reuse", "warm: 4, reuse: true"), ("checked_once", "warm: 4")] {
            check(db, name, pool, &crowd);
        }
    }
}

fn check(db: &Db, name: &str, pool: &str, crowd: &Crowd) {
    let account = db.account(name);
    let house = pooled(db, &account, pool).top("workers: 2").start();
    let world = World { house: &house, name, old_keys: Past::default() };
    let session = |member: &mut Member, end| Client { world: &world, member }.session(end);
    let (ends, sent) = crowd.acts(&End::ALL, session, |chance| world.storm(chance));
    let (hits, misses) = (takes(&house, "hit"), takes(&house, "miss"));
    println!(
        "{:?}, {pool}: {ends:?}, {sent} old keys sent; links: {hits} warm, {misses} new; nothing wrong was seen",
        db.version()
    );
    assert!(hits > 0.0);
}

/// What all clients share.
struct World<'a> {
    house: &'a House,
    /// The account, and its database.
    name: &'a str,
    old_keys: Past<Vec<u8>>,
}

impl World<'_> {
    /// Sends a cancel request for a session that is over.
    fn storm(&self, chance: &mut Chance) -> usize {
        let key = self.old_keys.pick(chance);
        key.iter().for_each(|key| self.cancel(key));
        usize::from(key.is_some())
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
    member: &'a mut Member,
}

impl Client<'_> {
    fn session(&mut self, end: End) {
        let token = self.member.token();
        let application = self.member.chance.pick(&["", "shop", "office"]);
        let parameters =
            [("user", "nobody"), ("database", self.world.name), ("application_name", application)];
        let mut session = Raw::log_in(self.world.house.addr(), &parameters);
        let key = session.key();
        assert_eq!(session.parameter("application_name").as_deref(), Some(application), "{token}");
        assert_eq!(session.value(TRACES), CLEAN, "{token} found traces of another");
        for round in 0..self.member.chance.below(4) {
            self.leave_a_trace(&mut session, &token, round);
        }
        if self.member.chance.below(2) == 0 {
            pipeline(&mut session, &token);
        }
        self.end(session, end, &token);
        self.world.old_keys.push(key);
    }

    fn leave_a_trace(&mut self, session: &mut Raw, token: &str, round: usize) {
        let lock = self.member.number * 1_000_000 + self.member.sessions;
        let (set, ask) = match self.member.chance.below(6) {
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
                session.send(if self.member.chance.below(2) == 0 { &goodbye } else { b"" });
            }
            End::InQuery => {
                session.send(&sleepy);
                session.send(if self.member.chance.below(2) == 0 { &goodbye } else { b"" });
            }
            End::HalfAQuery => session.send(&sleepy[..sleepy.len() - 1 - self.member.chance.below(20)]),
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
                for _ in 0..self.member.chance.below(3) {
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
