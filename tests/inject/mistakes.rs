//! What is refused, and what is said about it.

use serde_json::json;

use crate::command::{USUAL, inject, manifest, refused, run};

/// A Pod with one thing in its spec that is to be looked at.
fn pod(more: &serde_json::Value) -> String {
    let mut spec = json!({ "containers": [{ "name": "app", "image": "x" }] });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "spec": spec }).to_string()
}

fn annotated(annotations: &serde_json::Value) -> String {
    let spec = json!({ "containers": [{ "name": "app", "image": "x" }] });
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "annotations": annotations }, "spec": spec })
        .to_string()
}

#[test]
fn a_secret_that_nobody_named_is_asked_for_by_flag_and_annotation() {
    let said = refused(&pod(&json!({})), &["-c", "{data}/attache.yaml", "--secret", "orders=a"]);
    assert_eq!(
        said,
        "Pod p: route reports: no Secret is named for /var/run/secrets/attache/reports: say --secret reports=NAME, or \
         the annotation attache-proxy.io/secret.reports\n"
    );
    let said = refused(&pod(&json!({})), &[USUAL.as_slice(), &["--secret", "order=a"]].concat());
    assert!(said.contains("a Secret is named for the route order"), "{said}");
}

#[test]
fn what_makes_no_pods_is_named_with_what_does() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\napiVersion: argoproj.io/v1alpha1\nkind: \
                   Rollout\nmetadata: {name: b}\n";
    let said = refused(service, &USUAL);
    assert!(
        said.starts_with("nothing to do: found Service a, Rollout b; kinds with pods are CronJob, "),
        "{said}"
    );
    assert!(refused("", &USUAL).contains("found nothing"));
    assert!(refused("just a word\n", &USUAL).contains("something without a kind"));
}

#[test]
fn pods_that_could_not_keep_the_secret_are_refused_or_warned_about() {
    for (more, what) in
        [(json!({ "hostNetwork": true }), "hostNetwork"), (json!({ "os": { "name": "windows" } }), "linux")]
    {
        let said = refused(&pod(&more), &USUAL);
        assert!(said.contains(what), "{said}");
    }
    let leaking = pod(&json!({
        "shareProcessNamespace": true,
        "hostPID": true,
        "securityContext": { "runAsUser": 65532 },
        "containers": [
            { "name": "app", "envFrom": [{ "secretRef": { "name": "orders-db" } }] },
            { "name": "other", "volumeMounts": [{ "name": "v", "mountPath": "/x" }], "securityContext": { "runAsUser": 1 } },
            { "name": "debugger", "volumeMounts": [{ "name": "w", "mountPath": "/x" }], "securityContext": { "runAsUser": 1,
                "privileged": true } },
        ],
        "volumes": [
            { "name": "v", "secret": { "secretName": "reports-db" } },
            { "name": "w", "projected": { "sources": [{ "configMap": { "name": "c" } }, { "secret": { "name": "orders-db" } }] } },
        ],
    }));
    let ran = run(&leaking, &USUAL);
    let notes: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(
        notes,
        [
            "Pod p: with shareProcessNamespace other containers can read the files and the memory of attache",
            "Pod p: with hostPID other containers can read the files and the memory of attache",
            "Pod p: container app runs as the user of attache, 65532: give it another one",
            "Pod p: container app gets the Secret orders-db as well: take it out there",
            "Pod p: container other gets the Secret reports-db as well: take it out there",
            "Pod p: container debugger is privileged: it can read the files and the memory of attache",
            "Pod p: container debugger gets the Secret orders-db as well: take it out there",
        ]
    );
    ran.ok();
}

#[test]
fn ports_that_two_containers_would_listen_on_are_warned_about() {
    let both = pod(&json!({ "containers": [
        { "name": "app", "ports": [{ "containerPort": 8080 }] },
        { "name": "db", "ports": [{ "containerPort": 5432 }, { "containerPort": 9900 }] },
    ] }));
    let said = run(&both, &USUAL).stderr;
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("container db has the port 5432, on which attache listens"), "{said}");
}

