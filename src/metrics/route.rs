//! What one route counts, with its name in every label.
//!
//! What every session counts is looked up by its labels once, and kept at hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

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
    pub(super) known: Mutex<Known>,
}

/// What has been looked up.
#[derive(Default)]
pub(super) struct Known {
    /// Sessions that have ended well.
    well: Option<Counter>,
    stages: [Option<Histogram>; Stage::ALL.len()],
    links: KnownLinks,
}

/// The gauges of the generation whose links were counted last.
#[derive(Default)]
struct KnownLinks {
    generation: u64,
    /// How many label sets had been taken out by then: these gauges may be among the next.
    taken_out: u64,
    by_state: Vec<(&'static str, Gauge)>,
}

/// What a link may be counted as.
const LINK_STATES: [&str; 2] = ["active", "warm"];

/// How sessions end that do not fail.
const WELL: &str = "ok";

impl RouteMetrics {
    /// The name of the route.
    pub fn route(&self) -> &str {
        &self.route
    }

    pub fn session_ended(&self, result: &str) {
        let sessions = || self.all.sessions.get_or_create_owned(&self.result(result));
        match result {
            WELL => self.known().well.get_or_insert_with(sessions).inc(),
            _ => sessions().inc(),
        };
    }

    /// Sessions that have ended, by those results that there were.
    pub fn sessions_ended(&self) -> BTreeMap<&'static str, u64> {
        let results = Cause::ALL.iter().map(|cause| cause.name()).chain([WELL]);
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
        let mut known = self.known();
        let seconds = known.stages[stage as usize].get_or_insert_with(|| {
            let labels = OfStage { route: self.route.clone(), stage: stage.name().to_owned() };
            self.all.stage_seconds.get_or_create_owned(&labels)
        });
        seconds.observe(took.as_secs_f64());
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

    /// Whether a file of authorities cannot be used as it is now.
    pub fn authorities_problem(&self, is_there: bool) {
        let of_route = OfRoute { route: self.route.clone() };
        self.all.authorities_problem.get_or_create_owned(&of_route).set(i64::from(is_there));
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
    pub fn link_came(&self, generation: u64, state: &'static str) {
        let mut taken_out = self.counting_links();
        *taken_out += self.clear_before(generation);
        self.links(*taken_out, generation, state).inc();
        self.all_links.inc();
    }

    /// Takes out the labels of the generation that was counted last, if it is another one and nobody has a link of it: its last
    /// one went while it was in use. Returns how many.
    fn clear_before(&self, generation: u64) -> u64 {
        let before = self.known().links.generation;
        let is_empty = |state: &&str| before != generation && self.known_links(before, state) == Some(0);
        let empty = LINK_STATES.into_iter().filter(is_empty);
        empty.map(|state| u64::from(self.all.links.remove(&self.link_labels(before, state)))).sum()
    }

    /// Counts a link out. With the last one of a generation that nobody uses any more its labels go.
    pub fn link_went(&self, generation: u64, state: &'static str, in_use: bool) {
        let mut taken_out = self.counting_links();
        let left = self.links(*taken_out, generation, state).dec() - 1;
        self.all_links.dec();
        if left == 0 && !in_use {
            self.all.links.remove(&self.link_labels(generation, state));
            *taken_out += 1;
        }
    }

    /// Labels go and come again with a generation: one that is being taken out must not be counted on meanwhile, nor
    /// afterwards where it is still known.
    fn counting_links(&self) -> MutexGuard<'_, u64> {
        self.all.counting_links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self, taken_out: u64, generation: u64, state: &'static str) -> Gauge {
        let mut known = self.known();
        let known = &mut known.links;
        if (known.generation, known.taken_out) != (generation, taken_out) {
            *known = KnownLinks { generation, taken_out, by_state: Vec::new() };
        }
        if let Some((_, gauge)) = known.by_state.iter().find(|(of, _)| *of == state) {
            return gauge.clone();
        }
        let gauge = self.all.links.get_or_create_owned(&self.link_labels(generation, state));
        known.by_state.push((state, gauge.clone()));
        gauge
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_counted_under_labels_that_went_and_came_again() {
        let all = Metrics::new();
        // A route before and after a reload: both know the labels.
        let (before, after) = (all.route("r", &[]), all.route("r", &[]));
        let counted = |route: &RouteMetrics| ["active", "warm"].map(|state| route.known_links(1, state));
        for route in [&before, &after, &before] {
            route.link_came(1, "active");
            assert_eq!(counted(route), [Some(1), None]);
            route.link_came(1, "warm");
            route.link_went(1, "active", true);
            assert_eq!(counted(route), [Some(0), Some(1)], "the generation is in use");
            route.link_came(1, "active");
            route.link_went(1, "warm", false);
            assert_eq!(counted(route), [Some(1), None]);
            assert!(route.has_links_of_this_alone(1, ["active", "warm"]));
            route.link_went(1, "active", false);
            assert_eq!(counted(route), [None, None]);
        }
        before.link_came(2, "active");
        before.link_came(1, "active");
        assert!(!after.has_links_of_this_alone(2, ["active", "warm"]));
        before.link_went(1, "active", false);
        assert!(after.has_links_of_this_alone(2, ["active", "warm"]));
    }

    /// A year of hourly rotations would be thousands of series.
    #[test]
    fn a_generation_that_had_no_links_left_when_the_next_one_came_is_not_shown_any_more() {
        let all = Metrics::new();
        let route = all.route("r", &[]);
        for generation in 1..=100 {
            for state in LINK_STATES {
                route.link_came(generation, state);
                route.link_went(generation, state, true);
            }
        }
        let shown: Vec<_> = (1..=100).filter(|it| route.known_links(*it, "active").is_some()).collect();
        assert_eq!(shown, [100]);
        assert_eq!(all.exposition("").text.matches("attache_links{").count(), 2);
    }

    #[test]
    fn what_is_kept_at_hand_is_what_is_shown() {
        let all = Metrics::new();
        let route = all.route("r", &[]);
        assert!(route.sessions_ended().is_empty(), "nothing is shown before it happens");
        for result in [WELL, "timed_out", WELL] {
            route.session_ended(result);
        }
        route.stage(Stage::Relay, Duration::from_secs(2));
        route.stage(Stage::Relay, Duration::from_secs(2));
        let shown = all.exposition("").text;
        for line in [
            "attache_sessions_total{route=\"r\",result=\"ok\"} 2",
            "attache_sessions_total{route=\"r\",result=\"timed_out\"} 1",
            "attache_session_stage_seconds_count{route=\"r\",stage=\"relay\"} 2",
        ] {
            assert!(shown.contains(line), "{line}:\n{shown}");
        }
        assert!(!shown.contains("stage=\"accept\""));
    }
}
