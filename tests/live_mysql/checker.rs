//! Wrong data is impossible: no session ever sees another's state or another's reply, nor is it hit by another's KILL.
//!
//! Many clients, each with a token of its own, go through warm and reused links: they leave whatever can be left on a
//! link, end in every way that there is, have themselves killed at the worst moment, and others send KILL with the ids of
//! sessions that are over. Each looks whether its link is as new, and whether every reply is its own.
#![expect(clippy::print_stdout, reason = "it tells what it has counted")]

use attache_kit::House;
use attache_kit::chance::Chance;
use attache_kit::crowd::{Crowd, Member, Past};

use crate::house::*;
use crate::raw::Raw;
use crate::reuse::{TRACES, account, clean};
use crate::servers::{self, Db};
use crate::warm::{pooled, takes};

const CLIENTS: usize = 6;
/// For each server and way of using links.
const SECONDS: u64 = 2;
/// Errors of a statement that a KILL QUERY or a time limit has ended.
const INTERRUPTED: [u16; 3] = [1317, 1969, 3024];
/// The server knows no thread of that id.
const NO_SUCH_THREAD: u16 = 1094;

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
    account(db, name);
    let house = pooled(db, name, pool).top("workers: 2").start();
    let world = World { house: &house, name, old_ids: Past::default() };
    let session = |member: &mut Member, end| Client { world: &world, member }.session(end);
    let (ends, killed) = crowd.acts(&End::ALL, session, |chance| world.storm(chance));
    let (hits, misses) = (takes(&house, "hit"), takes(&house, "miss"));
    println!(
        "{:?}, {pool}: {ends:?}, {killed} old ids killed; links: {hits} warm, {misses} new; nothing wrong was seen",
        db.flavour()
    );
    assert!(hits > 0.0);
}

/// What all clients share.
struct World<'a> {
    house: &'a House,
    /// The account, and its database.
    name: &'a str,
    old_ids: Past<u32>,
}

impl World<'_> {
    /// Kills sessions that are over, through one of its own.
    fn storm(&self, chance: &mut Chance) -> usize {
        let mut session = self.house.raw(self.name);
        let most = chance.below(30);
        let mut sent = 0;
        while sent < most
            && let Some(id) = self.old_ids.pick(chance)
        {
            let what = chance.pick(&["QUERY ", "", "CONNECTION "]);
            match self.kill(&mut session, what, id) {
                // Its link is being closed, or its client has not been heard to go.
                None => {}
                Some(number) => assert_eq!(number, NO_SUCH_THREAD),
            }
            sent += 1;
        }
        session.send(0, &[1]);
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
    member: &'a mut Member,
}

impl Client<'_> {
    fn session(&mut self, end: End) {
        let name = self.world.name;
        let token = self.member.token();
        let (collation, clean) = match self.member.chance.below(3) {
            0 => (
                8,
                clean(name).replace("utf8mb4_general_ci", "latin1_swedish_ci").replace("utf8mb4", "latin1"),
            ),
            _ => (45, clean(name)),
        };
        let mut session = Raw::log_in_as(self.world.house.addr(), name, 0, collation)
            .unwrap_or_else(|report| panic!("{token}: {report:?}"));
        assert_eq!(session.value(TRACES), clean, "{token} found traces of another");
        for round in 0..self.member.chance.below(4) {
            self.leave_a_trace(&mut session, &token, round);
        }
        if self.member.chance.below(2) == 0 {
            pipeline(&mut session, &token);
        }
        let id = session.id;
        self.end(session, end, &token);
        self.world.old_ids.push(id);
    }

    fn leave_a_trace(&mut self, session: &mut Raw, token: &str, round: usize) {
        let name = self.world.name;
        let (set, ask) = match self.member.chance.below(7) {
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
                or_not(&mut self.member.chance, &mut session);
            }
            End::InQuery => {
                session.ask(&sleepy);
                or_not(&mut self.member.chance, &mut session);
            }
            End::HalfAQuery => {
                let cut = sleepy.len() - self.member.chance.below(20);
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
                for _ in 0..self.member.chance.below(3) {
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
