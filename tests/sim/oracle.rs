//! Which of the things that went wrong nobody could have helped. Everything else is a broken promise.
//!
//! It looks at the book of the world alone, and knows nothing of how Attaché works but what `docs/` promises.

mod primaries;
mod seats;
mod turned_away;

use std::time::Duration;

use attache::config::domain::{Live, Role};
use tokio::time::Instant;

use crate::book::{Busy, Change, Conn, Duty, Episode, Facts, Verdict};
use crate::cancels::{CANCELLED, session_of};
use crate::plan::{Plan, Reload};

use crate::speech::{Broken, How, Question, Told};
use crate::stay::Stay;
use crate::world::State;

/// The longest pause between two attempts (2 s and a quarter), and some slow round trips.
const AGAIN: Duration = Duration::from_secs(3);
/// A rejected login is repeated so often in a minute (`docs/rotation.md`).
const REJECTED_A_MINUTE: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// The share of a drain's deadline, and the most, in which sessions end at quiet moments.
const CLOSING_SHARE: u32 = 5;
const CLOSING_MOST: Duration = Duration::from_secs(5);

/// How long the end of a session may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A verdict takes no longer to be heard, and a login to be sent.
const HEARD: Duration = Duration::from_millis(100);

pub fn judge(plan: &Plan, state: &State) -> Vec<String> {
    let judge = Judge { plan, state };
    let mut wrong: Vec<_> = state.episodes.iter().filter_map(|episode| judge.episode(episode)).collect();
    wrong.extend(judge.lockout());
    wrong.extend(state.stays.all().iter().filter_map(|stay| judge.outstayed(stay)));
    wrong.extend(state.stays.all().iter().filter_map(|stay| judge.crowded(stay)));
    wrong.extend((0..state.conns.len()).filter_map(|conn| judge.old_primary(conn)));
    wrong
}

struct Judge<'a> {
    plan: &'a Plan,
    state: &'a State,
}

