//! The keys of what is told to collectors.

use serde_json::{Value, json};

use super::address;
use super::complaint::quote;
use super::domain::{Collector, Endpoint, Telemetry, Traces};
use super::kind::{Kind, Wrong, path, text};
use super::reader::Section;

/// Where a collector takes traces (OTLP 1.x, "OTLP/HTTP Request").
const TRACES_PATH: &str = "/v1/traces";

pub(super) fn read(top: &Section<'_, '_>) -> Telemetry {
    top.section("telemetry", "What is told to collectors.", |telemetry| Telemetry {
        traces: telemetry
            .optional_section(
                "traces",
                "A span for each session and its stages, to a collector of OpenTelemetry (OTLP over HTTP, as JSON). A \
                 change takes effect with the next start.",
                traces,
            )
            .flatten(),
    })
}

fn traces(traces: &Section<'_, '_>) -> Option<Traces> {
    let collector = traces
        .key("endpoint", "The collector's URL; `/v1/traces` is added where it does not end so.")
        .example("http://otel-collector.observability:4318")
        .required(&collector());
    let ca = traces
        .key("ca", "A PEM file of the certificate authorities to trust, instead of those of the system.")
        .example("/etc/attache/collector-ca.pem")
        .optional(&path())
        .map(|file| traces.resolve("ca", &file));
    let headers_file = traces
        .key(
            "headers_file",
            "A file of headers that the collector wants, one `Name: value` a line; it is read anew for each request.",
        )
        .example("/var/run/secrets/collector/headers")
        .optional(&path())
        .map(|file| traces.resolve("headers_file", &file));
    let sample = traces.key("sample", "Which share of the sessions is told, from 0 to 1. Those in trouble (a warning in the log) are told always.").or("1", &share());
    let service =
        traces.key("service", "What the collector calls us (`service.name`).").or("attache", &text());
    check(traces, collector.as_ref(), headers_file.is_some());
    Some(Traces { collector: collector?, ca, headers_file, sample, service })
}

fn check(traces: &Section<'_, '_>, collector: Option<&Collector>, has_headers: bool) {
    let in_clear = |collector: &Collector| !collector.tls && !collector.is_beside_us();
    if has_headers && collector.is_some_and(in_clear) {
        let reason = "would be sent in clear text over the network";
        traces.complain("headers_file", reason, "use an endpoint that begins with https://");
    }
}

/// The URL of a collector.
fn collector() -> Kind<Collector> {
    Kind::of_text(
        "URL (`http://…` or `https://…`)",
        json!({"type": "string", "pattern": "^https?://[^@?#]+$"}),
        |text| {
            let wrong = |reason: &str| {
                let hint = "write for example http://otel-collector.observability:4318";
                Wrong::new(format!("{} {reason}", quote(text)), hint)
            };
            let (tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
                (Some(rest), _) => (false, rest),
                (None, Some(rest)) => (true, rest),
                (None, None) => return Err(wrong("is no URL of a collector")),
            };
            if rest.contains(['?', '#', '@', ' ']) {
                return Err(Wrong::new(
                    "holds more than a host, a port and a path",
                    "headers come from headers_file",
                ));
            }
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let endpoint = address::host_and_port(authority, Some(if tls { 443 } else { 80 }))?;
            let Endpoint::Tcp { host, port } = endpoint else { return Err(wrong("names no host")) };
            Ok(Collector { tls, host, port, path: path_of(path) })
        },
    )
}

fn path_of(path: &str) -> String {
    let path = format!("/{}", path.trim_matches('/'));
    if path.ends_with(TRACES_PATH) { path } else { format!("{}{TRACES_PATH}", path.trim_end_matches('/')) }
}

/// A number from 0 to 1.
fn share() -> Kind<f64> {
    Kind::new("number from 0 to 1", json!({"type": "number", "minimum": 0, "maximum": 1}), |raw| {
        let number = match raw.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) if raw.is_text => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let within = number.filter(|number| (0.0..=1.0).contains(number));
        within.ok_or_else(|| Wrong::new("must be a number from 0 to 1", "0.1 is every tenth session"))
    })
}
