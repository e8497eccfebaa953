//! Pods on their way through the webhook.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::SystemTime;

use attache_kit::{Metrics, Pki, Signal, eventually, http};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::command::{data, inject, manifest, objects};
use crate::judge::{assert_restricted, assert_valid};
use crate::server::{self, SOON, Webhook, addresses, launch, patched, post, renew, start};

/// A pod as a controller makes it, that asks for a sidecar.
fn pod(annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "shop-6d4cf56db6-",
            "labels": { "app": "shop", "attache-proxy.io/inject": "enabled" },
            "annotations": annotations,
        },
        "spec": {
            "containers": [{ "name": "shop", "image": "registry.example.com/shop:1", "env": [{ "name": "A", "value": "b" }] }],
            "initContainers": [{ "name": "migrate", "image": "registry.example.com/shop:1" }],
            "serviceAccountName": "default",
        },
    })
}

fn usual() -> Value {
    json!({
        "attache-proxy.io/profile": "shop",
        "attache-proxy.io/secret.orders": "orders-db",
        "attache-proxy.io/secret.reports": "reports-db",
        "attache-proxy.io/env": "*=orders",
    })
}

/// What the command makes of the same pod.
fn injected(pod: &Value, arguments: &[&str]) -> Value {
    objects(&inject(&pod.to_string(), arguments)).remove(0)
}

#[test]
fn the_webhook_and_the_command_make_the_same_of_a_pod() {
    let webhook = start(&[]);
    let config = ["-c", "{data}/attache.yaml", "--carry"];
    let by_profile = pod(&usual());
    assert_eq!(patched(&by_profile, &webhook.review(&by_profile)), injected(&by_profile, &config));

    let mut carried = usual();
    let annotations = carried.as_object_mut().unwrap();
    annotations.remove("attache-proxy.io/profile");
    annotations.insert("attache-proxy.io/configuration".to_owned(), manifest("attache.yaml").into());
    let carried = pod(&carried);
    assert_eq!(patched(&carried, &webhook.review(&carried)), injected(&carried, &[]));

    let by_map = pod(&json!({
        "attache-proxy.io/config-map": "shop-attache",
        "attache-proxy.io/secret.orders": "orders-db",
        "attache-proxy.io/kind": "classic",
        "attache-proxy.io/image": "localhost/attache",
        "attache-proxy.io/memory-limit": "64Mi",
    }));
    assert_eq!(patched(&by_map, &webhook.review(&by_map)), injected(&by_map, &[]));
}

#[test]
fn an_injected_pod_is_valid_restricted_and_not_injected_again() {
    let webhook = start(&["--image", "localhost/attache:webhook"]);
    let minimal = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p",
        "labels": { "attache-proxy.io/inject": "enabled" } }, "spec": { "containers": [{ "name": "app", "image": "x" }] } });
    let pods = [pod(&usual()), pod(&json!({ "attache-proxy.io/kind": "classic" })), minimal];
    let mut judged = Vec::new();
    for (number, pod) in pods.iter().enumerate() {
        let once = patched(pod, &webhook.review(pod));
        assert_restricted(&once["spec"]);
        assert_eq!(once["metadata"]["labels"]["attache-proxy.io/inject"], "enabled");
        let again = webhook.review(&once);
        assert_eq!(again, json!({ "uid": again["uid"], "allowed": true }));
        judged.push((format!("pod {number}"), once));
    }
    assert_valid(&judged);
    let native = &judged[0].1["spec"];
    assert_eq!(native["initContainers"][0]["name"], "attache");
    assert_eq!(native["initContainers"][0]["image"], "localhost/attache:webhook");
    assert_eq!(native["initContainers"][1]["env"][0]["name"], "PGHOST");
    assert_eq!(judged[1].1["spec"]["containers"][0]["name"], "attache");
}

