//! Reading the Prometheus text of a process under test.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::net::ToSocketAddrs;

use crate::http;

/// One scrape.
#[derive(Debug, Clone)]
pub struct Metrics {
    text: String,
    series: Vec<Series>,
}

#[derive(Debug, Clone)]
struct Series {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Metrics {
    pub fn scrape(addr: impl ToSocketAddrs + Debug) -> Metrics {
        let response =
            http::get(&addr, "/metrics").unwrap_or_else(|error| panic!("could not scrape {addr:?}: {error}"));
        assert_eq!(response.status, 200, "{}", response.body);
        Metrics::parse(&response.body)
    }

    /// Panics on a line that is neither comment nor series: a scraper would drop the whole page.
    pub fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series =
            lines.map(|line| series(line).unwrap_or_else(|| panic!("not a series: {line:?}"))).collect();
        Metrics { text: text.to_string(), series }
    }

    /// The sum over all series of this name that carry these labels, or `None` if there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut matching =
            self.series.iter().filter(|series| series.name == name && series.carries(labels)).peekable();
        matching.peek()?;
        Some(matching.map(|series| series.value).sum())
    }

    pub fn names(&self) -> BTreeSet<String> {
        self.series.iter().map(|series| series.name.clone()).collect()
    }

    /// The names of the labels that series of this metric carry.
    pub fn labels(&self, name: &str) -> BTreeSet<String> {
        let series = self.series.iter().filter(|series| series.name == name);
        series.flat_map(|series| series.labels.iter().map(|(label, _)| label.clone())).collect()
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Series {
    fn carries(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.iter().any(|(n, v)| n == name && v == value))
    }
}

fn series(line: &str) -> Option<Series> {
    let name_end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Series { name: name.to_string(), labels, value })
}

/// The labels up to the closing brace, and what follows it. Values may contain any escaped character.
fn labels(mut text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let (value, rest) = quoted(rest)?;
        labels.push((name.to_string(), value));
        text = rest;
    }
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP a_total x\n# TYPE a_total counter\n\
        a_total{route=\"x\",result=\"ok\"} 2\na_total{route=\"x\",result=\"failed\"} 1\na_total{route=\"y,\\\"}\"} 4 1700\n\
        up 1.5\nh_bucket{le=\"+Inf\"} 3\n# EOF\n";

    #[test]
    fn values_are_summed_over_the_labels_left_out() {
        let metrics = Metrics::parse(PAGE);
        assert_eq!(metrics.value("a_total", &[("route", "x"), ("result", "ok")]), Some(2.0));
        assert_eq!(metrics.value("a_total", &[("route", "x")]), Some(3.0));
        assert_eq!(metrics.value("a_total", &[("route", "y,\"}")]), Some(4.0));
        assert_eq!(metrics.value("up", &[]), Some(1.5));
        assert_eq!(metrics.value("a_total", &[("route", "z")]), None);
        assert_eq!(metrics.names().len(), 3);
        assert_eq!(metrics.labels("h_bucket"), BTreeSet::from(["le".to_string()]));
    }

    #[test]
    #[should_panic(expected = "not a series")]
    fn a_line_that_no_scraper_would_take_is_an_error() {
        Metrics::parse("a_total{route=\"x\" 2\n");
    }
}
