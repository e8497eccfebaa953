//! One container of a manifest in podman's words: what it may do, what it sees, what it runs.

use std::path::Path;

use serde_json::Value;

use super::manifest::{list, text, written};
use super::pod::Pod;
use super::volume;

/// What may be in a container; anything else would go unplayed.
const KNOWN: &[&str] = &[
    "args",
    "command",
    "env",
    "image",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "resources",
    "restartPolicy",
    "securityContext",
    "startupProbe",
    // A failure tells the logs in any case.
    "terminationMessagePolicy",
    "volumeMounts",
];

/// The arguments of `podman create` for a container of this pod.
pub(super) fn arguments(pod: &Pod<'_>, container: &Value, etc: &Path) -> Vec<String> {
    let name = text(&container["name"]);
    for key in container.as_object().into_iter().flatten().map(|(key, _)| key) {
        assert!(KNOWN.contains(&key.as_str()), "no emulation of {key} in the container {name}");
    }
    let mut all = vec!["create".to_owned(), "--pod".to_owned(), pod.name().to_owned()];
    all.extend(["--name".to_owned(), pod.container(name)]);
    all.extend(security(&pod.spec()["securityContext"], &container["securityContext"]));
    for file in ["resolv.conf", "hosts"] {
        all.extend(volume_flag(&volume::flag(&etc.join(file), &format!("/etc/{file}"), true)));
    }
    for mount in list(container, "volumeMounts") {
        let (from, to, read_only) = volume::bind(pod.volumes(), mount);
        all.extend(volume_flag(&volume::flag(&from, &to, read_only)));
    }
    for variable in list(container, "env") {
        all.extend(["--env".to_owned(), format!("{}={}", text(&variable["name"]), value_of(pod, variable))]);
    }
    let mut words = list(container, "command").map(written).collect::<Vec<_>>();
    if !words.is_empty() {
        let program = words.remove(0);
        all.extend(["--entrypoint".to_owned(), program]);
    }
    all.push(pod.image(text(&container["image"])).to_owned());
    all.extend(words);
    all.extend(list(container, "args").map(written));
    all
}

fn volume_flag(value: &str) -> [String; 2] {
    ["--volume".to_owned(), value.to_owned()]
}

/// As the manifest says and no stricter, so that a manifest that forgets something is found out by what runs in it.
fn security(pod: &Value, own: &Value) -> Vec<String> {
    let said = |key: &str| if own[key].is_null() { pod[key].clone() } else { own[key].clone() };
    let mut flags = Vec::new();
    if said("runAsNonRoot") == true {
        assert!(said("runAsUser") != 0, "runAsNonRoot, and runs as root");
    }
    if let Some(user) = said("runAsUser").as_u64() {
        let group = said("runAsGroup").as_u64().unwrap_or(0);
        flags.extend(["--user".to_owned(), format!("{user}:{group}")]);
    }
    if own["readOnlyRootFilesystem"] == true {
        flags.extend(["--read-only", "--read-only-tmpfs=false"].map(str::to_owned));
    }
    if own["allowPrivilegeEscalation"] == false {
        flags.extend(["--security-opt", "no-new-privileges"].map(str::to_owned));
    }
    for capability in list(&own["capabilities"], "drop") {
        flags.extend(["--cap-drop".to_owned(), text(capability).to_lowercase()]);
    }
    let profile = said("seccompProfile")["type"].clone();
    if profile != "RuntimeDefault" {
        flags.extend(["--security-opt", "seccomp=unconfined"].map(str::to_owned));
    }
    flags
}

fn value_of(pod: &Pod<'_>, variable: &Value) -> String {
    if !variable["value"].is_null() {
        return written(&variable["value"]);
    }
    let path = text(&variable["valueFrom"]["fieldRef"]["fieldPath"]);
    match path {
        "metadata.name" => pod.name().to_owned(),
        "metadata.namespace" => pod.namespace().to_owned(),
        "status.podIP" => pod.address().to_string(),
        _ => panic!("no emulation of the variable {variable}"),
    }
}
