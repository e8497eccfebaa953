//! What is left of older generations while sessions come and go: it has to go as the policy says, and what is counted of
//! it, by which people tell that the old password may go, has to be true.

use std::collections::BTreeMap;
use std::time::Duration;

use attache::config::domain::Live;
use attache::status::{CredentialStatus, RouteStatus};
use tokio::time::{Instant, sleep};

use crate::book::{Change, Condition, Conn, Facts, Presence};
use crate::house::Shared;
use crate::plan::{Plan, Reload};
use crate::speech::Dialect;
use crate::world::{State, World};

const LOOK: Duration = Duration::from_secs(1);
/// How long the end of a session takes at most: last words to either side, over a slow network.
const ENDING: Duration = Duration::from_secs(3);
/// A link that a session has left is reset, and closed where that is not answered.
const RESETTING: Duration = Duration::from_secs(5);
/// Links that wait are replaced about once a second, two at once, by logins over a slow network.
const REPLACING: Duration = Duration::from_secs(8);
/// The moments of renewals, and how long a session is kept from saying more for one (`docs/rotation.md`).
const RENEWALS_OVER: Duration = Duration::from_secs(5);
const MAKING_ROOM: Duration = Duration::from_secs(1);

/// Looks again and again, until the process is told to end.
pub async fn watch(plan: Plan, world: World, house: Shared) {
    let mut eye = Eye::new(plan, world);
    loop {
        sleep(LOOK).await;
        // To ask costs more than all the rest of a quiet schedule.
        if !eye.world.state().history().any(|facts| facts.change == Change::Secret) {
            eye.looked_at = Instant::now();
            continue;
        }
        let status =
            house.lock().expect("nothing panics under this lock").as_ref().map(|house| house.status());
        match status.filter(|_| eye.world.state().stopped.is_none()) {
            None => return,
            Some(Some(status)) => eye.look(&status),
            // There is no route.
            Some(None) => eye.looked_at = Instant::now(),
        }
    }
}

struct Eye {
    plan: Plan,
    world: World,
    /// The generation that was read last.
    generation: Option<u64>,
    /// It was not there yet at this moment.
    absent_at: Instant,
    /// It was there at this one.
    came_at: Instant,
    /// Since when the server is known to accept it.
    accepted_since: Option<Instant>,
    looked_at: Instant,
    doubts: [Doubt; 4],
}

/// A promise that seems to be broken, since this moment.
#[derive(Default)]
struct Doubt {
    since: Option<Instant>,
    told: bool,
}

impl Doubt {
    /// What is to be told once it has lasted for longer than this.
    fn hear(&mut self, wrong: Option<String>, patience: Duration) -> Option<String> {
        let Some(wrong) = wrong else {
            self.since = None;
            return None;
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.told || since.elapsed() < patience {
            return None;
        }
        self.told = true;
        Some(wrong)
    }
}

impl Eye {
    fn new(plan: Plan, world: World) -> Eye {
        let (absent_at, looked_at) = (Instant::now(), Instant::now());
        // The Secret is read before anybody looks.
        let (generation, accepted_since, doubts) = (Some(1), None, Default::default());
        Eye { plan, world, generation, absent_at, came_at: looked_at, accepted_since, looked_at, doubts }
    }

    fn look(&mut self, status: &RouteStatus) {
        let Some(credential) = &status.credential else { return };
        self.follow(credential);
        let of_older = |counts: &BTreeMap<u64, i64>| {
            counts
                .iter()
                .filter(|(of, _)| Some(**of) != self.generation)
                .map(|(_, links)| *links)
                .sum::<i64>()
        };
        let active = of_older(&status.links_by_generation);
        let waiting = status.warm_links_by_generation.as_ref().map(of_older).unwrap_or_default();
        let wrong = {
            let state = self.world.state();
            let due = self.sessions_are_due(&state);
            [
                due.and_then(|()| self.somebody_rests(&state)),
                due.and_then(|()| self.too_many(&state, active)),
                self.links_are_due(&state)
                    .filter(|()| waiting != 0)
                    .map(|()| format!("{waiting} links wait")),
                credential.settled.then(|| self.somebody_stays(&state)).flatten(),
            ]
        };
        let ending = ENDING + if self.plan.reuse { RESETTING } else { Duration::ZERO };
        let patience = [Duration::ZERO, ending, REPLACING, ENDING];
        let generation = self.generation.unwrap_or_default();
        for ((doubt, wrong), patience) in self.doubts.iter_mut().zip(wrong).zip(patience) {
            if let Some(wrong) = doubt.hear(wrong, patience) {
                self.world.wrong(format!("generation {generation} is accepted, and of an older one {wrong}"));
            }
        }
    }

