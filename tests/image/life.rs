//! The whole life of an application's pod with a native sidecar, whoever has put that in.

use std::fs;

use attache_kit::kubelet::{Event, Namespace, Pod};
use attache_kit::{eventually, http};

use crate::house::{Database, SECOND, SECRET, SOON, psql};
use crate::play::{in_order, started};

const FOLDER: &str = "/var/run/secrets";

/// From the first container to the last. The application is called `orders`, as its database is; `migrated` says whether
/// an init container `migrate` has used the database before it.
pub fn lived(space: &Namespace<'_>, pod: &Pod<'_>, database: &Database, migrated: bool) {
    let mut order = vec![started("attache"), Event::StartupPassed("attache".to_owned())];
    order.extend(migrated.then(|| started("migrate")));
    order.push(started("orders"));
    assert_eq!(pod.events(), order);
    eventually("readiness", SOON, || pod.is_ready().then_some(()));
    assert!(pod.probe("attache", "livenessProbe"));

    only_the_sidecar_has_the_secret(pod);
    assert_eq!(psql(pod, "select current_user"), "orders");
    rotated(space, pod, database);
    ended(pod);
    let said = pod.logs("attache") + &pod.logs("orders");
    assert!(!said.contains(SECRET) && !said.contains(SECOND), "a log tells the secret");
}

fn only_the_sidecar_has_the_secret(pod: &Pod<'_>) {
    let of = |container: &str, file: &str| {
        fs::read_to_string(format!("/proc/{}/{file}", pod.process(container))).unwrap()
    };
    assert!(of("attache", "mountinfo").contains(FOLDER), "{}", of("attache", "mountinfo"));
    let (mounts, environment) = (of("orders", "mountinfo"), of("orders", "environ"));
    assert!(!mounts.contains(FOLDER), "{mounts}");
    assert!(environment.contains("PGHOST=127.0.0.1"), "{environment}");
    assert!(!environment.contains(SECRET), "{environment}");
    assert!(!pod.exec("orders", &["ls", FOLDER]).status.success(), "the application sees the folder");
    // Nor is there another process whose files it could look into.
    let others = pod.exec("orders", &["sh", "-c", "cat /proc/*/cmdline"]).stdout;
    assert!(!others.contains("attache"), "{others:?}");
}

/// As the kubelet shows a changed Secret.
fn rotated(space: &Namespace<'_>, pod: &Pod<'_>, database: &Database) {
    database.rotate();
    space.secret("attache", &[("username", "orders"), ("password", SECOND)]);
    pod.sync("attache");
    let metric = "attache_credential_generation{route=\"orders\"} 2";
    eventually("the second generation", SOON, || {
        http::get((pod.address(), 9900), "/metrics").ok()?.body.contains(metric).then_some(())
    });
    assert_eq!(psql(pod, "select current_user"), "orders");
}

fn ended(pod: &Pod<'_>) {
    pod.delete();
    let ends = [
        Event::Signalled("orders".to_owned()),
        Event::Ended("orders".to_owned(), 0),
        Event::Signalled("attache".to_owned()),
        Event::Ended("attache".to_owned(), 0),
    ];
    in_order(pod, &ends);
}
