//! The words of the OpenTelemetry protocol: an `ExportTraceServiceRequest` as JSON (OTLP 1.x, "JSON Protobuf
//! Encoding": identifiers in hexadecimal, 64-bit numbers as text, enumerations as numbers).

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::journey::{Attempt, Finished, Span};
use crate::chance;
use crate::failure::Cause;

/// `SPAN_KIND_…`.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
/// `STATUS_CODE_ERROR`; where nothing failed, the status is left unset as the specification asks.
const ERROR: u8 = 2;

/// Who says it.
pub(super) struct Resource {
    pub(super) service: String,
    /// Another one in each process.
    pub(super) instance: String,
}

impl Resource {
    pub(super) fn new(service: String) -> Self {
        Self { service, instance: hex(chance::bytes::<16>()) }
    }

    fn attributes(&self) -> Value {
        json!([
            text("service.name", &self.service),
            text("service.instance.id", &self.instance),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ])
    }
}

/// What is sent for these sessions: each is a trace of its own.
pub(super) fn request(resource: &Resource, sessions: &[Finished]) -> Value {
    let spans: Vec<Value> = sessions.iter().flat_map(spans).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": resource.attributes()},
        "scopeSpans": [{
            "scope": {"name": "attache", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans,
        }],
    }]})
}

/// A session, its stages, its attempts, and their stages.
fn spans(session: &Finished) -> Vec<Value> {
    let trace = Trace { id: hex(chance::bytes::<16>()) };
    let told = &session.told;
    let root = Drawn {
        name: format!("session {}", told.route),
        kind: SERVER,
        begin: session.begin,
        end: session.end,
        cause: told.cause,
        attributes: attributes(session),
    };
    let (id, root) = trace.span(None, root);
    let mut all = vec![root];
    for stage in &session.stages {
        all.push(trace.stage(&id, stage, told.cause));
    }
    for attempt in &session.attempts {
        let drawn = Drawn {
            name: format!("attempt {}", told.route),
            kind: CLIENT,
            begin: attempt.begin,
            end: attempt.end.unwrap_or(session.end),
            cause: attempt.cause,
            attributes: of_attempt(attempt),
        };
        let (id, span) = trace.span(Some(&id), drawn);
        all.push(span);
        all.extend(attempt.stages.iter().map(|stage| trace.stage(&id, stage, attempt.cause)));
    }
    all
}

struct Trace {
    id: String,
}

struct Drawn {
    name: String,
    kind: u8,
    begin: SystemTime,
    end: SystemTime,
    cause: Option<Cause>,
    attributes: Vec<Value>,
}

impl Trace {
    fn stage(&self, parent: &str, span: &Span, cause: Option<Cause>) -> Value {
        let Span { stage, begin, end, failed } = *span;
        let name = stage.name().to_owned();
        let cause = cause.filter(|_| failed);
        self.span(Some(parent), Drawn { name, kind: INTERNAL, begin, end, cause, attributes: Vec::new() }).1
    }

    /// A span and its identifier.
    fn span(&self, parent: Option<&str>, drawn: Drawn) -> (String, Value) {
        let id = hex(chance::bytes::<8>());
        let mut span = json!({
            "traceId": self.id,
            "spanId": id,
            "name": drawn.name,
            "kind": drawn.kind,
            "startTimeUnixNano": nanoseconds(drawn.begin),
            "endTimeUnixNano": nanoseconds(drawn.end),
            "attributes": drawn.attributes,
        });
        if let Some(parent) = parent {
            span["parentSpanId"] = parent.into();
        }
        if let Some(cause) = drawn.cause {
            span["status"] = json!({"code": ERROR, "message": cause.name()});
        }
        (id, span)
    }
}

fn attributes(session: &Finished) -> Vec<Value> {
    let told = &session.told;
    let mut all = vec![
        text("attache.route", &told.route),
        text("attache.protocol", session.protocol),
        text("attache.session", &told.session),
        text("attache.result", told.cause.map_or("ok", Cause::name)),
        text("attache.stage", told.stage.name()),
        text("attache.ended_by", told.ended_by),
        number("attache.retries", u64::from(told.retries)),
        number("attache.renewals", u64::from(told.renewals)),
        json!({"key": "attache.warm", "value": {"boolValue": told.warm}}),
    ];
    if let Some((to_upstream, to_client)) = told.copied {
        all.push(number("attache.to_upstream", to_upstream));
        all.push(number("attache.to_client", to_client));
    }
    all.extend(told.endpoint.as_deref().map(|endpoint| text("attache.endpoint", endpoint)));
    all.extend(told.generation.map(|generation| number("attache.generation", generation)));
    all.extend(told.cause.map(|cause| text("error.type", cause.name())));
    if session.more_attempts > 0 {
        all.push(number("attache.attempts_left_out", session.more_attempts));
    }
    all
}

fn of_attempt(attempt: &Attempt) -> Vec<Value> {
    let mut all = vec![text("attache.endpoint", &attempt.endpoint)];
    all.extend(attempt.generation.map(|generation| number("attache.generation", generation)));
    all.extend(attempt.cause.map(|cause| text("error.type", cause.name())));
    all
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: u64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

fn nanoseconds(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

fn hex<const N: usize>(bytes: [u8; N]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
