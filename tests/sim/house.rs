//! Attaché as it is, in a played world: routes are served as `app` serves them, and arrivals are handed to them.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use attache::config::domain::{self, Endpoint};
use attache::config::{self, Sources};
use attache::drain::Drain;
use attache::metrics::Metrics;
use attache::net::listen::Arrival;
use attache::net::stream::Stream;
use attache::registry;
use attache::route::{Serve, Task};
use attache::serving::Serving;
use attache::sockets::Spare;
use attache::status::RouteStatus;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::plan::{Plan, Reload};
use crate::speech::Dialect;
use crate::wire::{End, Line};
use crate::world::{self, World};

/// The one route, and what serves it.
pub struct House {
    serving: Serving,
    config: domain::Config,
    /// Since when the route has been out.
    pub out_since: Option<Instant>,
    pub drain: Drain,
    sessions: JoinSet<()>,
}

/// A house that several clients know; `None` once the process has ended.
pub type Shared = Arc<Mutex<Option<House>>>;

impl House {
    pub fn open(plan: &Plan, secret: &Path, authorities: &Path) -> House {
        let config = configuration(plan, secret, authorities);
        let mut serving = Serving::new(attache::app::common(&Metrics::new()));
        serving.apply(&config, &mut Spare::default(), &[]);
        House { serving, config, out_since: None, drain: Drain::default(), sessions: JoinSet::new() }
    }

    /// `None` while it is taken out.
    pub fn route(&self) -> Option<Arc<dyn Serve>> {
        self.serving.routes().pop()
    }

    pub fn status(&self) -> Option<RouteStatus> {
        Some(self.route()?.status())
    }

    /// A client connects, by this end of this line, if anybody listens.
    pub fn arrive(&mut self, world: &World) -> Option<(End, Line)> {
        let route = self.route()?;
        let turns = world.turns_of_next_session();
        let (client, ours, line) = world.client_line();
        let arrival = Arrival { stream: Stream::Played(Box::new(ours)), uid: None };
        let session = route.serve(arrival, self.drain.clone());
        match turns {
            Some(turns) => self.sessions.spawn(Dropped { session: Some(session), turns, line: line.clone() }),
            None => self.sessions.spawn(session),
        };
        while self.sessions.try_join_next().is_some() {}
        Some((client, line))
    }

    /// Reads another configuration.
    pub fn reload(&mut self, what: Reload) {
        let route = &mut self.config.routes[0];
        match what {
            Reload::Nothing | Reload::Path => {}
            Reload::Wait => route.upstream.wait += Duration::from_secs(1),
            Reload::Pool => route.pool.max_idle += Duration::from_secs(1),
            Reload::Policy(live) => route.on_rotation.live = live,
            Reload::Seats(most) => route.client.max_sessions = most,
            Reload::Login => {
                route.database = Some(format!("{}x", route.database.as_deref().unwrap_or("shop")));
            }
            Reload::Remove => drop(self.out_since.get_or_insert_with(Instant::now)),
            Reload::Restore => self.out_since = None,
        }
        self.apply();
    }

    /// Reads another configuration, in which the credential lies here.
    pub fn move_credential(&mut self, path: PathBuf) {
        self.config.routes[0].credential.as_mut().expect("the base has one").path = path;
        self.apply();
    }

    fn apply(&mut self) {
        let mut config = self.config.clone();
        if self.out_since.is_some() {
            config.routes.clear();
        }
        self.serving.apply(&config, &mut Spare::default(), &[]);
    }

    pub fn policy(&self) -> domain::Drain {
        self.config.drain
    }

    /// What the end of the process does to sessions that are left; their number.
    pub fn end(self) -> usize {
        let House { serving, mut sessions, .. } = self;
        drop(serving);
        while sessions.try_join_next().is_some() {}
        sessions.len()
    }
}

/// A session that is dropped with its last turn.
struct Dropped {
    session: Option<Task>,
    turns: u32,
    line: Line,
}

impl Future for Dropped {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(session) = &mut this.session else { return Poll::Ready(()) };
        let ended = session.as_mut().poll(cx);
        this.turns = this.turns.saturating_sub(1);
        if ended.is_pending() && this.turns == 0 {
            this.session = None;
            this.line.was_dropped();
            return Poll::Ready(());
        }
        ended
    }
}

fn configuration(plan: &Plan, secret: &Path, authorities: &Path) -> domain::Config {
    let mut config = base(plan.dialect, plan.tls).clone();
    config.drain = domain::Drain { deadline: plan.deadline, linger: Duration::ZERO };
    let route = &mut config.routes[0];
    route.listen.clear();
    let port = 5432;
    let upstream = &mut route.upstream;
    upstream.endpoints =
        (0..plan.servers).map(|server| Endpoint::Tcp { host: world::address(server), port }).collect();
    upstream.zones = vec![None; plan.servers];
    upstream.tls.ca = plan.tls.then(|| authorities.to_owned());
    upstream.role = plan.role;
    upstream.wait = plan.wait;
    upstream.connect_timeout = plan.connect_timeout;
    upstream.probe_interval = plan.probe_interval;
    let credential = route.credential.as_mut().expect("the base has one");
    credential.path = secret.to_owned();
    credential.poll = plan.poll;
    route.on_rotation = domain::OnRotation { live: plan.live, within: plan.within };
    route.client.max_sessions = plan.max_sessions;
    route.pool.warm = plan.warm;
    route.pool.reuse = plan.reuse;
    config
}

/// What an operator would write, with every default in its place.
fn base(dialect: Dialect, tls: bool) -> &'static domain::Config {
    static BASES: [[OnceLock<domain::Config>; 2]; 3] = [const { [const { OnceLock::new() }; 2] }; 3];
    BASES[dialect as usize][usize::from(tls)].get_or_init(|| {
        let settings = [
            format!("protocol={}", dialect.name()),
            "listen=127.0.0.1:0".to_owned(),
            "upstream.endpoints=[\"10.0.0.1:1\"]".to_owned(),
            format!("upstream.tls.mode={}", if tls { "verify-full" } else { "off" }),
            format!("allow_cleartext={}", !tls),
            "credential.path=/".to_owned(),
        ];
        let overrides = settings.map(|setting| format!("routes.db.{setting}")).to_vec();
        let sources = Sources { overrides, ..Sources::default() };
        config::load(&sources, &registry::facts()).expect("a good configuration")
    })
}
