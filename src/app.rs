//! Wiring, and nothing else: reads top to bottom as the life of the process.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::admin::Admin;
use crate::config::Complaints;
use crate::config::domain::Config;
use crate::drain::{Drain, Phase};
use crate::failure::StartError;
use crate::log::Logging;
use crate::metrics::Metrics;
use crate::net::resolve::Resolver;
use crate::route::Serve;
use crate::serving::{Changes, Common, Serving};
use crate::session::Ids;
use crate::status::Status;
use crate::worker::Worker;

/// How long a worker may take to answer before it counts as stuck.
const WORKER_PATIENCE: Duration = Duration::from_secs(2);

/// Everything that the admin servers show and steer.
pub struct House {
    pub metrics: Arc<Metrics>,
    pub drain: Drain,
    pub workers: Vec<Worker>,
    /// Asks the process to drain and end.
    pub quit: Notify,
    routes: ArcSwap<Vec<Arc<dyn Serve>>>,
    reload: mpsc::Sender<Answer>,
}

/// Where the outcome of a reload is told.
type Answer = oneshot::Sender<Result<Changes, ReloadError>>;

/// Runs until a signal or `quit` ends it. `reread` reads the configuration again, for SIGHUP and `reload`.
///
/// # Errors
/// What could not be started: an address that is taken, a thread that the system does not give.
pub async fn run(
    mut config: Config,
    reread: impl Fn() -> Result<Config, Complaints>,
    logging: Logging,
) -> Result<(), StartError> {
    raise_limits();
    let mut signals =
        Signals::listen().map_err(|error| StartError::new("cannot listen for signals", error))?;
    let drain = Drain::default();
    let metrics = Metrics::new();
    let workers = start_workers(config.workers, &drain)?;
    let mut serving = Serving::new(common(&metrics));
    serving.apply(&config.routes, &workers)?;

    let routes = ArcSwap::from_pointee(serving.routes());
    let (reload, mut asked) = mpsc::channel(1);
    let house = Arc::new(House { metrics, drain, workers, quit: Notify::new(), routes, reload });
    let mut admin = Admin::new(Arc::clone(&house));
    let listeners = admin.prepare(&config)?;
    admin.serve(listeners, &config);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        routes = config.routes.len(),
        workers = house.workers.len(),
        "started"
    );

    loop {
        let answer: Option<Answer> = tokio::select! {
            order = signals.next() => match order {
                Order::End => break,
                Order::Reload => None,
            },
            () = house.quit.notified() => break,
            answer = asked.recv() => answer,
        };
        let outcome = change(&mut config, &reread, &mut serving, &mut admin, &logging);
        house.routes.store(Arc::new(serving.routes()));
        house.note_reload(&outcome);
        if let Some(answer) = answer {
            let _ = answer.send(outcome);
        }
    }

    house.begin_drain();
    tokio::select! {
        () = house.drain.run(config.drain) => {}
        () = signals.end() => {}
    }
    drop(serving);
    // Whoever asked for the end over HTTP still gets the answer.
    admin.end().await;
    tracing::info!(sessions_cut = house.drain.active(), "ended");
    Ok(())
}

/// Takes a new configuration over, or leaves everything as it is.
fn change(
    config: &mut Config,
    reread: &impl Fn() -> Result<Config, Complaints>,
    serving: &mut Serving,
    admin: &mut Admin,
    logging: &Logging,
) -> Result<Changes, ReloadError> {
    let new = reread()?;
    let listeners = admin.prepare(&new)?;
    let changes = serving.apply(&new.routes, admin.workers())?;
    admin.serve(listeners, &new);
    logging.change(&new.log);
    if (new.workers, new.log.format) != (config.workers, config.log.format) {
        tracing::warn!("a change of `workers` or `log.format` takes effect with the next start");
    }
    *config = new;
    Ok(changes)
}

/// What routes are built from.
pub fn common(metrics: &Arc<Metrics>) -> Common {
    Common { metrics: Arc::clone(metrics), resolver: Resolver::from_system(), ids: Arc::new(Ids::new()) }
}

/// Why the configuration that runs was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("{0}")]
    Configuration(#[from] Complaints),
    #[error(transparent)]
    Start(#[from] StartError),
}

impl House {
    /// The routes that are served now.
    pub fn routes(&self) -> Arc<Vec<Arc<dyn Serve>>> {
        self.routes.load_full()
    }

    /// Reads the configuration again. `None` if the process is ending.
    pub async fn reload(&self) -> Option<Result<Changes, ReloadError>> {
        let (answer, outcome) = oneshot::channel();
        self.reload.send(answer).await.ok()?;
        outcome.await.ok()
    }

    fn note_reload(&self, outcome: &Result<Changes, ReloadError>) {
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

    /// Whether every worker answers within a moment.
    pub async fn is_alive(&self) -> bool {
        let answers = self.workers.iter().map(Worker::answers);
        let all = tokio::time::timeout(WORKER_PATIENCE, futures_util::future::join_all(answers));
        all.await.is_ok_and(|answers| answers.into_iter().all(|answered| answered))
    }

    pub fn status(&self) -> Status {
        let waiting_for = self.waiting_for();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            draining: self.drain.phase() != Phase::Serving,
            ready: waiting_for.is_empty(),
            waiting_for,
            workers: self.workers.len(),
            routes: self.routes().iter().map(|route| route.status()).collect(),
        }
    }
}

fn start_workers(count: Option<usize>, drain: &Drain) -> Result<Vec<Worker>, StartError> {
    // Heeds the container's CPU quota and the affinity of the process.
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    (0..count.unwrap_or_else(cores))
        .map(|number| Worker::start(number, drain.clone()))
        .collect::<io::Result<_>>()
        .map_err(|error| StartError::new("cannot start a worker", error))
}

/// As many descriptors as the system lets us have, and no core file: it would hold the credentials.
fn raise_limits() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let files = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(%error, "cannot forbid core files");
    }
}

/// What a signal orders.
enum Order {
    End,
    Reload,
}

/// The signals that mean something here.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::End,
            _ = self.interrupt.recv() => Order::End,
            _ = self.hangup.recv() => Order::Reload,
        }
    }

    /// Waits for one that ends the process. Others have no meaning any more.
    async fn end(&mut self) {
        while matches!(self.next().await, Order::Reload) {}
    }
}
