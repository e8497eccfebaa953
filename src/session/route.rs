//! What a session is served with: one route's protocol, upstream, limits and books.

use std::sync::Arc;
use std::time::Duration;

use attache_wire::Protocol;

use super::{Errands, Ids, Seats};
use crate::config::domain;
use crate::metrics::RouteMetrics;
use crate::net::authorities::Authorities;
use crate::net::resolve::Resolver;
use crate::orders::Orders;
use crate::secret::Source;
use crate::trace::Traces;
use crate::upstream::Upstream;

/// A route of a known protocol.
pub struct Route<P: Protocol> {
    pub name: String,
    /// As the configuration names them.
    pub listen: Vec<String>,
    pub protocol: Arc<P>,
    pub upstream: Arc<Upstream<P>>,
    pub errands: Arc<Errands>,
    pub seats: Arc<Seats>,
    pub max_sessions: usize,
    pub login_timeout: Duration,
    pub allow_uids: Option<Vec<u32>>,
    pub ids: Arc<Ids>,
    pub metrics: Arc<RouteMetrics>,
    pub traces: Traces,
    pub ready: domain::Ready,
    pub on_rotation: domain::OnRotation,
}

impl<P: Protocol> Route<P> {
    pub fn new(config: &domain::Route, protocol: P, shared: RouteParts) -> Self {
        let RouteParts { sources, resolver, authorities, metrics, ids, traces, errands, orders, seats } =
            shared;
        let protocol = Arc::new(protocol);
        let upstream = Upstream::new(
            Arc::clone(&protocol),
            config,
            sources,
            resolver,
            authorities,
            Arc::clone(&metrics),
            orders,
        );
        Self {
            name: config.name.clone(),
            listen: config.listen.iter().map(ToString::to_string).collect(),
            protocol,
            upstream: Arc::new(upstream),
            seats,
            max_sessions: config.client.max_sessions,
            login_timeout: config.client.login_timeout,
            allow_uids: config.client.allow_uids.clone(),
            ids,
            errands,
            metrics,
            traces,
            ready: config.ready,
            on_rotation: config.on_rotation,
        }
    }

    /// Where the credential comes from, on a route that has one.
    pub fn source(&self) -> Option<&Source> {
        self.upstream.source.as_ref()
    }
}

/// What a route is given by the house.
pub struct RouteParts {
    /// That of its credential, and that of the credential for its Sentinels.
    pub sources: [Option<Source>; 2],
    pub resolver: Resolver,
    pub authorities: Authorities,
    pub metrics: Arc<RouteMetrics>,
    pub ids: Arc<Ids>,
    pub traces: Traces,
    /// Where the sessions of this route leave their tickets, also those of an older version of it.
    pub errands: Arc<Errands>,
    /// Where they hear when to end.
    pub orders: Orders,
    /// Where they are counted.
    pub seats: Arc<Seats>,
}
