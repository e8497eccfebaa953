//! The manifests of `deploy`, rendered and played by an emulation of the kubelet. What a real kubelet does beyond it
//! (restarts, scheduling, policies, limits) is not seen here.

use std::panic::{self, AssertUnwindSafe};

use attache_kit::kubelet::{Event, Manifests, Namespace};
use attache_kit::{eventually, tools};
use serde_json::{Value, json};

use crate::house::{SOON, psql};
use crate::play::{LONG, at, database_at, deploy, in_order, kustomize, namespace, played, rendered, started};

#[test]
fn two_namespaces_with_the_same_manifests_reach_each_its_own_database() {
    played("pods::two_namespaces_with_the_same_manifests_reach_each_its_own_database", |node| {
        let (blue, green) = (database_at("10.20.0.6")?, database_at("10.20.0.5")?);
        node.dns().address("orders.blue.db.example.com", "10.20.0.6");
        for (name, database, place) in [("blue", &blue, "10.20.0.6"), ("green", &green, "10.20.0.5")] {
            let space = namespace(node, name, &kustomize(name)?, database);
            let pod = space.run("Deployment", "orders");
            assert_eq!(psql(&pod, "select name from place"), place);
        }
        Ok(())
    });
}

#[test]
fn a_native_sidecar_serves_migrations_and_outlives_the_application() {
    played("pods::a_native_sidecar_serves_migrations_and_outlives_the_application", |node| {
        let database = database_at("10.20.0.5")?;
        let mut manifests = Manifests::default();
        for object in Manifests::parse(&kustomize("green")?).iter() {
            manifests.add(with_a_last_wish(object.clone()));
        }
        let yaml = json!({"kind": "List", "items": manifests.iter().collect::<Vec<_>>()}).to_string();
        let space = namespace(node, "green", &yaml, &database);
        let pod = space.run("Deployment", "orders");
        let order = [
            started("attache"),
            Event::StartupPassed("attache".to_owned()),
            started("migrate"),
            started("orders"),
        ];
        assert_eq!(pod.events(), order);
        eventually("readiness", SOON, || pod.is_ready().then_some(()));
        assert!(pod.probe("attache", "livenessProbe"));

        pod.delete();
        let ends = [
            Event::PreStop("orders".to_owned()),
            Event::Signalled("orders".to_owned()),
            Event::Ended("orders".to_owned(), 0),
            Event::Signalled("attache".to_owned()),
            Event::Ended("attache".to_owned(), 0),
        ];
        in_order(&pod, &ends);
        assert_eq!(
            database.server.sql_in("orders", "select id from orders"),
            "7",
            "the preStop hook had the database"
        );
        Ok(())
    });
}

#[test]
fn nothing_starts_behind_a_sidecar_without_a_credential() {
    played("pods::nothing_starts_behind_a_sidecar_without_a_credential", |node| {
        let yaml = kustomize("green")?.replace("failureThreshold: 60", "failureThreshold: 2");
        let space = node.namespace("green", &yaml);
        space.secret("attache", &[("username", "orders")]);
        let told = is_kept_from_starting(&space, "Job", "orders-reindex");
        assert!(told.contains("attache did not pass its startup probe"), "{told}");
        assert!(told.contains("credential_missing"), "it says why: {told}");
        Ok(())
    });
}

/// Why the kubelet gives up.
fn is_kept_from_starting(space: &Namespace<'_>, kind: &str, name: &str) -> String {
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| drop(space.run(kind, name))));
    *outcome.expect_err("the pod has started").downcast().expect("a panic with its reason")
}

#[test]
fn a_pod_that_is_checked_first_starts_or_says_which_step_failed() {
    played("pods::a_pod_that_is_checked_first_starts_or_says_which_step_failed", |node| {
        let database = database_at("10.20.0.5")?;
        node.dns().address("orders.checked.db.example.com", "10.20.0.5");
        let yaml = kustomize("checked")?;
        let space = namespace(node, "checked", &yaml, &database);
        let pod = space.run("Job", "orders-reindex");
        assert_eq!(pod.events()[..2], [started("attache-check"), started("attache")]);
        let steps: Value = serde_json::from_str(&pod.logs("attache-check")).unwrap();
        assert_eq!(steps.as_array().unwrap().last().unwrap()["step"], "round_trip", "{steps}");
        drop(pod);

        space.secret("attache", &[("username", "orders"), ("password", "wrong horse")]);
        let told = is_kept_from_starting(&space, "Deployment", "orders");
        assert!(told.contains("the init container failed") && told.contains("credential_rejected"), "{told}");
        assert!(!told.contains("horse"), "{told}");
        Ok(())
    });
}

