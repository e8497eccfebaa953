//! Traces: one span for a session, and one for each stage of it, told to a collector of OpenTelemetry.
//!
//! A [`Journey`] goes along with a session and writes down when what began and ended. At the end it is put into a
//! queue, if it was drawn or its session is in trouble; whoever empties the queue is on the control thread. Nothing
//! here ever makes a session wait: where the queue is full, a journey is dropped and counted. Nothing is decided from
//! a journey, and no secret can get into one.

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

use journey::{Choice, Finished};
pub use journey::{Journey, Told};
pub use sender::{Sender, Sending};

/// Some seconds of a busy process, in a megabyte.
const QUEUE: usize = 1024;
/// What is left of it for sessions that were drawn, where thousands fail.
const KEPT_FOR_DRAWN: usize = QUEUE / 2;

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

    /// A journey for a session that begins, where there is anybody to tell. Whether it is told may be known only at its end.
    pub fn begin(&self, protocol: &'static str) -> Option<Box<Journey>> {
        let shared = self.0.as_ref()?;
        Some(Box::new(Journey::begin(Arc::clone(shared), shared.draw(), protocol)))
    }
}

impl Shared {
    fn draw(&self) -> Choice {
        let is_drawn =
            self.sample >= 1.0 || f64::from(chance::up_to(u32::MAX - 1)) < self.sample * f64::from(u32::MAX);
        if is_drawn { Choice::Always } else { Choice::IfInTrouble }
    }

    fn take(&self, choice: Choice, finished: Finished) {
        let has_room = match choice {
            Choice::Always => true,
            Choice::IfInTrouble => self.queue.capacity() > KEPT_FOR_DRAWN,
        };
        if !has_room || self.queue.try_send(finished).is_err() {
            self.dropped.inc();
        }
    }
}
