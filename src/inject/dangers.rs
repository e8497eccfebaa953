//! What in a pod would let the application have the secret after all, or would keep it from its database: told, not refused.

use serde_json::Value;

use super::needs::Needs;
use super::operation::Path;
use super::pod::{containers, name};
use super::sidecar::USER;

/// Says to `notes` what is worth knowing.
pub(super) fn find(document: &Value, pod: &Path, needs: &Needs, notes: &mut Vec<String>) {
    for shared in ["shareProcessNamespace", "hostPID"] {
        if pod.join("spec").to(shared).find(document) == Some(&Value::Bool(true)) {
            notes
                .push(format!("with {shared} other containers can read the files and the memory of attache"));
        }
    }
    if !needs.sockets.is_empty() && pod.join("spec/securityContext/fsGroup").find(document).is_none() {
        notes.push(
            "sockets are for their group: set securityContext.fsGroup of the pod, or the application cannot use them"
                .to_owned(),
        );
    }
    for (path, name) in containers(document, pod) {
        of_container(document, pod, &path, needs)
            .for_each(|danger| notes.push(format!("container {name} {danger}")));
    }
}

fn of_container(document: &Value, pod: &Path, path: &Path, needs: &Needs) -> impl Iterator<Item = String> {
    let user = |path: &Path| path.join("securityContext/runAsUser").find(document).and_then(Value::as_u64);
    let is_same_user = user(path).or(user(&pod.to("spec"))) == Some(u64::from(USER));
    let same_user = is_same_user.then(|| format!("runs as the user of attache, {USER}: give it another one"));
    let is_privileged = path.join("securityContext/privileged").find(document) == Some(&Value::Bool(true));
    let privileged = "is privileged: it can read the files and the memory of attache";
    let privileged = is_privileged.then(|| privileged.to_owned());
    let ports = path.to("ports");
    let ports = ports.items(document).iter().filter_map(|port| port["containerPort"].as_u64());
    let mut taken = ports.filter(|port| needs.ports.iter().any(|ours| u64::from(*ours) == *port));
    let taken = taken.next().map(|port| {
        format!(
            "has the port {port}, on which attache listens: a pod has each port once, so change one of them"
        )
    });
    let is_ours = |secret: &&str| needs.credentials.iter().any(|credential| *secret == credential.secret);
    let secret = secrets(document, pod, path).into_iter().find(is_ours);
    let secret = secret.map(|secret| format!("gets the Secret {secret} as well: take it out there"));
    [same_user, privileged, taken, secret].into_iter().flatten()
}

/// The Secrets that a container is given, by its environment or by volumes.
fn secrets<'a>(document: &'a Value, pod: &Path, container: &Path) -> Vec<&'a str> {
    let items = |key: &str| container.to(key).items(document).iter();
    let variables = items("env").map(|variable| &variable["valueFrom"]["secretKeyRef"]["name"]);
    let sources = items("envFrom").map(|source| &source["secretRef"]["name"]);
    let mounts = items("volumeMounts").flat_map(|mount| shown(document, pod, mount));
    variables.chain(sources).chain(mounts).filter_map(Value::as_str).collect()
}

/// The Secrets that are in a volume, one or several.
fn shown<'a>(document: &'a Value, pod: &Path, mount: &Value) -> Vec<&'a Value> {
    let volumes = pod.join("spec/volumes").items(document);
    let Some(volume) = volumes.iter().find(|volume| name(volume) == name(mount)) else { return Vec::new() };
    let projected = volume["projected"]["sources"].as_array().into_iter().flatten();
    let projected = projected.map(|source| &source["secret"]["name"]);
    [&volume["secret"]["secretName"]].into_iter().chain(projected).collect()
}
