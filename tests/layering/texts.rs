//! What is in the repository as text: sizes of files, names of private places, and what the README shows.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::sources::{house, protocols, root};

/// When a file passes this, look for a second story in it.
const MOST_LINES: usize = 400;
/// Files that are one story all the same, each with its reason.
const LONG: &[(&str, &str)] = &[];

#[test]
fn no_file_tells_more_than_one_story() {
    for source in house().iter().chain(&protocols()) {
        let lines = source.code.lines().count();
        let excused = LONG.iter().any(|(path, _)| *path == source.path);
        assert!(lines <= MOST_LINES || excused, "{} has {lines} lines without its tests", source.path);
    }
}

/// Every file that git knows, or that it would take.
fn files() -> Vec<String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let output = git.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Paths of the machine that a file was made on tell nobody anything.
#[test]
fn no_file_names_a_private_place() {
    let private = ["/wo", "/ho", "/Us"].iter().zip(["rk/", "me/", "ers/"]).map(|(a, b)| format!("{a}{b}"));
    let private: Vec<_> = private.chain([format!("localhost:{}/simple", 3141)]).collect();
    let mut found = Vec::new();
    for path in files() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        found.extend(
            private
                .iter()
                .filter(|place| text.contains(place.as_str()))
                .map(|place| format!("{path}: {place}")),
        );
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn every_make_target_that_a_page_shows_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: BTreeSet<_> = makefile
        .lines()
        .filter_map(|line| line.split_once(": ##"))
        .map(|(target, _)| target.trim().to_owned())
        .collect();
    assert!(targets.contains("test"), "{targets:?}");
    for path in files().into_iter().filter(|path| path.ends_with(".md")) {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        for target in mentioned(&text) {
            assert!(targets.contains(&target), "{path} shows `make {target}`, and there is none");
        }
    }
}

/// Targets behind `make ` at the beginning of code.
fn mentioned(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("make ").filter(|(at, _)| {
        let before = text[..*at].chars().next_back();
        before.is_none_or(|letter| matches!(letter, '`' | '\n' | '\''))
    });
    let word =
        |rest: &str| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect::<String>();
    starts.map(|(at, make)| word(&text[at + make.len()..])).filter(|word| !word.is_empty()).collect()
}
