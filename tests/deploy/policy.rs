//! The admission policy, its expressions evaluated over pods that it should deny and pods that it should not.

use std::time::Duration;

use attache_kit::kubelet::pod_of;
use attache_kit::{Missing, available, tools};
use serde_json::{Value, json};

use crate::render::{Rendered, kustomize};

const DEADLINE: Duration = Duration::from_secs(120);

/// What the policy says of each pod: `None` for admitted.
fn verdicts(pods: &[Value]) -> Result<Vec<Option<String>>, Missing> {
    let rendered = Rendered { from: String::new(), yaml: kustomize("admission-policy")? };
    let manifests = rendered.manifests();
    let policy = manifests.named("ValidatingAdmissionPolicy", "attache-proxy.io");
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/judge.py");
    let question = json!({ "policy": policy, "objects": pods }).to_string();
    let answer =
        tools::run(tools::kubernetes_python()?.args([judge, "policy"]), question.as_bytes(), DEADLINE);
    Ok(serde_json::from_str(&answer.ok()).unwrap())
}

/// The pod of the example, which the policy admits.
fn pod() -> Result<Value, Missing> {
    let rendered = Rendered { from: String::new(), yaml: kustomize("example/plain")? };
    Ok(pod_of(rendered.manifests().named("Deployment", "orders")).unwrap().clone())
}

fn changed(pod: &Value, pointer: &str, value: Value) -> Value {
    let mut pod = pod.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = pod.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
    match parent.as_array_mut() {
        Some(list) => list.push(value),
        None => parent[key] = value,
    }
    pod
}

#[test]
fn another_container_gets_at_the_secret_in_no_way() {
    let Some(pod) = available(pod()) else { return };
    let again = json!({"name": "again", "secret": {"secretName": "attache"}});
    let projected = json!({"name": "again", "projected": {"sources": [
        {"configMap": {"name": "x"}}, {"secret": {"name": "other"}}, {"secret": {"name": "attache"}}]}});
    let mount = |name: &str| json!([{"name": name, "mountPath": "/x"}]);
    let of_app = "/spec/containers/0/volumeMounts";
    let cases = [
        ("mount", changed(&pod, of_app, mount("attache-credential"))),
        ("mount", changed(&pod, "/spec/initContainers/1/volumeMounts", mount("attache-credential"))),
        ("mount", changed(&changed(&pod, "/spec/volumes/-", again), of_app, mount("again"))),
        ("mount", changed(&changed(&pod, "/spec/volumes/-", projected), of_app, mount("again"))),
        (
            "environment",
            changed(
                &pod,
                "/spec/containers/0/env/-",
                json!({"name": "P", "valueFrom": {"secretKeyRef": {"name": "attache", "key": "password"}}}),
            ),
        ),
        (
            "environment",
            changed(&pod, "/spec/containers/0/envFrom", json!([{"secretRef": {"name": "attache"}}])),
        ),
        ("shareProcessNamespace", changed(&pod, "/spec/shareProcessNamespace", json!(true))),
        ("privileged", changed(&pod, "/spec/containers/0/securityContext", json!({"privileged": true}))),
        ("user", changed(&pod, "/spec/containers/0/securityContext", json!({"runAsUser": 65532}))),
        ("user", changed(&pod, "/spec/securityContext/runAsUser", json!(65532))),
        (
            "mount",
            changed(
                &pod,
                "/spec/ephemeralContainers",
                json!([{"name": "attache-check", "image": "x", "volumeMounts": mount("attache-credential")}]),
            ),
        ),
        (
            "mount",
            changed(
                &pod,
                "/spec/containers/-",
                json!({"name": "attache-check", "image": "x", "volumeMounts": mount("attache-credential")}),
            ),
        ),
        (
            "mount",
            changed(
                &pod,
                "/spec/ephemeralContainers",
                json!([{"name": "debug", "image": "x", "volumeMounts": mount("attache-credential")}]),
            ),
        ),
    ];
    let pods: Vec<_> = cases.iter().map(|(_, pod)| pod.clone()).collect();
    let Some(verdicts) = available(verdicts(&pods)) else { return };
    for ((word, pod), verdict) in cases.iter().zip(verdicts) {
        assert!(verdict.as_deref().is_some_and(|it| it.contains(word)), "{word}: {verdict:?} for {pod}");
    }
}

#[test]
fn pods_without_attache_and_other_secrets_are_none_of_its_business() {
    let Some(pod) = available(pod()) else { return };
    let other = json!({"name": "other", "secret": {"secretName": "smtp"}});
    let with_other = changed(
        &changed(&pod, "/spec/volumes/-", other),
        "/spec/containers/0/volumeMounts",
        json!([{"name": "other", "mountPath": "/x"}]),
    );
    let mut alone = changed(&pod, "/spec/shareProcessNamespace", json!(true));
    alone["spec"]["initContainers"].as_array_mut().unwrap().remove(0);
    let mut bare = alone.clone();
    bare["spec"].as_object_mut().unwrap().remove("initContainers");
    let from_other = changed(
        &pod,
        "/spec/containers/0/envFrom",
        json!([{"secretRef": {"name": "smtp"}}, {"configMapRef": {"name": "attache"}}]),
    );
    let Some(verdicts) = available(verdicts(&[pod, with_other, alone, bare, from_other])) else { return };
    assert_eq!(verdicts, [const { None }; 5]);
}

#[test]
fn every_pod_of_the_examples_is_admitted() {
    let mut pods = Vec::new();
    for name in ["example/blue", "example/green", "example/classic", "example/checked"] {
        let Some(yaml) = available(kustomize(name)) else { return };
        let rendered = Rendered { from: name.to_owned(), yaml };
        pods.extend(rendered.manifests().iter().filter_map(|object| pod_of(object).cloned()));
    }
    assert_eq!(pods.len(), 10, "three for each of blue, green and checked, one for classic");
    let Some(verdicts) = available(verdicts(&pods)) else { return };
    assert!(verdicts.iter().all(Option::is_none), "{verdicts:?}");
}
