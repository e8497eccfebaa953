//! Where the pods are in what Kubernetes takes.

use serde_json::Value;

use super::operation::Path;

/// The kinds that make pods: group, kind, and where the pod's template is.
const KINDS: [(&str, &str, &str); 10] = [
    ("", "Pod", ""),
    ("", "PodTemplate", "template"),
    ("", "ReplicationController", "spec/template"),
    ("apps", "Deployment", "spec/template"),
    ("apps", "StatefulSet", "spec/template"),
    ("apps", "DaemonSet", "spec/template"),
    ("apps", "ReplicaSet", "spec/template"),
    ("batch", "Job", "spec/template"),
    ("batch", "CronJob", "spec/jobTemplate/spec/template"),
    ("extensions", "Deployment", "spec/template"),
];

/// Something that makes pods.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Workload {
    /// Kind and name, for people.
    pub(super) title: String,
    pub(super) namespace: Option<String>,
    /// Where the whole of it is in its document.
    pub(super) root: Path,
    /// Where `metadata` and `spec` of its pods are.
    pub(super) pod: Path,
}

/// The workloads of a document: itself, or those in a list. What makes no pods is told to `others`.
pub(super) fn find(document: &Value, others: &mut Vec<String>) -> Vec<Workload> {
    let mut found = Vec::new();
    collect(document, Path::default(), &mut found, others);
    found
}

fn collect(object: &Value, root: Path, found: &mut Vec<Workload>, others: &mut Vec<String>) {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    let kind = text("kind");
    if let Some(items) = object["items"].as_array().filter(|_| kind.ends_with("List")) {
        for (index, item) in items.iter().enumerate() {
            collect(item, root.join("items").to(index), found, others);
        }
        return;
    }
    let metadata = |key: &str| object["metadata"][key].as_str();
    let name = metadata("name").or_else(|| metadata("generateName")).unwrap_or("without a name");
    let title = format!("{} {name}", if kind.is_empty() { "something without a kind" } else { kind });
    match KINDS.iter().find(|known| (known.0, known.1) == (group, kind)) {
        Some((.., template)) => found.push(Workload {
            title,
            namespace: metadata("namespace").map(str::to_owned),
            pod: root.join(template),
            root,
        }),
        None => others.push(title),
    }
}

/// The kinds by name, for a message.
pub(super) fn kinds() -> String {
    let mut kinds: Vec<_> = KINDS.iter().map(|(_, kind, _)| *kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.join(", ")
}
