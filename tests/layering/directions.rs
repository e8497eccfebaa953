//! Which module of the house may use which: downwards only.

use std::collections::BTreeMap;

use crate::sources::{Source, house};

/// Each module, and those that it may use. What is not listed may be used by nobody but itself.
const MAY_USE: &[(&str, &[&str])] = &[
    // Leaves.
    ("chance", &["sim"]),
    ("config", &[]),
    ("failure", &[]),
    ("secret", &["bell", "chance", "sim"]),
    // What tests play in the place of the world below; no release has it.
    ("sim", &[]),
    ("bell", &[]),
    ("deadline", &[]),
    ("drain", &["bell", "config"]),
    ("events", &[]),
    ("pulse", &[]),
    ("room", &[]),
    ("log", &["config", "events"]),
    ("metrics", &["failure"]),
    // The data path, from the sockets upwards.
    ("net", &["config", "failure", "secret", "sim"]),
    ("trace", &["chance", "config", "failure", "metrics", "net", "secret"]),
    ("orders", &["bell", "chance", "config", "drain", "failure", "net", "secret"]),
    (
        "upstream",
        &["bell", "chance", "config", "deadline", "failure", "metrics", "net", "orders", "secret", "trace"],
    ),
    (
        "session",
        &[
            "chance", "config", "deadline", "drain", "failure", "metrics", "net", "orders", "secret",
            "trace", "upstream",
        ],
    ),
    ("http", &["net"]),
    ("status", &["events", "pulse", "secret", "upstream"]),
    ("route", &["config", "drain", "metrics", "net", "pulse", "secret", "session", "status", "upstream"]),
    ("worker", &["deadline", "drain", "net", "room", "route"]),
    ("sockets", &["config", "failure", "net"]),
    // What puts it together and what shows it.
    ("registry", &["config", "drain", "net", "route", "session"]),
    (
        "serving",
        &[
            "config", "failure", "metrics", "net", "orders", "registry", "route", "secret", "session",
            "sockets", "trace", "worker",
        ],
    ),
    (
        "app",
        &[
            "admin", "config", "drain", "events", "failure", "house", "log", "metrics", "net", "room",
            "serving", "session", "sockets", "trace", "worker",
        ],
    ),
    (
        "admin",
        &[
            "chance", "config", "failure", "house", "http", "net", "pulse", "route", "sockets", "status",
            "worker",
        ],
    ),
    ("inject", &["config", "http", "metrics", "net", "registry", "secret"]),
    (
        "house",
        &["config", "drain", "events", "failure", "metrics", "pulse", "route", "serving", "status", "worker"],
    ),
    (
        "cli",
        &[
            "app", "config", "drain", "failure", "inject", "log", "metrics", "net", "orders", "registry",
            "room", "route", "secret", "session", "status", "trace", "upstream", "worker",
        ],
    ),
    ("main", &[]),
    ("lib", &[]),
];

fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    MAY_USE.iter().copied().collect()
}

/// The modules that a file names behind `crate::`, with what stands behind them.
fn used(source: &Source) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (_, rest) in
        source.code.match_indices("crate::").map(|(at, word)| (at, &source.code[at + word.len()..]))
    {
        match rest.strip_prefix('{') {
            Some(group) => found.extend(top_level(group)),
            None => found.push(first(rest)),
        }
    }
    found
}

fn first(path: &str) -> (String, String) {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let module = word(path);
    let behind = path[module.len()..].strip_prefix("::").map(word).unwrap_or_default();
    (module, behind)
}

/// The entries of a group of imports, up to its closing brace.
fn top_level(group: &str) -> Vec<(String, String)> {
    let (mut depth, mut entry, mut found) = (0, String::new(), Vec::new());
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => found.push(first(std::mem::take(&mut entry).trim())),
            other => entry.push(other),
        }
    }
    found.push(first(entry.trim()));
    found.retain(|(module, _)| !module.is_empty());
    found
}

#[test]
fn every_module_uses_only_what_lies_below_it() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    for source in house() {
        let module = source.module();
        let Some(below) = allowed.get(module) else {
            panic!("{}: say in this test what the module {module} may use", source.path);
        };
        for (other, behind) in used(&source) {
            // Macros and items at the top of the crate are nobody's module.
            let is_module = allowed.contains_key(other.as_str());
            if is_module && other != module && !below.contains(&other.as_str()) {
                wrong.push(format!("{} uses {other}::{behind}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_registry_names_a_protocol() {
    for source in house().iter().filter(|source| source.path != "src/registry.rs") {
        for (number, line) in source.lines() {
            let named = line.match_indices("attache_").map(|(at, _)| &line[at..]);
            let mut named = named.filter(|rest| !rest.starts_with("attache_wire") && rest.contains("::"));
            if let Some(named) = named.next().filter(|rest| is_protocol(rest)) {
                panic!("{}:{number} names {named}", source.path);
            }
        }
    }
}

/// Whether a path begins with the crate of a folder in `protocols/`.
fn is_protocol(path: &str) -> bool {
    let crates = std::fs::read_dir(crate::sources::root().join("protocols")).unwrap();
    let mut names = crates.map(|entry| format!("attache_{}::", entry.unwrap().file_name().display()));
    names.any(|name| path.starts_with(&name))
}

#[test]
fn imports_are_found_in_every_form() {
    let code =
        "use crate::{net::link::Link, drain};\nlet x: crate::secret::Source = crate::chance::about(y);";
    let source = Source { path: "src/x.rs".into(), code: code.into() };
    let modules: Vec<_> = used(&source).into_iter().map(|(module, _)| module).collect();
    assert_eq!(modules, ["net", "drain", "secret", "chance"]);
}
