//! The runbooks of `docs/rotation.md`, as its commands stand there.

use std::fs;
use std::path::Path;

/// A chapter of the page begins so.
const CHAPTER: &str = "## Runbooks";

/// The commands between one *title* and the next.
#[derive(Debug, Default, Clone)]
pub struct Runbook {
    /// The database, as the heading names it.
    pub section: String,
    pub title: String,
    pub blocks: Vec<Block>,
}

#[derive(Debug, Clone)]
pub struct Block {
    /// `sh`, `sql`, `sql once`, `redis` or `promql`.
    pub language: String,
    pub text: String,
}

/// All of the page, the introduction's commands first and under no section.
pub fn runbooks() -> Vec<Runbook> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rotation.md");
    let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let chapter = page.split_once(CHAPTER).expect("the page has the chapter").1;
    let mut runbooks = vec![Runbook::default()];
    let mut lines = chapter.lines();
    while let Some(line) = lines.next() {
        let last = runbooks.last_mut().expect("there is a first one");
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            last.blocks.push(Block { language: language.to_owned(), text: text.join("\n") });
        } else if let Some(section) = line.strip_prefix("### ") {
            runbooks.push(Runbook { section: section.to_owned(), ..Runbook::default() });
        } else if let Some(title) = line.strip_prefix('*').and_then(|rest| rest.split_once('*')) {
            let (section, title) = (last.section.clone(), title.0.trim_end_matches('.').to_owned());
            runbooks.push(Runbook { section, title, blocks: Vec::new() });
        }
    }
    runbooks.retain(|runbook| !runbook.blocks.is_empty());
    runbooks
}

/// "min(NAME{…}) OP VALUE", as many as there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub metric: String,
    pub at_least: f64,
}

/// What a query of the page asks for, of which each part has a lower bound.
pub fn conditions(promql: &str, changed: u64) -> Vec<Condition> {
    let query = promql.replace("CHANGED", &changed.to_string());
    let parts = query.split(" and ").map(str::trim);
    parts
        .map(|part| {
            let (metric, bound) =
                part.strip_prefix("min(").and_then(|part| part.split_once("{route=\"orders\"}) ")).unwrap();
            let (operator, value) = bound.split_once(' ').unwrap();
            assert!(operator == ">=" || (operator == "==" && value == "1"), "{part}: {operator}");
            Condition { metric: metric.to_owned(), at_least: value.parse().unwrap() }
        })
        .collect()
}

#[test]
fn the_page_has_a_runbook_for_every_protocol() {
    let sections: Vec<String> = runbooks().into_iter().map(|runbook| runbook.section).collect();
    let wanted = ["", "PostgreSQL", "MySQL", "MariaDB", "MySQL and MariaDB", "Redis and Valkey", "TCP"];
    for section in wanted {
        assert!(sections.iter().any(|known| known == section), "{section}: {sections:?}");
    }
    assert!(
        sections.iter().all(|known| wanted.contains(&known.as_str())),
        "{sections:?}: nobody follows one"
    );
}
