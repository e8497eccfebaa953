//! The routes that are served, and how they change while they are.
//!
//! Every new socket is bound before anything is touched, so that a reload that cannot be done changes nothing. What
//! stays the same stays as it is: a socket keeps its queue, a credential its generations, a session never notices.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::config::domain::{self, CredentialSource, ListenAddress, Upstream};
use crate::metrics::Metrics;
use crate::net::authorities::Authorities;
use crate::net::resolve::Resolver;
use crate::orders::Orders;
use crate::registry::{self, Kind};
use crate::route::Serve;
use crate::secret::{Keys, Ledger, Mount, Source, Watcher};
use crate::session::{Errands, Ids, RouteParts, Seats};
use crate::sockets::{Socket, Spare};
use crate::trace::Traces;
use crate::worker::Worker;

/// What all routes share.
#[derive(Clone)]
pub struct Common {
    pub metrics: Arc<Metrics>,
    pub resolver: Resolver,
    /// What was read of files that may be broken when a route is made anew.
    pub authorities: Authorities,
    pub ids: Arc<Ids>,
    pub traces: Traces,
}

/// The routes that are served.
pub struct Serving {
    common: Common,
    running: Vec<Running>,
    /// By the name of the route, also of one that was taken out.
    namesakes: HashMap<String, Namesakes>,
}

/// What all routes of one name have in common that there are and were: sessions of one that was taken out may live when it is put
/// in again.
#[derive(Clone, Default)]
struct Namesakes {
    /// The numbers of their credentials, by which their sessions are told apart.
    ledger: Ledger,
    seats: Arc<Seats>,
    errands: Arc<Errands>,
}

/// One route that is served. Dropping it closes its sockets and ends its background work, but no session: those
/// follow its orders.
struct Running {
    config: domain::Route,
    route: Arc<dyn Serve>,
    /// What sessions hear, also those that came before a reload changed what does not concern them.
    orders: Orders,
    credential: Option<Followed>,
    of_sentinels: Option<Followed>,
    doors: Vec<Door>,
    /// Ended with the set.
    _background: JoinSet<()>,
}

/// A socket, and the hold on those who accept from it: they stop when it is dropped.
struct Door {
    socket: Socket,
    _accepting: watch::Sender<()>,
}

/// A credential that is being followed.
struct Followed {
    source: Source,
    _watcher: Aborting,
}

/// Ends a task when it is dropped.
struct Aborting(AbortHandle);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a change came to, by the names of routes.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Changes {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    pub unchanged: usize,
}

impl Serving {
    pub fn new(common: Common) -> Self {
        Self { common, running: Vec::new(), namesakes: HashMap::new() }
    }

    /// The routes, in the order of the configuration.
    pub fn routes(&self) -> Vec<Arc<dyn Serve>> {
        self.running.iter().map(|running| Arc::clone(&running.route)).collect()
    }

    /// The addresses that routes listen on.
    pub fn addresses(&self) -> impl Iterator<Item = &ListenAddress> {
        self.running.iter().flat_map(|running| &running.doors).map(|door| &door.socket.wanted)
    }

    /// Makes these routes what is served. The sockets that they need and do not have are among the spare ones, and so are
    /// those then that they do not need any more.
    pub fn apply(&mut self, config: &domain::Config, sockets: &mut Spare, workers: &[Worker]) -> Changes {
        let wanted = config.routes.as_slice();
        // The name servers may have changed too.
        self.common.resolver = Resolver::from_system();
        let (mut kept, mut retired): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|running| wanted.contains(&running.config));
        for running in &mut retired {
            running.doors.drain(..).for_each(|door| sockets.put(door.socket));
        }
        let mut changes = Changes { unchanged: kept.len(), ..Changes::default() };
        for route in wanted {
            if let Some(same) = take(&mut kept, &route.name) {
                self.running.push(same);
                continue;
            }
            let old = take(&mut retired, &route.name);
            let list = if old.is_some() { &mut changes.changed } else { &mut changes.added };
            list.push(route.name.clone());
            let old = old.map(|old| old.taken_over_by(route, config.drain));
            let namesakes = self.namesakes.entry(route.name.clone()).or_default();
            let running = self.common.start(route, old, namesakes, sockets, workers);
            self.running.push(running);
        }
        for gone in retired {
            tokio::spawn(gone.route.retire(config.drain));
            self.common.forget(&gone.config);
            changes.removed.push(gone.config.name);
        }
        changes
    }
}

