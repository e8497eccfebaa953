//! What is counted, under the names that the operator's contract gives.
//!
//! Labels come from closed lists and from the configuration, never from clients. A route takes its
//! counters once, when it is built: nothing is looked up while bytes are copied.

mod document;
mod exposition;
mod route;

use std::sync::{Arc, Mutex};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry};

pub use document::document;
pub use exposition::Exposition;
pub use route::RouteMetrics;

/// Bounds of the stage histogram, in seconds: from a warm loopback to the usual limit of `wait`.
const STAGE_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0];

/// What a metric is told apart by.
trait Labelled {
    const LABELS: &'static [&'static str];
}

impl Labelled for Gauge {
    const LABELS: &'static [&'static str] = &[];
}

/// A metric, as the page of documentation tells it.
struct Described {
    name: &'static str,
    kind: MetricType,
    labels: &'static [&'static str],
    means: &'static str,
}

macro_rules! labels {
    ($($name:ident { $($label:ident),+ })+) => {
        $(#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name { $(pub $label: String),+ }

        impl<M, C> Labelled for Family<$name, M, C> {
            const LABELS: &'static [&'static str] = &[$(stringify!($label)),+];
        })+
    };
}

labels! {
    OfRoute { route }
    OfResult { route, result }
    OfReason { route, reason }
    OfStage { route, stage }
    OfEndpoint { route, endpoint }
    OfLinks { route, generation, state }
    OfDirection { route, direction }
    OfTrace { outcome }
}

type Seconds = Family<OfStage, Histogram, fn() -> Histogram>;

/// Every metric of the process.
pub struct Metrics {
    registry: Registry,
    described: Vec<Described>,
    sessions_active: Family<OfRoute, Gauge>,
    sessions: Family<OfResult, Counter>,
    stage_seconds: Seconds,
    login_attempts: Family<OfResult, Counter>,
    login_retries: Family<OfReason, Counter>,
    renewals: Family<OfResult, Counter>,
    upstream_up: Family<OfEndpoint, Gauge>,
    sentinel_up: Family<OfEndpoint, Gauge>,
    sentinel_credential_rejected: Family<OfRoute, Gauge>,
    authorities_problem: Family<OfRoute, Gauge>,
    credential_generation: Family<OfRoute, Gauge>,
    credential_loaded: Family<OfRoute, Gauge>,
    credential_rejected: Family<OfRoute, Gauge>,
    credential_degraded: Family<OfRoute, Gauge>,
    credential_in_use: Family<OfRoute, Gauge>,
    credential_settled: Family<OfRoute, Gauge>,
    logins_withheld: Family<OfRoute, Counter>,
    links: Family<OfLinks, Gauge>,
    /// All of a route: what `links` cannot be asked for. Not shown.
    all_links: Family<OfRoute, Gauge>,
    /// Held while a link is counted. How many label sets of links have been taken out.
    counting_links: Mutex<u64>,
    pool_takes: Family<OfResult, Counter>,
    relay_bytes: Family<OfDirection, Counter>,
    certificate_expiry: Family<OfEndpoint, Gauge>,
    sentinel_certificate_expiry: Family<OfEndpoint, Gauge>,
    traces: Family<OfTrace, Counter>,
    pub config_last_reload_successful: Gauge,
    pub draining: Gauge,
}

