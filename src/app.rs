//! Wiring, and nothing else: reads top to bottom as the life of the process.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::admin;
use crate::config::domain::{Config, CredentialSource};
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
        let kind = protocol(&route.protocol);
        let (source, watcher) =
            credential(route.credential.as_ref(), &route.name, kind.facts.needs_user).unzip();
        let endpoints: Vec<_> = route.upstream.endpoints.iter().map(ToString::to_string).collect();
        let metrics = Arc::new(metrics.route(&route.name, &endpoints));
        let parts = RouteParts { source, resolver: resolver.clone(), metrics, ids: Arc::clone(&ids) };
        let built = kind.build(route, parts);
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
    for server in admin::serve(&config, &house).await? {
        background.spawn(server);
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
    tracing::info!(sessions = house.drain.active(), "draining");
    house.metrics.draining.set(1);
    tokio::select! {
        () = house.drain.run(config.drain) => {}
        () = signals.end() => {}
    }
    let _ = stop.send(true);
    tracing::info!(sessions_cut = house.drain.active(), "ended");
    Ok(())
}

impl House {
    /// Whether every route listens and holds a credential.
    pub fn is_started(&self) -> bool {
        self.routes.iter().all(|route| route.has_credential())
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
        for worker in &self.workers {
            if !matches!(tokio::time::timeout(WORKER_PATIENCE, worker.answers()).await, Ok(true)) {
                return false;
            }
        }
        true
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

fn protocol(name: &str) -> Kind {
    let found = registry::protocols().into_iter().find(|kind| kind.facts.name == name);
    found.expect("a checked configuration names registered protocols only")
}

/// Opens the credential of a route, if it has one.
pub fn credential(
    source: Option<&CredentialSource>,
    route: &str,
    needs_user: bool,
) -> Option<(Source, Watcher)> {
    let source = source?;
    let keys = Keys {
        username: source.keys.username.clone(),
        password: source.keys.password.clone(),
        certificate: source.keys.certificate.clone(),
        private_key: source.keys.private_key.clone(),
    };
    let mount = Mount { path: source.path.clone(), keys, poll: source.poll, needs_user };
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