#[test]
fn what_has_the_wrong_shape_is_named_and_nothing_is_done() {
    for (more, what) in [
        (json!({ "volumes": {} }), "/spec/volumes is not a list"),
        (json!({ "volumes": ["v"] }), "/spec/volumes/0 is not a map"),
        (json!({ "initContainers": "none" }), "/spec/initContainers is not a list"),
        (json!({ "containers": ["app"] }), "/spec/containers/0 is not a map"),
        (json!({ "containers": [{ "name": 5 }, { "name": "a" }] }), "/spec/containers/0 has no name"),
        (json!({ "initContainers": [{ "name": "app" }] }), "there are two containers app"),
        (
            json!({ "containers": [{ "name": "app", "env": { "A": "b" } }] }),
            "/spec/containers/0/env is not a list",
        ),
    ] {
        let said = refused(&pod(&more), &[USUAL.as_slice(), &["--env", "*=orders"]].concat());
        assert!(said.starts_with("Pod p: ") && said.contains(what), "{said}");
    }
    for (metadata, what) in [
        (json!({ "annotations": "none" }), "/metadata/annotations is not a map"),
        (json!({ "labels": ["a"] }), "/metadata/labels is not a map"),
        (json!("p"), "/metadata is not a map"),
    ] {
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": { "containers": [{}] } });
        assert!(refused(&pod.to_string(), &USUAL).contains(what), "{what}");
    }
    let job = json!({ "apiVersion": "batch/v1", "kind": "Job", "spec": { "template": "none" } }).to_string();
    assert!(refused(&job, &USUAL).contains("there are no containers"));
}

#[test]
fn sockets_that_the_application_could_not_open_are_warned_about() {
    let sockets = ["-c", "{data}/sockets.yaml", "--secret", "orders=x"];
    let said = run(&pod(&json!({})), &sockets).stderr;
    assert!(said.contains("securityContext.fsGroup"), "{said}");
    assert_eq!(run(&pod(&json!({ "securityContext": { "fsGroup": 10001 } })), &sockets).stderr, "");
}

#[test]
fn where_nothing_was_injected_uninject_changes_nothing() {
    for name in ["deployment.yaml", "list.json"] {
        assert_eq!(crate::command::uninject(&manifest(name)), manifest(name));
    }
}

#[test]
fn names_that_are_taken_are_not_taken_again() {
    let taken = json!({
        "containers": [{ "name": "attache", "image": "x" }],
        "volumes": [{ "name": "attache-configuration", "emptyDir": {} }],
    });
    let said = refused(&pod(&taken), &USUAL);
    assert!(said.contains("there is a container attache already"), "{said}");
    assert!(said.contains("there is a volume attache-configuration already"), "{said}");
}

#[test]
fn a_sidecar_of_a_kustomization_or_a_chart_is_left_alone() {
    let other = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"attache-proxy.io/sidecar":
        "native"}}, "spec": {"containers": [{"name": "app"}]}}"#;
    let ran = run(other, &USUAL);
    assert!(ran.stderr.contains("Pod p: left alone"), "{}", ran.stderr);
    assert_eq!(ran.ok(), other);
}

#[test]
fn environment_names_containers_and_routes_that_are_there_and_is_never_ambiguous() {
    let env = |wish: &str| refused(&pod(&json!({})), &[USUAL.as_slice(), &["--env", wish]].concat());
    assert!(env("web").contains("env: there is no container web; there are app"));
    assert!(env("app=payments").contains("env: there is no route payments; there are orders, reports"));
    let said = env("app");
    assert!(said.contains("env: routes orders and reports would both set PGPORT in app"), "{said}");
}

#[test]
fn environment_that_a_container_sets_itself_stays() {
    let own = pod(
        &json!({ "containers": [{ "name": "app", "env": [{ "name": "PGHOST", "value": "elsewhere" }] }] }),
    );
    let ran = run(&own, &[USUAL.as_slice(), &["--env", "*=orders"]].concat());
    assert_eq!(ran.stderr, "Pod p: container app sets PGHOST itself: it stays as it is\n");
    let pod: serde_json::Value = serde_json::from_str(&ran.ok()).unwrap();
    let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    assert_eq!(env.iter().filter(|it| it["name"] == "PGHOST").count(), 1);
    assert!(env.iter().any(|it| it["name"] == "PGPORT" && it["value"] == "5432"), "{env:?}");
}

#[test]
fn annotations_that_mean_nothing_are_mistakes() {
    let said = refused(&annotated(&json!({ "attache-proxy.io/secrets.orders": "x" })), &USUAL);
    assert!(
        said.contains("annotation attache-proxy.io/secrets.orders: is not known; known are image"),
        "{said}"
    );
}

#[test]
fn aliases_are_not_edited_behind_the_back_of_their_anchor() {
    let text = "apiVersion: v1
kind: Pod
metadata: { name: p }
spec:
  containers:
    - name: a
      env: &env
        - { name: A, value: b }
    - name: b
      env: *env
";
    let said = refused(text, &[USUAL.as_slice(), &["--env", "b=orders"]].concat());
    assert!(said.contains("line 10: /spec/containers/1/env is the alias *env: write it out"), "{said}");
    let said = refused(text, &[USUAL.as_slice(), &["--env", "a=orders"]].concat());
    assert!(said.contains("without anchors"), "{said}");
    // Where nothing of it is touched it is no obstacle.
    inject(text, &USUAL);
    let nothing = "apiVersion: v1\nkind: Pod\nmetadata: { name: &no null }\nspec: { containers: [{ name: a }], volumes: *no }\n";
    assert!(refused(nothing, &USUAL).contains("line 4: /spec/volumes is the alias *no"));
    // The line is that of the file, whatever has been added above it by then.
    let file = format!(
        "kind: Service\n---\n{}",
        text.replace("- name: a\n", "- name: a\n      env: []\n    - name: c\n")
    );
    let said = refused(&file, &[USUAL.as_slice(), &["--env", "a=orders", "--env", "b=orders"]].concat());
    assert!(said.contains("line 14: /spec/containers/2/env is the alias *env"), "{said}");
    let said = refused(&format!("{file}---\na: 1\na: 2\n"), &USUAL);
    assert!(said.contains("line 17: a stands here twice"), "{said}");
}