impl Metrics {
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("attache");
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The version that runs", Info::new(version));
        let mut metrics = Self {
            sessions_active: Family::default(),
            sessions: Family::default(),
            stage_seconds: Family::new_with_constructor(|| Histogram::new(STAGE_BUCKETS)),
            login_attempts: Family::default(),
            login_retries: Family::default(),
            renewals: Family::default(),
            upstream_up: Family::default(),
            sentinel_up: Family::default(),
            sentinel_credential_rejected: Family::default(),
            authorities_problem: Family::default(),
            credential_generation: Family::default(),
            credential_loaded: Family::default(),
            credential_rejected: Family::default(),
            credential_degraded: Family::default(),
            credential_in_use: Family::default(),
            credential_settled: Family::default(),
            logins_withheld: Family::default(),
            links: Family::default(),
            all_links: Family::default(),
            counting_links: Mutex::default(),
            pool_takes: Family::default(),
            relay_bytes: Family::default(),
            certificate_expiry: Family::default(),
            sentinel_certificate_expiry: Family::default(),
            traces: Family::default(),
            config_last_reload_successful: Gauge::default(),
            draining: Gauge::default(),
            registry,
            described: Vec::new(),
        };
        metrics.config_last_reload_successful.set(1);
        metrics.register();
        Arc::new(metrics)
    }

    /// Names and meanings: the page `docs/metrics.md` and the scrape come from here.
    fn register(&mut self) {
        self.add("sessions_active", "Sessions being served now", |all| &all.sessions_active);
        self.add("sessions", "Sessions that have ended, by result: ok or the cause", |all| &all.sessions);
        self.add("session_stage_seconds", "How long each stage of a session took", |all| &all.stage_seconds);
        self.add("login_attempts", "Logins tried on servers, by result: ok or the cause", |all| {
            &all.login_attempts
        });
        self.add("login_retries", "Logins tried again before the client heard of it, by reason", |all| {
            &all.login_retries
        });
        self.add(
            "session_renewals",
            "Logins of sessions that live, after a rotation, by result: ok or the cause",
            |all| &all.renewals,
        );
        self.add("upstream_up", "1 while the last probe of the endpoint succeeded", |all| &all.upstream_up);
        self.add("sentinel_up", "1 while the Sentinel's last answer was a report", |all| &all.sentinel_up);
        self.add(
            "sentinel_credential_rejected",
            "1 while the Sentinels do not accept the current generation of their own credential",
            |all| &all.sentinel_credential_rejected,
        );
        self.add(
            "credential_generation",
            "The current generation of the credential; 0 while there is none",
            |all| &all.credential_generation,
        );
        self.add(
            "credential_loaded_timestamp_seconds",
            "When the current generation was read, in seconds since 1970",
            |all| &all.credential_loaded,
        );
        self.add("credential_rejected", "1 while the server does not accept the current generation", |all| {
            &all.credential_rejected
        });
        self.add(
            "credential_degraded",
            "1 while the server does not accept the current generation, and sessions go on with an older one",
            |all| &all.credential_degraded,
        );
        self.add(
            "credential_generation_in_use",
            "The generation that new sessions use; 0 while there is none",
            |all| &all.credential_in_use,
        );
        self.add(
            "credential_settled",
            "1 while the server accepts the current generation, no link of another one is left and nobody is logging in \
             with one: what was valid before may be revoked",
            |all| &all.credential_settled,
        );
        self.add(
            "logins_withheld",
            "Logins that were not sent because so many were rejected that the account could be locked",
            |all| &all.logins_withheld,
        );
        self.add(
            "links",
            "Connections to servers, by generation and state: active, or warm while no session uses them",
            |all| &all.links,
        );
        self.add(
            "pool_takes",
            "Sessions on routes with warm links, by result: hit, or miss where they had to log in",
            |all| &all.pool_takes,
        );
        self.add("relay_bytes", "Octets copied, by direction: to_upstream or to_client", |all| {
            &all.relay_bytes
        });
        self.add(
            "tls_certificate_expiry_timestamp_seconds",
            "The end of validity of the server's certificate, in seconds since 1970",
            |all| &all.certificate_expiry,
        );
        self.add(
            "sentinel_tls_certificate_expiry_timestamp_seconds",
            "The end of validity of the Sentinel's certificate, in seconds since 1970",
            |all| &all.sentinel_certificate_expiry,
        );
        self.add(
            "authorities_problem",
            "1 while the file of certificate authorities (`tls.ca`) cannot be used: those that were read before it go on, if \
             there are any",
            |all| &all.authorities_problem,
        );
        self.add(
            "traces",
            "Sessions whose trace was to be told, by outcome: sent, or dropped where the collector did not keep up",
            |all| &all.traces,
        );
        self.add(
            "config_last_reload_successful",
            "1 if the configuration that was read last is the one that runs",
            |all| &all.config_last_reload_successful,
        );
        self.add("draining", "1 while the process is being stopped", |all| &all.draining);
    }

    fn add<M>(&mut self, name: &'static str, means: &'static str, metric: fn(&Self) -> &M)
    where
        M: Metric + TypedMetric + Labelled + Clone,
    {
        let metric = metric(self).clone();
        self.described.push(Described { name, kind: M::TYPE, labels: M::LABELS, means });
        self.registry.register(name, means, metric);
    }

    /// The counters of one route. `endpoints` are known from the configuration, so that they show before their
    /// first probe.
    pub fn route(self: &Arc<Self>, route: &str, endpoints: &[String]) -> RouteMetrics {
        let of_route = OfRoute { route: route.to_owned() };
        for endpoint in endpoints {
            self.upstream_up
                .get_or_create_owned(&OfEndpoint { route: route.to_owned(), endpoint: endpoint.clone() });
        }
        RouteMetrics {
            sessions_active: self.sessions_active.get_or_create_owned(&of_route),
            credential_generation: self.credential_generation.get_or_create_owned(&of_route),
            credential_loaded: self.credential_loaded.get_or_create_owned(&of_route),
            credential_rejected: self.credential_rejected.get_or_create_owned(&of_route),
            credential_degraded: self.credential_degraded.get_or_create_owned(&of_route),
            credential_in_use: self.credential_in_use.get_or_create_owned(&of_route),
            credential_settled: self.credential_settled.get_or_create_owned(&of_route),
            all_links: self.all_links.get_or_create_owned(&of_route),
            logins_withheld: self.logins_withheld.get_or_create_owned(&of_route),
            to_upstream: self.direction(route, "to_upstream"),
            to_client: self.direction(route, "to_client"),
            known: Mutex::default(),
            route: route.to_owned(),
            all: Arc::clone(self),
        }
    }

    /// Takes out what was said of a route that is gone or about to be replaced. What was counted stays.
    pub fn forget(&self, route: &str, endpoints: &[String], sentinels: &[String]) {
        let of_route = OfRoute { route: route.to_owned() };
        self.credential_generation.remove(&of_route);
        self.credential_loaded.remove(&of_route);
        self.credential_rejected.remove(&of_route);
        self.credential_degraded.remove(&of_route);
        self.credential_in_use.remove(&of_route);
        self.credential_settled.remove(&of_route);
        for endpoint in endpoints {
            let of_endpoint = OfEndpoint { route: route.to_owned(), endpoint: endpoint.clone() };
            self.upstream_up.remove(&of_endpoint);
            self.certificate_expiry.remove(&of_endpoint);
        }
        self.sentinel_credential_rejected.remove(&of_route);
        self.authorities_problem.remove(&of_route);
        for endpoint in sentinels {
            let of_endpoint = OfEndpoint { route: route.to_owned(), endpoint: endpoint.clone() };
            self.sentinel_up.remove(&of_endpoint);
            self.sentinel_certificate_expiry.remove(&of_endpoint);
        }
    }

    /// Sessions whose trace was to be told, by outcome.
    pub fn traces(&self, outcome: &str) -> Counter {
        self.traces.get_or_create_owned(&OfTrace { outcome: outcome.to_owned() })
    }

    fn direction(&self, route: &str, direction: &str) -> Counter {
        let labels = OfDirection { route: route.to_owned(), direction: direction.to_owned() };
        self.relay_bytes.get_or_create_owned(&labels)
    }

    /// The answer to a scrape whose request accepts this.
    pub fn exposition(&self, accept: &str) -> Exposition {
        Exposition::of(&self.registry, accept)
    }
}