    fn follow(&mut self, credential: &CredentialStatus) {
        if credential.generation != self.generation {
            self.generation = credential.generation;
            (self.absent_at, self.came_at) = (self.looked_at, Instant::now());
            self.accepted_since = None;
        }
        let accepted = credential.state == "ok";
        self.accepted_since = self.accepted_since.or_else(|| Some(Instant::now())).filter(|_| accepted);
        self.looked_at = Instant::now();
    }

    /// Since when nothing was said or configured that starts everything anew.
    fn undisputed_since(&self, state: &State) -> Option<Instant> {
        let rejected = state.verdicts.iter().rfind(|verdict| !verdict.accepted).map(|verdict| verdict.at);
        let reloaded = state.reloads.last().map(|(at, _)| *at);
        [self.accepted_since, rejected, reloaded]
            .into_iter()
            .flatten()
            .max()
            .filter(|_| self.accepted_since.is_some())
    }

    /// Whether sessions of older generations should be gone by now that could be ended.
    fn sessions_are_due(&self, state: &State) -> Option<()> {
        let mut due = self.undisputed_since(state)? + self.spread(state)?;
        // Whom a reload concerns has the policy of before, until it ends for it.
        let mut retiring = state.reloads.iter().skip_while(|(_, what)| *what != Reload::Login);
        let is_other = retiring.any(|(_, what)| what.policy().is_some());
        let retired = state.reloads.iter().rfind(|(_, what)| *what == Reload::Login);
        if let Some((at, _)) = retired.filter(|_| is_other) {
            due = due.max(*at + self.plan.deadline);
        }
        // Those of a route that was taken out do not hear of what is mounted since then.
        let removed = state.reloads.iter().rfind(|(_, what)| *what == Reload::Remove);
        if let Some((at, _)) = removed {
            due = due.max(*at + self.plan.deadline + ENDING);
        }
        (Instant::now() > due).then_some(())
    }

    /// Over how long the policy spreads it; `None` where it lets them be.
    fn spread(&self, state: &State) -> Option<Duration> {
        let renewed = RENEWALS_OVER.min(self.plan.within / 4) + MAKING_ROOM;
        match self.policy(state) {
            Live::Cut => Some(Duration::ZERO),
            Live::Drain => Some(self.plan.within * 3 / 4),
            // Where the server had said no, it is asked again after up to a minute.
            Live::Keep if self.plan.dialect == Dialect::Redis => {
                let mut since = state.verdicts.iter().filter(|verdict| verdict.at >= self.absent_at);
                since.all(|verdict| verdict.accepted).then_some(renewed)
            }
            Live::Keep => None,
        }
    }

    fn policy(&self, state: &State) -> Live {
        let reloaded = state.reloads.iter().rev().find_map(|(_, what)| what.policy());
        reloaded.unwrap_or(self.plan.live)
    }

    /// Whether this link was logged in with something else before the generation of today was there, and nothing keeps it from
    /// ending.
    fn is_older(&self, state: &State, conn: usize) -> bool {
        let conn = &state.conns[conn];
        let is_older = conn.login.is_some_and(|at| at < self.absent_at) && !self.is_held(state, conn);
        conn.is_open() && !conn.is_hurt(Instant::now()) && is_older
    }

    /// Whether it may be counted under an older generation: nobody knows which of two that came close together was read, and
    /// before the generation of today was accepted it was logged in with another one.
    fn may_be_older(&self, state: &State, conn: usize) -> bool {
        let conn = &state.conns[conn];
        conn.login.is_some_and(|at| at < self.came_at) || !self.is_held(state, conn)
    }

