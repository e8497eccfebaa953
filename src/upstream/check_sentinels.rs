//! What the `check` command tells of Sentinels: each is asked once.

use std::time::Duration;

use attache_wire::{Protocol, Report};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{SentinelSeen, Sentinels, Step, Upstream, Verdict};
use crate::failure::Failure;

const SENTINEL: &str = "sentinel";
/// The warning of a Sentinel that does not let us listen.
const SILENT: &str = "sentinel_silent";

impl<P: Protocol> Upstream<P> {
    /// Asks all of them at once. What they say counts from then on.
    pub(super) async fn check_sentinels(&self) -> Vec<Step> {
        let Some(sentinels) = &self.sentinels else { return Vec::new() };
        let seats = 0..sentinels.settings.endpoints.len();
        let took = join_all(seats.map(|seat| self.check_sentinel(sentinels, seat))).await;
        let (seen, _) = sentinels.seen();
        seen.into_iter().zip(took).map(|(seen, took)| step(seen, took)).collect()
    }

    async fn check_sentinel(&self, sentinels: &Sentinels, seat: usize) -> Duration {
        let start = Instant::now();
        let asked = self.ask_anew(sentinels, seat).await;
        self.hear(sentinels, seat, asked.map(|asked| asked.report));
        start.elapsed()
    }
}

fn step(seen: SentinelSeen, took: Duration) -> Step {
    let (verdict, detail) = match (&seen.report, seen.failure) {
        (_, Some((cause, detail))) => (Verdict::Failed(cause), detail),
        (Some(report), None) if !report.announces => (
            Verdict::Warned(SILENT),
            "it does not permit SUBSCRIBE: failovers are noticed by asking".to_owned(),
        ),
        (Some(report), None) => (Verdict::Passed, told(report)),
        (None, None) => (Verdict::Skipped, String::new()),
    };
    Step { endpoint: Some(seen.endpoint.to_string()), name: SENTINEL, took: Some(took), verdict, detail }
}

fn told(report: &Report) -> String {
    let replicas = match report.replicas.len() {
        1 => "1 replica".to_owned(),
        replicas => format!("{replicas} replicas"),
    };
    format!("primary {}, {replicas} that can be reached, epoch {}", report.primary, report.epoch)
}

/// Why there is no server to go on with.
pub(super) fn no_report(failure: &Failure) -> Step {
    let detail = failure.trouble.detail.clone();
    Step { endpoint: None, name: SENTINEL, took: None, verdict: Verdict::Failed(failure.cause()), detail }
}
