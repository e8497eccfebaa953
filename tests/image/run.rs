//! What the image promises where it runs: no rights, no shell, nothing to write to; a rotation seen in the mounted
//! folder; a drain that ends with 0.

use std::fs;
use std::thread;

use attache_kit::kubelet::{Namespace, Node, Pod};
use attache_kit::namespace::machine;
use attache_kit::{available, eventually};

use crate::house::{ATTACHE, Database, ORDERS, SECOND, SECRET, SOON, node, psql};

/// As strict as a pod can be, and an application beside it that was given nothing.
fn manifests(port: u16) -> String {
    format!(
        r#"
kind: ConfigMap
metadata: {{ name: attache }}
data:
  attache.yaml: |
    health: 0.0.0.0:9900
    routes:
      orders:
        protocol: postgres
        listen: 127.0.0.1:5432
        upstream: {{ endpoints: ["{node}:{port}"], tls: {{ ca: /etc/attache/ca.pem }} }}
        credential: {{ path: /var/run/secrets/attache }}
  world.yaml: |
    routes:
      public:
        protocol: postgres
        listen: 127.0.0.1:5433
        upstream: {{ endpoints: db.example.com }}
        credential: {{ path: /var/run/secrets/attache }}
---
kind: Pod
metadata: {{ name: orders }}
spec:
  containers:
    - name: attache
      image: {ATTACHE}
      startupProbe: {{ exec: {{ command: [attache, health, --started] }} }}
      readinessProbe: {{ httpGet: {{ path: /readyz, port: 9900 }} }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        capabilities: {{ drop: [ALL] }}
        seccompProfile: {{ type: RuntimeDefault }}
      volumeMounts:
        - {{ name: configuration, mountPath: /etc/attache, readOnly: true }}
        - {{ name: credential, mountPath: /var/run/secrets/attache, readOnly: true }}
    - name: orders
      image: {ORDERS}
      command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"]
      env: [{{ name: PGHOST, value: 127.0.0.1 }}, {{ name: PGDATABASE, value: orders }}]
      securityContext: {{ runAsUser: 10001, seccompProfile: {{ type: RuntimeDefault }} }}
  volumes:
    - name: configuration
      projected: {{ sources: [configMap: {{ name: attache }}, configMap: {{ name: attache-ca }}] }}
    - {{ name: credential, secret: {{ secretName: attache }} }}
"#,
        node = Node::ADDRESS
    )
}

/// The pod beside a database, once it is ready.
fn with_a_pod(test: &str, body: impl FnOnce(&Database, &Namespace<'_>, &Pod<'_>)) {
    let permitted = machine(test, || {
        let Some(node) = available(node()) else { return };
        let Some(database) = available(Database::start(&[&Node::ADDRESS.to_string()])) else { return };
        let space = node.namespace("default", &manifests(database.server.port()));
        space.config_map("attache-ca", &[("ca.pem", database.pki.ca_pem())]);
        space.secret("attache", &[("username", "orders"), ("password", SECRET)]);
        let pod = space.run("Pod", "orders");
        eventually("readiness", SOON, || pod.is_ready().then_some(()));
        body(&database, &space, &pod);
        let said = pod.logs("attache") + &pod.logs("orders");
        assert!(!said.contains(SECRET) && !said.contains(SECOND), "a log tells the secret");
    });
    available(permitted);
}

#[test]
fn it_has_no_rights_no_shell_and_nothing_to_write_to() {
    with_a_pod("run::it_has_no_rights_no_shell_and_nothing_to_write_to", |_, _, pod| {
        let process = pod.process("attache");
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let ids = "65532\t65532\t65532\t65532";
        let (user, group) = (format!("Uid:\t{ids}"), format!("Gid:\t{ids}"));
        // 2: a filter of system calls.
        for line in [
            &user,
            &group,
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ] {
            assert!(status.contains(line), "{line:?} is not in {status}");
        }
        let mounts = fs::read_to_string(format!("/proc/{process}/mountinfo")).unwrap();
        let writable =
            mounts.lines().filter(|line| line.split(' ').nth(5).is_some_and(|it| it.starts_with("rw")));
        let writable: Vec<_> = writable.map(|line| line.split(' ').nth(4).unwrap()).collect();
        let of_the_kernel = |place: &&str| {
            place.starts_with("/proc") || place.starts_with("/dev") || place.starts_with("/sys")
        };
        assert_eq!(writable.iter().filter(|place| !of_the_kernel(place)).count(), 0, "{writable:?}");
        assert!(!fs::exists(format!("/proc/{process}/root/tmp")).unwrap(), "there is a /tmp");
        assert!(!pod.exec("attache", &["sh", "-c", "true"]).status.success(), "there is a shell");
        assert!(pod.probe("attache", "startupProbe"), "the program is there for probes");
        let world = ["attache", "check", "--offline", "-c", "/etc/attache/world.yaml"];
        let told = pod.exec("attache", &world);
        assert!(
            told.status.success() && told.stdout.contains("authorities"),
            "{}{}",
            told.stdout,
            told.stderr
        );
    });
}

#[test]
fn an_application_without_a_secret_uses_the_database_through_a_rotation() {
    let name = "run::an_application_without_a_secret_uses_the_database_through_a_rotation";
    with_a_pod(name, |database, space, pod| {
        assert_eq!(
            psql(pod, "select current_user || ' ' || host(inet_client_addr())"),
            format!("orders {}", pod.address())
        );
        assert!(
            !pod.exec("orders", &["ls", "/var/run/secrets/attache"]).status.success(),
            "it sees the folder"
        );

        database.rotate();
        space.secret("attache", &[("username", "orders"), ("password", SECOND)]);
        pod.sync("attache");
        let metric = "attache_credential_generation{route=\"orders\"} 2";
        eventually("the second generation", SOON, || {
            attache_kit::http::get((pod.address(), 9900), "/metrics")
                .ok()?
                .body
                .contains(metric)
                .then_some(())
        });
        assert_eq!(psql(pod, "select current_user"), "orders");
    });
}

#[test]
fn sigterm_lets_a_session_finish_and_ends_with_0() {
    with_a_pod("run::sigterm_lets_a_session_finish_and_ends_with_0", |database, _, pod| {
        thread::scope(|scope| {
            let session = scope.spawn(|| psql(pod, "select pg_sleep(2), 'finished'"));
            eventually("the session", SOON, || (database.server.sessions_of("orders") > 0).then_some(()));
            let asked = "select count(*) from pg_stat_activity where query like 'select pg_sleep%'";
            eventually("its query", SOON, || (database.server.sql(asked) != "0").then_some(()));
            pod.signal("attache", "TERM");
            eventually("the drain", SOON, || (!pod.probe("attache", "readinessProbe")).then_some(()));
            assert_eq!(session.join().unwrap(), "|finished");
        });
        assert_eq!(pod.exit_code_of("attache", SOON), 0);
    });
}
