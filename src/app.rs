//! Wiring, and nothing else: reads top to bottom as the life of the process.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::admin;
use crate::config::domain::{Config, CredentialSource, Route};
use crate::drain::{Drain, Phase};
use crate::metrics::Metrics;
use crate::net::listen::Listener;
use crate::net::resolve::Resolver;
use crate::registry::{self, Kind};
use crate::route::{RouteParts, Serve};
use crate::secret::{Keys, Mount, Source, Watcher};
use crate::session::Ids;
use crate::status::Status;
use crate::worker::Worker;

/// How long a worker may take to answer before it counts as stuck.
const WORKER_PATIENCE: Duration = Duration::from_secs(2);

/// Everything that the admin servers show and steer.
pub struct House {
    pub metrics: Arc<Metrics>,
    pub drain: Drain,
    pub routes: Vec<Arc<dyn Serve>>,
    pub workers: Vec<Worker>,
    /// Asks the process to drain and end.
    pub quit: Notify,
}

/// Runs until a signal or `quit` ends it.
///
/// # Errors
/// What could not be started: an address that is taken, a thread that the system does not give.
pub async fn run(config: Config) -> Result<(), StartError> {
    raise_limits();
    let metrics = Metrics::new();
    let drain = Drain::default();
    let resolver = Resolver::from_system();
    let ids = Arc::new(Ids::new());
    let mut background = JoinSet::new();

    let mut signals =
        Signals::listen().map_err(|error| StartError::new("cannot listen for signals", error))?;
    let (mut routes, mut listeners) = (Vec::new(), Vec::new());
    for route in &config.routes {
        let (built, watcher) = build(route, &metrics, &resolver, &ids);
        for address in &route.listen {
            let bound = Listener::bind(address);
            let bound = bound.map_err(|error| {
                StartError::new(format!("{}: cannot listen on {address}", route.name), error)
            })?;
            listeners.push((bound, Arc::clone(&built)));
        }
        if let Some(watcher) = watcher {
            background.spawn(watcher.run());
        }
        for probe in built.probes() {
            background.spawn(probe);
        }
        routes.push(built);
    }

    let workers = start_workers(config.workers, &drain)?;
    let (stop, stopped) = watch::channel(false);
    for (listener, route) in &listeners {
        for worker in &workers {
            let shared = listener.share().map_err(|error| StartError::new("cannot share a socket", error))?;
            worker.serve(shared, Arc::clone(route), stopped.clone());
        }
        tracing::info!(route = route.name(), address = %listener.address, "listening");
    }

    let house = Arc::new(House { metrics, drain, routes, workers, quit: Notify::new() });
    let mut admin = JoinSet::new();
    for server in admin::servers(&config, &house, &stopped)? {
        admin.spawn(server);
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        routes = house.routes.len(),
        workers = house.workers.len(),
        "started"
    );

    tokio::select! {
        () = signals.end() => {}
        () = house.quit.notified() => {}
    }
    house.begin_drain();
    tokio::select! {
        () = house.drain.run(config.drain) => {}
        () = signals.end() => {}
    }
    let _ = stop.send(true);
    // Whoever asked for the end over HTTP still gets the answer.
    admin.join_all().await;
    tracing::info!(sessions_cut = house.drain.active(), "ended");
    Ok(())
}

impl House {
    /// What the start still waits for: every route listens from the beginning, but may lack a credential.
    pub fn missing_credentials(&self) -> Vec<String> {
        let without = self.routes.iter().filter(|route| !route.has_credential());
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
        let routes = self.routes.iter().filter(|route| !route.is_ready());
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
            routes: self.routes.iter().map(|route| route.status()).collect(),
        }
    }
}

/// Why the process could not start.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
pub struct StartError {
    what: String,
    error: io::Error,
}

impl StartError {
    pub fn new(what: impl Into<String>, error: io::Error) -> Self {
        Self { what: what.into(), error }
    }
}

/// Builds a route. The watcher, where there is one, has to run for the credential to be followed.
pub fn build(
    route: &Route,
    metrics: &Arc<Metrics>,
    resolver: &Resolver,
    ids: &Arc<Ids>,
) -> (Arc<dyn Serve>, Option<Watcher>) {
    let kind = protocol(&route.protocol);
    let (source, watcher) = credential(route.credential.as_ref(), &route.name, kind.facts.needs_user).unzip();
    let endpoints: Vec<_> = route.upstream.endpoints.iter().map(ToString::to_string).collect();
    let metrics = Arc::new(metrics.route(&route.name, &endpoints));
    let parts = RouteParts { source, resolver: resolver.clone(), metrics, ids: Arc::clone(ids) };
    (kind.build(route, parts), watcher)
}

fn protocol(name: &str) -> Kind {
    let found = registry::protocols().into_iter().find(|kind| kind.facts.name == name);
    found.expect("a checked configuration names registered protocols only")
}

/// Opens the credential of a route, if it has one.
fn credential(source: Option<&CredentialSource>, route: &str, needs_user: bool) -> Option<(Source, Watcher)> {
    let source = source?;
    let keys = Keys {
        username: source.keys.username.clone(),
        password: source.keys.password.clone(),
        certificate: source.keys.certificate.clone(),
        private_key: source.keys.private_key.clone(),
    };
    let mount = Mount { path: source.path.clone(), keys, user: None, poll: source.poll, needs_user };
    Some(Source::open(route, mount))
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

/// The signals that end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
