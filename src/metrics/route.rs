//! What one route counts, with its name in every label.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::{Metrics, OfEndpoint, OfLinks, OfReason, OfResult, OfRoute, OfStage};
use crate::failure::{Cause, Stage};

/// The counters of one route.
pub struct RouteMetrics {
    pub sessions_active: Gauge,
    pub credential_generation: Gauge,
    pub credential_loaded: Gauge,
    pub credential_rejected: Gauge,
    pub credential_degraded: Gauge,
    pub credential_in_use: Gauge,
    pub credential_settled: Gauge,
    pub all_links: Gauge,
    pub logins_withheld: Counter,
    pub to_upstream: Counter,
    pub to_client: Counter,
    pub(super) route: String,
    pub(super) all: Arc<Metrics>,
}

impl RouteMetrics {
    /// The name of the route.
    pub fn route(&self) -> &str {
        &self.route
    }

    pub fn session_ended(&self, result: &str) {
        self.all.sessions.get_or_create_owned(&self.result(result)).inc();
    }

    /// Sessions that have ended, by those results that there were.
    pub fn sessions_ended(&self) -> BTreeMap<&'static str, u64> {
        let results = Cause::ALL.iter().map(|cause| cause.name()).chain(["ok"]);
        let count = |result| Some((result, self.all.sessions.get(&self.result(result))?.get()));
        results.filter_map(count).collect()
    }

    pub fn login_attempt(&self, result: &str) {
        self.all.login_attempts.get_or_create_owned(&self.result(result)).inc();
    }

    pub fn login_retry(&self, reason: &str) {
        let labels = OfReason { route: self.route.clone(), reason: reason.to_owned() };
        self.all.login_retries.get_or_create_owned(&labels).inc();
    }

    pub fn renewal(&self, result: &str) {
        self.all.renewals.get_or_create_owned(&self.result(result)).inc();
    }

    pub fn stage(&self, stage: Stage, took: Duration) {
        let labels = OfStage { route: self.route.clone(), stage: stage.name().to_owned() };
        self.all.stage_seconds.get_or_create_owned(&labels).observe(took.as_secs_f64());
    }

    pub fn upstream_up(&self, endpoint: &str, up: bool) {
        self.all.upstream_up.get_or_create_owned(&self.endpoint(endpoint)).set(i64::from(up));
    }

    pub fn sentinel_up(&self, endpoint: &str, up: bool) {
        self.all.sentinel_up.get_or_create_owned(&self.endpoint(endpoint)).set(i64::from(up));
    }

    pub fn sentinel_certificate_expiry(&self, endpoint: &str, not_after: u64) {
        self.all
            .sentinel_certificate_expiry
            .get_or_create_owned(&self.endpoint(endpoint))
            .set(seconds(not_after));
    }

    /// Whether the Sentinels do not accept the current generation of their credential.
    pub fn sentinel_credential_rejected(&self, rejected: bool) {
        let of_route = OfRoute { route: self.route.clone() };
        self.all.sentinel_credential_rejected.get_or_create_owned(&of_route).set(i64::from(rejected));
    }

    /// Takes out what was said of an endpoint that is no more.
    pub fn endpoint_gone(&self, endpoint: &str) {
        self.all.upstream_up.remove(&self.endpoint(endpoint));
        self.all.certificate_expiry.remove(&self.endpoint(endpoint));
    }

    pub fn certificate_expiry(&self, endpoint: &str, not_after: u64) {
        self.all.certificate_expiry.get_or_create_owned(&self.endpoint(endpoint)).set(seconds(not_after));
    }

    /// Sessions that asked for a warm link, by result.
    pub fn pool_takes(&self, result: &str) -> Counter {
        self.all.pool_takes.get_or_create_owned(&self.result(result))
    }

    /// How many there are, where that generation is counted.
    pub fn known_links(&self, generation: u64, state: &str) -> Option<i64> {
        self.all.links.get(&self.link_labels(generation, state)).map(|gauge| gauge.get())
    }

    /// Whether links of this generation are all that there are.
    pub fn has_links_of_this_alone(&self, generation: u64, states: [&str; 2]) -> bool {
        let _alone = self.counting_links();
        let of_this = states.iter().map(|state| self.known_links(generation, state).unwrap_or_default());
        of_this.sum::<i64>() == self.all_links.get()
    }

    /// Counts a link in.
    pub fn link_came(&self, generation: u64, state: &str) {
        let _alone = self.counting_links();
        self.all.links.get_or_create_owned(&self.link_labels(generation, state)).inc();
        self.all_links.inc();
    }

    /// Counts a link out. With the last one of a generation that nobody uses any more its labels go.
    pub fn link_went(&self, generation: u64, state: &str, in_use: bool) {
        let _alone = self.counting_links();
        let labels = self.link_labels(generation, state);
        let left = self.all.links.get_or_create_owned(&labels).dec() - 1;
        self.all_links.dec();
        if left == 0 && !in_use {
            self.all.links.remove(&labels);
        }
    }

    /// Labels go and come again with a generation: one that is being taken out must not be counted on meanwhile.
    fn counting_links(&self) -> MutexGuard<'_, ()> {
        self.all.counting_links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link_labels(&self, generation: u64, state: &str) -> OfLinks {
        let (route, state) = (self.route.clone(), state.to_owned());
        OfLinks { route, generation: generation.to_string(), state }
    }

    fn result(&self, result: &str) -> OfResult {
        OfResult { route: self.route.clone(), result: result.to_owned() }
    }

    fn endpoint(&self, endpoint: &str) -> OfEndpoint {
        OfEndpoint { route: self.route.clone(), endpoint: endpoint.to_owned() }
    }
}

fn seconds(since_1970: u64) -> i64 {
    i64::try_from(since_1970).unwrap_or(i64::MAX)
}
