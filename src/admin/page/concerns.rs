//! What somebody should look at, the worst first: the page's headline.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::status::{CredentialStatus, EndpointStatus, RouteStatus, Status};

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
    let credential = route.credential.iter().flat_map(of_credential);
    let any_up = route.endpoints.iter().any(|endpoint| endpoint.up != Some(false));
    let endpoints = route.endpoints.iter().flat_map(|endpoint| of_endpoint(endpoint, any_up));
    let of_this = |(tone, what, why)| Concern { tone, route: Some(route.name.clone()), what, why };
    credential.chain(endpoints).map(of_this).collect()
}

type Told = (Tone, String, String);

fn of_credential(credential: &CredentialStatus) -> Vec<Told> {
    let state = match credential.state {
        "missing" => {
            let why = "Check the Secret, the mount path and its keys.";
            Some((Tone::Bad, "There is no usable credential".to_owned(), why.to_owned()))
        }
        "rejected" => {
            let why = "Check whether the Secret and the database were changed together.";
            Some((Tone::Bad, "The database rejects the credential".to_owned(), why.to_owned()))
        }
        "degraded" => {
            let name =
                |generation: Option<u64>| generation.map_or("?".to_owned(), |number| number.to_string());
            let what = format!("The database rejects generation {}", name(credential.generation));
            let in_use = name(credential.generation_in_use);
            Some((Tone::Warn, what, format!("Sessions go on with generation {in_use}.")))
        }
        _ => None,
    };
    let problem = credential.problem.iter().map(|problem| {
        (Tone::Warn, "The credential's folder cannot be used".to_owned(), problem.text.clone())
    });
    let warnings = credential
        .warnings
        .iter()
        .map(|warning| (Tone::Warn, "The credential's folder is doubtful".to_owned(), warning.text.clone()));
    let certificate = ending("The client certificate", credential.certificate_not_after);
    state.into_iter().chain(problem).chain(warnings).chain(certificate).collect()
}

fn of_endpoint(endpoint: &EndpointStatus, any_up: bool) -> Vec<Told> {
    let tone = if any_up { Tone::Warn } else { Tone::Bad };
    let down = endpoint.cause.map(|cause| {
        let why = endpoint.advice.unwrap_or_default().to_owned();
        (tone, format!("{} is down: {cause}", endpoint.endpoint), why)
    });
    let superseded = endpoint.superseded.then(|| {
        let why = "Another server was promoted after it. Nothing is written to this one.".to_owned();
        (Tone::Warn, format!("{} still calls itself a primary", endpoint.endpoint), why)
    });
    let certificate =
        ending(&format!("The certificate of {}", endpoint.endpoint), endpoint.certificate_not_after);
    down.into_iter().chain(superseded).chain(certificate).collect()
}

fn ending(what: &str, not_after: Option<u64>) -> Option<Told> {
    let tone = validity(not_after?);
    let (end, why) = match tone {
        Tone::Bad => ("has expired", "Renew it: new connections fail."),
        Tone::Warn => ("expires soon", "Renew it before new connections fail."),
        Tone::Idle | Tone::Good => return None,
    };
    Some((tone, format!("{what} {end}"), why.to_owned()))
}

/// How a certificate stands that is valid until then.
pub(super) fn validity(not_after: u64) -> Tone {
    match (UNIX_EPOCH + Duration::from_secs(not_after)).duration_since(SystemTime::now()) {
        Err(_) => Tone::Bad,
        Ok(left) if left < CERTIFICATE_ENDS_SOON => Tone::Warn,
        Ok(_) => Tone::Good,
    }
}
