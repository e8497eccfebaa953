//! The page `docs/metrics.md`, from what is registered and from the closed lists that labels are taken of.

use prometheus_client::metrics::MetricType;

use super::{Described, Metrics};
use crate::failure::{Cause, Stage};

const INTRODUCTION: &str = "\
# Metrics

This page is generated from the code; `ATTACHE_WRITE_SNAPSHOTS=1 cargo test --test docs_metrics` writes it anew.

`GET /metrics` on the health listener answers in the Prometheus text format, or in OpenMetrics where the scraper asks
for it. A series appears with its first value. Labels come from the configuration and from the closed lists below, never
from clients.

| name | type | labels | meaning |
| --- | --- | --- | --- |
| `attache_build_info` | info | `version` | The version that runs |
";

/// The page.
pub fn document() -> String {
    let metrics = Metrics::new();
    let rows: String = metrics.described.iter().map(row).collect();
    format!("{INTRODUCTION}{rows}\n{}\n{}\n{}", labels(), stages(), causes())
}

fn row(metric: &Described) -> String {
    let (suffix, kind) = match metric.kind {
        MetricType::Counter => ("_total", "counter"),
        MetricType::Gauge => ("", "gauge"),
        MetricType::Histogram => ("", "histogram"),
        MetricType::Info => ("_info", "info"),
        MetricType::Unknown => ("", "unknown"),
    };
    let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
    let labels = if labels.is_empty() { "none".to_owned() } else { labels };
    format!("| `attache_{}{suffix}` | {kind} | {labels} | {} |\n", metric.name, metric.means)
}

fn labels() -> &'static str {
    "\
## Labels

| label | values |
| --- | --- |
| `route`, `endpoint` | as the configuration names them |
| `result` | `ok`, or a cause; of `attache_pool_takes_total`: `hit`, `miss` |
| `reason` | a cause, or `other_generation`: the login was tried again with another generation of the credential |
| `stage` | a stage |
| `generation` | numbers the contents of a credential, from 1: one that comes back before a newer one was accepted has the number that it had |
| `state` | `active`: a session uses the link; `warm`: it waits for one |
| `direction` | `to_upstream`, `to_client` |
| `outcome` | `sent`, `dropped` |
"
}

fn stages() -> String {
    let rows: String = Stage::ALL.iter().map(|stage| format!("* `{}`\n", stage.name())).collect();
    format!("## Stages\n\nIn the order in which a session goes through them.\n\n{rows}")
}

fn causes() -> String {
    let row = |cause: &Cause| format!("| `{}` | {} |\n", cause.name(), cause.advice());
    let rows: String = Cause::ALL.iter().map(row).collect();
    format!(
        "## Causes\n\nThe same names are in the log, in `/status` and in what `attache check` prints.\n\n\
         | cause | what it means and what to do |\n| --- | --- |\n{rows}"
    )
}
