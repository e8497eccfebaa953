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
use crate::bell::Follower;
use crate::chance;
use crate::failure::{Cause, Failure, Nature};
use crate::secret::{Material, Source};

/// The first pause after a trial that failed; it doubles up to the second.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause where no server said anything: no account can be locked for that, and a session that waits for a server
/// asks as often.
const LONGEST_UNHEARD: Duration = Duration::from_secs(2);

/// What a trial and the pause behind it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Something has changed meanwhile: another generation, or the server's mind about the older one.
    News,
    /// A server has said yes or no, or would have said no once too often.
    Heard,
    /// None could be asked.
    Unheard,
}

impl Outcome {
    fn next_pause(self, last: Duration) -> Duration {
        match self {
            Self::News => FIRST_PAUSE,
            Self::Heard => (last * 2).min(LONGEST_PAUSE),
            Self::Unheard => (last * 2).min(LONGEST_UNHEARD),
        }
    }
}

/// Of which generation the log was told why it cannot be tried.
type Told = (u64, Cause);

/// Tries every generation that needs it, for ever.
pub async fn trial<P: Protocol>(upstream: Arc<Upstream<P>>) {
    let Some(source) = upstream.source.clone() else { return };
    let (mut generation, mut verdicts) = (source.subscribe(), source.verdicts());
    let (mut pause, mut told) = (FIRST_PAUSE, None);
    loop {
        let outcome = match source.on_trial() {
            Some(material) => {
                let heard = upstream.try_out(&material, &mut told).await;
                let locked_out = match heard {
                    Outcome::Unheard => Duration::ZERO,
                    Outcome::Heard | Outcome::News => source.locked_out_for(),
                };
                let pause = chance::about(pause).max(locked_out);
                let news = pause_or_news(&source, &material, pause, &mut generation, &mut verdicts).await;
                if news { Outcome::News } else { heard }
            }
            None => {
                tokio::select! {
                    biased;
                    () = generation.changed() => {}
                    () = verdicts.changed() => {}
                }
                Outcome::News
            }
        };
        pause = outcome.next_pause(pause);
    }
}

/// Waits before the next trial. Returns at once, with `true`, where something has changed since: another generation,
/// or the server's mind about the older one.
async fn pause_or_news(
    source: &Source,
    tried: &Material,
    pause: Duration,
    generation: &mut Follower,
    verdicts: &mut Follower,
) -> bool {
    let pause = sleep(pause);
    tokio::pin!(pause);
    loop {
        tokio::select! {
            biased;
            () = generation.changed() => return true,
            () = verdicts.changed() => {
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
    async fn try_out(&self, material: &Arc<Material>, told: &mut Option<Told>) -> Outcome {
        let Ok(order) = self.order(&mut Trail::default()).await else { return Outcome::Unheard };
        let intent = self.protocol.probe_intent();
        for candidate in self.candidates(&order) {
            let (index, mut trail) = (candidate.index, Trail::default());
            match self.attempt(index, Some(material), &intent, &mut None, &mut trail).await {
                Ok(opened) => {
                    opened.leave(&self.protocol).await;
                    return Outcome::Heard;
                }
                Err(failure) if failure.cause() == Cause::CredentialRejected => return Outcome::Heard,
                Err(failure) => self.not_tried(index, material, &failure, told),
            }
        }
        Outcome::Unheard
    }

    /// What lasts is said once: nobody would learn of it before the older generation fails. What passes is for the probes to
    /// tell.
    fn not_tried(&self, index: usize, material: &Material, failure: &Failure, told: &mut Option<Told>) {
        let (route, generation, cause) = (self.metrics.route(), material.generation(), failure.cause());
        let news = told.is_none_or(|told| told != (generation, cause));
        if cause.nature() == Nature::Lasting && news {
            *told = Some((generation, cause));
            let (endpoint, stage, detail) =
                (&*self.names[index], failure.stage.name(), &failure.trouble.detail);
            let (cause, advice) = (cause.name(), cause.advice());
            tracing::warn!(
                route,
                generation,
                endpoint,
                stage,
                cause,
                detail,
                advice,
                "credential could not be tried"
            );
        } else {
            tracing::debug!(route, generation, %failure, "new credential not tried");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(times: usize, outcome: Outcome) -> Duration {
        (0..times).fold(FIRST_PAUSE, |pause, _| outcome.next_pause(pause))
    }

    #[test]
    fn a_generation_that_nobody_could_be_asked_about_is_tried_soon_after_the_network_is_well() {
        assert_eq!(after(1, Outcome::Unheard), Duration::from_secs(2));
        assert_eq!(after(50, Outcome::Unheard), LONGEST_UNHEARD);
        assert_eq!(Outcome::Unheard.next_pause(LONGEST_PAUSE), LONGEST_UNHEARD);
    }

    #[test]
    fn one_that_was_rejected_is_tried_more_and_more_seldom_until_there_is_news() {
        assert_eq!(after(3, Outcome::Heard), Duration::from_secs(8));
        assert_eq!(after(50, Outcome::Heard), LONGEST_PAUSE);
        assert_eq!(Outcome::News.next_pause(LONGEST_PAUSE), FIRST_PAUSE);
    }
}
