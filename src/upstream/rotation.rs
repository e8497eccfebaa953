//! Which generation of a credential a login is tried with, and what a rejection leads to.
//!
//! Password and Secret never change in the same instant. Whichever comes first, the other follows, and a session
//! that arrives in between is saved here: by re-reading the Secret, by the generation before, or by waiting.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attache_wire::Protocol;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Met, Opened, Trail, Upstream};
use crate::failure::{Cause, Failure, Side, Stage};
use crate::secret::{Material, Source};

/// While sessions wait for a credential to be accepted, one of them tries this often: account locks count
/// rejected logins.
const TRIAL_INTERVAL: Duration = Duration::from_secs(1);

/// What waiting sessions share.
pub(super) struct Trials {
    next: Mutex<Instant>,
    /// Counts logins that were accepted after one was rejected: all who wait may go.
    accepted: watch::Sender<u64>,
}

impl Default for Trials {
    fn default() -> Self {
        Self { next: Mutex::new(Instant::now()), accepted: watch::Sender::new(0) }
    }
}

impl Trials {
    /// Waits for this session's turn to try.
    async fn turn(&self) {
        loop {
            let free_at = {
                let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
                if *next <= Instant::now() {
                    *next = Instant::now() + TRIAL_INTERVAL;
                    return;
                }
                *next
            };
            sleep_until(free_at).await;
        }
    }
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
        let mut tried = Vec::new();
        let mut rejection = None;
        while let Some(material) = untried(source, &tried) {
            if rejection.is_some() {
                trail.retries += 1;
                self.metrics.login_retry("other_generation");
            }
            tried.push(material.generation());
            match self.attempt(endpoint, Some(&material), intent, met, trail).await {
                Ok(opened) => {
                    self.accepted(source, &material, rejection.is_some());
                    return Ok(opened);
                }
                Err(failure) if failure.cause() == Cause::CredentialRejected => {
                    source.rejected(material.generation());
                    source.reread().await;
                    rejection = Some(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(rejection.unwrap_or_else(|| Failure::new(Stage::Login, Side::Attache, Cause::CredentialMissing)))
    }

    fn accepted(&self, source: &Source, material: &Material, after_rejection: bool) {
        source.worked(material.generation());
        if after_rejection {
            self.trials.accepted.send_modify(|count| *count += 1);
        }
    }

    /// Every generation was rejected. If the credential has worked before, a rotation is under way whose other half
    /// has not reached us: waits for it. `false` where waiting is pointless or over.
    pub(super) async fn other_credential(&self, deadline: Instant) -> bool {
        let Some(source) = self.source.as_ref().filter(|source| source.ever_worked()) else {
            return false;
        };
        let mut generation = source.subscribe();
        let mut accepted = self.trials.accepted.subscribe();
        tokio::select! {
            _ = generation.changed() => true,
            _ = accepted.changed() => true,
            () = self.trials.turn() => true,
            () = sleep_until(deadline) => false,
        }
    }
}

fn untried(source: &Source, tried: &[u64]) -> Option<Arc<Material>> {
    source.candidates().into_iter().find(|material| !tried.contains(&material.generation()))
}
