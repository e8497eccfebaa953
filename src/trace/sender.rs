//! Empties the queue: gathers sessions that are over, and sends them in one request, patiently but not forever.

use std::time::Duration;

use hyper::body::Bytes;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::collector::{Collector, Unsent};
use super::journey::Finished;
use super::otlp::{self, Resource};
use crate::config::domain;
use crate::metrics::Metrics;
use crate::net::resolve::Resolver;

/// In one request: well below what collectors take (four mebibytes).
const BATCH: usize = 256;
/// How long the first session of a request waits for others.
const GATHERING: Duration = Duration::from_secs(1);
/// Before each try. A collector that is started anew is back within seconds; meanwhile the queue fills.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(4)];
/// How long the end of the process waits for what is still in the queue.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Sends traces while it runs.
pub struct Sender {
    queue: mpsc::Receiver<Finished>,
    collector: Collector,
    resource: Resource,
    /// Where it goes to, for the log.
    name: String,
    sent: Counter,
    dropped: Counter,
    /// Whether the last request came to nothing.
    failing: bool,
}

/// The running one.
pub struct Sending {
    ending: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Sending {
    /// Sends what is left, if that is a matter of a moment.
    pub async fn end(mut self) {
        self.ending.send_replace(true);
        if timeout(LAST_WORDS, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Sender {
    pub(super) fn new(
        settings: domain::Traces,
        resolver: Resolver,
        metrics: &Metrics,
        queue: mpsc::Receiver<Finished>,
    ) -> Self {
        Self {
            queue,
            resource: Resource::new(settings.service.clone()),
            name: settings.collector.to_string(),
            collector: Collector::new(settings, resolver),
            sent: metrics.traces("sent"),
            dropped: metrics.traces("dropped"),
            failing: false,
        }
    }

    /// Begins to send.
    pub fn start(mut self) -> Sending {
        let (ending, mut told) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Some(sessions) = self.gather(&mut told).await {
                self.deliver(&sessions, &mut told).await;
            }
        });
        Sending { ending, task }
    }

    /// The next sessions to be sent; `None` when all is said and the process ends.
    async fn gather(&mut self, ending: &mut watch::Receiver<bool>) -> Option<Vec<Finished>> {
        let mut sessions = Vec::new();
        let mut until = None;
        while sessions.len() < BATCH && !*ending.borrow() {
            let enough = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                got = self.queue.recv_many(&mut sessions, BATCH) => {
                    if got == 0 {
                        break;
                    }
                    until.get_or_insert_with(|| Instant::now() + GATHERING);
                }
                () = enough => break,
                _ = ending.wait_for(|ending| *ending) => {}
            }
        }
        while sessions.len() < BATCH
            && let Ok(session) = self.queue.try_recv()
        {
            sessions.push(session);
        }
        Some(sessions).filter(|sessions| !sessions.is_empty())
    }

    async fn deliver(&mut self, sessions: &[Finished], ending: &mut watch::Receiver<bool>) {
        let body = Bytes::from(otlp::request(&self.resource, sessions).to_string());
        let number = sessions.len() as u64;
        let mut reason = String::new();
        for pause in PAUSES {
            tokio::select! {
                () = sleep(pause) => {}
                _ = ending.wait_for(|ending| *ending), if !pause.is_zero() => break,
            }
            match self.collector.post(body.clone()).await {
                Ok(()) => {
                    self.sent.inc_by(number);
                    return self.tell(None);
                }
                Err(Unsent::Now(why)) => reason = why,
                Err(Unsent::Ever(why)) => {
                    reason = why;
                    break;
                }
            }
        }
        self.dropped.inc_by(number);
        self.tell(Some(&reason));
    }

    /// Says so when that changes.
    fn tell(&mut self, reason: Option<&str>) {
        let collector = self.name.as_str();
        match (reason, self.failing) {
            (Some(reason), false) => tracing::warn!(collector, reason, "traces not sent: dropped"),
            (None, true) => tracing::info!(collector, "traces sent again"),
            (Some(_), true) | (None, false) => {}
        }
        self.failing = reason.is_some();
    }
}
