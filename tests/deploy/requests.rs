//! What the manifests request is what was measured: the table of the page, and every container of ours.

use std::fs;

use attache_kit::available;
use attache_kit::kubelet::pod_of;
use serde_json::{Value, json};

use crate::render::{MINORS, deploy, everything};

/// Processor, memory, and the most memory.
type Resources = [&'static str; 3];

/// What the injector gives.
const SIDECAR: Resources = ["25m", "24Mi", "128Mi"];
/// It has one session, and ends.
const CHECK: Resources = ["10m", "24Mi", "64Mi"];
/// It reads whole pods, of which some are large.
const WEBHOOK: Resources = ["10m", "24Mi", "256Mi"];

fn page(name: &str) -> String {
    fs::read_to_string(deploy().join("../docs").join(format!("{name}.md"))).unwrap()
}

/// Millicores and MiB of a row of the table of what one sidecar takes.
fn measured(row: &str) -> (f64, f64) {
    let page = page("performance");
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("| {row} | ")));
    let line = line.unwrap_or_else(|| panic!("the page has no row {row:?}"));
    let mut figures = line.split('|').map(|cell| cell.trim().parse().unwrap_or(f64::NAN));
    (figures.next().unwrap(), figures.next().unwrap())
}

/// Of millicores or MiB.
fn quantity(text: &str) -> f64 {
    text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()).parse().unwrap()
}

#[test]
fn requests_are_what_was_measured() {
    let takes = |row: &str, processor: f64, memory: f64| {
        let (millicores, mebibytes) = measured(row);
        // Where nothing was measured there is no number.
        let is_within = |figure: f64, most: f64| figure.is_nan() || figure <= most;
        let told = format!("{row}: {millicores}m, {mebibytes} MiB");
        assert!(is_within(millicores, processor) && is_within(mebibytes, memory), "{told}");
        assert!(mebibytes > 1.0, "{row}");
    };
    let [processor, memory, limit] = SIDECAR.map(quantity);
    takes("nobody", processor / 10.0, memory / 2.0);
    takes("1000 idle sessions", processor, memory);
    takes("300 queries a second", processor, memory);
    takes("10 logins a second", processor, memory);
    takes("1000 queries a second", 5.0 * processor, memory);
    takes("1000 sessions that read nothing", processor, limit * 0.6);
    let [_, memory, limit] = CHECK.map(quantity);
    takes("`attache check`, at its most", f64::INFINITY, memory.min(limit / 2.0));
    let [processor, memory, limit] = WEBHOOK.map(quantity);
    takes("the webhook", processor, memory);
    takes("the webhook, after the largest pod", f64::INFINITY, limit / 2.0);
}

#[test]
fn every_container_of_ours_requests_that() {
    let mut seen = 0;
    for rendered in available(everything(*MINORS.end())).into_iter().flatten() {
        let manifests = rendered.manifests();
        let pods: Vec<_> = manifests.iter().filter_map(pod_of).map(|pod| &pod["spec"]).collect();
        let containers =
            pods.iter().flat_map(|spec| items(&spec["initContainers"]).chain(items(&spec["containers"])));
        let is_ours = |it: &&Value| it["image"].as_str().unwrap().contains("attache-proxy/attache");
        for container in containers.filter(is_ours) {
            let [processor, memory, limit] = match container["args"][0].as_str() {
                Some("webhook") => WEBHOOK,
                Some("check") => CHECK,
                _ => SIDECAR,
            };
            let wanted =
                json!({ "requests": { "cpu": processor, "memory": memory }, "limits": { "memory": limit } });
            assert_eq!(container["resources"], wanted, "{} {}", rendered.from, container["name"]);
            seen += 1;
        }
    }
    assert!(seen == 0 || seen > 10, "{seen}");
}

#[test]
fn the_pages_say_the_same() {
    let said = |[processor, memory, limit]: Resources| format!("| `{processor}`, `{memory}` | `{limit}` |");
    for resources in [SIDECAR, CHECK, WEBHOOK] {
        assert!(page("performance").contains(&said(resources)), "{}", said(resources));
    }
    let line = format!("| `{}` |", SIDECAR.join("`, `"));
    assert!(page("kubernetes-injector").contains(&line), "{line}");
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
