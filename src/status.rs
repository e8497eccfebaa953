//! What `/status` tells: JSON per route and endpoint, without a secret and without a user's name.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use attache_wire::ServerRole;
use jiff::Timestamp;
use serde::Serialize;

use crate::events::Event;
use crate::pulse::{Rate, Totals};
use crate::secret::{Standing, State, Warning};
pub use crate::upstream::approximately;
use crate::upstream::{Seen, SentinelSeen, Sentinels};

/// The whole process.
#[derive(Debug, Serialize)]
pub struct Status {
    pub version: &'static str,
    /// Which pod or machine this is, by its own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    pub uptime_seconds: u64,
    pub draining: bool,
    pub ready: bool,
    /// What readiness still waits for.
    pub waiting_for: Vec<String>,
    pub workers: usize,
    /// Whether the configuration that was read last is the one that runs.
    pub last_reload_successful: bool,
    pub routes: Vec<RouteStatus>,
    /// What happened lately, the newest first.
    pub events: Vec<EventStatus>,
}

#[derive(Debug, Serialize)]
pub struct RouteStatus {
    pub name: String,
    pub protocol: &'static str,
    pub ready: bool,
    /// Where it listens, as the configuration says.
    pub listen: Vec<String>,
    pub sessions: i64,
    /// Those that have ended, by result: `ok` or the cause.
    pub sessions_ended: BTreeMap<&'static str, u64>,
    pub relayed: Relayed,
    /// Connections to servers, by the generation that they logged in with.
    pub links_by_generation: BTreeMap<u64, i64>,
    /// Those that wait for a session, where the route keeps any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_links_by_generation: Option<BTreeMap<u64, i64>>,
    pub credential: Option<CredentialStatus>,
    /// Why the file of `tls.ca` could not be used when it was looked at last, while those that were read before go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorities_problem: Option<String>,
    /// What is wrong with that file although it can be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorities_warnings: Vec<Named>,
    /// Those who name the servers, where the route has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinels: Option<SentinelsStatus>,
    pub endpoints: Vec<EndpointStatus>,
}

/// What a route has copied, and how fast of late.
#[derive(Debug, Serialize)]
pub struct Relayed {
    pub to_upstream_bytes: u64,
    pub to_client_bytes: u64,
    /// Over the last seconds; `None` right after the start.
    pub to_upstream_bytes_per_second: Option<f64>,
    pub to_client_bytes_per_second: Option<f64>,
    /// Over the last minutes, the newest last: for a picture.
    #[serde(skip)]
    pub history: Vec<Rate>,
}

impl Relayed {
    /// Adds how fast it was.
    pub fn rates(&mut self, rates: Vec<Rate>) {
        self.to_upstream_bytes_per_second = rates.last().map(|rate| rate.to_upstream.round());
        self.to_client_bytes_per_second = rates.last().map(|rate| rate.to_client.round());
        self.history = rates;
    }
}

impl From<Totals> for Relayed {
    fn from(totals: Totals) -> Self {
        Self {
            to_upstream_bytes: totals.to_upstream,
            to_client_bytes: totals.to_client,
            to_upstream_bytes_per_second: None,
            to_client_bytes_per_second: None,
            history: Vec::new(),
        }
    }
}

/// A line of the log.
#[derive(Debug, Serialize)]
pub struct EventStatus {
    /// When it happened, or happened last.
    pub at: Timestamp,
    pub age_seconds: u64,
    pub level: &'static str,
    /// The log's message.
    pub name: String,
    pub route: Option<String>,
    pub times: u64,
    /// The line's other fields.
    pub facts: BTreeMap<&'static str, String>,
}

impl From<Event> for EventStatus {
    fn from(event: Event) -> Self {
        Self {
            at: Timestamp::try_from(event.at).unwrap_or_default(),
            age_seconds: age(event.at),
            level: event.level,
            name: event.name,
            route: event.route,
            times: event.times,
            facts: event.facts.into_iter().collect(),
        }
    }
}

#[derive(Debug, Serialize)]
pub struct CredentialStatus {
    /// `None` while there is none.
    pub generation: Option<u64>,
    pub previous_generation: Option<u64>,
    /// The generation that new sessions use.
    pub generation_in_use: Option<u64>,
    /// `missing`, `untried`, `ok`, `degraded` (rejected, while an older one works) or `rejected`.
    pub state: &'static str,
    /// Whether the current generation works and no link of another one is left: what was valid before may be revoked.
    pub settled: bool,
    /// How long ago the current generation was read.
    pub age_seconds: Option<u64>,
    /// How long ago its file was written.
    pub file_age_seconds: Option<u64>,
    /// Whether the server does not accept the current generation.
    pub rejected: bool,
    /// Why the folder could not be read last time.
    pub problem: Option<Named>,
    pub warnings: Vec<Named>,
    /// The end of validity of the client certificate, in seconds since 1970.
    pub certificate_not_after: Option<u64>,
}

/// A name from a closed list, and what it means for people.
#[derive(Debug, Serialize)]
pub struct Named {
    pub name: &'static str,
    pub text: String,
}

impl From<Warning> for Named {
    fn from(warning: Warning) -> Self {
        Self { name: warning.name(), text: warning.to_string() }
    }
}

