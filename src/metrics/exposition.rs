//! What a scrape is answered with: OpenMetrics where the scraper asks for it, else the older Prometheus text.

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// An answer to a scrape.
#[derive(Debug, PartialEq, Eq)]
pub struct Exposition {
    pub content_type: &'static str,
    pub text: String,
}

impl Exposition {
    /// In the format that fits the request's `Accept`, which is empty where there is none.
    pub fn of(registry: &Registry, accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self { content_type: OPEN_METRICS, text: open_metrics(registry) },
            false => Self { content_type: PROMETHEUS_TEXT, text: prometheus_text(registry) },
        }
    }
}

/// OpenMetrics 1.0 text.
pub(super) fn open_metrics(registry: &Registry) -> String {
    let mut out = String::new();
    text::encode(&mut out, registry).expect("writing to a string does not fail");
    out
}

/// Prometheus text 0.0.4: there the name of a counter's family ends in `_total` too, and the page has no end mark.
fn prometheus_text(registry: &Registry) -> String {
    let open = open_metrics(registry);
    let counters: Vec<&str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let lines = open.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT "));
    lines.map(|line| total(line, &counters) + "\n").collect()
}

fn total(line: &str, counters: &[&str]) -> String {
    let mut words = line.splitn(4, ' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("#"), Some(kind @ ("HELP" | "TYPE")), Some(name), Some(rest)) if counters.contains(&name) => {
            format!("# {kind} {name}_total {rest}")
        }
        (Some("#"), Some("TYPE"), Some(name), Some("info")) => format!("# TYPE {name}_info gauge"),
        (Some("#"), Some("HELP"), Some("attache_build"), Some(rest)) => {
            format!("# HELP attache_build_info {rest}")
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::info::Info;

    use super::*;

    #[test]
    fn who_does_not_ask_for_open_metrics_gets_what_older_scrapers_understand() {
        let mut registry = Registry::with_prefix("attache");
        registry.register("build", "The version", Info::new(vec![("version", "1")]));
        let reviews: Counter = Counter::default();
        registry.register("reviews", "Reviews", reviews.clone());
        reviews.inc();
        let text = Exposition::of(&registry, "text/plain;version=0.0.4");
        assert_eq!(text, Exposition::of(&registry, ""));
        assert_eq!(text.content_type, PROMETHEUS_TEXT);
        let expected = "\
# HELP attache_build_info The version.
# TYPE attache_build_info gauge
attache_build_info{version=\"1\"} 1
# HELP attache_reviews_total Reviews.
# TYPE attache_reviews_total counter
attache_reviews_total 1
";
        assert_eq!(text.text, expected);
        let open = Exposition::of(&registry, "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1");
        assert_eq!(open.content_type, OPEN_METRICS);
        assert!(
            open.text.contains("# TYPE attache_reviews counter\n") && open.text.ends_with("# EOF\n"),
            "{}",
            open.text
        );
    }
}
