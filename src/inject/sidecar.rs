//! The container of the sidecar and its volumes. `deploy/kustomize` has the same, with the reasons for each line.

use serde_json::{Value, json};

use super::needs::{FOLDER, Needs};
use super::parameters::{CONFIGURATION, Parameters, Sidecar};

/// The name of the container, by which policies know it.
pub(super) const NAME: &str = "attache";
/// The user that it runs as, which no other container should have.
pub(super) const USER: u32 = 65532;
/// How long a classic sidecar serves on: it is told to end together with the application.
const LINGER: &str = "5s";
/// Measured: docs/performance.md.
const CPU_REQUEST: &str = "25m";
const MEMORY_REQUEST: &str = "24Mi";
const MEMORY_LIMIT: &str = "128Mi";
/// What is read where nothing else is named.
const CONFIG_MAP: &str = "attache";
const CA_CONFIG_MAP: &str = "attache-ca";
/// Readable for everyone in the container, which is Attaché alone.
const READABLE: u32 = 0o444;

/// Where the configuration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    ConfigMap,
    /// In an annotation of the pod.
    Annotation,
}

pub(super) fn image() -> String {
    format!("ghcr.io/attache-proxy/attache:{}", env!("CARGO_PKG_VERSION"))
}

pub(super) fn kind(asked: &Parameters) -> Sidecar {
    asked.kind.unwrap_or(Sidecar::Native)
}

pub(super) fn config_map(asked: &Parameters) -> &str {
    asked.config_map.as_deref().unwrap_or(CONFIG_MAP)
}

pub(super) fn container(asked: &Parameters, needs: &Needs) -> Value {
    let mut container = json!({
        "name": NAME,
        "image": asked.image.clone().unwrap_or_else(image),
        "args": ["run", "-c", format!("{FOLDER}/attache.yaml")],
        "ports": [{ "name": "attache-health", "containerPort": needs.health_port }],
        "startupProbe": { "httpGet": get("/startupz"), "periodSeconds": 1, "failureThreshold": 60 },
        "readinessProbe": { "httpGet": get("/readyz"), "periodSeconds": 5 },
        "livenessProbe": {
            "httpGet": get("/livez"), "periodSeconds": 10, "timeoutSeconds": 3, "failureThreshold": 3,
        },
        "resources": resources(asked),
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "volumeMounts": mounts(needs),
    });
    match kind(asked) {
        Sidecar::Native => container["restartPolicy"] = json!("Always"),
        Sidecar::Classic => {
            container["lifecycle"] = json!({ "postStart": { "exec": { "command": [NAME, "wait"] } } });
        }
    }
    let env = environment(kind(asked), needs);
    if !env.is_empty() {
        container["env"] = env.into();
    }
    container
}

fn get(path: &str) -> Value {
    json!({ "path": path, "port": "attache-health" })
}

fn resources(asked: &Parameters) -> Value {
    let or = |asked: &Option<String>, usual: &str| asked.clone().unwrap_or_else(|| usual.to_owned());
    json!({
        "requests": { "cpu": or(&asked.cpu_request, CPU_REQUEST), "memory": or(&asked.memory_request, MEMORY_REQUEST) },
        "limits": { "memory": or(&asked.memory_limit, MEMORY_LIMIT) },
    })
}

/// Settings that a pod needs and that the configuration leaves open.
fn environment(kind: Sidecar, needs: &Needs) -> Vec<Value> {
    let health = format!("0.0.0.0:{}", needs.health_port);
    let health = needs.opens_health.then(|| json!({ "name": "ATTACHE_HEALTH", "value": health }));
    let lingers = kind == Sidecar::Classic && needs.lingers;
    let linger = lingers.then(|| json!({ "name": "ATTACHE_DRAIN__LINGER", "value": LINGER }));
    health.into_iter().chain(linger).collect()
}

fn mounts(needs: &Needs) -> Vec<Value> {
    let mut mounts = vec![json!({ "name": "attache-configuration", "mountPath": FOLDER, "readOnly": true })];
    mounts.extend(needs.credentials.iter().enumerate().map(|(index, credential)| {
        json!({ "name": credential_name(needs, index), "mountPath": credential.path, "readOnly": true })
    }));
    mounts.extend(socket_mounts(needs));
    mounts
}

/// The folders of sockets, as the applications see them too.
pub(super) fn socket_mounts(needs: &Needs) -> impl Iterator<Item = Value> {
    let mount = |(index, folder): (usize, _)| json!({ "name": socket_name(index), "mountPath": folder });
    needs.sockets.iter().enumerate().map(mount)
}

pub(super) fn volumes(asked: &Parameters, needs: &Needs, source: Source) -> Vec<Value> {
    let ca = asked.ca_config_map.as_deref();
    let ca = json!({ "configMap": { "name": ca.unwrap_or(CA_CONFIG_MAP), "optional": true } });
    let configuration = match source {
        Source::ConfigMap => json!({ "configMap": { "name": config_map(asked) } }),
        Source::Annotation => {
            let field = format!("metadata.annotations['{CONFIGURATION}']");
            json!({ "downwardAPI": { "items": [{ "path": "attache.yaml", "fieldRef": { "fieldPath": field } }] } })
        }
    };
    let mut volumes =
        vec![json!({ "name": "attache-configuration", "projected": { "sources": [configuration, ca] } })];
    volumes.extend(needs.credentials.iter().enumerate().map(|(index, credential)| {
        let secret = json!({ "secretName": credential.secret, "defaultMode": READABLE });
        json!({ "name": credential_name(needs, index), "secret": secret })
    }));
    let sockets = needs.sockets.iter().enumerate();
    volumes.extend(sockets.map(|(index, _)| json!({ "name": socket_name(index), "emptyDir": {} })));
    volumes
}

/// Names of volumes are shorter than names of routes may be, and have fewer letters.
fn credential_name(needs: &Needs, index: usize) -> String {
    match needs.credentials.len() {
        1 => "attache-credential".to_owned(),
        _ => format!("attache-credential-{}", index + 1),
    }
}

fn socket_name(index: usize) -> String {
    match index {
        0 => "attache-sockets".to_owned(),
        more => format!("attache-sockets-{}", more + 1),
    }
}