#[test]
fn text_that_is_no_manifest_is_refused_with_its_line() {
    let said = refused("kind: Pod\nkind: Job\n", &USUAL);
    assert!(said.contains("line 2: kind stands here twice"), "{said}");
    assert!(refused("a: [1\nb: 2\n", &USUAL).contains("not valid YAML"));
    let deep = "[".repeat(200) + &"]".repeat(200);
    assert!(refused(&deep, &USUAL).contains("nested"));
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for level in 1..40 {
        bomb += &format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1);
    }
    assert!(refused(&bomb, &USUAL).contains("too many values"));
}

#[test]
fn a_configuration_that_no_pod_could_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attache.yaml");
    let with = |config: &str, code: i32| {
        std::fs::write(&file, config).unwrap();
        let ran = run(&manifest("job.yaml"), &["-c", file.to_str().unwrap(), "--secret", "a=s"]);
        assert_eq!((ran.status.code(), ran.stdout.as_str()), (Some(code), ""), "{}", ran.stderr);
        ran.stderr
    };
    let route = |credential: &str, more: &str| {
        format!(
            "routes: {{ a: {{ protocol: postgres, listen: 127.0.0.1:5432, upstream: {{ endpoints: x{more} }}, \
             credential: {{ path: {credential} }} }} }}\n"
        )
    };
    assert!(with("routes: { a: { protocol: oracle } }\n", 2).contains("oracle"));
    let said = with(&route("secrets/a", ""), 1);
    assert!(said.contains("is within /etc/attache"), "{said}");
    let said = with(&route("/run/a", ", tls: { ca: /opt/ca.pem }"), 1);
    assert!(said.contains("nothing mounts /opt/ca.pem"), "{said}");
    let said = with(&format!("health: off\n{}", route("/run/a", "")), 1);
    assert!(said.contains("health: the kubelet asks it"), "{said}");
}

#[test]
fn the_secret_for_sentinels_has_a_name_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attache.yaml");
    let config = |ca: &str| {
        format!(
            "routes: {{ a: {{ protocol: redis, listen: 127.0.0.1:6379, credential: {{ path: /run/a }}, upstream: {{ tls: {{ ca: \
             /etc/attache/ca.pem }}, sentinel: {{ endpoints: s, master: orders, credential: {{ path: /run/s }}, tls: {{ ca: \
             {ca} }} }} }} }} }}\n"
        )
    };
    let flags = |more: &'static str| ["-c", file.to_str().unwrap(), "--secret", "a=one", "--secret", more];
    std::fs::write(&file, config("/run/s/ca.pem")).unwrap();
    let said = refused(&pod(&json!({})), &flags("a=one"));
    assert!(
        said.contains("route a.sentinel: no Secret is named for /run/s: say --secret a.sentinel=NAME"),
        "{said}"
    );
    let pod_with = inject(&pod(&json!({})), &flags("a.sentinel=two"));
    let pod_with: serde_json::Value = serde_json::from_str(&pod_with).unwrap();
    let volumes = pod_with["spec"]["volumes"].as_array().unwrap();
    let secrets: Vec<_> =
        volumes.iter().filter_map(|volume| volume["secret"]["secretName"].as_str()).collect();
    assert_eq!(secrets, ["one", "two"]);
    assert!(pod_with.to_string().contains("\"mountPath\":\"/run/s\""), "{pod_with}");
    std::fs::write(&file, config("/opt/ca.pem")).unwrap();
    let said = refused(&pod(&json!({})), &flags("a.sentinel=two"));
    assert!(said.contains("nothing mounts /opt/ca.pem"), "{said}");
}

#[test]
fn arguments_that_go_nowhere_are_2() {
    for wrong in [&["--secret", "orders"][..], &["--embed"], &["--env", "=x"], &["-c", "/nonexistent"]] {
        let ran = run(&manifest("job.yaml"), wrong);
        assert_eq!((ran.status.code(), ran.stdout.as_str()), (Some(2), ""), "{wrong:?}: {}", ran.stderr);
    }
}
