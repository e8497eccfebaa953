//! The webhook of the chart is the one of `deploy/webhook`.

use attache_kit::kubelet::Manifests;
use attache_kit::{Missing, available, tools};
use serde_json::{Value, json};

use crate::render::{Charts, HELMS, deploy, run};

/// The chart as the page tells to install it.
fn of_chart(charts: &Charts, helm: u32, settings: &[&str]) -> Result<Manifests, Missing> {
    let mut command = charts.helm(helm)?;
    command.args([
        "template",
        "attache",
        "attache",
        "--namespace",
        "attache-system",
        "--kube-version",
        "1.34.0",
    ]);
    command.args(["--values", "attache/ci/injector-values.yaml"]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    Ok(read(&run(&mut command).ok()))
}

fn of_kustomize() -> Result<Manifests, Missing> {
    let yaml = run(tools::kubectl()?.arg("kustomize").arg(deploy().join("webhook"))).ok();
    Ok(read(&yaml))
}

/// The Kubernetes of the API reads 0444 as YAML 1.1 does.
fn read(yaml: &str) -> Manifests {
    Manifests::parse(&yaml.replace("defaultMode: 0444", "defaultMode: 292"))
}

/// What an object means, without what each of the two tools adds: labels of its own, and where it puts things.
fn meaning(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("labels");
    metadata.remove("namespace");
    for selector in [
        "/spec/selector",
        "/spec/selector/matchLabels",
        "/spec/podSelector/matchLabels",
        "/spec/template/metadata/labels",
        "/spec/template/spec/topologySpreadConstraints/0/labelSelector/matchLabels",
    ] {
        if let Some(labels) = object.pointer_mut(selector).and_then(Value::as_object_mut) {
            labels.remove("app.kubernetes.io/instance");
        }
    }
    if let Some(container) = object.pointer_mut("/spec/template/spec/containers/0") {
        // What Kubernetes assumes for an image with this tag.
        container.as_object_mut().unwrap().remove("imagePullPolicy");
    }
    if object["kind"] == "ConfigMap" {
        for text in object["data"].as_object_mut().unwrap().values_mut() {
            let parsed: Value = serde_saphyr::from_str(text.as_str().unwrap()).unwrap();
            *text = parsed;
        }
    }
    if let Some(values) = object
        .pointer_mut("/webhooks/0/namespaceSelector/matchExpressions/0/values")
        .and_then(Value::as_array_mut)
    {
        values.sort_by_key(ToString::to_string);
    }
    object
}

#[test]
fn the_chart_installs_what_the_kustomization_does() {
    let (Some(charts), Some(theirs)) = (available(Charts::prepared()), available(of_kustomize())) else {
        return;
    };
    for helm in HELMS {
        let Some(ours) = available(of_chart(&charts, helm, &[])) else { return };
        let mut seen = 0;
        for object in theirs.iter().filter(|object| object["kind"] != "Namespace") {
            let (kind, name) =
                (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
            assert_eq!(meaning(ours.named(kind, name)), meaning(object), "{kind} {name} by Helm {helm}");
            seen += 1;
        }
        assert_eq!(ours.iter().count(), seen, "and nothing beyond it");
        assert!(seen >= 9, "{seen}");
    }
}

#[test]
fn a_certificate_of_ones_own_needs_no_cert_manager() {
    let Some(charts) = available(Charts::prepared()) else { return };
    let settings = [
        "injector.certificate.certManager.enabled=false",
        "injector.certificate.secret=mine",
        "injector.certificate.caBundle=QUJD",
        "injector.excludedNamespaces={kube-system,attache-system}",
    ];
    let Some(manifests) = available(of_chart(&charts, 4, &settings)) else { return };
    assert!(!manifests.iter().any(|object| object["apiVersion"] == "cert-manager.io/v1"));
    let webhook = manifests.named("MutatingWebhookConfiguration", "attache-proxy.io");
    assert!(webhook["metadata"]["annotations"].is_null(), "{webhook}");
    assert_eq!(webhook["webhooks"][0]["clientConfig"]["caBundle"], "QUJD");
    let excluded = &webhook["webhooks"][0]["namespaceSelector"]["matchExpressions"][0]["values"];
    assert_eq!(*excluded, json!(["kube-system", "attache-system"]));
    let pod = &manifests.named("Deployment", "attache-webhook")["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["secret"]["secretName"], "mine");
}
