//! The trial of a new generation: one login in the background, before sessions use it.
//!
//! While an older generation works nobody is in a hurry: a rejected one is tried again with patience, because the
//! database may be the half of the rotation that comes second. Where the older one fails too, sessions try the new
//! one themselves, at once.

use std::sync::Arc;
use std::time::Duration;

use attache_wire::Protocol;
use tokio::time::sleep;

use super::{Trail, Upstream};
use crate::chance;
use crate::failure::{Cause, Failure};
use crate::secret::{Material, Source};

/// The first pause after a trial that failed; it doubles up to the second.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Tries every generation that needs it, for ever.
pub async fn trial<P: Protocol>(upstream: Arc<Upstream<P>>) {
    let Some(source) = upstream.source.clone() else { return };
    let (mut generation, mut verdicts) = (source.subscribe(), source.verdicts());
    let mut pause = FIRST_PAUSE;
    loop {
        let news = match source.on_trial() {
            Some(material) => {
                upstream.try_out(&material).await;
                pause_or_news(&source, &material, pause, &mut generation, &mut verdicts).await
            }
            None => {
                tokio::select! {
                    biased;
                    _ = generation.changed() => {}
                    _ = verdicts.changed() => {}
                }
                true
            }
        };
        pause = if news { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
    }
}

/// Waits before the next trial. Returns at once, with `true`, where something has changed since: another generation,
/// or the server's mind about the older one.
async fn pause_or_news(
    source: &Source,
    tried: &Material,
    pause: Duration,
    generation: &mut tokio::sync::watch::Receiver<u64>,
    verdicts: &mut tokio::sync::watch::Receiver<u64>,
) -> bool {
    let pause = sleep(chance::about(pause).max(source.locked_out_for()));
    tokio::pin!(pause);
    loop {
        tokio::select! {
            biased;
            _ = generation.changed() => return true,
            _ = verdicts.changed() => {
                // The verdict on this trial itself is no reason for another.
                if source.on_trial().is_none_or(|next| next.generation() != tried.generation()) {
                    return true;
                }
            }
            () = &mut pause => return false,
        }
    }
}

impl<P: Protocol> Upstream<P> {
    /// One login with exactly this generation, on the first endpoint that has a verdict.
    async fn try_out(&self, material: &Arc<Material>) {
        let Ok(order) = self.order(&mut Trail::default()).await else { return };
        let intent = self.protocol.probe_intent();
        for candidate in self.candidates(&order) {
            let (index, mut trail) = (candidate.index, Trail::default());
            match self.attempt(index, Some(material), &intent, &mut None, &mut trail).await {
                Ok(opened) => return opened.leave(&self.protocol).await,
                Err(failure) if failure.cause() == Cause::CredentialRejected => return,
                Err(failure) => self.not_tried(material, &failure),
            }
        }
    }

    fn not_tried(&self, material: &Material, failure: &Failure) {
        let (route, generation) = (self.metrics.route(), material.generation());
        tracing::debug!(route, generation, %failure, "new credential not tried");
    }
}
