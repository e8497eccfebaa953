//! Source files as the rules see them: without comments, and without the tests at their end.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) struct Source {
    /// Relative to the root, with `/`.
    pub path: String,
    /// What is compiled into the product.
    pub code: String,
}

impl Source {
    fn read(path: &Path) -> Source {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines = product.lines().map(|line| line.split("//").next().unwrap_or_default());
        let code = lines.collect::<Vec<_>>().join("\n");
        let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        Source { path, code }
    }

    /// The first part of the path below `src/`, without `.rs`: `session`, `app`.
    pub(crate) fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").expect("a file of the house");
        inside.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether a word, or a path of words, is in the code.
    pub(crate) fn names(&self, word: &str) -> bool {
        self.code.match_indices(word).any(|(at, _)| {
            let is_part = |letter: Option<char>| letter.is_some_and(|c| c.is_alphanumeric() || c == '_');
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + word.len()..].chars().next();
            let open_ended = word.ends_with(|c: char| !c.is_alphanumeric());
            !is_part(before) && (open_ended || !is_part(after))
        })
    }
}

/// The house: `src/`.
pub(crate) fn house() -> Vec<Source> {
    below("src")
}

/// The sources of every protocol crate, `wire` included.
pub(crate) fn protocols() -> Vec<Source> {
    let crates = fs::read_dir(root().join("protocols")).unwrap();
    let names = crates.map(|entry| entry.unwrap()).filter(|entry| entry.path().join("src").is_dir());
    names.flat_map(|entry| below(&format!("protocols/{}/src", entry.file_name().display()))).collect()
}

fn below(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    assert!(!found.is_empty(), "no sources in {folder}");
    found.sort();
    found.iter().map(|path| Source::read(path)).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // Beside `tests.rs`, where tests are several files.
            if !path.ends_with("tests") {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}
