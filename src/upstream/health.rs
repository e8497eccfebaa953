//! What is known of each endpoint: what the last attempt came to, and in which order they are tried.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use attache_wire::ServerRole;
use tokio::time::Instant;

use super::role::{ASK_AGAIN, Candidate, Wanted};
use crate::bell::{Bell, Follower};
use crate::config::domain::{self, Role};
use crate::failure::{Cause, Failure, Stage};

/// The endpoints of one route, in the order of the configuration.
pub struct Health {
    endpoints: Mutex<Vec<Seen>>,
    /// What the route asks of a server.
    role: Role,
    /// Whether someone finds out when an endpoint is back.
    probed: bool,
    /// Whether Sentinels say which of two primaries is the one, and not what was seen of them.
    by_sentinels: bool,
    /// Rung when something happened that the probes should look into.
    alarm: Bell,
}

/// One endpoint, as it was seen last.
#[derive(Debug, Clone)]
pub struct Seen {
    pub endpoint: String,
    /// Where it is a place in a list, the server that has it now.
    pub member: Option<String>,
    /// Whether there is such a server: places in a list may be empty.
    pub(super) present: bool,
    /// `None` until the first probe.
    pub last_probe: Option<Probe>,
    /// Since when probes have succeeded, or failed.
    pub since: Option<SystemTime>,
    /// Whether the last attempt, of a session or a probe, came through.
    pub reachable: bool,
    /// The end of validity of its certificate, in seconds since 1970.
    pub certificate_not_after: Option<u64>,
    /// The server's version in its own words.
    pub version: Option<String>,
    /// Its role at the last login that told one.
    pub role: Option<ServerRole>,
    /// When somebody may ask again whether it still has the wrong role.
    pub(super) ask_at: Option<Instant>,
    /// Counts the promotions of the route's servers that were seen; that of this one, if it was seen to become a
    /// primary.
    pub(super) promoted: u64,
    /// Whether it calls itself a primary although another one was seen to become one after it.
    pub superseded: bool,
}

impl Seen {
    pub(super) fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            member: None,
            present: true,
            last_probe: None,
            since: None,
            reachable: true,
            certificate_not_after: None,
            version: None,
            role: None,
            ask_at: None,
            promoted: 0,
            superseded: false,
        }
    }

    /// What sessions may take it for.
    pub(super) fn counts_as(&self) -> Option<ServerRole> {
        if self.superseded { Some(ServerRole::Replica) } else { self.role }
    }

    fn is_up(&self) -> bool {
        self.last_probe.as_ref().is_some_and(|probe| probe.failure.is_none())
    }
}

/// What a probe came to.
#[derive(Debug, Clone)]
pub struct Probe {
    pub at: SystemTime,
    pub took: std::time::Duration,
    pub failure: Option<(Stage, Cause, String)>,
}

impl Health {
    pub fn new(upstream: &domain::Upstream) -> Self {
        let is_place = upstream.list().is_some();
        let seen = upstream
            .endpoints
            .iter()
            .map(|endpoint| Seen { present: !is_place, ..Seen::new(endpoint.to_string()) });
        let endpoints = Mutex::new(seen.collect());
        let probed = !upstream.probe_interval.is_zero();
        let by_sentinels = upstream.sentinel.is_some();
        Self { endpoints, role: upstream.role, probed, by_sentinels, alarm: Bell::default() }
    }

    /// Something happened that the probes should look into at once.
    pub fn alarm(&self) {
        self.alarm.ring();
    }

    pub(super) fn alarms(&self) -> Follower {
        self.alarm.follow()
    }

    /// As things stand now.
    pub fn seen(&self) -> Vec<Seen> {
        self.with(|all| all.iter().filter(|seen| seen.present).cloned().collect())
    }

    pub(super) fn is_present(&self, index: usize) -> bool {
        self.with(|all| all[index].present)
    }

    /// Puts another server in a place of the list, or none. Nothing is known of it yet.
    pub(super) fn replace(&self, index: usize, member: Option<String>) {
        self.with(|all| {
            let endpoint = std::mem::take(&mut all[index].endpoint);
            all[index] = Seen { present: member.is_some(), member, ..Seen::new(endpoint) };
            supersede(all);
        });
    }

    /// Whether the last probe of any endpoint that sessions may use succeeded.
    pub fn any_up(&self) -> bool {
        self.with(|all| all.iter().any(|seen| seen.is_up() && self.role.admits(seen.counts_as())))
    }