fn take(running: &mut Vec<Running>, name: &str) -> Option<Running> {
    let at = running.iter().position(|running| running.config.name == name)?;
    Some(running.swap_remove(at))
}

impl Common {
    /// Builds a route that is not served by anyone yet. The watchers have to run for its credentials to be followed.
    pub fn build(&self, config: &domain::Route) -> (Arc<dyn Serve>, Vec<Watcher>) {
        let (source, watcher) = open_credential(config, &Ledger::default()).unzip();
        let (of_sentinels, other_watcher) = open_that_of_sentinels(config).unzip();
        let route = self.assemble(config, [source, of_sentinels], Orders::default(), &Namesakes::default());
        (route, watcher.into_iter().chain(other_watcher).collect())
    }

    /// Takes out what was counted of a route that is gone or about to be replaced.
    fn forget(&self, config: &domain::Route) {
        let sentinels = config.upstream.sentinel.iter().flat_map(|sentinel| &sentinel.endpoints);
        let sentinels: Vec<_> = sentinels.map(ToString::to_string).collect();
        self.metrics.forget(&config.name, &endpoints(config), &sentinels);
    }

    fn assemble(
        &self,
        config: &domain::Route,
        sources: [Option<Source>; 2],
        orders: Orders,
        namesakes: &Namesakes,
    ) -> Arc<dyn Serve> {
        // Which places of a list are taken is found out later.
        let known = if config.upstream.list().is_some() { Vec::new() } else { endpoints(config) };
        let metrics = Arc::new(self.metrics.route(&config.name, &known));
        let Namesakes { ledger: _, seats, errands } = namesakes.clone();
        let (resolver, ids, traces) = (self.resolver.clone(), Arc::clone(&self.ids), self.traces.clone());
        let authorities = self.authorities.clone();
        protocol(&config.protocol).build(
            config,
            RouteParts { sources, resolver, authorities, metrics, ids, traces, errands, orders, seats },
        )
    }

    /// Starts to serve a route, with what it takes over from the one that it replaces.
    fn start(
        &self,
        config: &domain::Route,
        old: Option<Running>,
        namesakes: &Namesakes,
        sockets: &mut Spare,
        workers: &[Worker],
    ) -> Running {
        if let Some(old) = &old {
            self.forget(&old.config);
        }
        let old = old.map(|old| (old.orders, old.credential, old.of_sentinels));
        let (orders, credential, of_sentinels) = old.unwrap_or_default();
        let follow = |(source, watcher)| Followed::new(source, watcher);
        let credential = credential.or_else(|| open_credential(config, &namesakes.ledger).map(follow));
        let of_sentinels = of_sentinels.or_else(|| open_that_of_sentinels(config).map(follow));
        let source = |followed: &Option<Followed>| followed.as_ref().map(|it| it.source.clone());
        let sources = [source(&credential), source(&of_sentinels)];
        let route = self.assemble(config, sources, orders.clone(), namesakes);
        let mut background = JoinSet::new();
        for task in route.background() {
            background.spawn(task);
        }
        let sockets = config.listen.iter().filter_map(|address| sockets.take(address));
        let doors = sockets.map(|socket| Door::open(socket, &route, workers)).collect();
        Running {
            config: config.clone(),
            route,
            orders,
            credential,
            of_sentinels,
            doors,
            _background: background,
        }
    }
}

impl Running {
    /// Without what the new configuration cannot use. Sessions that it concerns are told to end.
    fn taken_over_by(mut self, new: &domain::Route, policy: domain::Drain) -> Self {
        let concerns_sessions = concerns_sessions(&self.config, new);
        if concerns_sessions {
            tokio::spawn(self.route.retire(policy));
            self.orders = Orders::default();
        }
        let (is_same, leads_there) = (new.credential == self.config.credential, !concerns_sessions);
        let has_same_needs = new.protocol == self.config.protocol;
        self.credential = match (self.credential, mount(new)) {
            (Some(credential), Some(_)) if is_same && has_same_needs => Some(credential),
            // Where it lies now is a rotation. Servers that are others too must not hear of the old one.
            (Some(credential), Some(mount)) if leads_there => Some(credential.moved(mount)),
            (_, _) => None,
        };
        self.of_sentinels = self.of_sentinels.filter(|_| of_sentinels(new) == of_sentinels(&self.config));
        self
    }
}

