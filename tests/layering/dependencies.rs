//! What the manifests say: the bare protocol crates, the licences, the lints.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::sources::root;

/// What a protocol crate may depend on: the contract, words of SQL, byte buffers, shapes of options, and arithmetic.
const PURE: &[&str] = &[
    "attache-sql",
    "attache-wire",
    "aws-lc-rs",
    "base64",
    "bytes",
    "ed25519-dalek",
    "hmac",
    "md-5",
    "pbkdf2",
    "percent-encoding",
    // With its two protocols alone: no codec, no runtime.
    "redis-protocol",
    "schemars",
    "serde",
    "sha1",
    "sha2",
    "stringprep",
    "subtle",
    "thiserror",
    "zeroize",
];
/// What its tests may add.
const PURE_TESTS: &[&str] = &["attache-transcripts", "proptest", "serde_json"];

/// None of these obliges a user to anything beyond keeping the notice.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--offline", "--filter-platform", &host]);
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
});

fn packages() -> &'static [Value] {
    METADATA["packages"].as_array().unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn members() -> impl Iterator<Item = &'static Value> {
    packages().iter().filter(|package| package["source"].is_null())
}

fn protocol_crates() -> Vec<&'static Value> {
    let folder = root().join("protocols");
    let found: Vec<_> = members()
        .filter(|package| text(package, "manifest_path").starts_with(folder.to_str().unwrap()))
        .collect();
    assert!(found.len() >= 3, "wire, tcp and postgres at least");
    found
}

/// Names of the dependencies of a package, of one kind: `""` for ordinary ones.
fn dependencies(package: &Value, kind: &str) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().unwrap().iter();
    all.filter(|it| text(it, "kind") == kind).map(|it| text(it, "name").to_owned()).collect()
}

#[test]
fn protocol_crates_depend_on_the_contract_and_on_pure_helpers_only() {
    for package in protocol_crates() {
        let name = text(package, "name");
        for dependency in dependencies(package, "") {
            assert!(PURE.contains(&dependency.as_str()), "{name} depends on {dependency}");
        }
        for dependency in dependencies(package, "dev") {
            let allowed = PURE.iter().chain(PURE_TESTS);
            assert!(
                allowed.into_iter().any(|it| *it == dependency),
                "tests of {name} depend on {dependency}"
            );
        }
        assert_eq!(dependencies(package, "build"), BTreeSet::new(), "{name} runs code to be built");
    }
}

#[test]
fn wire_knows_no_protocol_and_the_kit_knows_no_part_of_the_house() {
    let of_the_house: BTreeSet<_> = members().map(|package| text(package, "name").to_owned()).collect();
    for name in ["attache-wire", "attache-kit"] {
        let package = members().find(|package| text(package, "name") == name).expect(name);
        let known: Vec<_> =
            ["", "dev", "build"].iter().flat_map(|kind| dependencies(package, kind)).collect();
        let inside: Vec<_> = known.iter().filter(|it| of_the_house.contains(*it)).collect();
        assert!(inside.is_empty(), "{name} depends on {inside:?}");
    }
}

#[test]
fn every_crate_is_linted_as_the_workspace_says_and_none_is_unsafe() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains("unsafe_code = \"forbid\""));
    for package in members() {
        let manifest = fs::read_to_string(text(package, "manifest_path")).unwrap();
        let inherits = manifest.contains("[lints]\nworkspace = true");
        assert!(inherits, "{} has no `[lints] workspace = true`", text(package, "manifest_path"));
    }
}

#[test]
fn no_release_has_what_plays_the_world() {
    let house = members().find(|package| text(package, "name") == "attache").expect("attache");
    assert_eq!(house["features"], serde_json::json!({ "sim": [] }), "the feature is on by nobody's default");
    for package in members() {
        for dependency in package["dependencies"].as_array().unwrap() {
            let is_on = dependency["features"].as_array().unwrap().iter().any(|feature| feature == "sim");
            let at = (text(package, "name"), text(dependency, "kind"));
            assert!(!is_on || at == ("attache", "dev"), "{at:?} switches the feature on");
        }
    }
}

#[test]
fn every_dependency_has_a_licence_that_asks_for_its_notice_only() {
    let foreign = packages().iter().filter(|package| !package["source"].is_null());
    let bad: Vec<_> = foreign
        .filter(|package| !is_allowed(text(package, "license")))
        .map(|package| format!("{}: {:?}", text(package, "name"), text(package, "license")))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Whether some choice of the expression (SPDX, or the old slash) consists of allowed licences.
fn is_allowed(expression: &str) -> bool {
    let plain = expression.replace('/', " OR ").replace(['(', ')'], " ");
    // With parentheses around an OR, to allow every name in it is more than is asked for, and true here.
    if expression.contains('(') {
        let names = plain.split(" AND ").flat_map(|part| part.split(" OR "));
        return names.map(str::trim).all(|name| LICENCES.contains(&name));
    }
    plain.split(" OR ").any(|choice| choice.split(" AND ").all(|name| LICENCES.contains(&name.trim())))
}

#[test]
fn licence_expressions_are_read_as_choices() {
    for good in
        ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "MIT AND ISC", "(MIT OR Apache-2.0) AND Unicode-3.0"]
    {
        assert!(is_allowed(good), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "AGPL-3.0 OR SSPL-1.0"] {
        assert!(!is_allowed(bad), "{bad}");
    }
}