    /// The order in which a session tries the endpoints: the given one, but what could not be reached last time comes
    /// after what could, and what had another role after what had the right one.
    pub(super) fn candidates(&self, order: &[usize]) -> Vec<Candidate> {
        self.with(|all| self.role.candidates(all, order, |seen| seen.reachable || !self.probed))
    }

    /// Whether an endpoint is worth a login that nobody waits for: one that was down is left to sessions and probes.
    pub(super) fn is_worth_trying(&self, index: usize) -> bool {
        self.with(|all| all[index].reachable || !self.probed)
    }

    /// Whether nothing that was learned of an endpoint speaks against its being what is wanted.
    pub(super) fn may_be(&self, index: usize, wanted: Wanted) -> bool {
        self.with(|all| all[index].role.is_none_or(|role| wanted.admits(Some(role))))
    }

    /// Whether a session that wants `role` may try this endpoint now. One that did not have it a moment ago is left
    /// to whoever asks it next; the error is what it had.
    pub(super) fn turn(&self, index: usize, role: ServerRole) -> Result<(), Option<ServerRole>> {
        self.with(|all| {
            let seen = &mut all[index];
            let now = Instant::now();
            if seen.counts_as() == Some(role) {
                return Ok(());
            }
            if seen.ask_at.is_some_and(|at| now < at) {
                return Err(seen.role);
            }
            if seen.role.is_some() {
                seen.ask_at = Some(now + ASK_AGAIN);
            }
            Ok(())
        })
    }

    /// Takes note that a session has left the endpoint for its role.
    pub(super) fn left(&self, index: usize) {
        self.with(|all| all[index].ask_at = Some(Instant::now() + ASK_AGAIN));
    }

    /// Takes note of an attempt, and of the role that the server told. Returns whether it was promoted since the last
    /// one.
    pub(super) fn note(&self, index: usize, outcome: Result<Option<ServerRole>, &Failure>) -> bool {
        let (reachable, role) = match outcome {
            Ok(role) => (true, role),
            Err(failure) => (has_answered(failure.cause()), None),
        };
        self.with(|all| {
            let promotions = all.iter().map(|seen| seen.promoted).max().unwrap_or_default();
            let seen = &mut all[index];
            let was = seen.role;
            seen.role = role.or(was);
            seen.reachable = reachable;
            let promoted = (was, role) == (Some(ServerRole::Replica), Some(ServerRole::Primary));
            if promoted && !self.by_sentinels {
                seen.promoted = promotions + 1;
            }
            supersede(all);
            promoted
        })
    }

    /// What sessions may take an endpoint for that has just told its role.
    pub(super) fn counts_as(&self, index: usize) -> Option<ServerRole> {
        self.with(|all| all[index].counts_as())
    }

    pub(super) fn certificate(&self, index: usize, not_after: u64) {
        self.with(|all| all[index].certificate_not_after = Some(not_after));
    }

