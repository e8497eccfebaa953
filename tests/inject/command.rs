//! `attache inject` as a person runs it.

use std::fs;
use std::path::{Path, PathBuf};

use attache_kit::Launch;
use attache_kit::kubelet::Manifests;
use attache_kit::tools::Ran;
use serde_json::Value;
use tempfile::TempDir;

pub const BINARY: &str = env!("CARGO_BIN_EXE_attache");
/// What most manifests are injected with.
pub const USUAL: [&str; 6] =
    ["-c", "{data}/attache.yaml", "--secret", "orders=orders-db", "--secret", "reports=reports-db"];

pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inject/data")
}

pub fn manifest(name: &str) -> String {
    fs::read_to_string(data().join(name)).unwrap()
}

/// Runs the command on a text.
pub fn run(text: &str, arguments: &[&str]) -> Ran {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("manifest.yaml");
    fs::write(&file, text).unwrap();
    let data = data().display().to_string();
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.replace("{data}", &data)).collect();
    let mut all = vec!["inject", "-f", file.to_str().unwrap()];
    all.extend(arguments.iter().map(String::as_str));
    Launch::binary(BINARY).command(&all)
}

pub fn inject(text: &str, arguments: &[&str]) -> String {
    run(text, arguments).ok()
}

pub fn uninject(text: &str) -> String {
    run(text, &["--uninject"]).ok()
}

/// Why it did not work.
pub fn refused(text: &str, arguments: &[&str]) -> String {
    let ran = run(text, arguments);
    assert_eq!((ran.status.code(), ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    ran.stderr
}

pub fn objects(text: &str) -> Vec<Value> {
    Manifests::parse(text).iter().cloned().collect()
}
