//! The background probe: logs in to each endpoint as a session would, and takes leave.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use attache_wire::Protocol;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::health::Probe;
use super::{Opened, Trail, Upstream};
use crate::bell::Follower;
use crate::chance;
use crate::failure::Failure;

/// The first pause after a failed probe; it doubles up to the route's interval.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// An endpoint is not probed again sooner than about this, whatever happens.
const SOONEST: Duration = Duration::from_secs(1);
/// How long a goodbye may take.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// Probes one endpoint for ever: at the route's interval while it is up, sooner while it is not.
pub async fn probe<P: Protocol>(upstream: Arc<Upstream<P>>, index: usize) {
    let interval = upstream.settings.probe_interval;
    if interval.is_zero() {
        return;
    }
    let mut pause = FIRST_PAUSE;
    let mut alarms = upstream.health.alarms();
    loop {
        alarms.catch_up();
        let up = match upstream.present().await {
            // Nobody has this place of the list.
            Ok(present) if !present.contains(&index) => true,
            Ok(_) => match upstream.probe_once(index).await {
                Ok(opened) => {
                    opened.leave(&upstream.protocol).await;
                    true
                }
                Err(_) => false,
            },
            Err(_) => false,
        };
        pause = if up { interval } else { pause.min(interval) };
        rest(chance::about(pause), &mut alarms).await;
        pause = if up { FIRST_PAUSE } else { pause * 2 };
    }
}

/// Waits for the next probe, or for a reason to look sooner. Such a reason is heeded once in a while only: sessions
/// that wait for a server bring one with each of their attempts.
pub(super) async fn rest(pause: Duration, alarms: &mut Follower) {
    let (end, soonest) = (Instant::now() + pause, pause.min(chance::about(SOONEST)));
    sleep(soonest).await;
    tokio::select! {
        biased;
        () = sleep_until(end) => {}
        () = alarms.changed() => {}
    }
}

impl<P: Protocol> Upstream<P> {
    /// One probe, with what it came to noted for health, metrics and log.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn probe_once(&self, index: usize) -> Result<Opened<P>, Failure> {
        let (start, target) = (Instant::now(), self.target(index));
        let (intent, mut trail) = (self.protocol.probe_intent(), Trail::default());
        let result = self.any_generation(index, &intent, &mut None, &mut trail).await;
        // Another server has taken the place meanwhile: nothing was learned of it.
        if self.target(index) != target {
            return result;
        }
        let failure = result.as_ref().err();
        let version = result.as_ref().ok().and_then(|opened| self.protocol.server_version(&opened.greeting));
        let told = failure.map(|failure| (failure.stage, failure.cause(), failure.trouble.detail.clone()));
        let probe = Probe { at: SystemTime::now(), took: start.elapsed(), failure: told };
        let changed = self.health.probed(index, probe, version);
        let endpoint = &self.names[index];
        self.metrics.upstream_up(endpoint, failure.is_none());
        if changed {
            self.tell(endpoint, failure);
        }
        result
    }

    fn tell(&self, endpoint: &str, failure: Option<&Failure>) {
        let route = self.metrics.route();
        match failure {
            None => tracing::info!(route, endpoint, "endpoint up"),
            Some(failure) => tracing::warn!(
                route,
                endpoint,
                stage = failure.stage.name(),
                cause = failure.cause().name(),
                detail = failure.trouble.detail,
                advice = failure.cause().advice(),
                "endpoint down"
            ),
        }
    }
}

impl<P: Protocol> Opened<P> {
    /// Takes leave of a server that no session uses.
    pub async fn leave(mut self, protocol: &P) {
        protocol.farewell(&mut self.link.output);
        let _ = timeout(FAREWELL, self.link.part()).await;
    }
}
