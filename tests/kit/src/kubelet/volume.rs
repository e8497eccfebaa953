//! Volumes as folders of this machine. Secrets and ConfigMaps are written as the kubelet writes them, and can be
//! written anew while the pod runs. A kind of volume that is not emulated is a panic, not an empty folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::manifest::{Manifests, list, text};
use crate::mounted::Mounted;
use crate::scratch::{self, set_mode};

#[derive(Debug)]
pub(super) enum Volume {
    /// From objects of the cluster, with the names of the Secrets in it.
    Objects {
        folder: Mounted,
        secrets: Vec<String>,
    },
    Empty(TempDir),
}

impl Volume {
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Volume::Objects { folder, .. } => folder.path().to_path_buf(),
            Volume::Empty(folder) => folder.path().to_path_buf(),
        }
    }

    /// The path inside the volume that a mount shows.
    pub(super) fn mounted(&self, sub_path: &str) -> PathBuf {
        if sub_path.is_empty() { self.path() } else { self.path().join(sub_path) }
    }
}

/// All volumes of a pod, by name.
pub(super) fn materialise(pod: &Value, cluster: &Manifests) -> BTreeMap<String, Volume> {
    let volumes = list(&pod["spec"], "volumes");
    volumes.map(|volume| (text(&volume["name"]).to_owned(), one(volume, pod, cluster))).collect()
}

/// Writes the volumes again that show this Secret, as it is now.
pub(super) fn refresh(volumes: &BTreeMap<String, Volume>, pod: &Value, cluster: &Manifests, secret: &str) {
    for declared in list(&pod["spec"], "volumes") {
        if let Volume::Objects { folder, secrets } = &volumes[text(&declared["name"])]
            && secrets.iter().any(|name| name == secret)
        {
            write(folder, &contents(declared, pod, cluster).entries);
        }
    }
}

fn one(volume: &Value, pod: &Value, cluster: &Manifests) -> Volume {
    if volume["emptyDir"].is_object() {
        let folder = scratch::folder("empty-dir");
        set_mode(folder.path(), 0o777);
        return Volume::Empty(folder);
    }
    let Contents { entries, secrets } = contents(volume, pod, cluster);
    let folder = Mounted::new(&[]);
    write(&folder, &entries);
    Volume::Objects { folder, secrets }
}

fn write(folder: &Mounted, entries: &BTreeMap<String, String>) {
    let entries: Vec<_> = entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    folder.write(&entries);
}

#[derive(Default)]
struct Contents {
    entries: BTreeMap<String, String>,
    secrets: Vec<String>,
}

fn contents(volume: &Value, pod: &Value, cluster: &Manifests) -> Contents {
    let mut found = Contents::default();
    if volume["secret"].is_object() {
        found.take(&volume["secret"], "Secret", "secretName", cluster);
    } else if volume["configMap"].is_object() {
        found.take(&volume["configMap"], "ConfigMap", "name", cluster);
    } else if volume["projected"].is_object() {
        for source in list(&volume["projected"], "sources") {
            if source["secret"].is_object() {
                found.take(&source["secret"], "Secret", "name", cluster);
            } else if source["configMap"].is_object() {
                found.take(&source["configMap"], "ConfigMap", "name", cluster);
            } else if source["downwardAPI"].is_object() {
                found.take_of_pod(&source["downwardAPI"], pod);
            } else {
                panic!("no emulation of the projected source {source}");
            }
        }
    } else {
        panic!("no emulation of the volume {volume}");
    }
    found
}

impl Contents {
    /// The chosen keys of one object. One that is missing holds the pod back for ever, unless it is optional.
    fn take(&mut self, source: &Value, kind: &str, key: &str, cluster: &Manifests) {
        let name = text(&source[key]);
        if kind == "Secret" {
            self.secrets.push(name.to_owned());
        }
        let optional = source["optional"] == true;
        if optional && !cluster.of_kind(kind).any(|object| object["metadata"]["name"] == name) {
            return;
        }
        let data = data(cluster.named(kind, name));
        if list(source, "items").next().is_none() {
            self.entries.extend(data);
            return;
        }
        for item in list(source, "items") {
            let value = data.get(text(&item["key"])).unwrap_or_else(|| panic!("{kind} {name} has no {item}"));
            self.entries.insert(text(&item["path"]).to_owned(), value.clone());
        }
    }

    /// What the pod's own metadata say.
    fn take_of_pod(&mut self, source: &Value, pod: &Value) {
        for item in list(source, "items") {
            let value = annotation(text(&item["fieldRef"]["fieldPath"]), pod);
            let value = value.unwrap_or_else(|| panic!("no emulation of {item}, or no such annotation"));
            self.entries.insert(text(&item["path"]).to_owned(), value.to_owned());
        }
    }
}

/// An annotation by its path, `metadata.annotations['KEY']`.
fn annotation<'a>(path: &str, pod: &'a Value) -> Option<&'a str> {
    let key = path.strip_prefix("metadata.annotations['")?.strip_suffix("']")?;
    pod["metadata"]["annotations"][key].as_str()
}

/// `stringData` of a Secret, or `data` of a ConfigMap. Base64 is for machines, and no manifest of ours has it.
fn data(object: &Value) -> BTreeMap<String, String> {
    let is_secret = object["kind"] == "Secret";
    assert!(!is_secret || object["data"].is_null(), "no emulation of base64: use stringData in {object}");
    let entries = object[if is_secret { "stringData" } else { "data" }].as_object();
    entries.into_iter().flatten().map(|(key, value)| (key.clone(), text(value).to_owned())).collect()
}

/// Where a mount of a container ends up.
pub(super) fn bind(volumes: &BTreeMap<String, Volume>, mount: &Value) -> (PathBuf, String, bool) {
    let name = text(&mount["name"]);
    let volume = volumes.get(name).unwrap_or_else(|| panic!("the pod has no volume {name}"));
    let from = volume.mounted(text(&mount["subPath"]));
    (from, text(&mount["mountPath"]).to_owned(), mount["readOnly"] == true)
}

/// podman's own word for such a mount.
pub(super) fn flag(from: &Path, to: &str, read_only: bool) -> String {
    format!("{}:{to}:{}", from.display(), if read_only { "ro" } else { "rw" })
}
