//! What is known of each endpoint: what the last attempt came to, and in which order they are tried.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use attache_wire::ServerRole;
use tokio::time::Instant;

use super::role::{ASK_AGAIN, Candidate};
use crate::config::domain::{self, Role};
use crate::failure::{Cause, Failure, Stage};

/// The endpoints of one route, in the order of the configuration.
pub struct Health {
    endpoints: Mutex<Vec<Seen>>,
    /// What the route asks of a server.
    role: Role,
    /// Whether someone finds out when an endpoint is back.
    probed: bool,
}

/// One endpoint, as it was seen last.
#[derive(Debug, Clone)]
pub struct Seen {
    pub endpoint: String,
    /// `None` until the first probe.
    pub last_probe: Option<Probe>,
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
}

impl Seen {
    pub(super) fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            last_probe: None,
            reachable: true,
            certificate_not_after: None,
            version: None,
            role: None,
            ask_at: None,
        }
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
        let seen = upstream.endpoints.iter().map(|endpoint| Seen::new(endpoint.to_string()));
        let endpoints = Mutex::new(seen.collect());
        Self { endpoints, role: upstream.role, probed: !upstream.probe_interval.is_zero() }
    }

    /// As things stand now.
    pub fn seen(&self) -> Vec<Seen> {
        self.with(|all| all.clone())
    }

    /// Whether the last probe of any endpoint that sessions may use succeeded.
    pub fn any_up(&self) -> bool {
        self.with(|all| all.iter().any(|seen| seen.is_up() && self.role.admits(seen.role)))
    }

    /// The order in which a session tries the endpoints: that of the configuration, but what could not be reached
    /// last time comes after what could, and what had another role after what had the right one.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        self.with(|all| self.role.candidates(all, |seen| seen.reachable || !self.probed))
    }

    /// Whether a session that wants `role` may try this endpoint now. One that had another role a moment ago is
    /// left to whoever asks it next.
    pub(super) fn turn(&self, index: usize, role: ServerRole) -> Result<(), ServerRole> {
        self.with(|all| {
            let seen = &mut all[index];
            let Some(known) = seen.role.filter(|known| *known != role) else { return Ok(()) };
            let now = Instant::now();
            if seen.ask_at.is_some_and(|at| now < at) {
                return Err(known);
            }
            seen.ask_at = Some(now + ASK_AGAIN);
            Ok(())
        })
    }

    /// Takes note of an attempt, and of the role that the server told. A credential that was rejected says nothing
    /// against the endpoint.
    pub(super) fn note(&self, index: usize, outcome: Result<Option<ServerRole>, &Failure>) {
        let (reachable, role) = match outcome {
            Ok(role) => (true, role),
            Err(failure) => (failure.cause() == Cause::CredentialRejected, None),
        };
        self.with(|all| {
            let seen = &mut all[index];
            seen.reachable = reachable;
            seen.role = role.or(seen.role);
        });
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
            seen.last_probe = Some(probe);
            seen.version = version.or(seen.version.take());
            was != Some(is)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<Seen>) -> T) -> T {
        act(&mut self.endpoints.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