#[test]
fn only_new_pods_that_ask_for_it_are_touched() {
    let webhook = start(&[]);
    let mut silent = pod(&usual());
    silent["metadata"]["labels"].as_object_mut().unwrap().remove("attache-proxy.io/inject");
    let mut refusing = pod(&usual());
    refusing["metadata"]["labels"]["attache-proxy.io/inject"] = json!("disabled");
    let mut kustomized = pod(&usual());
    kustomized["metadata"]["labels"]["attache-proxy.io/sidecar"] = json!("native");
    for pod in [silent, refusing, kustomized] {
        assert_eq!(webhook.review(&pod)["patch"], Value::Null);
    }
    let changed = |key: &str, value: Value| {
        let mut review: Value = serde_json::from_str(&server::review(&pod(&usual()))).unwrap();
        review["request"][key] = value;
        let answer: Value = serde_json::from_str(&webhook.post(&review.to_string()).body).unwrap();
        assert_eq!(answer["response"]["allowed"], true, "{key}");
        answer["response"]["patch"].is_null()
    };
    assert!(changed("operation", json!("UPDATE")));
    assert!(changed("subResource", json!("ephemeralcontainers")));
    assert!(changed("kind", json!({ "group": "apps", "version": "v1", "kind": "Deployment" })));
    assert!(!changed("dryRun", json!(true)));
    // What is deleted is the old object, and there is no other.
    let mut review: Value = serde_json::from_str(&server::review(&Value::Null)).unwrap();
    review["request"]["operation"] = json!("DELETE");
    review["request"]["oldObject"] = pod(&usual());
    let answer: Value = serde_json::from_str(&webhook.post(&review.to_string()).body).unwrap();
    assert_eq!(answer["response"], json!({ "uid": answer["response"]["uid"], "allowed": true }));
}

#[test]
fn a_pod_that_asks_for_what_cannot_be_is_denied_with_every_reason() {
    let webhook = start(&[]);
    let denied = |annotations: Value| {
        let response = webhook.review(&pod(&annotations));
        assert_eq!((&response["allowed"], &response["patch"]), (&json!(false), &Value::Null), "{response}");
        response["status"]["message"].as_str().unwrap().to_owned()
    };
    let said = denied(json!({ "attache-proxy.io/profile": "nonsense" }));
    assert_eq!(said, "attache: there is no profile nonsense; there are: shop");
    let said = denied(json!({ "attache-proxy.io/profile": "shop", "attache-proxy.io/env": "web=orders" }));
    for reason in ["no Secret is named", "attache-proxy.io/secret.orders", "attache-proxy.io/secret.reports"]
    {
        assert!(said.contains(reason), "{said}");
    }
    let said = denied(json!({ "attache-proxy.io/configuration": "routes: {}\nhealthy: x\n" }));
    assert!(said.contains("healthy"), "{said}");
    let said = denied(json!({ "attache-proxy.io/env": "shop" }));
    assert!(said.contains("name a profile"), "{said}");
    let scrape = Metrics::parse(&webhook.get("/metrics").body);
    assert_eq!(scrape.value("attache_webhook_reviews_total", &[("result", "denied")]), Some(4.0));
}

#[test]
fn dangers_are_warnings_that_kubectl_shows() {
    let webhook = start(&[]);
    let mut leaking = pod(&usual());
    leaking["spec"]["shareProcessNamespace"] = json!(true);
    let response = webhook.review(&leaking);
    let warnings = response["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].as_str().unwrap().starts_with("attache: with shareProcessNamespace"), "{warnings:?}");
}

#[test]
fn what_is_no_review_is_400_and_what_is_too_long_413() {
    let webhook = start(&[]);
    let old = server::review(&pod(&usual())).replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1");
    let other = server::review(&pod(&usual())).replace("\"AdmissionReview\"", "\"ConversionReview\"");
    let deep = format!("{{\"request\": {}", "[".repeat(100_000));
    let nobody = server::review(&Value::Null);
    for body in ["", "{}", "[]", "nonsense", &old, &other, &deep, &nobody] {
        assert_eq!(webhook.post(body).status, 400, "{body}");
    }
    let scrape = Metrics::parse(&webhook.get("/metrics").body);
    assert_eq!(scrape.value("attache_webhook_reviews_total", &[("result", "invalid")]), Some(8.0));
    let long = format!("{{\"x\": \"{}\"}}", "x".repeat(5 << 20));
    assert_eq!(webhook.post(&long).status, 413);
    assert_eq!(webhook.review(&pod(&usual()))["allowed"], true);
}

#[test]
fn a_configuration_that_grows_behind_aliases_is_denied() {
    let webhook = start(&[]);
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for level in 1..40 {
        bomb += &format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1);
    }
    let response = webhook.review(&pod(&json!({ "attache-proxy.io/configuration": bomb })));
    assert_eq!(response["allowed"], false);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.len() < 4096, "{} octets: {message:.200}", message.len());
}

