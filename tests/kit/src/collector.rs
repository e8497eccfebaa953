//! A collector of OpenTelemetry, as far as we talk to it: takes traces, keeps them, answers as it is told.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::script::{Peer, Script, ServerTls};
use crate::skip::available;
use crate::tools;
use crate::wait::eventually;

/// For what a loaded machine does in moments.
const SOON: Duration = Duration::from_secs(60);

/// Reads a request with the schema that OpenTelemetry publishes; what the schema does not know is an error. OTLP
/// writes identifiers in hexadecimal, where JSON of Protocol Buffers has base64.
const READ_BY_SCHEMA: &str = "
import base64, json, sys
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
request = json.load(sys.stdin)
spans = [s for r in request['resourceSpans'] for c in r['scopeSpans'] for s in c['spans']]
for span in spans:
    for key, length in ('traceId', 16), ('spanId', 8), ('parentSpanId', 8):
        if key in span:
            assert len(bytes.fromhex(span[key])) == length, span
            span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
read = json_format.ParseDict(request, ExportTraceServiceRequest())
read = [s for r in read.resource_spans for c in r.scope_spans for s in c.spans]
for span in read:
    assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano, span
print(len(read))
";

pub struct Collector {
    server: Script,
    heard: Arc<Mutex<Vec<Request>>>,
    answer: Arc<AtomicU16>,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

/// A span, with its attributes as a map.
#[derive(Debug, Clone)]
pub struct Span {
    pub name: String,
    pub id: String,
    pub trace: String,
    pub parent: Option<String>,
    pub whole: Value,
}

impl Collector {
    pub fn start(tls: Option<ServerTls>) -> Self {
        let (heard, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU16::new(200)));
        let server = Script::serve({
            let (heard, answer) = (Arc::clone(&heard), Arc::clone(&answer));
            move |peer| {
                let mut peer = match &tls {
                    Some(tls) => peer.start_tls(tls)?,
                    None => peer,
                };
                while let Some(request) = read(&mut peer)? {
                    // Before anybody can see the request and think of another answer.
                    let status = answer.load(Ordering::Relaxed);
                    locked(&heard).push(request);
                    peer.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n{{}}").as_bytes())?;
                }
                Ok(())
            }
        });
        Self { server, heard, answer }
    }

    pub fn port(&self) -> u16 {
        self.server.addr().port()
    }

    /// How requests are answered from now on.
    pub fn answer(&self, status: u16) {
        self.answer.store(status, Ordering::Relaxed);
    }

    pub fn connections(&self) -> usize {
        self.server.accepted()
    }

    pub fn requests(&self) -> Vec<Request> {
        locked(&self.heard).clone()
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.requests();
        let lists =
            requests.iter().map(|request| &request.body["resourceSpans"][0]["scopeSpans"][0]["spans"]);
        lists.flat_map(|spans| list(spans).iter().map(Span::of)).collect()
    }

    /// The spans of the session that has this attribute, once they are here; the session's own is the first.
    pub fn session(&self, key: &str, value: &str) -> Vec<Span> {
        eventually("the trace of a session", SOON, || {
            let all = self.spans();
            let root = all.iter().find(|span| span.parent.is_none() && span.attribute(key) == value)?;
            Some(all.iter().filter(|span| span.trace == root.trace).cloned().collect())
        })
    }

    /// Whether the schema knows all of it; skipped aloud where there is none.
    pub fn is_understood(&self) {
        let Some(mut python) = available(tools::python()) else { return };
        python.args(["-c", READ_BY_SCHEMA]);
        for request in self.requests() {
            let said = tools::run(&mut python, request.body.to_string().as_bytes(), SOON).ok();
            assert_ne!(said.trim(), "0");
        }
    }
}

impl Span {
    fn of(whole: &Value) -> Self {
        let text = |key: &str| whole[key].as_str().map(str::to_owned);
        let must = |key: &str| text(key).unwrap_or_else(|| panic!("{whole} has no {key}"));
        Self {
            name: must("name"),
            id: must("spanId"),
            trace: must("traceId"),
            parent: text("parentSpanId"),
            whole: whole.clone(),
        }
    }

    /// As text, whatever its kind; empty if there is none.
    pub fn attribute(&self, key: &str) -> String {
        let found = list(&self.whole["attributes"]).iter().find(|attribute| attribute["key"] == key);
        let Some(value) = found.and_then(|found| found["value"].as_object()?.values().next()) else {
            return String::new();
        };
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }

    /// From its beginning to its end, in nanoseconds since 1970.
    pub fn time(&self) -> (u64, u64) {
        let at = |key: &str| {
            let text = self.whole[key].as_str().and_then(|text| text.parse().ok());
            text.unwrap_or_else(|| panic!("{key} of {} is no number as text", self.whole))
        };
        (at("startTimeUnixNano"), at("endTimeUnixNano"))
    }
}

/// The next request of a connection; `None` at its end.
fn read(peer: &mut Peer) -> io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        match peer.read_some()? {
            more if more.is_empty() => return Ok(None),
            more => bytes.extend(more),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let pairs = lines.filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<_, _> =
        pairs.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {head}"));
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    let length: usize = length.ok_or_else(|| malformed("no length"))?;
    let mut body = bytes[end + 4..].to_vec();
    if body.len() < length {
        body.extend(peer.read_exact(length - body.len())?);
    }
    let body = serde_json::from_slice(&body).map_err(|_| malformed("no JSON"))?;
    Ok(Some(Request { path, headers, body }))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn locked(heard: &Mutex<Vec<Request>>) -> MutexGuard<'_, Vec<Request>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