/// Whether sessions that live would have come about differently, or not at all, under the new configuration. Another
/// credential is a rotation, which has its own policy.
fn concerns_sessions(old: &domain::Route, new: &domain::Route) -> bool {
    let domain::Route {
        name: _,
        protocol,
        listen: _,
        upstream:
            Upstream {
                endpoints,
                zones: _,
                // Its name for the servers is part of the endpoints'.
                sentinel: _,
                role,
                tls,
                connect_timeout: _,
                wait: _,
                probe_interval: _,
            },
        credential,
        on_rotation: _,
        database,
        client: _,
        pool: _,
        allow_remote: _,
        allow_cleartext,
        ready: _,
        options,
    } = old;
    let upstream = (role, tls) != (&new.upstream.role, &new.upstream.tls)
        || !endpoints.iter().all(|endpoint| new.upstream.endpoints.contains(endpoint));
    let login = (protocol, credential.is_some(), database, allow_cleartext, options)
        != (&new.protocol, new.credential.is_some(), &new.database, &new.allow_cleartext, &new.options);
    upstream || login
}

impl Door {
    /// Has every worker accept for this route.
    fn open(socket: Socket, route: &Arc<dyn Serve>, workers: &[Worker]) -> Self {
        let (accepting, stop) = watch::channel(());
        for worker in workers {
            match socket.listener.share() {
                Ok(shared) => worker.serve(shared, Arc::clone(route), stop.clone()),
                Err(error) => {
                    tracing::error!(route = route.name(), %error, "cannot share a socket with a worker");
                }
            }
        }
        tracing::info!(route = route.name(), address = %socket.listener.address, "listening");
        Self { socket, _accepting: accepting }
    }
}

impl Followed {
    fn new(source: Source, watcher: Watcher) -> Self {
        Self { source, _watcher: Aborting(tokio::spawn(watcher.run()).abort_handle()) }
    }

    /// The same, from another folder.
    fn moved(self, mount: Mount) -> Self {
        let watcher = self.source.moved(mount);
        Self::new(self.source, watcher)
    }
}

/// Reads the credential of a route for the first time, if it has one.
fn open_credential(config: &domain::Route, ledger: &Ledger) -> Option<(Source, Watcher)> {
    Some(Source::open_in(ledger, &config.name, mount(config)?))
}

fn mount(config: &domain::Route) -> Option<Mount> {
    let needs_user = protocol(&config.protocol).facts.needs_user;
    Some(mount_of(config.credential.as_ref()?, needs_user))
}

/// The same for the one that its Sentinels ask for. Log lines name it apart.
fn open_that_of_sentinels(config: &domain::Route) -> Option<(Source, Watcher)> {
    let mount = mount_of(of_sentinels(config)?, false);
    Some(Source::open(&format!("{}/sentinel", config.name), mount))
}

fn of_sentinels(config: &domain::Route) -> Option<&CredentialSource> {
    config.upstream.sentinel.as_ref()?.credential.as_ref()
}

fn mount_of(source: &CredentialSource, needs_user: bool) -> Mount {
    let keys = Keys {
        username: source.keys.username.clone(),
        password: source.keys.password.clone(),
        certificate: source.keys.certificate.clone(),
        private_key: source.keys.private_key.clone(),
    };
    Mount { path: source.path.clone(), keys, user: None, poll: source.poll, needs_user }
}

fn endpoints(config: &domain::Route) -> Vec<String> {
    config.upstream.endpoints.iter().map(ToString::to_string).collect()
}

fn protocol(name: &str) -> Kind {
    let found = registry::protocols().into_iter().find(|kind| kind.facts.name == name);
    found.expect("a checked configuration names registered protocols only")
}