/// The Sentinels of a route.
#[derive(Debug, Serialize)]
pub struct SentinelsStatus {
    /// Under which name they know the servers.
    pub master: String,
    /// What Attaché logs in to them with.
    pub credential: Option<CredentialStatus>,
    /// The primary by the report that counts, and how new that is.
    pub primary: Option<String>,
    pub epoch: Option<u64>,
    pub endpoints: Vec<SentinelStatus>,
}

#[derive(Debug, Serialize)]
pub struct SentinelStatus {
    pub endpoint: String,
    /// Whether its last answer was a report; `None` until the first.
    pub up: Option<bool>,
    /// How long it has had a report, or none.
    pub state_age_seconds: Option<u64>,
    pub last_asked_age_seconds: Option<u64>,
    pub primary: Option<String>,
    pub epoch: Option<u64>,
    /// Those that it says can be reached.
    pub replicas: Option<usize>,
    /// Whether it will tell of a failover unasked.
    pub announces: Option<bool>,
    /// Why it has no report, or one that does not count.
    pub cause: Option<&'static str>,
    pub detail: Option<String>,
    pub advice: Option<&'static str>,
    /// The end of validity of its certificate, in seconds since 1970.
    pub certificate_not_after: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct EndpointStatus {
    pub endpoint: String,
    /// The server that has this place in a list now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// `None` until the first probe.
    pub up: Option<bool>,
    /// How long probes have succeeded, or failed.
    pub state_age_seconds: Option<u64>,
    pub last_probe_age_seconds: Option<u64>,
    pub last_probe_seconds: Option<f64>,
    /// Where the last probe failed, why by its name, and what is known beyond it.
    pub stage: Option<&'static str>,
    pub cause: Option<&'static str>,
    pub detail: Option<String>,
    pub advice: Option<&'static str>,
    pub server_version: Option<String>,
    /// `primary` or `replica`, as the server said at the last login.
    pub role: Option<&'static str>,
    /// Whether it calls itself a primary although another one was promoted after it: it is not used as one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub superseded: bool,
    /// The end of validity of the server's certificate, in seconds since 1970.
    pub certificate_not_after: Option<u64>,
}

impl CredentialStatus {
    /// Whether it is settled its route knows, which counts the links.
    pub fn of(standing: Standing, settled: bool) -> Self {
        Self {
            generation: standing.generation,
            previous_generation: standing.previous,
            generation_in_use: standing.in_use,
            state: standing.state.name(),
            settled,
            age_seconds: standing.loaded_at.map(age),
            file_age_seconds: standing.file_time.map(age),
            rejected: standing.rejected,
            problem: standing
                .problem
                .map(|problem| Named { name: problem.name(), text: problem.to_string() }),
            warnings: standing.warnings.into_iter().map(Named::from).collect(),
            certificate_not_after: standing.certificate_not_after.map(since_1970),
        }
    }
}

impl From<&Sentinels> for SentinelsStatus {
    fn from(sentinels: &Sentinels) -> Self {
        let (seen, counts) = sentinels.seen();
        Self {
            master: sentinels.settings.master.clone(),
            credential: sentinels.source.as_ref().map(|source| {
                let standing = source.standing();
                // What is asked of a Sentinel goes on with the login that it began with.
                let settled = standing.state == State::Ok;
                CredentialStatus::of(standing, settled)
            }),
            primary: counts.as_ref().map(|report| report.primary.to_string()),
            epoch: counts.map(|report| report.epoch),
            endpoints: seen.into_iter().map(SentinelStatus::from).collect(),
        }
    }
}

impl From<SentinelSeen> for SentinelStatus {
    fn from(seen: SentinelSeen) -> Self {
        let SentinelSeen { endpoint, up, report, failure, contact } = seen;
        Self {
            endpoint: endpoint.to_string(),
            up,
            state_age_seconds: contact.since.map(age),
            last_asked_age_seconds: contact.asked_at.map(age),
            certificate_not_after: contact.certificate_not_after,
            replicas: report.as_ref().map(|report| report.replicas.len()),
            primary: report.as_ref().map(|report| report.primary.to_string()),
            epoch: report.as_ref().map(|report| report.epoch),
            announces: report.map(|report| report.announces),
            cause: failure.as_ref().map(|(cause, _)| cause.name()),
            advice: failure.as_ref().map(|(cause, _)| cause.advice()),
            detail: failure.map(|(_, detail)| detail).filter(|detail| !detail.is_empty()),
        }
    }
}

impl From<Seen> for EndpointStatus {
    fn from(seen: Seen) -> Self {
        let probe = seen.last_probe.as_ref();
        let failure = probe.and_then(|probe| probe.failure.as_ref());
        Self {
            up: probe.map(|probe| probe.failure.is_none()),
            state_age_seconds: seen.since.map(age),
            last_probe_age_seconds: probe.map(|probe| age(probe.at)),
            last_probe_seconds: probe.map(|probe| probe.took.as_secs_f64()),
            stage: failure.map(|(stage, ..)| stage.name()),
            cause: failure.map(|(_, cause, _)| cause.name()),
            detail: failure.map(|(.., detail)| detail.clone()),
            advice: failure.map(|(_, cause, _)| cause.advice()),
            server_version: seen.version,
            role: seen.role.map(ServerRole::name),
            superseded: seen.superseded,
            certificate_not_after: seen.certificate_not_after,
            endpoint: seen.endpoint,
            server: seen.member,
        }
    }
}

/// Seconds from a moment until now.
pub fn age(time: SystemTime) -> u64 {
    time.elapsed().unwrap_or_default().as_secs()
}

fn since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