/// The application writes a row when it is told to stop.
fn with_a_last_wish(mut object: Value) -> Value {
    if object["kind"] == "Deployment" {
        object["spec"]["template"]["spec"]["containers"][0]["lifecycle"] =
            json!({"preStop": {"exec": {"command": ["psql", "-c", "insert into orders values (7)"]}}});
    }
    object
}

#[test]
fn a_job_with_a_native_sidecar_completes() {
    played("pods::a_job_with_a_native_sidecar_completes", |node| {
        let database = database_at("10.20.0.5")?;
        let space = namespace(node, "green", &kustomize("green")?, &database);
        let pod = space.run("Job", "orders-reindex");
        assert_eq!(pod.completion(LONG), [0], "{}", pod.logs("reindex"));
        let events = pod.events();
        assert!(at(&events, &Event::StartupPassed("attache".to_owned())) < at(&events, &started("reindex")));
        assert_eq!(events.last(), Some(&Event::Ended("attache".to_owned(), 0)), "{}", pod.logs("attache"));
        Ok(())
    });
}

#[test]
fn a_job_waits_for_a_database_that_is_still_down() {
    played("pods::a_job_waits_for_a_database_that_is_still_down", |node| {
        let mut database = database_at("10.20.0.5")?;
        database.server.sql_in("orders", "create table orders (id bigint)");
        database.server.sql_in("orders", "alter table orders owner to orders");
        let space = namespace(node, "green", &kustomize("green")?, &database);
        database.server.stop(attache_kit::Stop::Fast);
        let pod = space.run("CronJob", "orders-report");
        assert!(pod.is_ready(), "a database that is down takes no pod out of service");
        database.server.start_again();
        assert_eq!(pod.completion(LONG), [0], "{}", pod.logs("report"));
        Ok(())
    });
}

#[test]
fn a_classic_sidecar_starts_before_the_application_and_serves_it_to_its_end() {
    played("pods::a_classic_sidecar_starts_before_the_application_and_serves_it_to_its_end", |node| {
        let database = database_at("10.20.0.6")?;
        node.dns().address("orders.classic.db.example.com", "10.20.0.6");
        let yaml = kustomize("classic")?;
        let space = namespace(node, "classic", &yaml, &database);
        let pod = space.run("Deployment", "orders");
        // Nothing has been waited for since it started.
        assert_eq!(psql(&pod, "select name from place"), "10.20.0.6");
        pod.signal("attache", "TERM");
        eventually("the drain", SOON, || (!pod.probe("attache", "readinessProbe")).then_some(()));
        assert_eq!(psql(&pod, "select name from place"), "10.20.0.6", "it lingers for the application");
        pod.delete();
        let events = pod.events();
        assert_eq!(events[..2], [started("attache"), started("orders")]);
        assert_eq!(pod.exit_code_of("attache", LONG), 0, "{events:?}");
        Ok(())
    });
}

#[test]
fn a_deployment_of_its_own_serves_other_pods_through_a_service() {
    played("pods::a_deployment_of_its_own_serves_other_pods_through_a_service", |node| {
        let database = database_at("10.20.0.5")?;
        node.dns().address("orders-1.db.example.com", "10.20.0.5");
        let chart = deploy().join("helm/attache");
        let values = chart.join("ci/standalone-values.yaml");
        let yaml =
            rendered(tools::helm(4)?.args(["template", "shop"]).arg(chart).arg("--values").arg(values));
        let client = json!({"kind": "Pod", "metadata": {"name": "client"}, "spec": {"containers": [{
            "name": "orders",
            "image": crate::house::ORDERS,
            "command": ["sleep", "600"],
            "env": [{"name": "PGHOST", "value": "shop-attache"}, {"name": "PGDATABASE", "value": "orders"}],
        }]}});
        let space = namespace(node, "default", &format!("{yaml}\n---\n{client}\n"), &database);
        let server = space.run("Deployment", "shop-attache");
        eventually("readiness", SOON, || server.is_ready().then_some(()));
        let client = space.run("Pod", "client");
        assert_eq!(psql(&client, "select name || ' ' || current_user from place"), "10.20.0.5 orders");
        Ok(())
    });
}
