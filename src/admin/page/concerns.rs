//! What somebody should look at, the worst first: the page's headline.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::marks::duration;
use crate::failure::Cause;
use crate::status::{
    CredentialStatus, EndpointStatus, Named, RouteStatus, SentinelStatus, SentinelsStatus, Status,
};

/// The alerts that the manifests bring begin as early.
const CERTIFICATE_ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    /// Sessions fail, or will.
    Bad,
    /// They do not, and somebody should look all the same.
    Warn,
    /// Nobody knows, or it does not matter.
    Idle,
    Good,
}

/// One thing to look at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Concern {
    pub(super) tone: Tone,
    pub(super) route: Option<String>,
    pub(super) what: String,
    /// The likely reason, or what to do.
    pub(super) why: String,
}

pub(super) fn concerns(status: &Status) -> Vec<Concern> {
    let mut all: Vec<_> = status.routes.iter().flat_map(of_route).collect();
    if !status.last_reload_successful {
        all.push(Concern {
            tone: Tone::Warn,
            route: None,
            what: "The configuration was not read again".to_owned(),
            why: "The last one that was right goes on. The events tell what is wrong with the new one."
                .to_owned(),
        });
    }
    all.sort_by_key(|concern| concern.tone);
    all
}

fn of_route(route: &RouteStatus) -> Vec<Concern> {
    let credential = route.credential.iter().flat_map(|it| of_credential(it, &OF_DATABASE));
    let any_up = route.endpoints.iter().any(|endpoint| endpoint.up != Some(false));
    let endpoints = route.endpoints.iter().flat_map(|endpoint| of_endpoint(endpoint, any_up));
    let sentinels = route.sentinels.iter().flat_map(of_sentinels);
    let authorities = route.authorities_problem.iter().map(|problem| of_authorities(problem));
    let authorities = authorities.chain(route.authorities_warnings.iter().map(doubtful));
    let of_this = |(tone, what, why)| Concern { tone, route: Some(route.name.clone()), what, why };
    credential.chain(authorities).chain(endpoints).chain(sentinels).map(of_this).collect()
}

type Told = (Tone, String, String);

/// How a credential is spoken of.
struct Words {
    credential: &'static str,
    /// Whoever does not accept it.
    rejects: &'static str,
    /// Those who need it.
    users: &'static str,
}

const OF_DATABASE: Words =
    Words { credential: "credential", rejects: "The database rejects", users: "Sessions" };
const OF_SENTINELS: Words =
    Words { credential: "credential for Sentinels", rejects: "The Sentinels reject", users: "Questions" };

fn of_credential(credential: &CredentialStatus, words: &Words) -> Vec<Told> {
    let Words { credential: name, rejects, users } = words;
    let state = match credential.state {
        "missing" => {
            let found = credential.problem.as_ref().map(|problem| format!("{}: ", problem.text));
            let why = format!("{}check the Secret, the mount path and its keys", found.unwrap_or_default());
            Some((Tone::Bad, format!("There is no usable {name}"), why))
        }
        "rejected" => {
            let why = "Check whether the Secret and the other side were changed together.";
            Some((Tone::Bad, format!("{rejects} the {name}"), why.to_owned()))
        }
        "degraded" => {
            let number =
                |generation: Option<u64>| generation.map_or("?".to_owned(), |number| number.to_string());
            let what = format!("{rejects} generation {} of the {name}", number(credential.generation));
            let why = format!(
                "{users} go on with generation {}. Check whether the Secret and the other side were changed together.",
                number(credential.generation_in_use)
            );
            Some((Tone::Warn, what, why))
        }
        _ => None,
    };
    let folder = |is: &str, why: &String| (Tone::Warn, format!("The folder of the {name} {is}"), why.clone());
    // Where there is no credential at all, that was told as the reason.
    let problem = credential.problem.iter().filter(|_| credential.state != "missing");
    let problem = problem.map(|problem| folder("cannot be used", &problem.text));
    let warnings = credential.warnings.iter().map(|warning| folder("is doubtful", &warning.text));
    let certificate =
        ending(&format!("The client certificate of the {name}"), credential.certificate_not_after);
    state.into_iter().chain(problem).chain(warnings).chain(certificate).collect()
}

