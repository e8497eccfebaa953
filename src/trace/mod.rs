//! Traces: one span for a session, and one for each stage of it, told to a collector of OpenTelemetry.
//!
//! A [`Journey`] goes along with a session and writes down when what began and ended. At the end it is put into a
//! queue; whoever empties the queue is on the control thread. Nothing here ever makes a session wait: where the queue
//! is full, a journey is dropped and counted. Nothing is decided from a journey, and no secret can get into one.

mod collector;
mod journey;
mod otlp;
mod sender;

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

use crate::chance;
use crate::config::domain;
use crate::metrics::Metrics;
use crate::net::resolve::Resolver;

use journey::Finished;
pub use journey::{Journey, Told};
pub use sender::{Sender, Sending};

/// Some seconds of a busy process, in a megabyte.
const QUEUE: usize = 1024;

/// Where journeys begin. Without a collector there are none.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    queue: mpsc::Sender<Finished>,
    sample: f64,
    dropped: Counter,
}

impl Traces {
    /// Traces for this collector, and who sends them: it has to run.
    pub fn to(settings: domain::Traces, resolver: Resolver, metrics: &Metrics) -> (Self, Sender) {
        let (queue, finished) = mpsc::channel(QUEUE);
        let dropped = metrics.traces("dropped");
        let shared = Shared { queue, sample: settings.sample, dropped };
        (Self(Some(Arc::new(shared))), Sender::new(settings, resolver, metrics, finished))
    }

    /// A journey for a session that begins, if it is one of those that are told.
    pub fn begin(&self, protocol: &'static str) -> Option<Box<Journey>> {
        let shared = self.0.as_ref().filter(|shared| shared.chooses())?;
        Some(Box::new(Journey::begin(Arc::clone(shared), protocol)))
    }
}

impl Shared {
    fn chooses(&self) -> bool {
        self.sample >= 1.0 || f64::from(chance::up_to(u32::MAX - 1)) < self.sample * f64::from(u32::MAX)
    }

    fn take(&self, finished: Finished) {
        if self.queue.try_send(finished).is_err() {
            self.dropped.inc();
        }
    }
}
