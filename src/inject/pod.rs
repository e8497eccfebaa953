//! A pod with a sidecar in it, and how it was before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::needs::Needs;
use super::offer::{self, Given};
use super::operation::{Patch, Path};
use super::parameters::{CONFIGURATION, INJECTED, Parameters, SIDECAR, Sidecar};
use super::sidecar::{self, NAME, Source};
use super::{dangers, obstacles};

/// What was put into a pod beside its container, so that exactly that is taken out.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Mark {
    version: String,
    volumes: Vec<String>,
    /// Variables by container.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<String>,
}

/// A sidecar that is ready to be put in.
pub(super) struct Ready<'a> {
    pub(super) asked: &'a Parameters,
    pub(super) needs: &'a Needs,
    /// The text of the configuration, where the pod is to carry it.
    pub(super) carried: Option<&'a str>,
}

/// How a pod stands with sidecars.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Without,
    /// One that was put in here, and can be taken out.
    Injected,
    /// One that something else has put in: a kustomization or a chart.
    Otherwise,
}

pub(super) fn standing(patch: &Patch, pod: &Path) -> Standing {
    let document = &patch.document;
    if pod.join("metadata/annotations").to(INJECTED).find(document).is_some() {
        Standing::Injected
    } else if pod.join("metadata/labels").to(SIDECAR).find(document).is_some() {
        Standing::Otherwise
    } else {
        Standing::Without
    }
}

/// The lists of containers of a pod. Ephemeral ones come later, by other hands.
const LISTS: [&str; 2] = ["spec/initContainers", "spec/containers"];

/// Every container: the path to it, and its name.
pub(super) fn containers(document: &Value, pod: &Path) -> Vec<(Path, String)> {
    let lists = LISTS.iter().flat_map(|list| {
        let list = pod.join(list);
        let items = list.items(document).iter().enumerate();
        items.map(|(index, item)| (list.to(index), name(item).to_owned())).collect::<Vec<_>>()
    });
    lists.collect()
}

pub(super) fn name(item: &Value) -> &str {
    item["name"].as_str().unwrap_or_default()
}

/// Puts a sidecar in. What is worth knowing is said to `notes`.
///
/// # Errors
/// Everything that stands against it.
pub(super) fn add(
    patch: &mut Patch,
    pod: &Path,
    ready: &Ready<'_>,
    notes: &mut Vec<String>,
) -> Result<(), Vec<String>> {
    let source = if ready.carried.is_some() { Source::Annotation } else { Source::ConfigMap };
    let volumes = sidecar::volumes(ready.asked, ready.needs, source);
    let obstacles = obstacles::find(&patch.document, pod, &volumes);
    let offers = offer::find(&patch.document, pod, ready, notes);
    let offers = match (offers, obstacles) {
        (Ok(offers), obstacles) if obstacles.is_empty() => offers,
        (Ok(_), obstacles) => return Err(obstacles),
        (Err(wrong), obstacles) => return Err(obstacles.into_iter().chain(wrong).collect()),
    };
    dangers::find(&patch.document, pod, ready.needs, notes);
    notes.extend(has_to_quit(&patch.document, pod, ready));

    let mut mark = Mark { version: env!("CARGO_PKG_VERSION").to_owned(), ..Mark::default() };
    mark.volumes.extend(volumes.iter().map(|volume| name(volume).to_owned()));
    for given in offers {
        equip(patch, given, ready, &mut mark);
    }
    let list = match sidecar::kind(ready.asked) {
        Sidecar::Native => "spec/initContainers",
        Sidecar::Classic => "spec/containers",
    };
    patch.prepend(&pod.join(list), sidecar::container(ready.asked, ready.needs));
    volumes.into_iter().for_each(|volume| patch.append(&pod.join("spec/volumes"), volume));
    patch.set(&pod.join("metadata/labels"), SIDECAR, json!(sidecar::kind(ready.asked).name()));
    let annotations = pod.join("metadata/annotations");
    if let Some(text) =
        ready.carried.filter(|_| annotations.to(CONFIGURATION).find(&patch.document).is_none())
    {
        patch.set(&annotations, CONFIGURATION, json!(text));
        mark.annotations.push(CONFIGURATION.to_owned());
    }
    let mark = serde_json::to_string(&mark).expect("plain texts");
    patch.set(&annotations, INJECTED, Value::from(mark));
    Ok(())
}

/// What a program that ends by itself has to do beside it.
fn has_to_quit(document: &Value, pod: &Path, ready: &Ready<'_>) -> Option<String> {
    let restarts = pod.join("spec/restartPolicy").find(document).and_then(Value::as_str);
    let outlives = sidecar::kind(ready.asked) == Sidecar::Classic;
    (outlives && matches!(restarts, Some("Never" | "OnFailure"))).then(|| {
        "with a classic sidecar it ends only when its program also sends POST http://127.0.0.1:9901/quit"
            .to_owned()
    })
}

/// What a container is given, so that its program finds the sidecar.
fn equip(patch: &mut Patch, given: Given, ready: &Ready<'_>, mark: &mut Mark) {
    if !given.env.is_empty() {
        let names = given.env.iter().map(|(name, _)| (*name).to_owned()).collect();
        mark.env.insert(given.container, names);
    }
    for (name, value) in given.env {
        patch.append(&given.path.to("env"), json!({ "name": name, "value": value }));
    }
    for mount in sidecar::socket_mounts(ready.needs) {
        patch.append(&given.path.to("volumeMounts"), mount);
    }
}

/// Takes a sidecar out that [`add`] has put in.
///
/// # Errors
/// The mark that it left cannot be read.
pub(super) fn remove(patch: &mut Patch, pod: &Path) -> Result<(), String> {
    let annotations = pod.join("metadata/annotations");
    let text = annotations.to(INJECTED).find(&patch.document).and_then(Value::as_str);
    let Some(text) = text else { return Ok(()) };
    let mark: Mark = serde_json::from_str(text)
        .map_err(|error| format!("annotation {INJECTED} cannot be read: {error}"))?;
    for (path, container) in containers(&patch.document, pod) {
        if let Some(names) = mark.env.get(&container) {
            let is_ours = |item: &Value| names.iter().any(|ours| ours == name(item));
            patch.take_items(&path.to("env"), is_ours);
        }
        if container != NAME {
            let is_ours = |item: &Value| mark.volumes.iter().any(|ours| ours == name(item));
            patch.take_items(&path.to("volumeMounts"), is_ours);
        }
    }
    for list in LISTS {
        patch.take_items(&pod.join(list), |item| name(item) == NAME);
    }
    patch.take_items(&pod.join("spec/volumes"), |item| mark.volumes.iter().any(|ours| ours == name(item)));
    let label = pod.join("metadata/labels").to(SIDECAR);
    let marks =
        mark.annotations.iter().map(|name| annotations.to(name)).chain([annotations.to(INJECTED), label]);
    for path in marks {
        if path.find(&patch.document).is_some() {
            patch.take(&path);
        }
    }
    Ok(())
}
