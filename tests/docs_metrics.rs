//! The page of metrics says what the program counts.
#![allow(clippy::unwrap_used)]

mod snapshots;

#[test]
fn the_page_of_metrics_is_that_of_the_code() {
    snapshots::compare("docs/metrics.md", &attache::metrics::document());
}