#[test]
fn who_dawdles_with_a_long_review_keeps_nobody_from_a_usual_one() {
    let webhook = start(&[]);
    let dawdlers: Vec<_> =
        (0..8).map(|_| server::begin(webhook.reviews, webhook.pki.ca_pem(), 3 << 20)).collect();
    assert_eq!(webhook.review(&pod(&usual()))["allowed"], true);
    // Long ones take turns, and whoever leaves gives up its own.
    drop(dawdlers);
    let mut large = pod(&usual());
    large["metadata"]["annotations"]["example.com/large"] = json!("x".repeat(1 << 20));
    assert_eq!(webhook.review(&large)["allowed"], true);
}

#[test]
fn the_largest_pod_that_an_api_server_takes_fits_into_the_memory_that_the_manifest_gives() {
    let manifest = data().join("../../../deploy/webhook/deployment.yaml");
    let deployment = objects(&fs::read_to_string(manifest).unwrap()).remove(0);
    let limit = &deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"];
    let limit: u64 = limit.as_str().unwrap().strip_suffix("Mi").unwrap().parse().unwrap();
    let webhook = start(&[]);
    let mut large = pod(&usual());
    let variables: Vec<_> =
        (0..100_000).map(|number| json!({ "name": format!("V{number}"), "value": "b" })).collect();
    large["spec"]["containers"][0]["env"] = variables.into();
    for _ in 0..3 {
        assert_eq!(webhook.review(&large)["allowed"], true);
        let resident = webhook.process.resident_bytes() >> 20;
        assert!(resident < limit * 3 / 4, "{resident} MiB");
    }
}

#[test]
fn a_renewed_certificate_is_shown_to_the_next_client() {
    let webhook = start(&[]);
    let first = webhook.shown();
    let second = renew(&webhook.certificate, &webhook.pki);
    assert_ne!(first, second);
    eventually("the new certificate", SOON, || (webhook.shown() == second).then_some(()));
    // Neither a key of another certificate nor a broken one takes the place of a good one.
    let [one, other] = [(); 2].map(|()| webhook.pki.issue(attache_kit::Leaf::server(&[server::NAME])));
    for (cert, key) in [(one.cert_pem.as_str(), other.key_pem.as_str()), ("nonsense", "nonsense")] {
        let before = webhook.process.lines();
        webhook.certificate.write(&[("tls.crt", cert), ("tls.key", key)]);
        let is_complaint = |line: &Value| line["level"] == "WARN" || line["level"] == "ERROR";
        webhook.process.wait_for_since(before, "the complaint", SOON, is_complaint);
        assert_eq!(webhook.shown(), second);
    }
    let stranger = Pki::new();
    assert!(post(webhook.reviews, stranger.ca_pem(), "{}").is_err());
}

#[test]
fn a_changed_profile_is_used_at_once() {
    let webhook = start(&[]);
    let config = manifest("attache.yaml").replace("5432", "6543");
    fs::write(webhook.profile("shop.yaml"), &config).unwrap();
    let pod = pod(&usual());
    let patched = patched(&pod, &webhook.review(&pod));
    assert_eq!(patched["metadata"]["annotations"]["attache-proxy.io/configuration"], config);
    fs::remove_dir_all(webhook.profiles.path()).unwrap();
    assert_eq!(webhook.post(&server::review(&pod)).status, 500);
    assert_eq!(webhook.get("/readyz").status, 503);
}

