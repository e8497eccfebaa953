//! What `attache inject` and the webhook make of pods, and what the chart and the plain files bring, played from the first
//! container to the last.

use std::fs;
use std::process::Command;

use attache_kit::kubelet::{Event, Namespace, Node};
use attache_kit::tools;
use serde_json::{Value, json};

use crate::command::inject;
use crate::house::{Database, ORDERS};
use crate::life::lived;
use crate::play::{LONG, database_at, deploy, namespace, played, rendered, started};
use crate::server;

const WAITS: &str = "trap 'exit 0' TERM; while :; do sleep 1 & wait; done";

fn read(file: &str) -> String {
    fs::read_to_string(deploy().join(file)).unwrap()
}

/// The configuration of the example, in which nobody has to name the database.
fn configuration() -> String {
    read("kustomize/example/base/attache.yaml") + "    database: orders\n"
}

/// What a team writes that has never heard of a sidecar: a migration, and an application that is told nothing.
fn template() -> Value {
    json!({
        "metadata": { "labels": { "app.kubernetes.io/name": "orders" } },
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": { "runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": { "type": "RuntimeDefault" } },
            "initContainers": [{
                "name": "migrate",
                "image": ORDERS,
                "command": ["psql", "-v", "ON_ERROR_STOP=1", "-c", "create table orders (id bigint primary key)"],
            }],
            "containers": [{ "name": "orders", "image": ORDERS, "command": ["sh", "-c", WAITS] }],
        },
    })
}

/// Its job, which ends.
fn job() -> Value {
    let mut template = template();
    let spec = &mut template["spec"];
    spec["restartPolicy"] = json!("Never");
    spec["containers"] = json!([{
        "name": "reindex",
        "image": ORDERS,
        "command": ["psql", "-v", "ON_ERROR_STOP=1", "-c", "reindex database orders"],
    }]);
    spec.as_object_mut().unwrap().remove("initContainers");
    template
}

fn workloads(deployment: &Value, job: &Value) -> [Value; 2] {
    [("apps/v1", "Deployment", deployment), ("batch/v1", "Job", job)].map(|(version, kind, template)| {
        json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "orders" }, "spec": { "template": template } })
    })
}

/// A job whose sidecar ends when its program has ended.
fn completes(space: &Namespace<'_>, job: &str) {
    let pod = space.run("Job", job);
    let codes = pod.completion(LONG);
    let events = pod.events();
    assert_eq!(codes, [0], "{events:?} {}", pod.logs("attache"));
    assert_eq!(events[..2], [started("attache"), Event::StartupPassed("attache".to_owned())]);
    assert_eq!(events.last(), Some(&Event::Ended("attache".to_owned(), 0)), "{}", pod.logs("attache"));
}

/// The namespace `green`, whose short name `orders-db` stands for an address.
fn green<'n>(node: &'n Node, yaml: &str, database: &Database) -> Namespace<'n> {
    let database_service = read("kustomize/example/green/orders-db.yaml");
    namespace(node, "green", &format!("{database_service}\n---\n{yaml}"), database)
}

#[test]
fn what_the_command_has_injected_runs_without_a_secret_in_the_application() {
    played("injected::what_the_command_has_injected_runs_without_a_secret_in_the_application", |node| {
        let database = database_at("10.20.0.5")?;
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("attache.yaml");
        fs::write(&config, configuration()).unwrap();
        let written = workloads(&template(), &job()).map(|it| serde_saphyr::to_string(&it).unwrap());
        let flags = ["-c", config.to_str().unwrap(), "--secret", "orders=attache", "--env", "*", "--embed"];
        let injected = inject(&written.join("---\n"), &flags);
        assert_eq!(inject(&injected, &flags), injected, "twice is once");
        let space = green(node, &injected, &database);
        lived(&space, &space.run("Deployment", "orders"), &database, true);
        completes(&space, "orders");
        Ok(())
    });
}

#[test]
fn what_the_webhook_has_patched_runs_without_a_secret_in_the_application() {
    played("injected::what_the_webhook_has_patched_runs_without_a_secret_in_the_application", |node| {
        let database = database_at("10.20.0.5")?;
        let webhook = server::start(&[]);
        fs::write(webhook.profile("orders.yaml"), configuration()).unwrap();
        let patched = |mut pod: Value| {
            pod["apiVersion"] = json!("v1");
            pod["kind"] = json!("Pod");
            pod["metadata"]["generateName"] = json!("orders-6d4cf56db6-");
            pod["metadata"]["labels"]["attache-proxy.io/inject"] = json!("enabled");
            pod["metadata"]["annotations"] = json!({
                "attache-proxy.io/profile": "orders",
                "attache-proxy.io/secret.orders": "attache",
                "attache-proxy.io/env": "*",
            });
            server::patched(&pod, &webhook.review(&pod))
        };
        // Each pod carries its configuration, and there is no ConfigMap of it.
        let items = workloads(&patched(template()), &patched(job()));
        let space = green(node, &json!({ "kind": "List", "items": items }).to_string(), &database);
        lived(&space, &space.run("Deployment", "orders"), &database, true);
        completes(&space, "orders");
        Ok(())
    });
}

#[test]
fn the_files_for_kubectl_alone_run_without_a_secret_in_the_application() {
    played("injected::the_files_for_kubectl_alone_run_without_a_secret_in_the_application", |node| {
        let database = database_at("10.20.0.5")?;
        node.dns().address("orders.db.example.com", "10.20.0.5");
        let space = namespace(node, "orders", &read("kubectl/native-sidecar.yaml"), &database);
        lived(&space, &space.run("Deployment", "orders"), &database, true);
        completes(&space, "orders-reindex");
        Ok(())
    });
}

#[test]
fn a_chart_with_the_sidecar_as_a_dependency_runs_without_a_secret_in_the_application() {
    played(
        "injected::a_chart_with_the_sidecar_as_a_dependency_runs_without_a_secret_in_the_application",
        |node| {
            let database = database_at("10.20.0.5")?;
            let folder = tempfile::tempdir().unwrap();
            rendered(Command::new("cp").arg("-R").arg(deploy().join("helm/.")).arg(folder.path()));
            let chart = folder.path().join("example");
            rendered(tools::helm(4)?.args(["dependency", "build"]).arg(&chart));
            let yaml = rendered(tools::helm(4)?.args(["template", "orders"]).arg(&chart));
            let space = green(node, &yaml, &database);
            lived(&space, &space.run("Deployment", "orders"), &database, false);
            completes(&space, "orders-once");
            Ok(())
        },
    );
}
