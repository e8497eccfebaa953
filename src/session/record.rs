//! What is known of a session, filled in as it is learned and logged once at its end.
//!
//! Nothing is ever decided from a record.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::chance;
use crate::failure::{Cause, Failure, Side, Stage};
use crate::metrics::RouteMetrics;
use crate::trace::{Journey, Told};
use crate::upstream::Trail;

/// One session, as its log line will tell it. The line is written when this is dropped, so that none is missed where the
/// end of the process drops the session.
pub struct Record {
    /// Names the session in the log and to the client.
    pub id: Id,
    started: Instant,
    stage: Stage,
    /// Whether this was no session but one message for another's server.
    pub errand: bool,
    pub trail: Trail,
    /// How often it was logged in again after a rotation.
    pub renewals: u32,
    /// Octets, once all are copied.
    pub to_upstream: u64,
    pub to_client: u64,
    /// On whose side it ended, where nothing failed.
    pub ended_by: Side,
    /// How it ended, once that is known. Boxed, for an idle session has no use for it.
    outcome: Option<Box<Result<(), Failure>>>,
    metrics: Arc<RouteMetrics>,
}

impl Record {
    pub fn new(ids: &Ids, metrics: &Arc<RouteMetrics>, journey: Option<Box<Journey>>) -> Self {
        Self {
            id: ids.next(),
            started: Instant::now(),
            stage: Stage::Accept,
            errand: false,
            trail: Trail { journey, ..Trail::default() },
            renewals: 0,
            to_upstream: 0,
            to_client: 0,
            ended_by: Side::Client,
            outcome: None,
            metrics: Arc::clone(metrics),
        }
    }

    /// How it ends is known: what comes now are its last words.
    pub fn ends(&mut self, outcome: Result<(), Failure>) {
        self.outcome = Some(Box::new(outcome));
    }

    pub fn reach(&mut self, stage: Stage) {
        self.stage = stage;
        if let Some(journey) = &mut self.trail.journey {
            journey.enter(stage);
        }
    }

    /// The stage is over, and the next one is not the client's.
    pub fn leave(&mut self) {
        if let Some(journey) = &mut self.trail.journey {
            journey.leave();
        }
    }

    /// The one line, and the count of results.
    fn write(&mut self) {
        let metrics = Arc::clone(&self.metrics);
        let copied = self.copied();
        let failure = match self.outcome.take() {
            Some(outcome) => outcome.err(),
            None => Some(self.cut()),
        };
        // A failure knows better than the record, which does not look into the opening of the upstream.
        let stage = failure.as_ref().map_or(self.stage, |failure| failure.stage);
        let result = failure.as_ref().map_or("ok", |failure| failure.cause().name());
        if !self.errand {
            metrics.session_ended(result);
        }
        if matches!(self.stage, Stage::Relay) {
            metrics.stage(Stage::Relay, self.started.elapsed());
        }
        let ended_by = failure.as_ref().map_or(self.ended_by, |failure| failure.side).name();
        let detail = failure.as_ref().map(|failure| failure.trouble.detail.as_str());
        let cause = failure.as_ref().map(Failure::cause);
        self.tell(stage, ended_by, cause, copied);
        let kind = if self.errand { "errand" } else { "session" };
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    route = metrics.route(),
                    session = %self.id,
                    kind,
                    stage = stage.name(),
                    ended_by,
                    result,
                    detail,
                    endpoint = self.trail.endpoint.as_deref(),
                    generation = self.trail.generation.map(NonZeroU64::get),
                    retries = self.trail.retries,
                    renewals = (self.renewals > 0).then_some(self.renewals),
                    to_upstream = copied.map(|(to_upstream, _)| to_upstream),
                    to_client = copied.map(|(_, to_client)| to_client),
                    warm = self.trail.warm.then_some(true),
                    login_ms = self.trail.login.map(millis),
                    duration_ms = millis(self.started.elapsed()),
                    "{kind} ended"
                )
            };
        }
        match cause {
            // Whoever only knocks, as a TCP probe does, is not worth a line.
            Some(Cause::ClientLeft) if stage == Stage::Accept => line!(debug),
            Some(cause) if cause.is_trouble() => line!(warn),
            None | Some(_) => line!(info),
        }
    }

    /// The process has ended before the session.
    fn cut(&self) -> Failure {
        let stage = match self.stage {
            Stage::Accept => self.trail.stage.unwrap_or(Stage::Accept),
            stage => stage,
        };
        Failure::new(stage, Side::Attache, Cause::ShuttingDown)
    }

    /// Octets to the server and to the client. Nobody knows of a session that was dropped while they were being copied.
    fn copied(&self) -> Option<(u64, u64)> {
        let is_known = self.outcome.is_some() || !matches!(self.stage, Stage::Relay);
        is_known.then_some((self.to_upstream, self.to_client))
    }

    /// Hands the times of a session over to those who tell a collector. An errand has none worth telling.
    fn tell(
        &mut self,
        stage: Stage,
        ended_by: &'static str,
        cause: Option<Cause>,
        copied: Option<(u64, u64)>,
    ) {
        let Some(journey) = self.trail.journey.take().filter(|_| !self.errand) else { return };
        journey.end(Told {
            route: self.metrics.route().to_owned(),
            session: self.id.to_string(),
            cause,
            stage,
            ended_by,
            endpoint: self.trail.endpoint.clone(),
            generation: self.trail.generation.map(NonZeroU64::get),
            retries: self.trail.retries,
            renewals: self.renewals,
            warm: self.trail.warm,
            copied,
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // Of a session that has panicked nothing is known; the panic itself is in the log.
        if !std::thread::panicking() {
            self.write();
        }
    }
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Names one session: eight digits of this process and eight of the session, short enough to read aloud and
/// unlike those of another replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id {
    process: u32,
    session: u32,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = *b"00000000-00000000";
        for (places, number) in [(0..8, self.process), (9..17, self.session)] {
            for (place, nibble) in told[places].iter_mut().zip((0..8).rev()) {
                *place = b"0123456789abcdef"[(number >> (4 * nibble) & 0xf) as usize];
            }
        }
        f.pad(str::from_utf8(&told).expect("digits are ASCII"))
    }
}

impl Id {
    /// Which session of this process it is.
    pub(super) fn number(self) -> u32 {
        self.session
    }
}

/// Makes session ids.
#[derive(Debug)]
pub struct Ids {
    process: u32,
    next: AtomicU32,
}

impl Ids {
    pub fn new() -> Self {
        Self { process: u32::from_ne_bytes(chance::bytes()), next: AtomicU32::new(1) }
    }

    fn next(&self) -> Id {
        Id { process: self.process, session: self.next.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}
