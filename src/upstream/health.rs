//! What is known of each endpoint: what the last attempt came to, and in which order they are tried.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::config::domain::{self, Endpoint};
use crate::failure::{Cause, Failure, Stage};

/// The endpoints of one route, in the order of the configuration.
pub struct Health {
    endpoints: Mutex<Vec<Seen>>,
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
        let seen = |endpoint: &Endpoint| Seen {
            endpoint: endpoint.to_string(),
            last_probe: None,
            reachable: true,
            certificate_not_after: None,
            version: None,
        };
        let endpoints = Mutex::new(upstream.endpoints.iter().map(seen).collect());
        Self { endpoints, probed: !upstream.probe_interval.is_zero() }
    }

    /// As things stand now.
    pub fn seen(&self) -> Vec<Seen> {
        self.with(|all| all.clone())
    }

    /// Whether the last probe of any endpoint succeeded.
    pub fn any_up(&self) -> bool {
        self.with(|all| {
            all.iter().any(|seen| seen.last_probe.as_ref().is_some_and(|probe| probe.failure.is_none()))
        })
    }

    /// The order in which a session tries the endpoints: that of the configuration, but what could not be reached
    /// last time comes after what could.
    pub(super) fn in_order(&self) -> Vec<usize> {
        self.with(|all| {
            let (up, down): (Vec<_>, Vec<_>) =
                (0..all.len()).partition(|index| all[*index].reachable || !self.probed);
            up.into_iter().chain(down).collect()
        })
    }

    /// Takes note of an attempt. A credential that was rejected says nothing against the endpoint.
    pub(super) fn note(&self, index: usize, outcome: Result<(), &Failure>) {
        let reachable = match outcome {
            Ok(()) => true,
            Err(failure) => failure.cause() == Cause::CredentialRejected,
        };
        self.with(|all| all[index].reachable = reachable);
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
