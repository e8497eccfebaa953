//! The process as the admin servers show and steer it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::config::Complaints;
use crate::drain::{Drain, Phase};
use crate::events::Events;
use crate::failure::StartError;
use crate::metrics::Metrics;
use crate::pulse::{self, Pulse};
use crate::route::Serve;
use crate::serving::Changes;
use crate::status::{EventStatus, Status, age};
use crate::worker::Worker;

/// What container runtimes tell a process of its pod's name by.
const HOST_VARIABLE: &str = "HOSTNAME";
/// How long a worker may take to answer before it counts as stuck.
const WORKER_PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks at readiness, however much happens.
const READINESS_PAUSE: Duration = Duration::from_millis(100);

/// Everything that the admin servers show and steer.
pub struct House {
    pub metrics: Arc<Metrics>,
    pub drain: Drain,
    pub workers: Vec<Worker>,
    /// Asks the process to drain and end.
    pub quit: Notify,
    host: Option<String>,
    started_at: SystemTime,
    events: Events,
    pulse: Pulse,
    routes: ArcSwap<Vec<Arc<dyn Serve>>>,
    reload: mpsc::Sender<Answer>,
}

/// What a reload came to.
pub type Outcome = Result<Changes, ReloadError>;

/// Whoever asked for a reload waits for this.
pub type Answer = oneshot::Sender<Outcome>;

impl House {
    /// The house, and where those who ask for a reload are heard.
    pub fn new(
        metrics: Arc<Metrics>,
        drain: Drain,
        workers: Vec<Worker>,
        events: Events,
    ) -> (Arc<Self>, mpsc::Receiver<Answer>) {
        let (reload, asked) = mpsc::channel(1);
        let house = Self {
            metrics,
            drain,
            workers,
            quit: Notify::new(),
            host: std::env::var(HOST_VARIABLE).ok().filter(|host| !host.is_empty()),
            started_at: SystemTime::now(),
            events,
            pulse: Pulse::default(),
            routes: ArcSwap::default(),
            reload,
        };
        (Arc::new(house), asked)
    }

    /// Shows these routes from now on.
    pub fn show(&self, routes: Vec<Arc<dyn Serve>>) {
        self.routes.store(Arc::new(routes));
    }

    /// The routes that are served now.
    pub fn routes(&self) -> Arc<Vec<Arc<dyn Serve>>> {
        self.routes.load_full()
    }

    /// Reads the configuration again. `None` if the process is ending.
    pub async fn reload(&self) -> Option<Outcome> {
        let (answer, outcome) = oneshot::channel();
        self.reload.send(answer).await.ok()?;
        outcome.await.ok()
    }

    /// Tells the log and the metrics what a reload came to.
    pub fn note_reload(&self, outcome: &Outcome) {
        self.metrics.config_last_reload_successful.set(i64::from(outcome.is_ok()));
        match outcome {
            Ok(changes) => tracing::info!(
                added = ?changes.added,
                changed = ?changes.changed,
                removed = ?changes.removed,
                unchanged = changes.unchanged,
                "configuration reloaded"
            ),
            Err(ReloadError::Configuration(complaints)) => {
                for complaint in complaints.iter() {
                    tracing::error!(%complaint, "the configuration is wrong");
                }
                tracing::error!("configuration not reloaded: the old one stays");
            }
            Err(ReloadError::Start(error)) => {
                tracing::error!(%error, "configuration not reloaded: the old one stays");
            }
        }
    }

    /// What the start still waits for: every route listens from the beginning, but may lack a credential.
    pub fn missing_credentials(&self) -> Vec<String> {
        let routes = self.routes();
        let without = routes.iter().filter(|route| !route.has_credential());
        without.map(|route| format!("credential of {}", route.name())).collect()
    }

    /// Fails readiness and serves on. Returns whether that is news.
    pub fn begin_drain(&self) -> bool {
        let news = self.drain.begin();
        if news {
            self.metrics.draining.set(1);
            self.routes().iter().for_each(|route| route.wind_down());
            tracing::info!(sessions = self.drain.active(), "draining");
        }
        news
    }

    /// What readiness waits for: nothing, if it is there.
    pub fn waiting_for(&self) -> Vec<String> {
        let draining = (self.drain.phase() != Phase::Serving).then(|| "draining".to_owned());
        let routes = self.routes();
        let routes = routes.iter().filter(|route| !route.is_ready());
        let routes = routes.map(|route| match route.has_credential() {
            true => format!("upstream of {}", route.name()),
            false => format!("credential of {}", route.name()),
        });
        draining.into_iter().chain(routes).collect()
    }

    /// Watches how much the routes copy, for as long as it is let.
    pub async fn keep_pulse(self: Arc<Self>) {
        let mut beats = tokio::time::interval(pulse::BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            self.pulse.beat(self.routes().iter().map(|route| (route.name(), route.relayed())));
        }
    }

    /// One line in the log for each change of readiness, for as long as it is let. Whatever changes it is an event.
    pub async fn watch_readiness(self: Arc<Self>) {
        let mut was_ready = None;
        loop {
            let waiting_for = self.waiting_for();
            let is_ready = waiting_for.is_empty();
            if was_ready.replace(is_ready) != Some(is_ready) {
                match is_ready {
                    true => tracing::info!("ready"),
                    false => tracing::info!(waiting_for = waiting_for.join(", "), "not ready"),
                }
            }
            // A storm of events is looked at now and then, and silence too.
            tokio::time::sleep(READINESS_PAUSE).await;
            let _ = tokio::time::timeout(pulse::BEAT, self.events.news()).await;
        }
    }

    /// Whether every worker answers within a moment.
    pub async fn is_alive(&self) -> bool {
        let answers = self.workers.iter().map(Worker::answers);
        let all = tokio::time::timeout(WORKER_PATIENCE, futures_util::future::join_all(answers));
        all.await.is_ok_and(|answers| answers.into_iter().all(|answered| answered))
    }

    pub fn status(&self) -> Status {
        let waiting_for = self.waiting_for();
        let route = |route: &Arc<dyn Serve>| {
            let mut status = route.status();
            status.relayed.rates(self.pulse.rates(route.name()));
            status
        };
        Status {
            version: env!("CARGO_PKG_VERSION"),
            host: self.host.clone(),
            uptime_seconds: age(self.started_at),
            draining: self.drain.phase() != Phase::Serving,
            ready: waiting_for.is_empty(),
            waiting_for,
            workers: self.workers.len(),
            last_reload_successful: self.metrics.config_last_reload_successful.get() == 1,
            routes: self.routes().iter().map(route).collect(),
            events: self.events.latest().into_iter().map(EventStatus::from).collect(),
        }
    }
}

/// Why the configuration that runs was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("{0}")]
    Configuration(#[from] Complaints),
    #[error(transparent)]
    Start(#[from] StartError),
}