impl Judge<'_> {
    fn episode(&self, episode: &Episode) -> Option<String> {
        match episode {
            Episode::TurnedAway { client, began, ended, broken } => {
                let wrong = self.turned_away(*client, *began, *ended, broken)?;
                let (began, ended) = (self.at(*began), self.at(*ended));
                Some(format!(
                    "client {client} was turned away ({began:.3} to {ended:.3}): {wrong}: {broken:?}"
                ))
            }
            Episode::Lost { client, began, at, conn, busy, broken } => {
                let wrong = self.lost(*began, *at, *conn, *busy, broken)?;
                let at = self.at(*at);
                Some(format!(
                    "client {client} lost its session at {at:.3} ({conn:?}, {busy:?}): {wrong}: {broken:?}"
                ))
            }
            Episode::Refused { at, conn, question, told } => {
                let wrong = self.refused(*at, *conn, *question, told)?;
                Some(format!("{question:?} was refused at {:.3} ({conn:?}): {wrong}: {told:?}", self.at(*at)))
            }
        }
    }

    fn at(&self, moment: Instant) -> f64 {
        moment.duration_since(self.state.start).as_secs_f64()
    }

    fn during(&self, from: Instant, to: Instant) -> impl Iterator<Item = &Facts> {
        let all: Vec<&Facts> = self.state.history().collect();
        let until = |at: usize| all.get(at + 1).map(|next| next.at);
        let held: Vec<_> = (0..all.len())
            .filter(|at| all[*at].at <= to && until(*at).is_none_or(|end| end > from))
            .collect();
        held.into_iter().map(move |at| all[at])
    }

    /// A session that was lost: something happened that no proxy can hide, or the configuration says so.
    fn lost(
        &self,
        began: Instant,
        at: Instant,
        conn: Option<usize>,
        busy: Busy,
        broken: &Broken,
    ) -> Option<String> {
        if self.is_cut_by_the_end(at) {
            return None;
        }
        let conn = conn.map(|conn| &self.state.conns[conn])?;
        let hurt = conn.is_hurt(at);
        match &broken.told {
            Some(told) if self.of_policy(told, at) => {
                let rotated = self.began_too_late(began, at, told).or_else(|| self.was_good(at, conn, told));
                rotated.or_else(|| self.ended_by_policy(at, conn, busy, told))
            }
            Some(_) if hurt => None,
            Some(_) => Some("nothing had happened to its server".to_owned()),
            None if broken.how == How::Silence && hurt => None,
            None if broken.torn && hurt => None,
            None => Some("it was told nothing".to_owned()),
        }
    }

    /// Whether these are the words for an end that somebody has ordered.
    fn of_policy(&self, told: &Told, at: Instant) -> bool {
        let orders = [
            ("the credential was rotated", self.may_retire(at)),
            ("the proxy was configured anew", self.reloaded(at).is_some()),
            ("the server is not the primary any more", self.plan.role == Role::Primary && self.promoted(at)),
            ("the proxy is being stopped", self.state.stopped.is_some_and(|stopped| stopped <= at)),
        ];
        orders.iter().any(|(words, ordered)| told.text.contains(words) && *ordered)
    }

    fn ended_by_policy(&self, at: Instant, conn: &Conn, busy: Busy, told: &Told) -> Option<String> {
        let harmless = match busy {
            Busy::Idle => true,
            Busy::Question(number) => !conn.executed.contains(&number),
            Busy::Transaction => false,
        };
        let cut = if told.text.contains("rotated") {
            self.policies().any(|live| live == Live::Cut)
        } else if told.text.contains("anew") {
            self.reloaded(at).is_some_and(|reload| at >= reload + self.plan.deadline)
        } else if told.text.contains("stopped") {
            self.state.stopped.is_some_and(|stopped| at >= stopped + self.plan.deadline)
        } else {
            false
        };
        let closing = self.plan.deadline - (self.plan.deadline / CLOSING_SHARE).min(CLOSING_MOST);
        let ordered = match told.text.contains("anew") {
            true => self.reloaded(at),
            false => self.state.stopped.filter(|_| told.text.contains("stopped")),
        };
        let early = ordered.is_some_and(|ordered| at < ordered + closing);
        match (harmless || cut, early) {
            (true, false) => None,
            (false, _) => Some("it was not at rest".to_owned()),
            (_, true) => Some("sessions were to go on until later".to_owned()),
        }
    }

    /// A rotation ends sessions that began before the new generation was accepted, and no others.
    fn began_too_late(&self, began: Instant, at: Instant, told: &Told) -> Option<String> {
        let mounts = self.state.history().filter(|facts| facts.at <= at && facts.change == Change::Secret);
        let firsts = mounts.filter_map(|facts| {
            let login = facts.mounted.as_ref()?;
            let accepted =
                |verdict: &&Verdict| verdict.accepted && verdict.at >= facts.at && verdict.login == *login;
            let is_new = !self
                .state
                .history()
                .any(|other| other.at < facts.at && other.mounted.as_ref() == Some(login));
            // Of a login that had been there before nobody can tell with which generation it was accepted.
            if is_new { Some(self.state.verdicts.iter().find(accepted)?.at) } else { Some(at) }
        });
        let is_of_rotation = told.text.contains("rotated");
        let news = firsts.into_iter().any(|first| first <= at && began <= first + HEARD);
        (is_of_rotation && !news).then(|| "no generation was accepted since it began".to_owned())
    }

    /// A rotation ends no session that logged in with what the folder holds, unless the server has accepted something else since.
    fn was_good(&self, at: Instant, conn: &Conn, told: &Told) -> Option<String> {
        let noticed = at.checked_sub(self.plan.poll + AGAIN)?;
        let (since, login) = (conn.login?, conn.shown.as_ref()?);
        let is_held = noticed >= self.state.start
            && self.during(noticed, at).all(|facts| facts.mounted.as_ref() == Some(login));
        let is_followed =
            self.state.verdicts.iter().any(|verdict| {
                verdict.accepted && verdict.login != *login && (since..=at).contains(&verdict.at)
            });
        (told.text.contains("rotated") && is_held && !is_followed)
            .then(|| "the folder held what it had logged in with".to_owned())
    }

    fn policies(&self) -> impl Iterator<Item = Live> {
        let reloaded = self.state.reloads.iter().filter_map(|(_, what)| what.policy());
        reloaded.chain([self.plan.live])
    }

    /// Whether sessions of an older generation may have to end: the folder has held something else meanwhile.
    fn may_retire(&self, at: Instant) -> bool {
        let changed = |facts: &Facts| facts.at <= at && facts.change == Change::Secret;
        self.state.history().any(changed) && self.policies().any(|live| live != Live::Keep)
    }

    /// The first reload under which sessions would have come about differently.
    fn reloaded(&self, at: Instant) -> Option<Instant> {
        let mut reloads =
            self.state.reloads.iter().filter(|(when, what)| *when <= at && what.ends_sessions());
        reloads.next().map(|(when, _)| *when)
    }

    /// Since when there has been this route, as far as it can know of anything: since the start, or since it was put in again.
    fn route_since(&self, at: Instant) -> Instant {
        let mut reloads = self.state.reloads.iter().rev();
        let restored = reloads.find(|(when, what)| *when <= at && *what == Reload::Restore);
        restored.map_or(self.state.start, |(when, _)| *when)
    }

    /// A session that went on for longer than a reload has left it.
    fn outstayed(&self, stay: &Stay) -> Option<String> {
        let served = stay.served?;
        let mut reloads = self.state.reloads.iter().filter(|(_, what)| what.ends_sessions());
        let (reload, _) = reloads.find(|(at, _)| *at > stay.began)?;
        let due = served.max(*reload + self.plan.deadline) + LAST_WORDS;
        let (client, due) = (stay.client, (!stay.is_over(due)).then_some(due)?);
        Some(format!("client {client} has a session at {:.3}, which a reload was to end", self.at(due)))
    }

    /// Whether another server than the first was promoted, if the first has heard of it or not.
    fn promoted(&self, at: Instant) -> bool {
        let moved = |facts: &Facts| facts.servers[0].duty == Duty::Replica || facts.primary != 0;
        self.state.history().any(|facts| facts.at <= at && moved(facts))
    }

    fn is_cut_by_the_end(&self, at: Instant) -> bool {
        self.state.ended.is_some_and(|ended| at >= ended)
    }

    fn anything_was_hurt(&self, from: Instant, to: Instant) -> bool {
        // A link that waited is older than its session, and its end may have been under way when that came.
        let ended = |conn: &Conn| !conn.unheard && conn.closed.is_some_and(|closed| closed + HEARD < from);
        let alive = |conn: &&Conn| conn.opened <= to && !ended(conn);
        self.state.conns.iter().filter(alive).any(|conn| conn.is_hurt(to))
    }

    /// An error: a server that was a primary when the session began may have become a replica.
    fn refused(&self, at: Instant, conn: Option<usize>, question: Question, told: &Told) -> Option<String> {
        if told.code == CANCELLED && self.state.cancels.contains(&session_of(question.number())) {
            return None;
        }
        let Question::Write(_) = question else { return Some("any server would have done it".to_owned()) };
        if self.plan.role != Role::Primary {
            return None;
        }
        let conn = conn.map(|conn| &self.state.conns[conn])?;
        let was_primary =
            self.during(conn.opened, at).any(|facts| facts.servers[conn.server].duty == Duty::Primary);
        (!was_primary).then(|| "its server was no primary all the time".to_owned())
    }

    /// A login that the server has rejected is not repeated too often while nothing has changed.
    fn lockout(&self) -> Option<String> {
        let repeated: Vec<Instant> = self
            .state
            .verdicts
            .iter()
            .enumerate()
            .filter(|(at, verdict)| !verdict.accepted && self.was_known(*at))
            .map(|(_, verdict)| verdict.at)
            .collect();
        let most = repeated
            .iter()
            .map(|first| repeated.iter().filter(|at| (*first..*first + MINUTE).contains(at)).count());
        let most = most.max().unwrap_or_default();
        (most > REJECTED_A_MINUTE).then(|| format!("{most} rejected logins were repeated within a minute"))
    }

    /// Whether this very login had been rejected before it began, and nothing had changed since.
    fn was_known(&self, at: usize) -> bool {
        let verdict = &self.state.verdicts[at];
        let before = self.state.verdicts[..at].iter().rev().find(|other| other.login == verdict.login);
        let is_told_since = self.route_since(verdict.began);
        before.filter(|before| before.at >= is_told_since).is_some_and(|before| {
            let changes = self.state.history().filter(|facts| {
                matches!(facts.change, Change::Accounts | Change::Secret)
                    && (before.at..=verdict.began).contains(&facts.at)
            });
            !before.accepted && before.at + HEARD < verdict.began && changes.count() == 0
        })
    }
}
