//! Whether a session that did not come about could have been brought about.

use std::time::Duration;

use attache::config::domain::Role;
use tokio::time::Instant;

use super::{AGAIN, HEARD, Judge};
use crate::book::{Change, Condition, Duty, Facts, Login, Verdict};
use crate::plan::Reload;
use crate::speech::{Broken, How, Told};
use crate::stay::Stay;

/// While a credential is rejected, one of those who wait tries so often where the account could be locked.
const TURN: Duration = Duration::from_millis(12_500);
/// What clients hear when a server has left a session.
const LOST: &str = "LOADING attache: the database closed the connection";

/// A time during which a session could have come about.
#[derive(Debug, Clone, Copy)]
struct Window {
    from: Instant,
    to: Instant,
    /// Each may have been there before anybody asked, and before the other.
    server: Since,
    credential: Since,
}

/// From when on there was something, and what had to change for it.
#[derive(Debug, Clone, Copy)]
struct Since {
    at: Instant,
    change: Change,
}

impl Since {
    /// Goes on, begins or ends.
    fn follow(since: Option<Since>, is_there: bool, facts: &Facts) -> Option<Since> {
        is_there.then(|| since.unwrap_or(Since { at: facts.at, change: facts.change }))
    }
}

impl Judge<'_> {
    /// A session that did not come about: nobody could have brought it about, and the client was told.
    pub(super) fn turned_away(
        &self,
        client: usize,
        began: Instant,
        ended: Instant,
        broken: &Broken,
    ) -> Option<String> {
        if self.is_cut_by_the_end(ended) {
            return None;
        }
        let frozen = broken.how == How::Silence && self.anything_was_hurt(began, ended);
        let told = match &broken.told {
            None if frozen => return None,
            None => return Some("it was told nothing".to_owned()),
            Some(told) if self.of_policy(told, ended) => return None,
            // Nobody tells a client of Redis that its session has begun.
            Some(told) if told.text.contains(LOST) && self.anything_was_hurt(began, ended) => return None,
            Some(told) if self.is_refused(told) => return self.had_room(client, began, ended, told),
            Some(told) => told,
        };
        if self.was_removed(began, ended) {
            return None;
        }
        let longest = self.plan.wait + self.reloads() + self.plan.connect_timeout + AGAIN;
        if ended - began > longest {
            return Some(format!("only after {:?}", ended - began));
        }
        let until = if self.is_mistake(told, began, ended) { ended } else { began + self.plan.wait };
        let windows = self.windows(began, until);
        let slow = self.plan.connect_timeout * self.silent_servers(began, ended);
        let missed = windows.iter().find(|window| {
            let came_round = |since: Since| window.to - since.at >= AGAIN + slow + self.notice(since.change);
            let lasted = window.to - window.from >= AGAIN + slow;
            lasted && came_round(window.server) && came_round(window.credential)
        })?;
        let (from, to) = (self.at(missed.from), self.at(missed.to));
        let [server, credential] =
            [missed.server, missed.credential].map(|Since { at, change }| (self.at(at), change));
        Some(format!(
            "it could have been served from {from:.3} to {to:.3} (server since {server:?}, credential {credential:?})"
        ))
    }

    /// A credential that never worked, and one that was never there, fail at once (`docs/rotation.md`).
    fn is_mistake(&self, told: &Told, began: Instant, at: Instant) -> bool {
        let is_rejected = told.text.contains("does not accept the mounted credential");
        let since = self.route_since(began);
        let is_lacking = told.text.contains("no usable credential is mounted");
        let was_lacking = || self.during(since, at).all(|facts| facts.mounted.is_none());
        (is_rejected && !self.has_worked(since, at)) || (is_lacking && was_lacking())
    }

    /// Whether the route certainly knows of a credential that the server has accepted. What came of logins that began before
    /// it was put in again, it was not told.
    fn has_worked(&self, since: Instant, at: Instant) -> bool {
        let accepted = |verdict: &Verdict| verdict.accepted && verdict.at + HEARD < at;
        let is_served = |stay: &Stay| stay.began >= since && stay.served.is_some_and(|served| served < at);
        match since == self.state.start {
            true => self.state.verdicts.iter().any(accepted),
            false => self.state.stays.all().iter().any(is_served),
        }
    }

    /// Whether the route was taken out while it waited.
    fn was_removed(&self, began: Instant, ended: Instant) -> bool {
        let mut reloads = self.state.reloads.iter();
        reloads.any(|(at, what)| *what == Reload::Remove && (began..=ended).contains(at))
    }

    /// Each of them may have made `wait` longer by a second.
    pub(super) fn reloads(&self) -> Duration {
        Duration::from_secs(self.state.reloads.len() as u64)
    }

    /// How long it may take until a change for the good has come round to a session that waits.
    fn notice(&self, change: Change) -> Duration {
        match change {
            Change::Beginning | Change::Trust => Duration::ZERO,
            Change::Server => self.plan.probe_interval.min(Duration::from_secs(1)),
            // Whoever takes a turn reads the folder again.
            Change::Secret => self.plan.poll.min(TURN),
            Change::Accounts => TURN,
        }
    }

    /// Servers that cost a whole attempt each.
    fn silent_servers(&self, from: Instant, to: Instant) -> u32 {
        let silent = |facts: &Facts, server: usize| {
            matches!(facts.servers[server].condition, Condition::Deaf | Condition::Dark)
        };
        let within: Vec<_> = self.during(from, to).collect();
        let count =
            (0..self.plan.servers).filter(|server| within.iter().any(|facts| silent(facts, *server))).count();
        u32::try_from(count).expect("a few")
    }

    /// When, in that time, a session could have come about.
    fn windows(&self, from: Instant, to: Instant) -> Vec<Window> {
        let mut windows: Vec<Window> = Vec::new();
        let mut open: Option<Window> = None;
        let (mut server, mut credential) = (None, None);
        for facts in self.state.history().take_while(|facts| facts.at <= to) {
            server = Since::follow(server, self.has_server(facts), facts);
            credential = Since::follow(credential, self.has_credential(facts, self.route_since(from)), facts);
            match (&open, server.zip(credential)) {
                (None, Some((server, credential))) => {
                    open = Some(Window { from: facts.at.max(from), to, server, credential });
                }
                (Some(_), None) => {
                    windows.extend(open.take().map(|window| Window { to: facts.at, ..window }));
                }
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        windows.extend(open);
        windows.retain(|window| window.to > window.from);
        windows
    }

    fn has_server(&self, facts: &Facts) -> bool {
        let fits = |duty| self.plan.role != Role::Primary || duty == Duty::Primary;
        facts.servers.iter().any(|server| server.condition == Condition::Up && fits(server.duty))
    }

    fn has_credential(&self, facts: &Facts, since: Instant) -> bool {
        let verdicts = self.state.verdicts.iter().filter(|verdict| verdict.began >= since);
        let mut worked = verdicts.filter(|verdict| {
            verdict.at <= facts.at
                && verdict.accepted
                && (since == self.state.start || self.has_worked(since, facts.at))
        });
        let known: Vec<&Login> =
            worked.next_back().map(|verdict| &verdict.login).into_iter().chain(&facts.mounted).collect();
        known.iter().any(|login| facts.valid.contains(login))
    }
}
