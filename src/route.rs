//! What the rest of the house holds of a route: [`Serve`], whatever its protocol.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use attache_wire::Protocol;
use futures_util::future::OptionFuture;

use crate::config::domain;
use crate::drain::Drain;
use crate::net::listen::Arrival;
use crate::pulse::Totals;
use crate::secret::{Source, Standing, State};
use crate::session::{self, Route};
use crate::status::{CredentialStatus, EndpointStatus, Named, Relayed, RouteStatus, SentinelsStatus};
use crate::upstream::{self, LinkState, Step};

/// Work that goes on by itself.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the `check` command waits for.
pub type Check = Pin<Box<dyn Future<Output = Vec<Step>> + Send>>;

/// How far back links of older generations are looked for.
const GENERATIONS_SHOWN: u64 = 1000;

/// A route, whatever its protocol.
pub trait Serve: Send + Sync {
    fn name(&self) -> &str;

    /// One client, from its first byte to its last.
    fn serve(self: Arc<Self>, arrival: Arrival, drain: Drain) -> Task;

    /// What goes on beside the data path: probes, questions to Sentinels, trials of new credentials, the renewal or the
    /// end of sessions of old ones, and whoever keeps links warm.
    fn background(&self) -> Vec<Task>;

    /// Ends the sessions of a route that a reload has taken away from them, in as much time as the process would give them.
    /// Until then they hear of rotations: a session that waits logs in with what the credential is by then.
    fn retire(&self, policy: domain::Drain) -> Task;

    /// Keeps no more links warm.
    fn wind_down(&self);

    /// One login on every endpoint, told step by step: for the `check` command, never for an HTTP request.
    fn check(&self) -> Check;

    /// As things stand.
    fn status(&self) -> RouteStatus;

    /// What it has copied since the start.
    fn relayed(&self) -> Totals;

    /// Whether the route may be called ready.
    fn is_ready(&self) -> bool;

    /// Whether the route holds a credential, or needs none.
    fn has_credential(&self) -> bool;

    /// Brings the gauges up to date that nobody sets by himself.
    fn refresh_metrics(&self);
}

impl<P: Protocol> Serve for Route<P> {
    fn name(&self) -> &str {
        &self.name
    }

    fn serve(self: Arc<Self>, arrival: Arrival, drain: Drain) -> Task {
        Box::pin(session::serve(self, arrival, drain))
    }

    fn background(&self) -> Vec<Task> {
        let upstream = || Arc::clone(&self.upstream);
        let endpoints = 0..self.upstream.settings.endpoints.len();
        let probes = endpoints.map(|index| Box::pin(upstream::probe(upstream(), index)) as Task);
        let keeper = self.upstream.pool.as_ref().map(|_| Box::pin(upstream::keep(upstream())) as Task);
        let trial = Box::pin(upstream::trial(upstream())) as Task;
        let sentinels =
            self.upstream.settings.sentinel.iter().flat_map(|sentinel| 0..sentinel.endpoints.len());
        let attending = sentinels.map(|seat| Box::pin(upstream::attend(upstream(), seat)) as Task);
        probes.chain(attending).chain(keeper).chain([trial]).chain(self.follow_rotation()).collect()
    }

    fn retire(&self, policy: domain::Drain) -> Task {
        let ending = self.upstream.orders.clone().retire(policy);
        let following = self.follow_rotation();
        Box::pin(async move {
            tokio::select! {
                biased;
                () = ending => {}
                Some(()) = OptionFuture::from(following) => {}
            }
        })
    }

    fn wind_down(&self) {
        if let Some(pool) = &self.upstream.pool {
            pool.close();
        }
    }

    fn check(&self) -> Check {
        let upstream = Arc::clone(&self.upstream);
        Box::pin(async move { upstream.check().await })
    }

