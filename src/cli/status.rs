//! `attache status`: how a running process stands.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use hyper::{Method, StatusCode};
use serde_json::Value;

use super::address::ControlAddress;
use super::http::ask;
use super::table::Table;
use super::{Failed, Outcome, block_on, print};
use crate::upstream::approximately;

/// As many events as the table tells; `--json` has the others.
const EVENTS_SHOWN: usize = 10;
/// What is told of one, in this order.
const EVENT_FACTS: [&str; 11] = [
    GENERATION,
    "state",
    "endpoint",
    "sentinel",
    "address",
    "waiting_for",
    "warning",
    "problem",
    "cause",
    "result",
    "detail",
];
/// A number that says nothing without its name.
const GENERATION: &str = "generation";

/// Show how a running process stands: routes, credentials, endpoints.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// Print the JSON of the control listener.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    address: ControlAddress,
}

impl Status {
    pub(super) fn run(self) -> Outcome {
        let address = self.address.find()?;
        let answer = block_on(ask(Method::GET, &address, "/status"))?.map_err(Failed::Because)?;
        let strange = || Failed::Because(format!("{address}: {} instead of a status", answer.status));
        if answer.status != StatusCode::OK {
            return Err(strange());
        }
        let status: Value = serde_json::from_str(&answer.body).map_err(|_| strange())?;
        print(&if self.json { format!("{status:#}\n") } else { summary(&status) })
    }
}

fn summary(status: &Value) -> String {
    let tables = [routes(status), sentinels(status).unwrap_or_default(), endpoints(status), events(status)];
    let tables = tables.iter().filter(|table| !table.is_empty()).cloned().collect::<Vec<_>>();
    format!("{}\n\n{}", headline(status), tables.join("\n"))
}

fn headline(status: &Value) -> String {
    let version = text(&status["version"]);
    let state = match (status["draining"].as_bool(), status["ready"].as_bool()) {
        (Some(true), _) => "draining".to_owned(),
        (_, Some(true)) => "ready".to_owned(),
        _ => {
            let missing: Vec<_> = list(&status["waiting_for"]).iter().map(text).collect();
            format!("not ready: waiting for {}", missing.join(", "))
        }
    };
    let host = status["host"].as_str().map(|host| format!(" on {host}")).unwrap_or_default();
    format!("attache {version}{host}, {state}")
}

fn routes(status: &Value) -> String {
    let mut table = Table::default();
    table.row(["ROUTE", "PROTOCOL", "SESSIONS", "LINKS", "CREDENTIAL"]);
    for route in list(&status["routes"]) {
        table.row([
            text(&route["name"]),
            text(&route["protocol"]),
            text(&route["sessions"]),
            links(&route["links_by_generation"]),
            credential(&route["credential"]),
        ]);
        let warnings = list(&route["credential"]["warnings"]).iter().map(|warning| text(&warning["text"]));
        let doubts = list(&route["authorities_warnings"]).iter().map(|warning| text(&warning["text"]));
        let authorities = route["authorities_problem"].as_str().map(str::to_owned).into_iter().chain(doubts);
        for told in warnings.chain(authorities.map(|told| format!("tls.ca: {told}"))) {
            table.row([String::new(), String::new(), String::new(), String::new(), told]);
        }
    }
    table.text()
}

fn links(by_generation: &Value) -> String {
    let by_generation = by_generation.as_object().into_iter().flatten();
    let told: Vec<_> = by_generation.map(|(generation, count)| format!("{count} on {generation}")).collect();
    if told.is_empty() { "-".to_owned() } else { told.join(", ") }
}

fn credential(credential: &Value) -> String {
    if credential.is_null() {
        return "none needed".to_owned();
    }
    let generation = match credential["generation"].as_u64() {
        Some(generation) => format!("generation {generation}, read {} ago", ago(&credential["age_seconds"])),
        None => "missing".to_owned(),
    };
    let rejected = match (&credential["rejected"], credential["generation_in_use"].as_u64()) {
        (Value::Bool(true), Some(older)) if credential["generation"] != older => {
            format!(", REJECTED by the server: sessions use generation {older}")
        }
        (Value::Bool(true), _) => ", REJECTED by the server".to_owned(),
        _ => String::new(),
    };
    let problem =
        credential["problem"]["text"].as_str().map(|problem| format!(", {problem}")).unwrap_or_default();
    format!("{generation}{rejected}{problem}")
}

