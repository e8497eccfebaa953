//! What happened to a session, and when.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Shared;
use crate::failure::{Cause, Stage};

/// A session that waits for its database may try often; what comes beyond is counted.
const ATTEMPTS: usize = 32;

/// Which journeys are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// Of those that were drawn.
    Always,
    /// Of the others.
    IfInTrouble,
}

/// One session's times, while it lives.
#[derive(Debug)]
pub struct Journey {
    shared: Arc<Shared>,
    choice: Choice,
    protocol: &'static str,
    clock: Clock,
    /// What the client sees: accept, welcome, relay.
    stages: Vec<Span>,
    /// The one of them that goes on.
    open: Option<(Stage, Instant)>,
    attempts: Vec<Attempt>,
    more_attempts: u64,
}

/// One attempt to get a link to a server.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) endpoint: Arc<str>,
    pub(super) generation: Option<u64>,
    pub(super) stages: Vec<Span>,
    pub(super) begin: SystemTime,
    /// `None` while it goes on.
    pub(super) end: Option<SystemTime>,
    pub(super) cause: Option<Cause>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) stage: Stage,
    pub(super) begin: SystemTime,
    pub(super) end: SystemTime,
    pub(super) failed: bool,
}

/// What else is told of a session at its end, as in its line of the log.
#[derive(Debug)]
pub struct Told {
    pub route: String,
    pub session: String,
    /// Why it failed, if it did.
    pub cause: Option<Cause>,
    pub stage: Stage,
    pub ended_by: &'static str,
    pub endpoint: Option<Arc<str>>,
    pub generation: Option<u64>,
    pub retries: u32,
    pub renewals: u32,
    pub warm: bool,
    /// Octets to the server and to the client, where that is known.
    pub copied: Option<(u64, u64)>,
}

/// A session that is over.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) protocol: &'static str,
    pub(super) begin: SystemTime,
    pub(super) end: SystemTime,
    pub(super) stages: Vec<Span>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) more_attempts: u64,
    pub(super) told: Told,
}

/// Times of day that never go backwards within a session.
#[derive(Debug, Clone, Copy)]
struct Clock {
    began: Instant,
    at: SystemTime,
}

impl Clock {
    fn time(&self, moment: Instant) -> SystemTime {
        self.at + moment.saturating_duration_since(self.began)
    }
}

impl Journey {
    pub(super) fn begin(shared: Arc<Shared>, choice: Choice, protocol: &'static str) -> Self {
        Self {
            shared,
            choice,
            protocol,
            clock: Clock { began: Instant::now(), at: SystemTime::now() },
            stages: Vec::new(),
            open: None,
            attempts: Vec::new(),
            more_attempts: 0,
        }
    }

    /// A stage that the client sees begins; the one before is over.
    pub fn enter(&mut self, stage: Stage) {
        self.leave();
        self.open = Some((stage, Instant::now()));
    }

    /// The stage is over.
    pub fn leave(&mut self) {
        self.close(None);
    }

    fn close(&mut self, failed_at: Option<Stage>) {
        if let Some((stage, begin)) = self.open.take() {
            let (begin, end) = (self.clock.time(begin), self.clock.time(Instant::now()));
            self.stages.push(Span { stage, begin, end, failed: failed_at == Some(stage) });
        }
    }

    /// An attempt begins, or goes on with the server that was met in it.
    pub fn attempt(&mut self, endpoint: &Arc<str>, generation: Option<u64>) {
        if let Some(last) = self.going_on()
            && last.endpoint == *endpoint
        {
            last.generation = generation;
            return;
        }
        self.attempted(None);
        if self.attempts.len() == ATTEMPTS {
            self.more_attempts += 1;
            return;
        }
        let begin = self.clock.time(Instant::now());
        let endpoint = Arc::clone(endpoint);
        self.attempts.push(Attempt {
            endpoint,
            generation,
            stages: Vec::new(),
            begin,
            end: None,
            cause: None,
        });
    }

    /// A stage of the attempt is over, which took so long.
    pub fn passed(&mut self, stage: Stage, took: Duration, failed: bool) {
        let end = self.clock.time(Instant::now());
        let begin = end.checked_sub(took).unwrap_or(end);
        if let Some(attempt) = self.going_on() {
            let begin = begin.max(attempt.begin);
            attempt.stages.push(Span { stage, begin, end, failed });
        }
    }

    /// The attempt is over.
    pub fn attempted(&mut self, cause: Option<Cause>) {
        let now = self.clock.time(Instant::now());
        if let Some(attempt) = self.going_on() {
            (attempt.end, attempt.cause) = (Some(now), cause);
        }
    }

    fn going_on(&mut self) -> Option<&mut Attempt> {
        self.attempts.last_mut().filter(|attempt| attempt.end.is_none())
    }

    /// The session is over.
    pub fn end(mut self, told: Told) {
        let failed_at = told.cause.map(|_| told.stage);
        if self.choice == Choice::IfInTrouble && !told.cause.is_some_and(Cause::is_trouble) {
            return;
        }
        self.attempted(told.cause);
        self.close(failed_at);
        self.shared.take(
            self.choice,
            Finished {
                protocol: self.protocol,
                begin: self.clock.at,
                end: self.clock.time(Instant::now()),
                stages: self.stages,
                attempts: self.attempts,
                more_attempts: self.more_attempts,
                told,
            },
        );
    }
}