fn of_authorities(problem: &str) -> Told {
    let what = "The file of certificate authorities cannot be used".to_owned();
    (Tone::Warn, what, format!("{problem}. Those that were read before go on, until the next start."))
}

fn doubtful(warning: &Named) -> Told {
    (Tone::Warn, "The file of certificate authorities is doubtful".to_owned(), warning.text.clone())
}

fn of_endpoint(endpoint: &EndpointStatus, any_up: bool) -> Vec<Told> {
    let tone = if any_up { Tone::Warn } else { Tone::Bad };
    // What cannot be probed without a credential is not down for all that is known.
    let down = endpoint.cause.filter(|cause| *cause != Cause::CredentialMissing.name()).map(|cause| {
        let what = format!("{} is down{}: {cause}", endpoint.endpoint, since(endpoint.state_age_seconds));
        (tone, what, endpoint.advice.unwrap_or_default().to_owned())
    });
    let superseded = endpoint.superseded.then(|| {
        let why = "Another server was promoted after it. Nothing is written to this one.".to_owned();
        (Tone::Warn, format!("{} still calls itself a primary", endpoint.endpoint), why)
    });
    let certificate =
        ending(&format!("The certificate of {}", endpoint.endpoint), endpoint.certificate_not_after);
    down.into_iter().chain(superseded).chain(certificate).collect()
}

fn of_sentinels(sentinels: &SentinelsStatus) -> Vec<Told> {
    let is_lost = sentinels.endpoints.iter().all(|sentinel| sentinel.up == Some(false));
    let lost = is_lost.then(|| {
        let why = match sentinels.primary {
            Some(_) => "A failover would not be noticed: the servers that were named last are used.",
            None => "No session finds a server before one of them answers.",
        };
        (Tone::Bad, format!("No Sentinel has a report on {}", sentinels.master), why.to_owned())
    });
    let each = sentinels.endpoints.iter().flat_map(of_sentinel);
    let credential = sentinels.credential.iter().flat_map(|it| of_credential(it, &OF_SENTINELS));
    lost.into_iter().chain(each).chain(credential).collect()
}

fn of_sentinel(sentinel: &SentinelStatus) -> Vec<Told> {
    let name = &sentinel.endpoint;
    let cause = sentinel.cause.map(|cause| {
        let what = match sentinel.up {
            Some(true) => format!("Sentinel {name} is not believed: {cause}"),
            Some(false) | None => {
                format!("Sentinel {name} has no report{}: {cause}", since(sentinel.state_age_seconds))
            }
        };
        (Tone::Warn, what, sentinel.advice.unwrap_or_default().to_owned())
    });
    let certificate = ending(&format!("The certificate of Sentinel {name}"), sentinel.certificate_not_after);
    cause.into_iter().chain(certificate).collect()
}

/// ` for 12 min`, where it is known.
fn since(age: Option<u64>) -> String {
    age.map_or_else(String::new, |age| format!(" for {}", duration(age)))
}

fn ending(what: &str, not_after: Option<u64>) -> Option<Told> {
    let not_after = not_after?;
    let tone = validity(not_after);
    let (end, why) = match tone {
        Tone::Bad => ("has expired".to_owned(), "Renew it: new connections fail."),
        Tone::Warn => (format!("expires in {}", until(not_after)), "Renew it before new connections fail."),
        Tone::Idle | Tone::Good => return None,
    };
    Some((tone, format!("{what} {end}"), why.to_owned()))
}

fn until(end: u64) -> String {
    let end = UNIX_EPOCH + Duration::from_secs(end);
    duration(end.duration_since(SystemTime::now()).unwrap_or_default().as_secs())
}

/// How a certificate stands that is valid until then.
pub(super) fn validity(not_after: u64) -> Tone {
    match (UNIX_EPOCH + Duration::from_secs(not_after)).duration_since(SystemTime::now()) {
        Err(_) => Tone::Bad,
        Ok(left) if left < CERTIFICATE_ENDS_SOON => Tone::Warn,
        Ok(_) => Tone::Good,
    }
}
