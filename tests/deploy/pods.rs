//! What every pod in the manifests promises: the sidecar's place, its probes, who sees the Secret, and the Pod Security
//! Standard "restricted".

use attache_kit::available;
use attache_kit::kubelet::pod_of;
use serde_json::Value;

use crate::render::{MINORS, Rendered, everything};

const CREDENTIALS: &str = "/var/run/secrets/attache";

/// The specification of every pod, with where it came from.
fn pods(minor: u32) -> Vec<(String, Value)> {
    let Some(all) = available(everything(minor)) else { return Vec::new() };
    all.iter().flat_map(pods_of).collect()
}

fn pods_of(rendered: &Rendered) -> Vec<(String, Value)> {
    let named =
        |object: &Value| format!("{} {} {}", rendered.from, object["kind"], object["metadata"]["name"]);
    let manifests = rendered.manifests();
    manifests.iter().filter_map(|it| Some((named(it), pod_of(it)?.clone()))).collect()
}

/// What the init container is called that tries the way to the database first.
const CHECK: &str = "attache-check";

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn containers(pod: &Value) -> Vec<&Value> {
    list(&pod["spec"], "initContainers").chain(list(&pod["spec"], "containers")).collect()
}

fn attache(pod: &Value) -> Option<&Value> {
    // The webhook's container has the same name.
    let serves = |container: &&Value| container["name"] == "attache" && container["args"][0] == "run";
    containers(pod).into_iter().find(serves)
}

#[test]
fn the_sidecar_is_the_first_container_that_starts() {
    for minor in [*MINORS.start(), 29, *MINORS.end()] {
        for (from, pod) in pods(minor).into_iter().filter(|(_, pod)| attache(pod).is_some()) {
            let kind = pod["metadata"]["labels"]["attache-proxy.io/sidecar"].as_str();
            let sidecar = attache(&pod).unwrap();
            match kind {
                Some("native") => {
                    let mut first = list(&pod["spec"], "initContainers").filter(|it| it["name"] != CHECK);
                    assert_eq!(first.next(), Some(sidecar), "{from}");
                    let at = |name| list(&pod["spec"], "initContainers").position(|it| it["name"] == name);
                    assert!(at(CHECK) < at("attache"), "{from}: a check comes before it, if there is one");
                    assert_eq!(sidecar["restartPolicy"], "Always", "{from}");
                }
                Some("classic") => {
                    assert_eq!(pod["spec"]["containers"][0], *sidecar, "{from}");
                    assert!(sidecar["restartPolicy"].is_null(), "{from}");
                    assert_eq!(sidecar["lifecycle"]["postStart"]["exec"]["command"][1], "wait", "{from}");
                }
                other => assert!(from.contains("standalone"), "{from}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_kind_of_sidecar_follows_the_version_of_the_cluster() {
    let kinds = |minor| {
        let charts = pods(minor).into_iter().filter(|(from, _)| from.contains("example"));
        let charts = charts.filter(|(from, _)| from.starts_with("Helm"));
        charts
            .map(|(_, pod)| pod["metadata"]["labels"]["attache-proxy.io/sidecar"].clone())
            .collect::<Vec<_>>()
    };
    assert!(kinds(28).iter().all(|kind| kind == "classic"), "{:?}", kinds(28));
    assert!(kinds(29).iter().all(|kind| kind == "native"), "{:?}", kinds(29));
    assert_eq!(kinds(28).len(), kinds(29).len());
}

#[test]
fn probes_ask_what_each_of_them_is_for() {
    for (from, pod) in pods(*MINORS.end()) {
        let Some(container) = attache(&pod) else { continue };
        for (probe, path) in
            [("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")]
        {
            assert_eq!(container[probe]["httpGet"]["path"], path, "{from}");
            assert_eq!(container[probe]["httpGet"]["port"], "attache-health", "{from}");
        }
        let port = list(container, "ports").find(|port| port["name"] == "attache-health");
        assert_eq!(port.unwrap()["containerPort"], 9900, "{from}");
        assert!(container["resources"]["requests"]["memory"].is_string(), "{from}");
    }
}

/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/>, the part that concerns what is written here.
#[test]
fn every_container_is_restricted() {
    let mut seen = 0;
    for (from, pod) in pods(*MINORS.end()) {
        let spec = &pod["spec"];
        for key in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
            assert!(spec[key].is_null() || spec[key] == false, "{from} has {key}");
        }
        for container in containers(&pod) {
            let of = format!("{from}, container {}", container["name"]);
            let own = &container["securityContext"];
            let said = |key: &str| if own[key].is_null() { &spec["securityContext"][key] } else { &own[key] };
            assert_eq!(*said("runAsNonRoot"), true, "{of}");
            assert_ne!(*said("runAsUser"), 0, "{of}");
            assert_eq!(said("seccompProfile")["type"], "RuntimeDefault", "{of}");
            assert_eq!(own["allowPrivilegeEscalation"], false, "{of}");
            assert_eq!(own["capabilities"]["drop"][0], "ALL", "{of}");
            assert!(own["capabilities"]["add"].is_null(), "{of}");
            assert_eq!(own["readOnlyRootFilesystem"], true, "{of}");
            assert!(list(container, "ports").all(|port| port["hostPort"].is_null()), "{of}");
            seen += 1;
        }
        for volume in list(spec, "volumes") {
            let allowed = ["configMap", "emptyDir", "projected", "secret"];
            assert!(allowed.iter().any(|kind| !volume[*kind].is_null()), "{from}: {volume}");
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn only_attache_sees_the_secret_and_whole_folders_of_it() {
    for (from, pod) in pods(*MINORS.end()) {
        let Some(sidecar) = attache(&pod) else { continue };
        let secrets: Vec<_> =
            list(&pod["spec"], "volumes").filter(|volume| !volume["secret"].is_null()).collect();
        assert!(!secrets.is_empty(), "{from}");
        for container in containers(&pod) {
            let mounts = list(container, "volumeMounts");
            let seen =
                mounts.filter(|mount| secrets.iter().any(|secret| secret["name"] == mount["name"])).count();
            let is_ours = container == sidecar || container["name"] == CHECK;
            let expected = if is_ours { secrets.len() } else { 0 };
            assert_eq!(seen, expected, "{from}, container {}", container["name"]);
        }
        for mount in list(sidecar, "volumeMounts") {
            assert!(mount["subPath"].is_null(), "{from}: a file by itself never sees a rotation");
            assert_eq!(mount["readOnly"], true, "{from}");
        }
        let of_credentials = |mount: &&Value| mount["mountPath"].as_str().unwrap().starts_with(CREDENTIALS);
        assert!(list(sidecar, "volumeMounts").any(|mount| of_credentials(&mount)), "{from}");
        assert_eq!(
            pod["spec"]["automountServiceAccountToken"], false,
            "{from}: the API would tell the Secret"
        );
    }
}
