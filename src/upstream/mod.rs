//! The server side of a route: the only way to reach the database.
//!
//! [`Upstream::open`] hides from its caller that endpoints fail, that a name has several addresses, that a
//! password is being rotated: it comes back with a link that is logged in, or with the one failure that
//! counts, when the route's `wait` is over.

mod attempt;
mod check;
mod check_sentinels;
mod council;
mod courtesy;
mod health;
mod hearing;
mod members;
mod named;
mod pool;
mod probe;
mod reach;
mod remedy;
mod role;
mod rotation;
mod sentinels;
mod trial;

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attache_wire::{Protocol, TlsStart};
use tokio::time::{Instant, sleep_until};

pub use check::{Step, Verdict, approximately};
pub use health::{Health, Seen};
pub use hearing::{SentinelSeen, Sentinels};
pub use pool::{Key, Kind, Pool, Returned, keep};
pub use probe::probe;
pub use reach::Met;
use reach::Patience;
use remedy::{Failures, Remedy, remedy};
pub use rotation::{Attempts, Said};
pub use sentinels::attend;
pub use trial::trial;

use crate::chance;
use crate::config::domain::{self, Endpoint, Live};
use crate::failure::{Cause, Failure, Side, Stage};
use crate::metrics::RouteMetrics;
use crate::net::authorities::Authorities;
use crate::net::dial::Place;
use crate::net::link::Link;
use crate::net::resolve::Resolver;
use crate::net::tls::{Certificate, TlsClient};
use crate::orders::Orders;
use crate::secret::{Source, Warning};
use crate::trace::Journey;

/// The first pause after all endpoints have failed; it doubles up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a route needs to reach its database.
pub struct Upstream<P: Protocol> {
    pub protocol: Arc<P>,
    courtesy: courtesy::Courtesy<P>,
    pub settings: domain::Upstream,
    pub allow_cleartext: bool,
    /// What becomes of links whose credential is not the newest that works.
    live: Live,
    /// `None` on a route without a credential.
    pub source: Option<Source>,
    pub resolver: Resolver,
    /// By whom servers are verified.
    authorities: Authorities,
    pub metrics: Arc<RouteMetrics>,
    pub health: Arc<Health>,
    /// What is said to the sessions of the route.
    pub orders: Orders,
    /// Links that wait for sessions; `None` on a route that keeps none.
    pub pool: Option<Pool<P>>,
    /// Those who name the servers, on a route that has any.
    pub sentinels: Option<Sentinels>,
    /// The endpoints' names, for whoever takes note of them.
    names: Vec<Arc<str>>,
    tls: attempt::TlsCache,
    turns: rotation::Turns,
    members: members::Members,
}

/// A link that is logged in.
pub struct Opened<P: Protocol> {
    pub link: Link,
    pub greeting: P::Greeting,
    pub way: Way,
    pub origin: Origin,
    /// Counts the link under its generation; `None` on a route without a credential.
    pub count: Option<LinkCount>,
}

/// Where and when a link was logged in.
#[derive(Debug, Clone)]
pub struct Origin {
    index: usize,
    /// Where the endpoint was then: places of a list of servers change hands.
    target: Endpoint,
    at: Instant,
    generation: Option<u64>,
}

impl Origin {
    /// The link was logged in again, with this generation.
    pub fn renewed(&mut self, generation: u64) {
        self.generation = Some(generation);
    }
}

/// What is learned on the way to a link. Nothing is decided from it.
#[derive(Debug, Default)]
pub struct Trail {
    pub stage: Option<Stage>,
    pub endpoint: Option<Arc<str>>,
    pub generation: Option<NonZeroU64>,
    /// Attempts beyond the first.
    pub retries: u32,
    /// From the first attempt to the server's success.
    pub login: Option<Duration>,
    /// Whether the link was logged in before the session came.
    pub warm: bool,
    /// The session's times, where they are told to a collector.
    pub journey: Option<Box<Journey>>,
    /// The last attempt in detail, for whoever asks for it by putting one here.
    pub course: Option<Box<Course>>,
}

