//! The databases, wired up: the smallest house there is.
//!
//! Their settings go through the configuration's own checks, so that they mean here what they mean there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use attache_wire::{Access, At, Directions};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::advice;
use super::wanted::Wanted;
use crate::config::domain::{self, ListenAddress};
use crate::config::{self, Sources};
use crate::drain::Drain;
use crate::metrics::Metrics;
use crate::net::authorities::Authorities;
use crate::net::listen::Listener;
use crate::net::resolve::Resolver;
use crate::orders::Orders;
use crate::registry;
use crate::room::Room;
use crate::route::Serve;
use crate::secret::Source;
use crate::secret::given::{self, Given};
use crate::session::{Ids, RouteParts};
use crate::status::RouteStatus;
use crate::trace::Traces;
use crate::upstream::Step;
use crate::worker::Worker;

/// A VPN and a database that sleeps take longer than a neighbour in the cluster.
const CONNECT_TIMEOUT: &str = "connect_timeout=10s";
/// Where somebody looks at the state of an endpoint: often enough for them, seldom enough for the server's log.
const PROBES: &str = "probe_interval=15s";
const NO_PROBES: &str = "probe_interval=off";
/// How many ports after the usual one are tried before any port will do.
const NEIGHBOURS: u16 = 100;

/// Everything that is served.
pub(super) struct House {
    pub(super) databases: Vec<Database>,
    drain: Drain,
    worker: Worker,
}

/// One database that is served.
pub(super) struct Database {
    pub(super) wanted: Wanted,
    route: Arc<dyn Serve>,
    listener: Listener,
    /// The usual port, where somebody else has it.
    pub(super) taken: Option<u16>,
    /// Whoever accepts stops when it is dropped.
    accepting: watch::Sender<()>,
    has_password: bool,
    /// Ended with the set.
    background: JoinSet<()>,
}

/// What is known of a database before it is served.
pub(super) struct Prepared {
    pub(super) wanted: Wanted,
    pub(super) route: domain::Route,
    /// `None` where nobody logs in.
    pub(super) given: Option<Given>,
}

impl House {
    /// Opens the credentials, listens, and serves whoever comes.
    ///
    /// # Errors
    /// What could not be had, in one line.
    pub(super) async fn start(all: Vec<Prepared>) -> Result<Self, String> {
        let drain = Drain::default();
        let worker = Worker::start(0, drain.clone(), Room::of(None))
            .map_err(|error| format!("cannot start a worker: {error}"))?;
        let (metrics, ids) = (Metrics::new(), Arc::new(Ids::new()));
        let is_one = all.len() == 1;
        let mut databases = Vec::new();
        for prepared in all {
            let name = prepared.wanted.name.clone();
            let database = Database::start(prepared, &metrics, &ids, &worker).await;
            databases.push(database.map_err(|reason| of_database(is_one, &name, reason))?);
        }
        Ok(Self { databases, drain, worker })
    }

    /// Logs in once to each as a session would: a mistake is better told now than by the application.
    ///
    /// # Errors
    /// What stood in the way, in one line for each database that lets nobody in.
    pub(super) async fn first_logins(&self) -> Result<(), String> {
        let is_one = self.databases.len() == 1;
        let checks = self.databases.iter().map(|database| async move {
            let failed = database.first_login().await.err();
            failed.map(|reason| of_database(is_one, &database.wanted.name, reason))
        });
        let failed: Vec<_> = futures_util::future::join_all(checks).await.into_iter().flatten().collect();
        if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
    }

    /// Follows the servers and the passwords from now on. Not before the first login, of which there is to be one.
    pub(super) fn look_after(&mut self) {
        for database in &mut self.databases {
            for task in database.route.background() {
                database.background.spawn(task);
            }
        }
    }

    /// Sessions that are being served.
    pub(super) fn sessions(&self) -> usize {
        self.drain.active()
    }

    /// Ends every session at its next quiet point, and what is left of them after `patience`.
    pub(super) async fn close(&self, patience: Duration) {
        self.drain.close(patience).await;
    }

    /// Ends at once; sessions that are left hear a last word.
    pub(super) async fn end(self) {
        self.databases.into_iter().for_each(|database| drop(database.accepting));
        self.drain.run(domain::Drain { deadline: Duration::ZERO, linger: Duration::ZERO }).await;
        drop(self.worker);
    }
}

/// Which database it is about, where there are several.
fn of_database(is_one: bool, name: &str, reason: String) -> String {
    if is_one { reason } else { format!("{name}: {reason}") }
}

impl Database {
    async fn start(
        Prepared { wanted, route, given }: Prepared,
        metrics: &Arc<Metrics>,
        ids: &Arc<Ids>,
        worker: &Worker,
    ) -> Result<Self, String> {
        let has_password = given.as_ref().is_some_and(|given| *given != Given::Nothing);
        let source = credential(&wanted, given).await?;
        let (listener, taken) = listen(&wanted)?;
        let endpoints: Vec<_> = route.upstream.endpoints.iter().map(ToString::to_string).collect();
        let parts = RouteParts {
            sources: [source, None],
            resolver: Resolver::from_system(),
            authorities: Authorities::default(),
            metrics: Arc::new(metrics.route(&wanted.name, &endpoints)),
            ids: Arc::clone(ids),
            traces: Traces::default(),
            errands: Arc::default(),
            orders: Orders::default(),
            seats: Arc::default(),
        };
        let route = wanted.target.kind.build(&route, parts);
        let (accepting, stop) = watch::channel(());
        let shared = listener.share().map_err(|error| format!("cannot share a socket: {error}"))?;
        worker.serve(shared, Arc::clone(&route), stop);
        tracing::info!(route = wanted.name, address = %listener.address, "listening");
        Ok(Self { wanted, route, listener, taken, accepting, has_password, background: JoinSet::new() })
    }

