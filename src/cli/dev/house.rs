//! The one route, wired up: the smallest house there is.
//!
//! Its settings go through the configuration's own checks, so that they mean here what they mean there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use attache_wire::{Access, At, Directions};
use tokio::sync::watch;

use super::target::Target;
use crate::config::domain::{self, ListenAddress};
use crate::config::{self, Sources};
use crate::drain::Drain;
use crate::failure::Cause;
use crate::metrics::Metrics;
use crate::net::listen::Listener;
use crate::net::resolve::Resolver;
use crate::orders::Orders;
use crate::registry;
use crate::route::Serve;
use crate::secret::Source;
use crate::secret::given::{self, Given};
use crate::session::{Ids, RouteParts};
use crate::trace::Traces;
use crate::upstream::{Step, Verdict};
use crate::worker::Worker;

/// In log lines.
const ROUTE: &str = "dev";
/// A VPN and a database that sleeps take longer than a neighbour in the cluster.
const CONNECT_TIMEOUT: &str = "connect_timeout=10s";
/// Nobody looks at the state of an endpoint here.
const NO_PROBES: &str = "probe_interval=off";
/// How many ports after the usual one are tried before any port will do.
const NEIGHBOURS: u16 = 100;

/// What the arguments say beside the URL, the URL's own wishes included.
pub(super) struct Settings {
    pub(super) tls_mode: &'static str,
    pub(super) ca: Option<PathBuf>,
    pub(super) server_name: Option<String>,
}

pub(super) struct House {
    route: Arc<dyn Serve>,
    listener: Listener,
    /// The usual port, where somebody else has it.
    pub(super) taken: Option<u16>,
    drain: Drain,
    worker: Worker,
    accepting: watch::Sender<()>,
}

impl House {
    /// Opens the credential, listens, and serves whoever comes.
    ///
    /// # Errors
    /// What could not be had, in one line.
    pub(super) async fn start(
        target: &Target,
        route: &domain::Route,
        wanted: Option<&ListenAddress>,
        given: Option<Given>,
    ) -> Result<Self, String> {
        let source = credential(target, given).await?;
        let (listener, taken) = listen(target, wanted)?;
        let endpoints: Vec<_> = route.upstream.endpoints.iter().map(ToString::to_string).collect();
        let parts = RouteParts {
            source,
            of_sentinels: None,
            resolver: Resolver::from_system(),
            metrics: Arc::new(Metrics::new().route(ROUTE, &endpoints)),
            ids: Arc::new(Ids::new()),
            traces: Traces::default(),
            errands: Arc::default(),
            orders: Orders::default(),
        };
        let route = target.kind.build(route, parts);
        let drain = Drain::default();
        let worker =
            Worker::start(0, drain.clone()).map_err(|error| format!("cannot start a worker: {error}"))?;
        let (accepting, stop) = watch::channel(());
        let shared = listener.share().map_err(|error| format!("cannot share a socket: {error}"))?;
        worker.serve(shared, Arc::clone(&route), stop);
        tracing::info!(address = %listener.address, "listening");
        Ok(Self { route, listener, taken, drain, worker, accepting })
    }

    pub(super) fn address(&self) -> &ListenAddress {
        &self.listener.address
    }

    /// How clients find us.
    ///
    /// # Errors
    /// Why none could.
    pub(super) fn directions(&self, target: &Target) -> Result<Directions, String> {
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
        let (user, database) = (target.user.as_deref(), target.database.as_deref());
        (target.kind.directions)(&Access { at, user, database, parameters: &target.parameters })
    }

    /// Logs in once as a session would: a mistake is better told now than by the application.
    ///
    /// # Errors
    /// What stood in the way on the first server, in one line, if no server lets us in.
    pub(super) async fn first_login(&self) -> Result<(), String> {
        let steps = self.route.check().await;
        let failures: Vec<_> = steps.iter().filter_map(failure).collect();
        let servers = steps.iter().filter(|step| step.name == steps[0].name).count();
        match failures.first() {
            Some(first) if failures.len() >= servers => Err(first.clone()),
            _ => Ok(()),
        }
    }

