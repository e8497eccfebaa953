//! Alerts and the dashboard: they speak of metrics that exist, and each alert rings when it should and only then.

use std::collections::BTreeSet;
use std::fs;

use attache_kit::{available, tools};
use serde_json::{Value, json};

use crate::render::{deploy, run};

fn groups() -> Value {
    let file =
        fs::read_to_string(deploy().join("kustomize/components/monitoring/prometheus-rule.yaml")).unwrap();
    let rule: Value = serde_saphyr::from_str(&file).unwrap();
    json!({ "groups": rule["spec"]["groups"] })
}

fn rules() -> Vec<Value> {
    groups()["groups"][0]["rules"].as_array().unwrap().clone()
}

fn dashboard() -> Value {
    let file = deploy().join("kustomize/components/monitoring/dashboard.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn panels() -> Vec<Value> {
    dashboard()["panels"].as_array().unwrap().clone()
}

fn queries() -> Vec<String> {
    let targets = panels().into_iter().flat_map(|panel| panel["targets"].as_array().unwrap().clone());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// The names of series in an expression.
fn series(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("attache_")).map(str::to_owned).collect()
}

#[test]
fn alerts_and_panels_speak_of_metrics_that_exist() {
    let page = attache::metrics::document();
    let alerts = rules().into_iter().map(|rule| rule["expr"].as_str().unwrap().to_owned());
    let mut seen = BTreeSet::new();
    for expression in alerts.chain(queries()) {
        let names = series(&expression);
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            let known = name.strip_suffix("_bucket").unwrap_or(&name);
            assert!(page.contains(&format!("`{known}`")), "{name} in {expression}");
            seen.insert(known.to_owned());
        }
    }
    assert!(seen.len() >= 11, "{seen:?}");
}

#[test]
fn every_alert_says_what_it_is_about_and_how_bad_it_is() {
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        assert!(name.starts_with("Attache"), "{name}");
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("warning" | "critical")), "{name}");
        for annotation in ["summary", "description"] {
            assert!(rule["annotations"][annotation].as_str().is_some_and(|text| text.len() > 20), "{name}");
        }
    }
}

#[test]
fn panels_have_a_place_a_title_and_a_description_each() {
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        assert!(panel["title"].as_str().is_some_and(|it| !it.is_empty()), "{panel}");
        assert!(panel["description"].as_str().is_some_and(|it| !it.is_empty()), "{panel}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{panel}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} lies over another panel", panel["title"]);
            }
        }
    }
}

/// Prometheus reads the dashboard's queries as recording rules, once Grafana's variables are filled in.
#[test]
fn prometheus_understands_every_rule_and_every_query() {
    let Some(mut promtool) = available(tools::promtool()) else { return };
    let filled = |query: &str| {
        query.replace("$__rate_interval", "5m").replace("$namespace", ".*").replace("$route", ".*")
    };
    let recorded: Vec<_> = queries()
        .iter()
        .enumerate()
        .map(|(number, query)| json!({ "record": format!("query_{number}"), "expr": filled(query) }))
        .collect();
    let mut all = groups();
    all["groups"].as_array_mut().unwrap().push(json!({ "name": "dashboard", "rules": recorded }));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.json");
    fs::write(&file, all.to_string()).unwrap();
    let said = run(promtool.args(["check", "rules"]).arg(&file)).ok();
    assert!(said.contains(&format!("{} rules found", rules().len() + queries().len())), "{said}");
}

#[test]
fn each_alert_rings_when_it_should_and_only_then() {
    let Some(mut promtool) = available(tools::promtool()) else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.json"), groups().to_string()).unwrap();
    let cases = folder.path().join("cases.yaml");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/alerts.yaml"), &cases).unwrap();
    let ran = run(promtool.args(["test", "rules"]).arg(&cases));
    assert!(ran.status.success(), "{}{}", ran.stdout, ran.stderr);
    let text = fs::read_to_string(&cases).unwrap();
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        let checks = text.matches(&format!("alertname: {name}\n")).count();
        assert!(checks >= 2, "{name} is not seen both to ring and to be still");
    }
}
