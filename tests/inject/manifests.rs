//! What the injector puts in, beside what the manifests of `deploy` put in; and the manifests of the webhook.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use attache_kit::kubelet::Manifests;
use attache_kit::{available, tools};
use serde_json::Value;

use crate::command::{BINARY, data, inject, objects, uninject};
use crate::judge::{assert_restricted, assert_valid};
use crate::server::NAME;

const DEADLINE: Duration = Duration::from_secs(60);
/// The configuration that `deploy/kustomize` is an example of.
const EXAMPLE: &str = "deploy/kustomize/example/base/attache.yaml";

fn deploy(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The Kubernetes of the API reads 0444 as YAML 1.1 does.
    objects(&text.replace("defaultMode: 0444", "defaultMode: 292")).remove(0)
}

#[test]
fn the_injector_puts_in_what_the_kustomize_components_put_in() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join(EXAMPLE);
    let usual = ["-c", config.to_str().unwrap(), "--secret", "orders=attache"];
    let empty = "apiVersion: apps/v1
kind: Deployment
metadata: { name: any }
spec: { template: { spec: { containers: [{ name: app, image: x }] } } }
";
    for (component, flags, list) in
        [("native-sidecar", &[][..], "initContainers"), ("classic-sidecar", &["--classic"], "containers")]
    {
        let theirs = deploy(&format!("kustomize/components/{component}/workload.yaml"));
        let ours = objects(&inject(empty, &[&usual, flags].concat())).remove(0);
        let (theirs, ours) = (&theirs["spec"]["template"], &ours["spec"]["template"]);
        assert_eq!(ours["spec"][list][0], theirs["spec"][list][0], "{component}");
        assert_eq!(ours["spec"]["volumes"], theirs["spec"]["volumes"], "{component}");
        assert_eq!(ours["metadata"]["labels"], theirs["metadata"]["labels"], "{component}");
    }
}

#[test]
fn our_own_examples_go_in_and_come_out_unchanged() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kustomize/example/base");
    let config = folder.join("attache.yaml");
    let usual = ["-c", config.to_str().unwrap(), "--secret", "orders=attache"];
    for name in ["orders.yaml", "orders-report.yaml", "orders-reindex.yaml"] {
        let original = fs::read_to_string(folder.join(name)).unwrap();
        let once = inject(&original, &usual);
        assert_ne!(once, original);
        assert_eq!(inject(&once, &usual), once, "{name}");
        assert_eq!(uninject(&once), original, "{name}");
    }
}

#[test]
fn the_commands_of_the_page_do_what_it_says() {
    let page = include_str!("../../docs/kubernetes-injector.md");
    let block = page.split("\n```sh\n").nth(1).unwrap().split("\n```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [("deployment.yaml", "shop.yaml"), ("sockets.yaml", "attache.yaml")] {
        fs::copy(data().join(from), folder.path().join(to)).unwrap();
    }
    // The one in between asks a cluster.
    let commands: Vec<_> = block.lines().filter(|line| line.starts_with("attache ")).collect();
    assert_eq!(commands.len(), 2, "{block}");
    let mut shell = Command::new("sh");
    let program = BINARY.strip_suffix("/attache").unwrap();
    shell.args(["-ec", &commands.join("\n")]).current_dir(folder.path());
    shell.env("PATH", format!("{program}:{}", std::env::var("PATH").unwrap()));
    let back = tools::run(&mut shell, b"", DEADLINE).ok();
    assert_eq!(back, fs::read_to_string(folder.path().join("shop.yaml")).unwrap());
    let injected = fs::read_to_string(folder.path().join("injected.yaml")).unwrap();
    assert_eq!(
        objects(&injected)[1]["spec"]["template"]["metadata"]["labels"]["attache-proxy.io/sidecar"],
        "native"
    );
}

#[test]
fn the_manifests_of_the_webhook_are_valid_and_fit_together() {
    let Some(mut kubectl) = available(tools::kubectl()) else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/webhook");
    let yaml = tools::run(kubectl.arg("kustomize").arg(folder), b"", DEADLINE).ok();
    let manifests = Manifests::parse(&yaml);
    let native = manifests
        .iter()
        .filter(|object| !object["apiVersion"].as_str().unwrap().starts_with("cert-manager.io/"));
    let named = native.map(|object| (object["kind"].to_string(), object.clone()));
    assert_valid(&named.collect::<Vec<_>>());

    let webhook = &manifests.of_kind("MutatingWebhookConfiguration").next().unwrap()["webhooks"][0];
    let service = manifests.of_kind("Service").next().unwrap();
    let asked = &webhook["clientConfig"]["service"];
    assert_eq!(asked["name"], service["metadata"]["name"]);
    assert_eq!(asked["namespace"], service["metadata"]["namespace"]);
    assert_eq!(asked["path"], "/mutate");
    let name = format!("{}.{}.svc", asked["name"].as_str().unwrap(), asked["namespace"].as_str().unwrap());
    assert_eq!(name, NAME);
    assert_eq!(webhook["objectSelector"]["matchLabels"]["attache-proxy.io/inject"], "enabled");
    // Or a webhook that is down could not come back, and neither could the cluster.
    let excluded = &webhook["namespaceSelector"]["matchExpressions"][0];
    assert_eq!(
        (&excluded["key"], &excluded["operator"]),
        (&"kubernetes.io/metadata.name".into(), &"NotIn".into())
    );
    for namespace in [&"kube-system".into(), &service["metadata"]["namespace"]] {
        assert!(excluded["values"].as_array().unwrap().contains(namespace), "{excluded}");
    }

    let deployment = manifests.of_kind("Deployment").next().unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_restricted(pod);
    let ports = pod["containers"][0]["ports"].as_array().unwrap();
    assert!(ports.iter().any(|port| port["name"] == service["spec"]["ports"][0]["targetPort"]), "{ports:?}");
    assert_eq!(
        manifests.of_kind("ClusterRole").chain(manifests.of_kind("Role")).count(),
        0,
        "it needs no rights"
    );
}