    /// Ends at once; sessions that are left hear a last word.
    pub(super) async fn end(self) {
        drop(self.accepting);
        self.drain.run(domain::Drain { deadline: Duration::ZERO, linger: Duration::ZERO }).await;
        drop(self.worker);
    }
}

/// The route's settings, with everything that the configuration would complain of.
///
/// # Errors
/// What is wrong with the arguments.
pub(super) fn configure(target: &Target, settings: &Settings) -> Result<domain::Route, String> {
    let endpoints = target.endpoints.iter().map(|endpoint| format!("\"{endpoint}\"")).collect::<Vec<_>>();
    let mut overrides = vec![
        format!("protocol={}", target.kind.facts.name),
        // Where it listens is decided below, a port after another.
        "listen=127.0.0.1:0".to_owned(),
        format!("upstream.endpoints=[{}]", endpoints.join(",")),
        format!("upstream.tls.mode={}", settings.tls_mode),
        format!("upstream.{CONNECT_TIMEOUT}"),
        format!("upstream.{NO_PROBES}"),
    ];
    if let Some(ca) = &settings.ca {
        let ca = std::path::absolute(ca).map_err(|error| format!("{}: {error}", ca.display()))?;
        overrides.push(format!("upstream.tls.ca={}", ca.display()));
    }
    overrides.extend(settings.server_name.iter().map(|name| format!("upstream.tls.server_name={name}")));
    if target.kind.facts.needs_user {
        // No such route is accepted without a credential. Ours is no mounted folder, and takes its place below.
        overrides.push("credential.path=/".to_owned());
    }
    let overrides = overrides.into_iter().map(|setting| format!("routes.{ROUTE}.{setting}")).collect();
    let sources = Sources { overrides, ..Sources::default() };
    let config = config::load(&sources, &registry::facts()).map_err(|complaints| complaints.to_string())?;
    let mut route = config.routes.into_iter().next().expect("what was loaded is one route");
    route.credential = None;
    route.database.clone_from(&target.database);
    Ok(route)
}

async fn credential(target: &Target, given: Option<Given>) -> Result<Option<Source>, String> {
    let Some((user, given)) = target.user.as_ref().zip(given) else { return Ok(None) };
    let (source, watcher) = given::open(ROUTE, user, &given)?;
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
fn listen(target: &Target, wanted: Option<&ListenAddress>) -> Result<(Listener, Option<u16>), String> {
    if let Some(address) = wanted {
        let bound =
            Listener::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
        return Ok((bound, None));
    }
    let usual = target.kind.facts.default_port.unwrap_or(0);
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

/// In one line: where, what, and what to do about it.
fn failure(step: &Step) -> Option<String> {
    let Verdict::Failed(cause) = step.verdict else { return None };
    let server = step.endpoint.as_deref().unwrap_or_default();
    let (step_name, detail) = (step.name, step.detail.replace('\n', " "));
    let detail = if detail.is_empty() { detail } else { format!(" ({detail})") };
    Some(format!("{server}: {step_name}: {}{detail}: {}", cause.name(), advice(cause)))
}

/// What to do, in the words of this command where those of the configuration would not help.
fn advice(cause: Cause) -> &'static str {
    const HERE: [(Cause, &str); 7] = [
        (
            Cause::CertificateUnknownAuthority,
            "the server's certificate is not signed by a trusted authority: give that of the database with --ca FILE",
        ),
        (
            Cause::CertificateWrongName,
            "the server's certificate is for another name: use that one in the URL, or give it with --server-name",
        ),
        (
            Cause::TlsDeclined,
            "the server has no TLS on this port: say --tls off where the network is trusted",
        ),
        (Cause::TlsFailed, "the TLS handshake failed: check the port, and the TLS versions of the server"),
        (Cause::TlsSetup, "check the file of --ca and the name of --server-name"),
        (
            Cause::CredentialIncomplete,
            "the server asks for a password: give --password-file FILE, or start it in a terminal and type it",
        ),
        (Cause::CredentialRejected, "check the user in the URL, and the password"),
    ];
    let here = HERE.iter().find(|(known, _)| *known == cause);
    here.map_or_else(|| cause.advice(), |(_, advice)| advice)
}
