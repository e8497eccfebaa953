//! Files that are made from others: the manifests for `kubectl apply`, and what the chart carries of the kustomizations.

use std::fs;

use attache_kit::available;

use crate::render::{deploy, kustomize};
use crate::snapshots::compare;

#[test]
fn the_manifests_for_kubectl_are_those_of_kustomize() {
    for (file, name) in [("native-sidecar", "example/plain"), ("classic-sidecar", "example/classic")] {
        let Some(yaml) = available(kustomize(name)) else { return };
        let head = format!(
            "# Made from deploy/kustomize/{name} (ATTACHE_WRITE_SNAPSHOTS=1 cargo test --test deploy writes it anew). It needs a\n\
             # Secret `attache` with the keys username and password, and a ConfigMap `attache-ca` with the key ca.pem.\n"
        );
        compare(&format!("deploy/kubectl/{file}.yaml"), &format!("{head}{yaml}"));
    }
}

#[test]
fn the_chart_carries_the_same_alerts_dashboard_and_policy() {
    let read = |file: &str| fs::read_to_string(deploy().join("kustomize").join(file)).unwrap();
    let rule = read("components/monitoring/prometheus-rule.yaml");
    let (_, groups) = rule.split_once("\nspec:\n").unwrap();
    compare("deploy/helm/attache/files/alerts.yaml", &format!("spec:\n{groups}"));
    compare("deploy/helm/attache/files/dashboard.json", &read("components/monitoring/dashboard.json"));
    compare("deploy/helm/attache/files/admission-policy.yaml", &read("admission-policy/policy.yaml"));
}

/// A release changes the version in one place, and this test finds the others.
#[test]
fn images_and_charts_have_the_version_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    let image = format!("ghcr.io/attache-proxy/attache:{version}");
    for kind in ["native", "classic"] {
        for file in ["workload", "cronjob"] {
            let path = format!("kustomize/components/{kind}-sidecar/{file}.yaml");
            assert!(fs::read_to_string(deploy().join(&path)).unwrap().contains(&image), "{path}");
        }
    }
    for path in ["kustomize/components/check/workload.yaml", "webhook/deployment.yaml"] {
        assert!(fs::read_to_string(deploy().join(path)).unwrap().contains(&image), "{path}");
    }
    let chart = fs::read_to_string(deploy().join("helm/attache/Chart.yaml")).unwrap();
    assert!(chart.contains(&format!("\nversion: {version}\nappVersion: {version}\n")), "{chart}");
    let template = fs::read_to_string(deploy().join("helm/attache/templates/_sidecar.tpl")).unwrap();
    assert!(template.contains(&format!("default \"{version}\"")), "the default of image.tag");
}
