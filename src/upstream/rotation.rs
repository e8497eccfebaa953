//! Which generation of a credential a login is tried with, and what a rejection leads to.
//!
//! Password and Secret never change in the same instant. Whichever comes first, the other follows, and a session
//! that arrives in between is saved here: by re-reading the Secret, by the generation before, or by waiting.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attache_wire::Protocol;
use tokio::time::{Instant, sleep_until};

use super::reach::no_credential;
use super::{Met, Opened, Trail, Upstream};
use crate::failure::{Cause, Failure, Side, Stage, Trouble};
use crate::secret::{Leave, Material, Picked, REJECTED_A_MINUTE, Source};

/// While sessions wait for a credential to be accepted, one of them tries this often at most.
const TURN_INTERVAL: Duration = Duration::from_secs(1);

/// What waiting sessions share: when the next one may try.
pub(super) struct Turns(Mutex<Turn>);

struct Turn {
    next: Instant,
    /// How often the current generation had changed, as the last one to look knew it.
    changes: u64,
}

impl Default for Turns {
    fn default() -> Self {
        Self(Mutex::new(Turn { next: Instant::now(), changes: 0 }))
    }
}

impl Turns {
    /// Waits for this session's turn to try, which does not come while the account could be locked for it. A new
    /// generation is tried at once, but by one: its verdict is the others' too.
    async fn next(&self, source: &Source) {
        let mut news = source.subscribe();
        loop {
            let Err(free_at) = self.take(news.catch_up(), source.locked_out_for()) else { return };
            tokio::select! {
                biased;
                () = news.changed() => {}
                () = sleep_until(free_at) => {}
            }
        }
    }

    /// Takes the turn, or tells when there may be one.
    fn take(&self, changes: u64, locked_out_for: Duration) -> Result<(), Instant> {
        let mut turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if turn.changes < changes {
            *turn = Turn { next: now, changes };
        }
        let free_at = turn.next.max(now + locked_out_for);
        if free_at > now {
            return Err(free_at);
        }
        turn.next = now + TURN_INTERVAL;
        Ok(())
    }
}

/// What a server said to a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Yes,
    No,
    /// Nothing, for it was not asked: no password was sent.
    Unasked,
    /// Nobody knows.
    Unknown,
}

impl Said {
    /// By the failure of a login, if it failed.
    pub fn of(failure: Option<&Failure>) -> Self {
        match failure.map(|failure| (failure.stage, failure.cause())) {
            None => Self::Yes,
            Some((_, Cause::CredentialRejected)) => Self::No,
            Some((stage, cause)) if stage < Stage::Login || cause == Cause::ServerNotReady => Self::Unasked,
            Some(_) => Self::Unknown,
        }
    }
}

/// What was tried in the midst of a session.
pub struct Attempts {
    tried: Vec<u64>,
    deadline: Instant,
}

impl<P: Protocol> Upstream<P> {
    /// Tries one endpoint with every generation that there is, the most promising first.
    pub(super) async fn any_generation(
        &self,
        endpoint: usize,
        intent: &P::Intent,
        met: &mut Option<Met<P>>,
        trail: &mut Trail,
    ) -> Result<Opened<P>, Failure> {
        let Some(source) = &self.source else {
            return self.attempt(endpoint, None, intent, met, trail).await;
        };
        self.look_for_credential().await;
        let mut tried = Vec::new();
        let mut rejection = None;
        while let Some(material) = source.pick(&tried) {
            if rejection.is_some() {
                trail.retries += 1;
                self.metrics.login_retry("other_generation");
            }
            tried.push(material.generation());
            match self.attempt(endpoint, Some(&material), intent, met, trail).await {
                Err(failure) if failure.cause() == Cause::CredentialRejected => {
                    // What the server said tells more than what it was not asked.
                    if rejection.is_none() || failure.side == Side::Upstream {
                        rejection = Some(failure);
                    }
                    source.reread().await;
                }
                // An old certificate may have expired before anybody could try the new one.
                Err(failure) if is_of_certificate(failure.cause()) && source.on_trial().is_some() => {
                    rejection.get_or_insert(failure);
                }
                other => return other,
            }
        }
        Err(rejection.unwrap_or_else(|| no_credential(source)))
    }

