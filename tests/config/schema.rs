//! The schema and the page of documentation, which are made from the same declarations as the checks.

use attache::config;
use attache::registry::facts;

use crate::examples::{EXAMPLE, SMALL};
use crate::snapshots::compare;
use regex::Regex;
use serde_json::{Map, Value, json};

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true }).unwrap()
}

pub(crate) fn accepts(text: &str) -> Result<(), String> {
    let schema = config::schema(&facts());
    validate(&yaml(text), &schema, &schema, "")
}

pub(crate) fn accepts_as_project(text: &str) -> Result<(), String> {
    let schema = config::project_schema();
    validate(&yaml(text), &schema, &schema, "")
}

#[test]
fn the_schema_of_a_project_rejects_what_is_wrong() {
    const RIGHT: &str = "databases: { orders: { url: 'postgres://app@db/orders', tls: verify-ca } }";
    accepts_as_project(RIGHT).unwrap();
    for (from, to) in [
        ("url:", "ulr:"),
        ("postgres://", ""),
        ("verify-ca", "verify_ca"),
        ("databases", "database"),
        ("orders:", "Orders:"),
    ] {
        let text = RIGHT.replacen(from, to, 1);
        assert!(accepts_as_project(&text).is_err(), "{text}");
    }
}

#[test]
fn the_schema_accepts_what_is_right() {
    accepts(EXAMPLE).unwrap();
    accepts(SMALL).unwrap();
    accepts(&SMALL.replace("db.example.com }", "db.example.com, tls: off, probe_interval: off }")).unwrap();
    accepts(&SMALL.replace("endpoints: db.example.com", "srv: _postgresql._tcp.example.com")).unwrap();
    accepts(&format!("client:\n{SMALL}").replace("client:\n", "drain:\n")).unwrap();
    let tcp =
        "routes: { t: { protocol: tcp, listen: '[::1]:1', upstream: { endpoints: ['a:1'] }, options: } }";
    accepts(tcp).unwrap();
}

#[test]
fn the_schema_rejects_what_is_wrong() {
    let wrong = |from: &str, to: &str| {
        assert!(SMALL.contains(from), "{from}");
        let text = SMALL.replace(from, to);
        assert!(accepts(&text).is_err(), "{text}");
    };
    wrong("protocol: postgres", "protocol: postgers");
    wrong("    protocol: postgres\n", "");
    wrong("{ endpoints: db.example.com }", "{ wait: 5s }");
    wrong("    upstream: { endpoints: db.example.com }\n", "");
    wrong("endpoints: db.example.com", "endpoints: []");
    wrong("endpoints: db.example.com", "endpoints: [a], wait: 5");
    wrong("endpoints: db.example.com", "endpoints: [a], wait: 25h");
    wrong("endpoints: db.example.com", "endpoints: [a], connect_timeout: 0");
    wrong("endpoints: db.example.com", "endpoints: [a], connect_timeout: 11m");
    wrong("endpoints: db.example.com", "endpoints: [a], probe_interval: 500ms");
    wrong("endpoints: db.example.com", "endpoints: [a], tls: { mode: verify_full }");
    wrong("endpoints: db.example.com", "endpoints: [a], tls: on");
    wrong("endpoints: db.example.com", "endpoints: [a], srv: _postgresql._tcp.example.com");
    wrong("endpoints: db.example.com", "srv: orders.example.com");
    wrong("  orders:", "  Orders:");
    wrong("path: secrets/orders", "path: secrets/orders, password: x");
    wrong("    credential: ", "    options: { channel_binding: perhaps }\n    credential: ");
    wrong("    credential: ", "    client: { max_sessions: 0 }\n    credential: ");
    assert!(accepts("routes: {}").is_err());
    assert!(accepts("health: off").is_err());
}

#[test]
fn every_default_is_of_its_own_kind() {
    let schema = config::schema(&facts());
    let mut seen = 0;
    check_defaults(&schema, &schema, "", &mut seen);
    assert!(seen >= 25, "{seen}");
}