    fn status(&self) -> RouteStatus {
        RouteStatus {
            name: self.name.clone(),
            protocol: P::FEATURES.name,
            ready: self.is_ready(),
            listen: self.listen.clone(),
            sessions: self.metrics.sessions_active.get(),
            sessions_ended: self.metrics.sessions_ended(),
            relayed: Relayed::from(self.relayed()),
            links_by_generation: self.links(LinkState::Active),
            warm_links_by_generation: self.upstream.pool.as_ref().map(|_| self.links(LinkState::Warm)),
            credential: self.source().map(|source| {
                let standing = source.standing();
                let settled = self.is_settled(&standing);
                CredentialStatus::of(standing, settled)
            }),
            authorities_problem: self.upstream.authorities_problem(),
            authorities_warnings: self.upstream.authorities_warnings().into_iter().map(Named::from).collect(),
            sentinels: self.upstream.sentinels.as_ref().map(SentinelsStatus::from),
            endpoints: self.upstream.health.seen().into_iter().map(EndpointStatus::from).collect(),
        }
    }

    fn relayed(&self) -> Totals {
        let metrics = &self.metrics;
        Totals { to_upstream: metrics.to_upstream.get(), to_client: metrics.to_client.get() }
    }

    fn is_ready(&self) -> bool {
        self.has_credential()
            && match self.ready {
                domain::Ready::Started => true,
                domain::Ready::Upstream => self.upstream.health.any_up(),
            }
    }

    fn has_credential(&self) -> bool {
        self.source().is_none_or(|source| source.current().is_some())
    }

    fn refresh_metrics(&self) {
        let of_sentinels = self.upstream.sentinels.as_ref().and_then(|sentinels| sentinels.source.as_ref());
        if let Some(source) = of_sentinels {
            self.metrics.sentinel_credential_rejected(source.standing().rejected);
        }
        if let Some(broken) = self.upstream.has_authorities_broken() {
            self.metrics.authorities_problem(broken);
        }
        let Some(standing) = self.source().map(Source::standing) else { return };
        let generation = standing.generation.unwrap_or(0);
        self.metrics.credential_generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.metrics.credential_rejected.set(i64::from(standing.rejected));
        self.metrics.credential_degraded.set(i64::from(standing.state == State::Degraded));
        let in_use = standing.in_use.unwrap_or(0);
        self.metrics.credential_in_use.set(i64::try_from(in_use).unwrap_or(i64::MAX));
        self.metrics.credential_settled.set(i64::from(self.is_settled(&standing)));
        if let Some(loaded) = standing.loaded_at.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
        {
            self.metrics.credential_loaded.set(i64::try_from(loaded.as_secs()).unwrap_or(i64::MAX));
        }
    }
}

impl<P: Protocol> Route<P> {
    /// Tells the route's sessions of rotations, on a route that has any.
    fn follow_rotation(&self) -> Option<Task> {
        let (source, orders) = (self.source()?.clone(), self.upstream.orders.clone());
        Some(Box::pin(orders.follow_rotation(source, self.on_rotation, P::RENEWS)))
    }

    /// Whether what was valid before the current generation may be revoked: it works, and nobody is left on another, or
    /// about to be. The links are counted after the logins that are under way, which become links.
    fn is_settled(&self, standing: &Standing) -> bool {
        let states = [LinkState::Active, LinkState::Warm].map(LinkState::name);
        standing.state == State::Ok
            && !standing.others_under_way
            && standing
                .generation
                .is_some_and(|current| self.metrics.has_links_of_this_alone(current, states))
    }

    fn links(&self, state: LinkState) -> BTreeMap<u64, i64> {
        let Some(standing) = self.source().map(Source::standing) else { return Default::default() };
        let known = [standing.previous, standing.generation];
        let count = |generation| match self.metrics.known_links(generation, state.name()) {
            None if known.contains(&Some(generation)) => Some((generation, 0)),
            links => Some((generation, links?)),
        };
        (standing.last.saturating_sub(GENERATIONS_SHOWN)..=standing.last).filter_map(count).collect()
    }
}
