//! Who says whether a manifest is right: the schemas of Kubernetes, and the Pod Security Standard as it is written.

use std::time::Duration;

use attache_kit::{available, tools};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(120);
const MINORS: std::ops::RangeInclusive<u32> = 28..=37;

/// Every object against the strict schemas of every version.
pub fn assert_valid(objects: &[(String, Value)]) {
    let Some(mut python) = available(tools::kubernetes_python()) else { return };
    let each = |minor| {
        objects.iter().map(move |(_, object)| json!({ "version": format!("1.{minor}"), "object": object }))
    };
    let questions: Vec<_> = MINORS.flat_map(each).collect();
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/judge.py");
    let input = serde_json::to_vec(&questions).unwrap();
    let answers = tools::run(python.args([judge, "schemas"]), &input, DEADLINE).ok();
    let answers: Vec<Value> = serde_json::from_str(&answers).unwrap();
    assert_eq!(answers.len(), MINORS.count() * objects.len());
    let names = MINORS.flat_map(|minor| objects.iter().map(move |(name, _)| format!("1.{minor} {name}")));
    let wrong: Vec<_> = names.zip(&answers).filter(|(_, answer)| !answer.is_null()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The standard `restricted`, as far as it speaks of what is injected: our container, and every volume of the pod.
pub fn assert_restricted(spec: &Value) {
    let containers =
        spec["initContainers"].as_array().into_iter().chain(spec["containers"].as_array()).flatten();
    let ours = containers.filter(|container| container["name"] == "attache").collect::<Vec<_>>();
    let [attache] = ours[..] else { panic!("{} containers attache", ours.len()) };
    let security = &attache["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["runAsNonRoot"], true);
    assert!(security["runAsUser"].as_u64().is_some_and(|user| user > 0));
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
    assert!(security["privileged"].is_null() && security["procMount"].is_null());
    assert!(attache["ports"].as_array().unwrap().iter().all(|port| port["hostPort"].is_null()));
    let allowed = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    for volume in spec["volumes"].as_array().unwrap() {
        let kinds: Vec<_> = volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
        assert!(kinds.iter().all(|kind| allowed.contains(&kind.as_str())), "{volume}");
    }
}
