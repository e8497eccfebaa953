//! Manifests as they were rendered: documents of YAML, and the pod in each kind of workload.

use serde_json::Value;

/// All objects of a cluster that a test applies.
#[derive(Debug, Clone, Default)]
pub struct Manifests(Vec<Value>);

impl Manifests {
    /// Every document of a stream; the items of a List count as documents.
    pub fn parse(yaml: &str) -> Manifests {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}"));
        let mut objects = Vec::new();
        for document in documents.into_iter().filter(|document| !document.is_null()) {
            match document["kind"].as_str() {
                Some("List") => objects.extend(list(&document, "items").cloned()),
                Some(_) => objects.push(document),
                None => panic!("a document without kind: {document}"),
            }
        }
        Manifests(objects)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.iter().filter(move |object| object["kind"] == kind)
    }

    /// # Panics
    /// There is none.
    pub fn named(&self, kind: &str, name: &str) -> &Value {
        self.iter()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
            .unwrap_or_else(|| panic!("no {kind} {name} among {:?}", self.names()))
    }

    pub fn names(&self) -> Vec<String> {
        self.iter().map(|it| format!("{} {}", text(&it["kind"]), text(&it["metadata"]["name"]))).collect()
    }

    /// Adds what an operator would make by hand, or a controller by itself.
    pub fn add(&mut self, object: Value) {
        self.0.push(object);
    }
}

/// The pod that a workload makes: itself, or its template.
pub fn pod_of(workload: &Value) -> Option<&Value> {
    match workload["kind"].as_str()? {
        "Pod" => Some(workload),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => {
            Some(&workload["spec"]["template"])
        }
        "CronJob" => Some(&workload["spec"]["jobTemplate"]["spec"]["template"]),
        _ => None,
    }
}

/// The elements of a list, none where there is no such key.
pub(super) fn list<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    object[key].as_array().into_iter().flatten()
}

/// A string of a manifest, empty where there is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A number or a text, as an environment variable or a port may be either.
pub(super) fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_may_have_empty_documents_and_lists() {
        let yaml = "---\nkind: Pod\nmetadata: { name: a }\n---\n# nothing\n---\nkind: List\nitems:\n- kind: Job\n  metadata: { name: b }\n";
        assert_eq!(Manifests::parse(yaml).names(), ["Pod a", "Job b"]);
    }

    #[test]
    fn each_kind_of_workload_has_its_pod_somewhere() {
        let find =
            |yaml: &str| pod_of(Manifests::parse(yaml).iter().next()?).map(|pod| pod["spec"].to_string());
        let deployment = "kind: Deployment\nspec: { template: { spec: 1 } }";
        let cron = "kind: CronJob\nspec: { jobTemplate: { spec: { template: { spec: 2 } } } }";
        assert_eq!(find("kind: Pod\nspec: 0"), Some("0".to_owned()));
        assert_eq!(find(deployment), Some("1".to_owned()));
        assert_eq!(find(cron), Some("2".to_owned()));
        assert_eq!(find("kind: Service\nspec: 3"), None);
    }
}