/// Walks all keys; a default must be accepted by the schema that it stands in.
fn check_defaults(schema: &Value, root: &Value, path: &str, seen: &mut usize) {
    let branches = schema["anyOf"].as_array().into_iter().flatten();
    branches.for_each(|branch| check_defaults(branch, root, path, seen));
    for keys in [&schema["properties"], &schema["patternProperties"]] {
        for (name, key) in keys.as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            assert!(
                key["description"].as_str().is_some_and(|text| text.len() > 5),
                "{path} says what it means"
            );
            if let Some(default) = key.get("default") {
                *seen += 1;
                validate(default, key, root, &path).unwrap();
            }
            check_defaults(key, root, &path, seen);
        }
    }
}

#[test]
fn the_page_of_documentation_is_what_the_program_says() {
    compare("docs/configuration.md", &config::document(&facts()));
}

/// As much of JSON Schema (draft 2020-12) as the schema uses. An unknown keyword or pattern fails the test, so
/// that nothing is accepted by not being understood.
fn validate(value: &Value, schema: &Value, root: &Value, at: &str) -> Result<(), String> {
    // A schema with an identifier of its own is the root of its references.
    let root = if schema.get("$id").is_some() { schema } else { root };
    for (keyword, rule) in schema.as_object().unwrap_or(&Map::new()) {
        let list = || rule.as_array().unwrap().iter();
        let object = value.as_object();
        let holds = match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" | "default" | "format" => true,
            "$ref" => {
                let target = root.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                validate(value, target, root, at)?;
                true
            }
            "type" => rule.as_str().map_or_else(
                || list().any(|name| is_a(value, name.as_str().unwrap())),
                |name| is_a(value, name),
            ),
            "enum" => list().any(|one| one == value),
            "const" => rule == value,
            "not" => validate(value, rule, root, at).is_err(),
            "anyOf" => list().any(|branch| validate(value, branch, root, at).is_ok()),
            "oneOf" => list().filter(|branch| validate(value, branch, root, at).is_ok()).count() == 1,
            "allOf" => {
                list().try_for_each(|branch| validate(value, branch, root, at))?;
                true
            }
            "if" => {
                if validate(value, rule, root, at).is_ok() {
                    validate(value, &schema["then"], root, at)?;
                }
                true
            }
            "then" => true,
            "required" => {
                object.is_none_or(|map| list().all(|name| map.contains_key(name.as_str().unwrap())))
            }
            "properties" | "patternProperties" | "additionalProperties" => {
                object
                    .into_iter()
                    .flatten()
                    .try_for_each(|(name, item)| property(name, item, schema, root, at))?;
                true
            }
            "minProperties" => object.is_none_or(|map| map.len() as u64 >= rule.as_u64().unwrap()),
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| validate(item, rule, root, at))?;
                true
            }
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= rule.as_u64().unwrap()),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| matches(rule.as_str().unwrap(), text)),
            unknown => panic!("this test does not understand {unknown}"),
        };
        if !holds {
            return Err(format!("{at}: {value} breaks {keyword}: {rule}"));
        }
    }
    Ok(())
}

fn property(name: &str, value: &Value, schema: &Value, root: &Value, at: &str) -> Result<(), String> {
    let at = format!("{at}.{name}");
    if let Some(schema) = schema["properties"].get(name) {
        return validate(value, schema, root, &at);
    }
    let mut patterns = schema["patternProperties"].as_object().into_iter().flatten();
    if let Some((_, schema)) = patterns.find(|(pattern, _)| matches(pattern, name)) {
        return validate(value, schema, root, &at);
    }
    if schema["additionalProperties"] == json!(false) { Err(format!("{at} is unknown")) } else { Ok(()) }
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        unknown => panic!("no type {unknown}"),
    }
}

/// Our patterns mean the same to the engines of editors (ECMA-262).
fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).unwrap().is_match(text)
}
