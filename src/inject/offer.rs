//! Environment for application containers, so that they find their databases without being told.
//!
//! What a container says itself is never overridden.

use serde_json::Value;

use super::operation::Path;
use super::parameters::Offer;
use super::pod::{Ready, containers, name};

/// What one container is given.
pub(super) struct Given {
    pub(super) path: Path,
    pub(super) container: String,
    pub(super) env: Vec<(&'static str, String)>,
}

/// What the containers of a pod are to be given. What is worth knowing is said to `notes`.
///
/// # Errors
/// Containers and routes that are not there, and variables that two routes would set.
pub(super) fn find(
    document: &Value,
    pod: &Path,
    ready: &Ready<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<Given>, Vec<String>> {
    let all = containers(document, pod);
    let mut wrong = strangers(&ready.asked.env, &all, ready);
    let mut given = Vec::new();
    for (path, container) in all {
        match variables(&container, ready) {
            Ok(env) if env.is_empty() => {}
            Ok(env) => {
                given.push(Given { env: unsaid(env, &container, &path, document, notes), path, container });
            }
            Err(reason) => wrong.push(reason),
        }
    }
    if wrong.is_empty() { Ok(given) } else { Err(wrong) }
}

fn strangers(offers: &[Offer], all: &[(Path, String)], ready: &Ready<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let routes = &ready.needs.routes;
    if !offers.is_empty() && routes.is_empty() {
        wrong.push(
            "env: the configuration is a ConfigMap that only the pod reads, so it is not known where its routes \
             listen: name a profile, or carry the configuration in the annotation attache-proxy.io/configuration"
                .to_owned(),
        );
        return wrong;
    }
    for offer in offers {
        if offer.container != "*" && !all.iter().any(|(_, name)| *name == offer.container) {
            let names: Vec<_> = all.iter().map(|(_, name)| name.as_str()).collect();
            wrong.push(format!(
                "env: there is no container {}; there are {}",
                offer.container,
                names.join(", ")
            ));
        }
        if let Some(route) = offer.route.as_ref().filter(|route| !routes.iter().any(|it| it.route == **route))
        {
            let names: Vec<_> = routes.iter().map(|it| it.route.as_str()).collect();
            wrong.push(format!("env: there is no route {route}; there are {}", names.join(", ")));
        }
    }
    wrong
}

/// What the routes that are offered to a container say, each variable once.
fn variables(container: &str, ready: &Ready<'_>) -> Result<Vec<(&'static str, String)>, String> {
    let mut found: Vec<(&'static str, String, &str)> = Vec::new();
    let is_offered = |route: &str| {
        let mut offers = ready.asked.env.iter();
        offers.any(|offer| {
            (offer.container == "*" || offer.container == container)
                && offer.route.as_ref().is_none_or(|one| one == route)
        })
    };
    for reach in ready.needs.routes.iter().filter(|reach| is_offered(&reach.route)) {
        let directions =
            reach.directions.as_ref().map_err(|reason| format!("env: route {}: {reason}", reach.route))?;
        for (variable, value) in &directions.env {
            match found.iter().find(|(known, ..)| known == variable) {
                Some((_, known, _)) if known == value => {}
                Some((.., other)) => {
                    return Err(format!(
                        "env: routes {other} and {} would both set {variable} in {container}: choose one with \
                         {container}=ROUTE",
                        reach.route
                    ));
                }
                None => found.push((variable, value.clone(), &reach.route)),
            }
        }
    }
    Ok(found.into_iter().map(|(variable, value, _)| (variable, value)).collect())
}

/// Without what the container says itself.
fn unsaid(
    env: Vec<(&'static str, String)>,
    container: &str,
    path: &Path,
    document: &Value,
    notes: &mut Vec<String>,
) -> Vec<(&'static str, String)> {
    let own = path.to("env");
    let own = own.items(document);
    env.into_iter()
        .filter(|(variable, value)| {
            let said = own.iter().find(|item| name(item) == *variable);
            if said.is_some_and(|said| said["value"].as_str() != Some(value)) {
                notes.push(format!("container {container} sets {variable} itself: it stays as it is"));
            }
            said.is_none()
        })
        .collect()
}
