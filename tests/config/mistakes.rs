//! Mistakes that are told where they were made, and settings that are taken as they are meant.

use std::fs;
use std::path::PathBuf;

use attache::config::{self, Config, Sources};
use attache::registry::facts;

use crate::examples::SMALL;

fn load(files: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |(name, text): &(&str, &str)| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    let paths: Vec<PathBuf> = files.iter().map(write).collect();
    let files = paths.into_iter().filter(|path| !path.ends_with("key.pem")).collect();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let told = config::load(&Sources { files, env, ..Sources::default() }, &facts());
    told.map_err(|complaints| complaints.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

fn complaints(text: &str) -> String {
    load(&[("a.yaml", text)], &[]).expect_err("complaints")
}

#[test]
fn every_mistake_in_the_options_of_a_protocol_is_told_by_its_own_line_and_key() {
    let options = "    options:\n      channel_bindin: require\n      read_only: perhaps\n      channel_binding: maybe\n";
    let told = complaints(&format!("{SMALL}{options}"));
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert_eq!(
        lines[0],
        "a.yaml:9: routes.orders.options.channel_bindin: there is no such key; did you mean channel_binding?"
    );
    let not_accepted = "not accepted by postgres: ";
    assert!(
        lines[1].starts_with(&format!("a.yaml:10: routes.orders.options.read_only: {not_accepted}")),
        "{told}"
    );
    assert!(
        lines[2].starts_with(&format!("a.yaml:11: routes.orders.options.channel_binding: {not_accepted}")),
        "{told}"
    );
    let tcp = "routes: { t: { protocol: tcp, listen: 127.0.0.1:0, upstream: { endpoints: a:1 }, options: { x: 1 } } }";
    assert!(complaints(tcp).ends_with("routes.t.options.x: there is no such key; there are none here"));
}

#[test]
fn a_section_that_is_missing_is_known_to_whoever_misspells_it() {
    let told = complaints(&SMALL.replace("credential:", "credentials:"));
    assert!(told.contains("credentials: there is no such key; did you mean credential?"), "{told}");
    let told = complaints(&format!("telemetry: {{ trace: {{}} }}\n{SMALL}"));
    assert!(told.contains("telemetry.trace: there is no such key; did you mean traces?"), "{told}");
}

#[test]
fn the_file_of_an_option_is_relative_to_the_file_that_names_it() {
    let text = SMALL.replace("protocol: postgres", "protocol: mysql")
        + "    options: { server_public_key: { file: keys/key.pem } }\n";
    let told = load(&[("conf/a.yaml", &text), ("conf/keys/key.pem", "no key\n")], &[]).expect_err("no key");
    let expected = "conf/a.yaml:8: routes.orders.options.server_public_key: not accepted by mysql: not an RSA public key";
    assert!(told.starts_with(expected), "{told}");
    let told = load(&[("conf/a.yaml", &text)], &[]).expect_err("no file");
    assert!(
        told.contains("server_public_key: could not open ") && told.contains("conf/keys/key.pem"),
        "{told}"
    );
}

#[test]
fn a_section_of_comments_takes_nothing_away_from_an_earlier_file() {
    let first = format!("log: {{ level: debug }}\n{SMALL}");
    let second = "log:\n  # level: info\nroutes:\n  orders:\n    # wait: 5s\n";
    let config = load(&[("a.yaml", &first), ("b.yaml", second)], &[]).unwrap();
    assert_eq!((config.log.level, config.routes.len()), (config::Level::Debug, 1));
    let told = load(&[("a.yaml", &first), ("b.yaml", "log: { level: }\n")], &[]).expect_err("no value");
    assert!(told.starts_with("b.yaml:1: log.level: has no value"), "{told}");
}

#[test]
fn a_variable_may_hold_a_list_or_a_map_as_json() {
    let name = "ATTACHE_ROUTES__ORDERS__UPSTREAM__ENDPOINTS";
    for value in
        [r#"[{"address": "db-b:1", "zone": "b"}, "db-a:2"]"#, r#"[{address="db-b:1", zone="b"}, "db-a:2"]"#]
    {
        let config = load(&[("a.yaml", SMALL)], &[(name, value)]).unwrap();
        let endpoints: Vec<_> = config.routes[0].upstream.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(endpoints, ["db-b:1", "db-a:2"], "{value}");
    }
}

#[test]
fn off_and_false_are_the_same_in_variables_too() {
    let env = [("ATTACHE_HEALTH", "false"), ("ATTACHE_ROUTES__ORDERS__UPSTREAM__TLS", "false")];
    let config = load(&[("a.yaml", SMALL)], &env).unwrap();
    assert_eq!(config.health, None);
    assert_eq!(config.routes[0].upstream.tls.mode, config::TlsMode::Off);
}

#[test]
fn the_ending_of_a_file_s_name_may_be_in_capitals() {
    let toml = "[routes.orders]\nprotocol = 'tcp'\nlisten = '127.0.0.1:0'\nupstream.endpoints = 'a:1'\n";
    assert_eq!(load(&[("A.TOML", toml)], &[]).unwrap().routes.len(), 1);
    let told = load(&[("A.JSON", "{\"workers\": 1, \"workers\": 2}")], &[]).expect_err("twice");
    assert!(told.starts_with("A.JSON:1: not valid JSON: duplicate mapping key `workers`"), "{told}");
}

#[test]
fn settings_that_contradict_each_other_are_told() {
    let silent = SMALL.replace("db.example.com }", "db.example.com, probe_interval: off }");
    assert!(load(&[("a.yaml", &silent)], &[]).is_ok());
    let told = complaints(&format!("{silent}    ready: upstream\n"));
    assert!(told.starts_with("a.yaml:8: routes.orders.ready: would never come true"), "{told}");
    let told =
        complaints(&SMALL.replace("db.example.com }", "db.example.com, tls: { server_name: db example } }"));
    assert!(
        told.contains("upstream.tls.server_name: \"db example\" is no name that a certificate has"),
        "{told}"
    );
}

#[test]
fn a_machine_with_two_families_is_listened_to_in_both() {
    let both = "listen: [\"0.0.0.0:5432\", \"[::]:5432\"]\n    allow_remote: true";
    let config = load(&[("a.yaml", &SMALL.replace("listen: 127.0.0.1:5432", both))], &[]).unwrap();
    assert_eq!(config.routes[0].listen.len(), 2);
}

#[test]
fn what_is_missing_is_told_as_whoever_types_meets_it() {
    let told = load(&[], &[]).expect_err("nothing");
    assert!(told.ends_with("name a configuration with -c FILE"), "{told}");
    let told = complaints("workers: many\n");
    assert!(told.starts_with("a.yaml:1: workers: is text, expected a whole number; or write auto"), "{told}");
    assert!(told.contains("add a section such as routes:"), "{told}");
    let told = complaints(&format!("health: unix:/run/health\n{SMALL}"));
    assert!(told.contains("write for example 127.0.0.1:9900") && told.ends_with("or off"), "{told}");
}
