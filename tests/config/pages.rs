//! The examples in the pages of documentation, and the schema's opinion of right and wrong.

use std::fs;
use std::path::{Path, PathBuf};

use attache::config::{self, Sources};
use attache::registry::facts;

use crate::schema::{accepts, accepts_as_project};

/// Every page that people read, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("docs")];
    let mut files = vec![root.join("README.md")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { &mut folders } else { &mut files }.push(entry);
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "md"));
    files.into_iter().map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

/// The blocks of a page that are marked as YAML.
fn examples(text: &str) -> Vec<&str> {
    text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_example_on_a_page_is_a_configuration_that_loads_and_that_the_schema_accepts() {
    let mut seen = 0;
    for (file, text) in pages() {
        for example in examples(&text) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("attache.yaml");
            fs::write(&path, example).unwrap();
            let accepted = if example.contains("\ndatabases:") || example.starts_with("databases:") {
                config::load_project(&path, |_| Ok(()))
                    .unwrap_or_else(|wrong| panic!("{}: {wrong}", file.display()));
                accepts_as_project(example)
            } else {
                let sources = Sources { files: vec![path], ..Sources::default() };
                config::load(&sources, &facts())
                    .unwrap_or_else(|wrong| panic!("{}: {wrong}", file.display()));
                accepts(example)
            };
            accepted.unwrap_or_else(|wrong| panic!("{}: {wrong}", file.display()));
            seen += 1;
        }
    }
    assert!(seen >= 2, "the README and the page on the configuration have examples");
}

#[test]
fn the_schema_rejects_the_file_of_mistakes() {
    assert!(accepts(include_str!("../snapshots/config_mistakes.yaml")).is_err());
}
