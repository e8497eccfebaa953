//! What the webhook counts.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::metrics::Exposition;

/// In seconds: a review takes less than a millisecond, and the API server gives up after some.
const BUCKETS: [f64; 8] = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 1.0, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

pub(super) struct Metrics {
    registry: Mutex<Registry>,
    reviews: Family<OfResult, Counter>,
    seconds: Histogram,
    expiry: Gauge,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("attache");
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The version that runs", Info::new(version));
        let (reviews, seconds, expiry) = (Family::default(), Histogram::new(BUCKETS), Gauge::default());
        registry.register(
            "webhook_reviews",
            "Reviews by result: injected, unchanged, denied, invalid or failed",
            Family::clone(&reviews),
        );
        registry.register("webhook_review_seconds", "How long a review took", seconds.clone());
        registry.register(
            "webhook_certificate_expiry_timestamp_seconds",
            "The end of validity of the certificate that the webhook shows, in seconds since 1970; 0 while there is none",
            expiry.clone(),
        );
        Self { registry: Mutex::new(registry), reviews, seconds, expiry }
    }

    pub(super) fn reviewed(&self, result: &'static str, took: Duration) {
        self.reviews.get_or_create_owned(&OfResult { result }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(super) fn certificate_expiry(&self, not_after: Option<SystemTime>) {
        let since = not_after.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        self.expiry.set(since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX)));
    }

    /// The answer to a scrape whose request accepts this.
    pub(super) fn exposition(&self, accept: &str) -> Exposition {
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Exposition::of(&registry, accept)
    }
}
