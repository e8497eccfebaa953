//! The example for Docker Compose: against the schema of the Compose Specification, and against what it promises.
//! `tests/image` runs it.

use std::fs;
use std::time::Duration;

use attache::config::{self, Sources};
use attache::registry::facts;
use attache_kit::{available, tools};
use serde_json::{Value, json};

use crate::render::deploy;

const DEADLINE: Duration = Duration::from_secs(120);
/// That of 2021, as docker-compose 1.29.2 carries it (Apache-2.0): newer keys would be too new for somebody.
const SCHEMA: &str = include_str!("data/compose-spec.json");

fn example() -> Value {
    let text = fs::read_to_string(deploy().join("compose.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// What the schema says of each, `None` for nothing.
fn judged(documents: &[Value]) -> Option<Vec<Value>> {
    let mut python = available(tools::kubernetes_python())?;
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/judge.py");
    let question = json!({ "schema": schema, "documents": documents }).to_string();
    let answers = tools::run(python.args([judge, "json"]), question.as_bytes(), DEADLINE).ok();
    Some(serde_json::from_str(&answers).unwrap())
}

#[test]
fn the_example_is_what_the_compose_specification_allows() {
    let mut wrong = example();
    wrong["services"]["attache"]["read_olny"] = json!(true);
    let Some(answers) = judged(&[example(), wrong]) else { return };
    assert_eq!(answers[0], Value::Null);
    assert!(answers[1].as_str().is_some_and(|answer| answer.contains("read_olny")), "{answers:?}");
}

#[test]
fn the_application_of_the_example_holds_no_secret_and_attache_no_rights() {
    let example = example();
    let (app, attache) = (&example["services"]["app"], &example["services"]["attache"]);
    assert_eq!(app["network_mode"], "service:attache");
    for key in ["volumes", "secrets", "env_file", "configs"] {
        assert_eq!(app[key], Value::Null, "{key}");
    }
    assert!(!app.to_string().to_lowercase().contains("password"), "{app}");
    assert_eq!(attache["cap_drop"], json!(["ALL"]));
    assert_eq!(attache["read_only"], json!(true));
    let image = format!("ghcr.io/attache-proxy/attache:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(attache["image"], json!(image));
    let build = deploy().join(attache["build"]["context"].as_str().unwrap());
    assert!(build.join(attache["build"]["dockerfile"].as_str().unwrap()).is_file());
}

#[test]
fn the_configuration_of_the_example_is_one_that_attache_takes() {
    let sources = Sources { files: vec![deploy().join("compose/attache.yaml")], ..Sources::default() };
    let config = config::load(&sources, &facts()).unwrap();
    let mounts = example()["services"]["attache"]["volumes"].to_string();
    let credential = config.routes[0].credential.as_ref().unwrap();
    assert!(mounts.contains(&format!("./secrets/orders:{}:ro", credential.path.display())), "{mounts}");
    assert!(mounts.contains("./compose:/etc/attache:ro"), "{mounts}");
}
