//! The chart as its users meet it: lint, values that make no sense, and what a sidecar is given.

use attache_kit::{Missing, available};

use crate::render::{Charts, HELMS, Rendered, run};

fn charts() -> Option<Charts> {
    available(Charts::prepared())
}

#[test]
fn both_helms_lint_both_charts_without_a_warning() {
    let Some(charts) = charts() else { return };
    let lint = |helm: u32, arguments: &[&str]| -> Result<String, Missing> {
        Ok(run(charts.helm(helm)?.args(["lint", "--strict"]).args(arguments)).ok())
    };
    for helm in HELMS {
        for arguments in [
            &["attache"][..],
            &["attache", "--values", "attache/ci/standalone-values.yaml"],
            &["attache", "--values", "attache/ci/cluster-values.yaml"],
            &["attache", "--values", "attache/ci/injector-values.yaml"],
            &["example"],
        ] {
            let Some(said) = available(lint(helm, arguments)) else { return };
            assert!(said.contains("0 chart(s) failed") && !said.contains("[WARNING]"), "{said}");
        }
    }
}

#[test]
fn values_that_make_no_sense_are_refused_with_their_name() {
    let Some(charts) = charts() else { return };
    for (settings, told) in [
        (&["sidecar.kind=nativ"][..], "kind"),
        (&["standalone.enabled=true"], "standalone.ports is empty"),
        (&["standalone.enabled=true", "standalone.ports.orders=5432"], "there is no route"),
        (&["standalone.ports.orders=99999"], "orders"),
        (&["sidecars.kind=native"], "sidecars"),
        (&["image.digest=sha256:abc"], "digest"),
        (&["injector.enabled=true", "injector.certificate.certManager.enabled=false"], "has no certificate"),
        (&["injector.failurePolicy=Maybe"], "failurePolicy"),
        (&["injector.profiles.orders.route=x"], "routes"),
    ] {
        for helm in HELMS {
            let Some(ran) = available(charts.template(helm, "attache", None, 30, settings)) else { return };
            assert!(!ran.status.success() && ran.stderr.contains(told), "{settings:?}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_chart_without_values_installs_nothing() {
    let Some(charts) = charts() else { return };
    for helm in HELMS {
        let Some(ran) = available(charts.template(helm, "attache", None, 30, &[])) else { return };
        assert_eq!(ran.ok().trim(), "");
    }
}

#[test]
fn a_sidecar_reads_the_configuration_and_the_secrets_of_its_release() {
    let Some(charts) = charts() else { return };
    let settings =
        ["attache.secrets.invoices=invoices-db", "attache.image.tag=9.9", "attache.sidecar.kind=native"];
    let Some(ran) = available(charts.template(4, "example", None, 28, &settings)) else { return };
    let manifests = Rendered { from: String::new(), yaml: ran.ok() }.manifests();
    manifests.named("ConfigMap", "shop-attache");
    let pod = &manifests.named("Deployment", "shop")["spec"]["template"]["spec"];
    let volumes = pod["volumes"].as_array().unwrap();
    assert_eq!(volumes[0]["projected"]["sources"][0]["configMap"]["name"], "shop-attache");
    let secrets: Vec<_> =
        volumes.iter().filter_map(|volume| volume["secret"]["secretName"].as_str()).collect();
    assert_eq!(secrets, ["invoices-db", "attache"]);
    let sidecar = &pod["initContainers"][0];
    assert_eq!(sidecar["image"], "ghcr.io/attache-proxy/attache:9.9");
    assert_eq!(sidecar["volumeMounts"][1]["mountPath"], "/var/run/secrets/attache/invoices");
}

#[test]
fn a_changed_configuration_replaces_the_pods() {
    let Some(charts) = charts() else { return };
    let sum = |setting: &str| {
        let ran = available(charts.template(3, "example", None, 30, &[setting]))?;
        let manifests = Rendered { from: String::new(), yaml: ran.ok() }.manifests();
        let annotations =
            &manifests.named("Deployment", "shop")["spec"]["template"]["metadata"]["annotations"];
        Some(annotations["attache-proxy.io/config"].as_str().unwrap().to_owned())
    };
    let one = sum("attache.config.routes.orders.upstream.wait=1s");
    assert_eq!(one, sum("attache.config.routes.orders.upstream.wait=1s"));
    assert!(one.is_none() || one != sum("attache.config.routes.orders.upstream.wait=2s"));
}

#[test]
fn a_network_policy_lets_out_what_its_values_say() {
    let Some(charts) = charts() else { return };
    let Some(ran) = available(charts.template(4, "attache", Some("standalone"), 34, &[])) else { return };
    let manifests = Rendered { from: String::new(), yaml: ran.ok() }.manifests();
    let egress = &manifests.named("NetworkPolicy", "shop-attache")["spec"]["egress"];
    let ports: Vec<_> = egress.as_array().unwrap().iter().map(|rule| &rule["ports"][0]["port"]).collect();
    assert_eq!(ports, [53, 5432, 4318], "names, databases, the collector");
}