#[test]
fn a_certificate_of_its_own_is_vouched_for_by_the_printed_bundle() {
    let process = launch(&["--self-signed", server::NAME]);
    let (reviews, health) = addresses(&process);
    let bundle = eventually("the bundle to be printed", SOON, || {
        process.stdout().strip_prefix("caBundle: ").map(str::to_owned)
    });
    let ca = String::from_utf8(STANDARD.decode(bundle).unwrap()).unwrap();
    assert_eq!(post(reviews, &ca, "{}").unwrap().status, 400);
    assert_eq!(http::get(health, "/readyz").unwrap().body, "ok\n");
    let scrape = Metrics::parse(&http::get(health, "/metrics").unwrap().body);
    let expiry = scrape.value("attache_webhook_certificate_expiry_timestamp_seconds", &[]).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(expiry > now, "an alert on what expires soon would ring: {expiry}");
}

#[test]
fn a_scrape_is_answered_in_the_format_that_it_asks_for() {
    let webhook = start(&[]);
    let answered = |accept: &str| {
        let head = format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{accept}Connection: close\r\n\r\n");
        let mut stream = TcpStream::connect(webhook.health).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let kind = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-type")).unwrap().1;
        (kind.to_owned(), body.to_owned())
    };
    webhook.review(&pod(&usual()));
    // As Prometheus asks by default.
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";
    let (kind, body) = answered(accept);
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    assert!(body.contains("# TYPE attache_webhook_reviews counter\n") && body.ends_with("# EOF\n"), "{body}");
    let (kind, body) = answered("");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert!(
        body.contains("# TYPE attache_webhook_reviews_total counter\n") && !body.contains("EOF"),
        "{body}"
    );
}

#[test]
fn health_tells_and_metrics_are_those_of_the_page() {
    let mut webhook = start(&["--linger", "5s"]);
    assert_eq!(webhook.get("/livez").body, "ok\n");
    assert_eq!(webhook.get("/readyz").body, "ok\n");
    webhook.review(&pod(&usual()));
    let scrape = Metrics::parse(&webhook.get("/metrics").body);
    assert_eq!(scrape.value("attache_webhook_reviews_total", &[("result", "injected")]), Some(1.0));
    assert!(scrape.value("attache_webhook_certificate_expiry_timestamp_seconds", &[]).unwrap() > 1.7e9);
    let page = fs::read_to_string(data().join("../../../docs/kubernetes-injector.md")).unwrap();
    for name in scrape.names() {
        assert!(
            page.contains(
                name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count")
            ),
            "{name}"
        );
    }
    let line = webhook.process.wait_for("the review", SOON, |line| line["message"] == "review");
    assert_eq!((&line["pod"], &line["verdict"]), (&json!("blue/shop-6d4cf56db6-"), &json!("injected")));

    webhook.process.signal(Signal::TERM);
    eventually("not ready", SOON, || (webhook.get("/readyz").status == 503).then_some(()));
    // The cluster has not noticed yet.
    assert_eq!(webhook.review(&pod(&usual()))["allowed"], true);
    assert_eq!(webhook.process.wait_exit(SOON).code(), Some(0));
}

#[test]
fn without_a_certificate_it_is_alive_but_not_ready() {
    let webhook: Webhook = start(&[]);
    let folder = attache_kit::Mounted::new(&[]);
    let process = launch(&["--tls", folder.path().to_str().unwrap()]);
    let (_, health) = addresses(&process);
    let ready = http::get(health, "/readyz").unwrap();
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("certificate"), "{}", ready.body);
    renew(&folder, &webhook.pki);
    eventually("readiness", SOON, || (http::get(health, "/readyz").unwrap().status == 200).then_some(()));
}