    /// Takes note of a probe; returns whether that changes the endpoint's state.
    pub(super) fn probed(&self, index: usize, probe: Probe, version: Option<String>) -> bool {
        self.with(|all| {
            let seen = &mut all[index];
            let was =
                seen.last_probe.as_ref().map(|probe| probe.failure.as_ref().map(|(_, cause, _)| *cause));
            let is = probe.failure.as_ref().map(|(_, cause, _)| *cause);
            if was.map(|cause| cause.is_none()) != Some(is.is_none()) {
                seen.since = Some(probe.at);
            }
            seen.last_probe = Some(probe);
            seen.version = version.or(seen.version.take());
            was != Some(is)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<Seen>) -> T) -> T {
        act(&mut self.endpoints.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Of two that call themselves primaries, the one that was seen to become one later is the primary. The other one has
/// lost touch: what is written there would be lost. Which of two is newer is not known where neither was seen to change.
fn supersede(all: &mut [Seen]) {
    let primaries = all.iter().filter(|seen| seen.role == Some(ServerRole::Primary));
    let newest = primaries.map(|seen| seen.promoted).max().unwrap_or_default();
    for seen in all {
        seen.superseded = seen.role == Some(ServerRole::Primary) && seen.promoted < newest;
    }
}

/// A server that refuses a login for the credential's or the client's sake is there: a database that does not exist
/// must not send the next session elsewhere.
fn has_answered(cause: Cause) -> bool {
    matches!(cause, Cause::CredentialRejected | Cause::ServerRefused)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn health() -> Health {
        let seen = vec![Seen::new("db:5432".to_owned())];
        Health {
            endpoints: Mutex::new(seen),
            role: Role::Primary,
            probed: true,
            by_sentinels: false,
            alarm: Bell::default(),
        }
    }

    fn may_try(health: &Health) -> bool {
        health.turn(0, ServerRole::Primary).is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_of_the_wrong_role_is_asked_once_a_second_by_all_together() {
        let health = health();
        assert!(may_try(&health), "nothing is known yet");
        health.note(0, Ok(Some(ServerRole::Replica)));
        for _ in 0..3 {
            assert!(may_try(&health), "somebody asks");
            assert_eq!(
                health.turn(0, ServerRole::Primary),
                Err(Some(ServerRole::Replica)),
                "nobody else does"
            );
            tokio::time::advance(ASK_AGAIN).await;
        }
        assert!(may_try(&health));
        health.note(0, Ok(Some(ServerRole::Primary)));
        assert!(may_try(&health) && may_try(&health), "everybody may use the new primary at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_tell_its_role_is_left_alone_for_a_second_too() {
        let health = health();
        health.note(0, Ok(None));
        health.left(0);
        assert_eq!(health.turn(0, ServerRole::Primary), Err(None));
        tokio::time::advance(ASK_AGAIN).await;
        assert!(may_try(&health));
    }

    #[test]
    fn a_server_that_refuses_what_a_client_asks_for_is_there() {
        let reachable = |cause| {
            let health = health();
            health.note(0, Err(&Failure::new(Stage::Login, crate::failure::Side::Upstream, cause)));
            health.seen()[0].reachable
        };
        assert!(reachable(Cause::ServerRefused) && reachable(Cause::CredentialRejected));
        assert!(!reachable(Cause::ConnectRefused) && !reachable(Cause::ServerNotReady));
    }

    #[test]
    fn an_old_primary_is_not_used_once_a_newer_one_was_seen() {
        let seen = ["old:5432", "new:5432"].map(|name| Seen::new(name.to_owned())).to_vec();
        let health = Health { endpoints: Mutex::new(seen), ..health() };
        let primaries = || {
            let wanted =
                |candidate: &Candidate| health.counts_as(candidate.index) == Some(ServerRole::Primary);
            let all = health.candidates(&[0, 1]);
            all.iter()
                .filter(|candidate| wanted(candidate))
                .map(|candidate| candidate.index)
                .collect::<Vec<_>>()
        };
        let (primary, replica) = (Ok(Some(ServerRole::Primary)), Ok(Some(ServerRole::Replica)));
        health.note(0, primary);
        assert!(!health.note(1, primary), "nobody knows since when");
        assert_eq!(primaries(), [0, 1], "which of them is newer is not known either");
        health.note(1, replica);
        assert!(health.note(1, primary), "a promotion");
        assert_eq!(primaries(), [1]);
        health
            .note(1, Err(&Failure::new(Stage::Dial, crate::failure::Side::Upstream, Cause::ConnectRefused)));
        assert_eq!(primaries(), [1], "that the newer one is down makes the old one no better");
        health.note(0, replica);
        assert!(health.note(0, primary), "promoted in turn");
        assert_eq!(primaries(), [0]);
        health.note(0, replica);
        assert_eq!(primaries(), [1]);
    }

    #[test]
    fn an_endpoint_has_been_down_since_it_was_up_last_whatever_the_causes_were() {
        let (health, start) = (health(), SystemTime::now());
        let down = |cause| Some((Stage::Dial, cause, String::new()));
        let probes = [None, None, down(Cause::ConnectRefused), down(Cause::ConnectTimedOut), None];
        let since = probes.into_iter().enumerate().map(|(minutes, failure)| {
            let at = start + std::time::Duration::from_mins(minutes as u64);
            health.probed(0, Probe { at, took: std::time::Duration::ZERO, failure }, None);
            health.seen()[0].since.unwrap().duration_since(start).unwrap().as_secs() / 60
        });
        assert_eq!(since.collect::<Vec<_>>(), [0, 0, 2, 2, 4]);
    }

    #[test]
    fn a_route_is_up_only_with_a_server_of_its_role() {
        let health = health();
        let probe = |failure| Probe { at: SystemTime::now(), took: std::time::Duration::ZERO, failure };
        health.probed(0, probe(None), None);
        assert!(!health.any_up(), "its role is not known");
        health.note(0, Ok(Some(ServerRole::Primary)));
        assert!(health.any_up());
        health.note(0, Ok(Some(ServerRole::Replica)));
        assert!(!health.any_up());
    }
}