/// One attempt, step by step.
#[derive(Debug, Default)]
pub struct Course {
    pub places: Vec<Place>,
    /// How long each stage took that was entered, also the one that failed.
    pub took: Vec<(Stage, Duration)>,
    pub certificate: Option<Certificate>,
}

/// The way that a link took, so that an errand can take it again.
#[derive(Debug, Clone)]
pub struct Way {
    pub endpoint: Arc<str>,
    pub place: Place,
    pub tls: Option<TlsClient>,
    /// Whether TLS starts at once or is asked for.
    pub direct: bool,
}

impl Way {
    pub fn start(&self) -> TlsStart {
        match (&self.tls, self.direct) {
            (None, _) => TlsStart::Off,
            (Some(_), true) => TlsStart::Direct,
            (Some(_), false) => TlsStart::Negotiated,
        }
    }
}

impl<P: Protocol> Upstream<P> {
    pub fn new(
        protocol: Arc<P>,
        route: &domain::Route,
        [source, of_sentinels]: [Option<Source>; 2],
        resolver: Resolver,
        authorities: Authorities,
        metrics: Arc<RouteMetrics>,
        orders: Orders,
    ) -> Self {
        let health = Arc::new(Health::new(&route.upstream));
        let names = route.upstream.endpoints.iter().map(|endpoint| endpoint.to_string().into()).collect();
        let pool = Pool::of(route.pool, &metrics);
        let sentinels = route.upstream.sentinel.as_ref().map(|it| Sentinels::new(it, of_sentinels));
        Self {
            courtesy: courtesy::Courtesy::new(&protocol),
            protocol,
            pool,
            sentinels,
            names,
            settings: route.upstream.clone(),
            allow_cleartext: route.allow_cleartext,
            live: route.on_rotation.live,
            source,
            resolver,
            authorities,
            metrics,
            health,
            orders,
            tls: attempt::TlsCache::default(),
            turns: rotation::Turns::default(),
            members: members::Members::default(),
        }
    }

    /// Why a file of authorities is not used as it is now, but as it was.
    pub fn authorities_problem(&self) -> Option<String> {
        self.authorities_named().find_map(|file| self.authorities.problem(file))
    }

    /// Whether a file of authorities cannot be used as it is now; `None` where nobody is verified by any.
    pub fn has_authorities_broken(&self) -> Option<bool> {
        self.authorities_named()
            .map(|file| self.authorities.is_broken(file))
            .reduce(|one, other| one || other)
    }

    /// What is wrong with the files of authorities although they can be read.
    pub fn authorities_warnings(&self) -> Vec<Warning> {
        let all: Vec<_> = self.authorities_named().flat_map(|file| self.authorities.warnings(file)).collect();
        Warning::ALL.into_iter().filter(|warning| all.contains(warning)).collect()
    }

    /// Those by which servers and Sentinels are verified.
    fn authorities_named(&self) -> impl Iterator<Item = Option<&Path>> {
        let of_sentinels = self.settings.sentinel.as_ref().map(|sentinel| &sentinel.tls);
        let all = [Some(&self.settings.tls), of_sentinels].into_iter().flatten();
        all.filter(|tls| tls.mode.verifies()).map(|tls| tls.ca.as_deref())
    }

    /// Opens a link for what a client intends, and logs in: on the link that was met for this session, if there
    /// is one, and on others where that fails.
    ///
    /// # Errors
    /// What stood in the way, once trying again is pointless or the route's `wait` is over, of which the meeting has had
    /// its part.
    pub async fn open(
        &self,
        intent: &P::Intent,
        mut met: Option<Met<P>>,
        trail: &mut Trail,
    ) -> Result<Opened<P>, Failure> {
        let start = Instant::now();
        let mut patience = self.patience(met.as_ref().map_or(Duration::ZERO, |met| met.waited));
        loop {
            match self.round(intent, &mut met, trail).await {
                Ok(opened) => {
                    trail.login = Some(start.elapsed());
                    return Ok(opened);
                }
                Err(failure) => {
                    // A server lets go of whoever waits too long, and counts it as a handshake that was broken off.
                    met = None;
                    self.again(&mut patience, failure, trail).await?;
                }
            }
        }
    }

