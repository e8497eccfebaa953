//! Why no sidecar can be put into a pod.

use std::collections::BTreeSet;

use serde_json::Value;

use super::operation::Path;
use super::parameters::SIDECAR;
use super::pod::{containers, name};
use super::sidecar::NAME;

/// Everything that stands against it.
pub(super) fn find(document: &Value, pod: &Path, volumes: &[Value]) -> Vec<String> {
    let mut found = misshapen(document, pod);
    if pod.join("spec/containers").items(document).is_empty() {
        found.push("there are no containers".to_owned());
    }
    if pod.join("spec/hostNetwork").find(document) == Some(&Value::Bool(true)) {
        found.push(
            "with hostNetwork everyone on the node could use the database through this pod's listeners"
                .to_owned(),
        );
    }
    if pod.join("spec/os/name").find(document).is_some_and(|name| name != "linux") {
        found.push("spec.os.name: there is no image of attache but for linux".to_owned());
    }
    if containers(document, pod).iter().any(|(_, name)| name == NAME) {
        found.push(format!("there is a container {NAME} already, and the label {SIDECAR} is not"));
    }
    let taken = pod.join("spec/volumes");
    let taken = taken.items(document).iter().filter(|one| volumes.iter().any(|our| name(our) == name(one)));
    found.extend(taken.map(|volume| format!("there is a volume {} already", name(volume))));
    found
}

/// What is there, but in another shape than Kubernetes gives it, so that nothing can be put into it.
fn misshapen(document: &Value, pod: &Path) -> Vec<String> {
    let maps = ["metadata", "metadata/labels", "metadata/annotations", "spec"].map(|steps| pod.join(steps));
    let mut wrong: Vec<_> = maps.iter().filter_map(|path| not_a_map(path, document)).collect();
    for steps in ["spec/initContainers", "spec/containers", "spec/volumes"] {
        check_list(&pod.join(steps), document, &mut wrong);
    }
    let mut names = BTreeSet::new();
    for (container, name) in containers(document, pod) {
        check_list(&container.to("env"), document, &mut wrong);
        check_list(&container.to("volumeMounts"), document, &mut wrong);
        if name.is_empty() {
            wrong.push(format!("{container} has no name"));
        } else if !names.insert(name.clone()) {
            wrong.push(format!("there are two containers {name}"));
        }
    }
    wrong
}

fn not_a_map(path: &Path, document: &Value) -> Option<String> {
    let there = path.find(document)?;
    (!there.is_object()).then(|| format!("{path} is not a map"))
}

fn check_list(list: &Path, document: &Value, wrong: &mut Vec<String>) {
    if list.find(document).is_some_and(|there| !there.is_array()) {
        wrong.push(format!("{list} is not a list"));
    }
    let items = (0..list.items(document).len()).map(|index| list.to(index));
    wrong.extend(items.filter_map(|item| not_a_map(&item, document)));
}