    /// A folder that nobody could use so far is read once more before anybody is turned away for it: it may have been
    /// written this very moment.
    pub(super) async fn look_for_credential(&self) {
        if let Some(source) = self.source.as_ref().filter(|source| source.current().is_none()) {
            source.reread().await;
        }
    }

    /// How long a login in the midst of a session may look for a generation that is accepted.
    pub fn attempts(&self) -> Attempts {
        Attempts { tried: Vec::new(), deadline: self.patience(Duration::ZERO).deadline }
    }

    /// Another generation, where this one was rejected in the midst of a session: one that is there, or, as for a session
    /// that begins, one that comes. `None` once waiting is pointless or over.
    pub async fn instead_of(&self, rejected: &Material, attempts: &mut Attempts) -> Option<Picked> {
        let source = self.source.as_ref()?;
        attempts.tried.push(rejected.generation());
        source.reread().await;
        if source.pick(&attempts.tried).is_none() {
            if !self.other_credential(attempts.deadline).await {
                return None;
            }
            attempts.tried.clear();
        }
        self.metrics.login_retry(Cause::CredentialRejected.name());
        source.pick(&attempts.tried)
    }

    /// Asks for leave to log in with a generation.
    ///
    /// # Errors
    /// A rejection that was not fetched from the server, for it could lock the account.
    pub fn leave(&self, material: Option<&Arc<Material>>) -> Result<Leave, Failure> {
        let Some((source, material)) = self.source.as_ref().zip(material) else { return Ok(Leave::Free) };
        source.leave(material.generation()).map_err(|wait| {
            self.metrics.logins_withheld.inc();
            let detail = format!(
                "not sent: the last login with generation {} was rejected, and more than {REJECTED_A_MINUTE} \
                 rejections a minute could lock the account; the next one is due in {} s",
                material.generation(),
                wait.as_secs() + 1
            );
            Failure::new(Stage::Login, Side::Attache, Trouble::new(Cause::CredentialRejected, detail))
        })
    }

    /// The generation with which a session can be logged in again that lives with this one, `own`.
    pub fn other_material(&self, own: u64) -> Option<Picked> {
        self.likely_material().ok().flatten().filter(|material| material.generation() != own)
    }

    /// Asks for leave to log in for nobody who waits.
    ///
    /// # Errors
    /// How long there is no leave to be had.
    pub fn leave_at_leisure(&self, material: &Material) -> Result<Leave, Duration> {
        let Some(source) = &self.source else { return Ok(Leave::Free) };
        source.leave_at_leisure(material.generation()).inspect_err(|_| {
            self.metrics.logins_withheld.inc();
        })
    }

    /// Takes note of what the server said to a generation.
    pub fn heard(&self, material: Option<&Arc<Material>>, leave: Leave, said: Said) {
        let Some((source, material)) = self.source.as_ref().zip(material) else { return };
        match said {
            Said::Yes => {
                source.worked(material.generation());
                source.was_not_rejected(leave);
            }
            Said::No => source.rejected(material.generation(), leave),
            Said::Unasked => source.was_not_rejected(leave),
            Said::Unknown => {}
        }
    }

    /// Takes note of what the server said to such a login.
    pub fn heard_at_leisure(&self, material: &Material, leave: Leave, outcome: Result<(), Cause>) {
        let Some(source) = &self.source else { return };
        match outcome {
            Ok(()) => {
                source.worked(material.generation());
                source.was_not_rejected(leave);
            }
            Err(Cause::CredentialRejected) => source.rejected_at_leisure(material.generation(), leave),
            Err(_) => {}
        }
    }

    /// Every generation was rejected. If the credential has worked before, a rotation is under way whose other half
    /// has not reached us: waits for its success with anybody, or for this session's turn to try. `false` where waiting
    /// is pointless or over.
    pub(super) async fn other_credential(&self, deadline: Instant) -> bool {
        let Some(source) = self.source.as_ref().filter(|source| source.ever_worked()) else {
            return false;
        };
        tracing::debug!(route = self.metrics.route(), "waiting for the credential");
        let mut accepted = source.acceptances();
        tokio::select! {
            biased;
            () = accepted.changed() => true,
            () = self.turns.next(source) => true,
            () = sleep_until(deadline) => false,
        }
    }
}

/// Whether a server may say so to a client certificate, or for want of one.
fn is_of_certificate(cause: Cause) -> bool {
    matches!(cause, Cause::TlsAlert | Cause::CredentialIncomplete)
}