    pub(super) fn address(&self) -> &ListenAddress {
        &self.listener.address
    }

    /// As things stand.
    pub(super) fn status(&self) -> RouteStatus {
        self.route.status()
    }

    /// How clients find us.
    ///
    /// # Errors
    /// Why none could.
    pub(super) fn directions(&self) -> Result<Directions, String> {
        let (host, path);
        let at = match self.address() {
            ListenAddress::Tcp(address) => {
                host = address.ip().to_string();
                At::Tcp { host: &host, port: address.port() }
            }
            ListenAddress::Unix(socket) => {
                path = socket.display().to_string();
                At::Unix(&path)
            }
        };
        let target = &self.wanted.target;
        let (user, database) = (target.user.as_deref(), target.database.as_deref());
        (target.kind.directions)(&Access { at, user, database, parameters: &target.parameters })
    }

    /// What stood in the way on the first server, if no server lets us in.
    async fn first_login(&self) -> Result<(), String> {
        let steps = self.route.check().await;
        let failure = |step: &Step| advice::failure(step, self.has_password);
        let failures: Vec<_> = steps.iter().filter_map(failure).collect();
        let servers = steps.iter().filter(|step| step.name == steps[0].name).count();
        match failures.first() {
            Some(first) if failures.len() >= servers => Err(first.clone()),
            _ => Ok(()),
        }
    }
}

/// The route's settings, with everything that the configuration would complain of. Probes are for a person who looks at
/// the state of the servers.
///
/// # Errors
/// What is wrong with the arguments.
pub(super) fn configure(wanted: &Wanted, is_watched: bool) -> Result<domain::Route, String> {
    let (target, tls) = (&wanted.target, wanted.tls_mode());
    let mut overrides = vec![
        format!("protocol={}", target.kind.facts.name),
        // Where it listens is decided below, a port after another.
        "listen=127.0.0.1:0".to_owned(),
        format!("upstream.endpoints={}", serde_json::json!(target.endpoints)),
        format!("upstream.{CONNECT_TIMEOUT}"),
        format!("upstream.{}", if is_watched { PROBES } else { NO_PROBES }),
        format!("allow_cleartext={}", wanted.allow_cleartext),
    ];
    if !target.is_on_sockets() {
        overrides.push(format!("upstream.tls.mode={}", tls.name()));
    }
    overrides.extend(target.upstream.iter().map(|(key, value)| format!("upstream.{key}={value}")));
    overrides.extend(target.options.iter().map(|(name, value)| format!("options.{name}={value}")));
    if wanted.read_only {
        overrides.push("options.read_only=true".to_owned());
    }
    if let Some(ca) = wanted.authorities() {
        let ca = std::path::absolute(ca).map_err(|error| format!("{}: {error}", ca.display()))?;
        overrides.push(format!("upstream.tls.ca={}", ca.display()));
    }
    overrides.extend(wanted.server_name.iter().map(|name| format!("upstream.tls.server_name={name}")));
    if target.kind.facts.needs_user {
        // No such route is accepted without a credential. Ours is no mounted folder, and takes its place below.
        overrides.push("credential.path=/".to_owned());
    }
    let name = &wanted.name;
    let overrides = overrides.into_iter().map(|setting| format!("routes.{name}.{setting}")).collect();
    let sources = Sources { overrides, ..Sources::default() };
    let config = config::load(&sources, &registry::facts()).map_err(|complaints| complaints.to_string())?;
    let mut route = config.routes.into_iter().next().expect("what was loaded is one route");
    route.credential = None;
    route.database.clone_from(&target.database);
    Ok(route)
}

async fn credential(wanted: &Wanted, given: Option<Given>) -> Result<Option<Source>, String> {
    let Some(given) = given else { return Ok(None) };
    let (source, watcher) = given::open(&wanted.name, wanted.target.user.as_deref(), &given)?;
    if let Some(watcher) = watcher {
        tokio::spawn(watcher.run());
    }
    if source.current().is_none() {
        // The file was written this very moment: the watcher waits until it has come to rest.
        source.reread().await;
    }
    match source.standing().problem {
        Some(problem) if source.current().is_none() => Err(format!("the password file: {problem}")),
        _ => Ok(Some(source)),
    }
}

/// Listens where it was told to, or on the usual port, or near it. Also says which port was not to be had.
fn listen(wanted: &Wanted) -> Result<(Listener, Option<u16>), String> {
    if let Some(address) = &wanted.listen {
        let bound =
            Listener::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
        return Ok((bound, None));
    }
    let usual = wanted.target.kind.facts.default_port.unwrap_or(0);
    let near = usual..=usual.saturating_add(NEIGHBOURS);
    let ports = near.take_while(|port| usual != 0 || *port == 0).chain([0]);
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for port in ports {
        match Listener::bind(&ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))) {
            Ok(bound) => return Ok((bound, (port != usual).then_some(usual))),
            Err(error) => last = error,
        }
    }
    Err(format!("cannot listen on 127.0.0.1: {last}"))
}