/// Nothing where no route has any.
fn sentinels(status: &Value) -> Option<String> {
    let mut table = Table::default();
    table.row(["ROUTE", "SENTINEL", "STATE", "ASKED", "CERTIFICATE", "CREDENTIAL", "PRIMARY"]);
    let routes = list(&status["routes"]).iter().filter(|route| !route["sentinels"].is_null());
    let mut rows = 0;
    for (route, all) in routes.map(|route| (route, &route["sentinels"])) {
        for sentinel in list(&all["endpoints"]) {
            table.row([
                text(&route["name"]),
                text(&sentinel["endpoint"]),
                state(sentinel),
                ago(&sentinel["last_asked_age_seconds"]),
                certificate(&sentinel["certificate_not_after"]),
                credential(&all["credential"]),
                reported(sentinel),
            ]);
            rows += 1;
        }
    }
    (rows > 0).then(|| table.text())
}

/// Which primary it reports, or why it does not, or not that of the others.
fn reported(sentinel: &Value) -> String {
    let primary = sentinel["primary"].as_str();
    let primary = primary.map(|primary| format!("{primary}, epoch {}", text(&sentinel["epoch"])));
    let failure = ["cause", "detail"].map(|key| sentinel[key].as_str().map(str::to_owned));
    let told: Vec<_> = [primary].into_iter().chain(failure).flatten().collect();
    if told.is_empty() { "-".to_owned() } else { told.join(": ") }
}

fn endpoints(status: &Value) -> String {
    let mut table = Table::default();
    table.row(["ROUTE", "ENDPOINT", "STATE", "PROBED", "CERTIFICATE", "SERVER"]);
    for route in list(&status["routes"]) {
        for endpoint in list(&route["endpoints"]) {
            table.row([
                text(&route["name"]),
                name(endpoint),
                state(endpoint),
                ago(&endpoint["last_probe_age_seconds"]),
                certificate(&endpoint["certificate_not_after"]),
                found(endpoint),
            ]);
        }
    }
    table.text()
}

/// The last of them, the newest first.
fn events(status: &Value) -> String {
    let mut table = Table::default();
    table.row(["SINCE", "LEVEL", "EVENT", "ROUTE", "WHAT"]);
    for event in list(&status["events"]).iter().take(EVENTS_SHOWN) {
        let facts = EVENT_FACTS.iter().filter_map(|name| Some((*name, event["facts"][*name].as_str()?)));
        let facts = facts.map(|(name, fact)| match name {
            GENERATION => format!("{name} {fact}"),
            _ => fact.to_owned(),
        });
        table.row([
            ago(&event["age_seconds"]),
            text(&event["level"]),
            name_and_times(event),
            event["route"].as_str().unwrap_or("-").to_owned(),
            facts.collect::<Vec<_>>().join(": "),
        ]);
    }
    table.text()
}

fn name_and_times(event: &Value) -> String {
    match event["times"].as_u64() {
        Some(times) if times > 1 => format!("{} ({times} times)", text(&event["name"])),
        _ => text(&event["name"]),
    }
}

/// Of a place in a list of servers also which server has it now.
fn name(endpoint: &Value) -> String {
    match endpoint["server"].as_str() {
        Some(server) => format!("{} ({server})", text(&endpoint["endpoint"])),
        None => text(&endpoint["endpoint"]),
    }
}

fn state(endpoint: &Value) -> String {
    let up = match (endpoint["up"].as_bool(), &endpoint["state_age_seconds"]) {
        (Some(true), _) => "up".to_owned(),
        (Some(false), Value::Number(_)) => format!("DOWN for {}", ago(&endpoint["state_age_seconds"])),
        (Some(false), _) => "DOWN".to_owned(),
        (None, _) => "unknown".to_owned(),
    };
    match endpoint["role"].as_str() {
        Some(role) => format!("{up}, {role}"),
        None => up,
    }
}

fn certificate(not_after: &Value) -> String {
    let Some(not_after) = not_after.as_u64() else { return "-".to_owned() };
    match (UNIX_EPOCH + Duration::from_secs(not_after)).duration_since(SystemTime::now()) {
        Ok(left) => format!("{} left", approximately(left)),
        Err(_) => "EXPIRED".to_owned(),
    }
}

/// The server's version, or why nobody knows it.
fn found(endpoint: &Value) -> String {
    let failure = ["stage", "cause", "detail"].map(|key| endpoint[key].as_str());
    match failure {
        [Some(stage), Some(cause), detail] => {
            format!("{stage}: {cause}: {}", detail.unwrap_or_default()).trim_end_matches(": ").to_owned()
        }
        _ => endpoint["server_version"].as_str().unwrap_or("-").to_owned(),
    }
}

fn ago(seconds: &Value) -> String {
    seconds.as_u64().map_or_else(|| "-".to_owned(), |seconds| approximately(Duration::from_secs(seconds)))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