    /// Whether the folder has held what it was logged in with since the generation of today came.
    fn is_held(&self, state: &State, conn: &Conn) -> bool {
        let since = || state.history().skip_while(|facts| facts.at < self.absent_at);
        // What no server has accepted is not the generation of today: it was mounted behind the reading.
        let is_accepted = |facts: &Facts| {
            let mut accepted = state.verdicts.iter().filter(|verdict| verdict.accepted);
            accepted.any(|verdict| facts.mounted.as_ref() == Some(&verdict.login))
        };
        let came = since()
            .any(|facts| facts.change == Change::Secret && facts.at <= self.came_at && is_accepted(facts));
        // Otherwise it had been there before it was read.
        let before = state.history().take_while(|facts| facts.at < self.absent_at).last().filter(|_| !came);
        before
            .into_iter()
            .chain(since().filter(|facts| !came || facts.change == Change::Secret))
            .any(|facts| facts.mounted == conn.shown)
    }

    /// A session that could have been ended long since.
    fn somebody_rests(&self, state: &State) -> Option<String> {
        let ending = ENDING + if self.plan.reuse { RESETTING } else { Duration::ZERO };
        let resting = state.guests.iter().find_map(|(client, presence)| match presence {
            Presence::AtRest(conn, since) if since.elapsed() > ending && self.is_older(state, *conn) => {
                Some((*client, *conn))
            }
            Presence::Away | Presence::Busy(_) | Presence::AtRest(..) => None,
        });
        resting.map(|(client, conn)| format!("client {client} has its session yet (connection {conn})"))
    }

    /// More links are counted than there can be.
    fn too_many(&self, state: &State, counted: i64) -> Option<String> {
        let is_cut = self.policy(state) == Live::Cut;
        let may_stay = |presence: &Presence| match presence {
            Presence::Away => false,
            Presence::Busy(conn) => !is_cut && conn.is_none_or(|conn| self.may_be_older(state, conn)),
            Presence::AtRest(_, since) => !is_cut && since.elapsed() <= ENDING + RESETTING,
        };
        let busy = state.guests.values().filter(|presence| may_stay(presence)).count();
        let hurt =
            state.conns.iter().filter(|conn| conn.may_be_held() && conn.is_hurt(Instant::now())).count();
        let most = i64::try_from(busy + hurt).unwrap_or(i64::MAX);
        (counted > most).then(|| format!("{counted} links are in use, where {most} could be"))
    }

    /// A session on an older link, although it is said that there is none.
    fn somebody_stays(&self, state: &State) -> Option<String> {
        let on_older = state.guests.iter().find(|(_, presence)| match presence {
            Presence::Away | Presence::Busy(None) => false,
            Presence::Busy(Some(conn)) | Presence::AtRest(conn, _) => self.is_older(state, *conn),
        });
        on_older.map(|(client, _)| format!("client {client} has its session yet, although all is settled"))
    }

    /// Whether links that wait should have been replaced: all servers are there, as they were before, and whatever was
    /// taken for down has been probed.
    fn links_are_due(&self, state: &State) -> Option<()> {
        let since = self.undisputed_since(state)?;
        let mut facts = state.history().skip_while(|facts| facts.at < since - ENDING);
        let before = state.history().take_while(|facts| facts.at < since - ENDING).last();
        let is_calm = |facts: &Facts| {
            facts.primary == state.now.primary
                && facts.servers.iter().zip(&state.now.servers).all(|(then, now)| {
                    then.condition == Condition::Up && now.condition == Condition::Up && then.duty == now.duty
                })
        };
        let calm = before.is_none_or(is_calm) && facts.all(is_calm);
        let hurt = state.conns.iter().filter_map(Conn::hurt_at).max();
        let healed = hurt.map(|hurt| hurt + self.plan.probe_interval * 5 / 4 + self.plan.connect_timeout);
        let is_whole = healed.is_none_or(|healed| healed + REPLACING < Instant::now());
        (calm && is_whole).then_some(())
    }
}
