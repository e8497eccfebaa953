//! Every manifest against the strict schemas of Kubernetes 1.28 to 1.37, and every configuration in them against
//! Attaché itself.

use std::time::Duration;

use attache_kit::{available, tools};
use serde_json::{Value, json};

use crate::render::{MINORS, check_configurations, everything};

const DEADLINE: Duration = Duration::from_secs(120);
/// Kinds of the Prometheus operator and of cert-manager have no schema here; `alerts` looks at what is in the former.
const FOREIGN: [&str; 2] = ["monitoring.coreos.com/v1", "cert-manager.io/v1"];

#[test]
fn every_manifest_is_valid_for_kubernetes_1_28_to_1_37() {
    let Some(mut python) = available(tools::kubernetes_python()) else { return };
    let mut questions = Vec::new();
    let mut names = Vec::new();
    for minor in MINORS {
        let Some(all) = available(everything(minor)) else { return };
        for rendered in all {
            for object in rendered
                .manifests()
                .iter()
                .filter(|object| FOREIGN.iter().all(|foreign| object["apiVersion"] != *foreign))
            {
                questions.push(json!({ "version": format!("1.{minor}"), "object": object }));
                names.push(format!("1.{minor} {} {}", rendered.from, object["kind"]));
            }
        }
    }
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/judge.py");
    let input = serde_json::to_vec(&questions).unwrap();
    let answers = tools::run(python.args([judge, "schemas"]), &input, DEADLINE).ok();
    let answers: Vec<Value> = serde_json::from_str(&answers).unwrap();
    assert_eq!(answers.len(), names.len());
    let wrong: Vec<_> = names.iter().zip(&answers).filter(|(_, answer)| !answer.is_null()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(answers.len() > 300, "only {} manifests", answers.len());
}

#[test]
fn the_schemas_would_find_a_misspelt_field_and_a_sidecar_that_came_too_early() {
    let Some(mut python) = available(tools::kubernetes_python()) else { return };
    let pod = |field: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {
            "initContainers": [{"name": "a", field: "Always"}], "containers": [{"name": "b"}]}})
    };
    let questions = json!([
        { "version": "1.28", "object": pod("restartPolicy") },
        { "version": "1.27", "object": pod("restartPolicy") },
        { "version": "1.37", "object": pod("restartPolize") },
    ]);
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/judge.py");
    let input = questions.to_string();
    let answers = tools::run(python.args([judge, "schemas"]), input.as_bytes(), DEADLINE).ok();
    let answers: Vec<Value> = serde_json::from_str(&answers).unwrap();
    assert_eq!(answers.iter().map(Value::is_null).collect::<Vec<_>>(), [true, false, false], "{answers:?}");
}

#[test]
fn every_configuration_in_a_manifest_is_one_that_attache_takes() {
    let Some(all) = available(everything(*MINORS.end())) else { return };
    let seen: usize = all.iter().map(check_configurations).sum();
    assert!(seen >= 8, "blue, green, plain, classic, and two charts by two Helms: {seen}");
}