    /// Waits for what may make the next attempt succeed.
    ///
    /// # Errors
    /// The failure, where nothing may.
    async fn again(
        &self,
        patience: &mut Patience,
        failure: Failure,
        trail: &mut Trail,
    ) -> Result<(), Failure> {
        let deadline = patience.deadline;
        let again = match remedy(failure.cause()) {
            Remedy::None => false,
            Remedy::Time => {
                let end = (Instant::now() + chance::about(patience.pause)).min(deadline);
                tokio::select! {
                    biased;
                    () = self.other_list() => {}
                    () = sleep_until(end) => {}
                }
                patience.pause = (patience.pause * 2).min(LONGEST_PAUSE);
                Instant::now() < deadline
            }
            Remedy::Credential => self.other_credential(deadline).await,
        };
        if !again {
            return Err(failure);
        }
        trail.retries += 1;
        self.metrics.login_retry(failure.cause().name());
        tracing::debug!(%failure, "trying again");
        Ok(())
    }

    /// Every endpoint once, in order. A credential that one of them rejects is not tried on the next: they are
    /// one database.
    async fn round(
        &self,
        intent: &P::Intent,
        met: &mut Option<Met<P>>,
        trail: &mut Trail,
    ) -> Result<Opened<P>, Failure> {
        let mut failures = Failures::default();
        let mut failed = Vec::new();
        let order = self.order(trail).await?;
        let mut candidates = self.candidates(&order);
        // What was met for this session comes first.
        candidates.sort_by_key(|candidate| met.as_ref().is_none_or(|met| met.index != candidate.index));
        for candidate in candidates {
            // A second look at an endpoint is for those that can be reached.
            if failed.contains(&candidate.index) {
                continue;
            }
            match self.candidate(candidate, intent, met, trail).await {
                Ok(opened) => return Ok(opened),
                Err(failure) if remedy(failure.cause()) == Remedy::Credential => return Err(failure),
                Err(failure) => {
                    self.health.alarm();
                    if failure.cause() != Cause::WrongRole {
                        failed.push(candidate.index);
                    }
                    failures.add(failure, self.may_serve(candidate), trail);
                }
            }
        }
        Err(failures.told(trail).unwrap_or_else(nobody))
    }
}

/// The list has become another while it was looked at.
fn nobody() -> Failure {
    Failure::new(Stage::Resolve, Side::Upstream, Cause::WrongRole)
}

/// What a link is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// A session uses it.
    Active,
    /// It waits for a session.
    Warm,
}

impl LinkState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Warm => "warm",
        }
    }
}

/// Counts a link under its generation for as long as it is kept.
pub struct LinkCount {
    generation: u64,
    state: LinkState,
    metrics: Arc<RouteMetrics>,
    source: Source,
}

impl LinkCount {
    /// With which generation the link is logged in.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn new(generation: u64, metrics: &Arc<RouteMetrics>, source: &Source) -> Self {
        Self::counted(generation, LinkState::Active, Arc::clone(metrics), source.clone())
    }

    fn counted(generation: u64, state: LinkState, metrics: Arc<RouteMetrics>, source: Source) -> Self {
        metrics.link_came(generation, state.name());
        Self { generation, state, metrics, source }
    }

    /// Counts the link as this from now on.
    fn turn(&mut self, state: LinkState) {
        let (metrics, source) = (Arc::clone(&self.metrics), self.source.clone());
        *self = Self::counted(self.generation, state, metrics, source);
    }
}

impl Drop for LinkCount {
    fn drop(&mut self) {
        let current = self.source.is_current(self.generation);
        self.metrics.link_went(self.generation, self.state.name(), current);
    }
}
