//! The tutorial, run from its own page: every command, and what it says is printed.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use attache_kit::{available, ports, tools};
use rustix::process::{Pid, Signal, getuid, kill_process};

/// It makes a database and waits for two changes to be noticed.
const DEADLINE: Duration = Duration::from_secs(300);
/// Debian's number for nobody: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;
/// Between the commands of two blocks.
const MARK: &str = "=== block";

/// What is to be run, and what is to be seen of it.
#[derive(Debug)]
struct Block {
    commands: String,
    expected: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut rest = page;
    while let Some((_, fenced)) = rest.split_once("\n```") {
        let (language, text) = fenced.split_once('\n').unwrap();
        let (text, behind) = text.split_once("\n```\n").unwrap();
        rest = behind;
        match (language, blocks.last_mut()) {
            ("sh", _) => blocks.push(Block { commands: text.to_owned(), expected: String::new() }),
            ("text", Some(block)) if block.expected.is_empty() => block.expected = text.to_owned(),
            other => panic!("what is {other:?} on this page?"),
        }
    }
    blocks
}

/// Ends what a tutorial that came to grief has left running.
struct Cleanup<'a>(&'a Path);

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        let file = fs::read_to_string(self.0.join("tutorial/db/postmaster.pid")).unwrap_or_default();
        let pid = file.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::QUIT);
        }
        let _ = Command::new(env!("CARGO_BIN_EXE_attache"))
            .arg("quit")
            .env("ATTACHE_CONTROL", control(self.0))
            .output();
    }
}

fn control(folder: &Path) -> String {
    format!("unix:{}", folder.join("control").display())
}

/// Spaces and times are not what matters: `…` stands for anything, and a number in front of a unit for any number.
fn looks_like(shown: &str, expected: &str) -> bool {
    let words = |line: &str| line.split_whitespace().map(unit_free).collect::<Vec<_>>().join(" ");
    let (shown, expected) = (words(shown), words(expected));
    let mut pieces = expected.split('…');
    let Some(mut rest) = pieces.next().and_then(|first| shown.strip_prefix(first)) else { return false };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty() || expected.ends_with('…')
}

/// A span of time, whatever it is.
fn unit_free(word: &str) -> &str {
    let is_number = word.parse::<f64>().is_ok() && (word.contains('.') || word.len() == 1);
    if is_number { "#" } else { word }
}

/// A connection that was on its way with the password of before hears of that a moment behind the others. Where it does,
/// what has been accepted is not the newest event.
fn is_an_afterthought(line: &str) -> bool {
    line.contains("credential rejected") && line.contains("generation 1: ok")
}

fn compare(shown: &str, block: &Block) -> Result<(), String> {
    let mut shown_lines = shown.lines().filter(|line| !is_an_afterthought(line));
    let mut skipping = false;
    for expected in block.expected.lines() {
        if expected == "…" {
            skipping = true;
            continue;
        }
        let found = match skipping {
            true => shown_lines.any(|line| looks_like(line, expected)),
            false => shown_lines.next().is_some_and(|line| looks_like(line, expected)),
        };
        if !found {
            return Err(format!("{expected:?} is not to be seen after\n{}\nbut\n{shown}", block.commands));
        }
        skipping = false;
    }
    match shown_lines.next() {
        Some(more) if !skipping => Err(format!("the page does not show {more:?} after\n{}", block.commands)),
        Some(_) | None => Ok(()),
    }
}

#[test]
fn the_tutorial_does_what_it_says() {
    if available(tools::postgres_tool("initdb")).is_none() {
        return;
    }
    let page = include_str!("../../docs/tutorial.md");
    let blocks = blocks(page);
    assert!(blocks.len() > 8, "{blocks:?}");
    let [database, listen, health] = [(); 3].map(|()| ports::reserve());
    let on_free_ports = |text: &str| {
        let text = text.replace("15432", &database.number().to_string());
        text.replace("6432", &listen.number().to_string())
    };
    let mut script = "set -e\n".to_owned();
    for block in &blocks {
        script += &format!("echo '{MARK}'\n{}\n", on_free_ports(&block.commands));
    }
    let folder = tempfile::tempdir().unwrap();
    let _cleanup = Cleanup(folder.path());
    let mut shell = if getuid().is_root() {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        let mut shell = Command::new("setpriv");
        shell.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups", "bash"]);
        shell
    } else {
        Command::new("bash")
    };
    // Where the program was built may be nobody's to enter.
    let (built, program) = (env!("CARGO_BIN_EXE_attache"), folder.path().join("attache"));
    fs::hard_link(built, &program).or_else(|_| fs::copy(built, &program).map(|_| ())).unwrap();
    let programs = folder.path().display();
    shell.args(["-c", &format!("exec 2>&1\n{script}")]).current_dir(folder.path());
    shell.env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()));
    shell.env("HOME", folder.path()).env("LC_ALL", "C");
    shell.env("ATTACHE_HEALTH", health.addr().to_string()).env("ATTACHE_CONTROL", control(folder.path()));
    let ran = tools::run(&mut shell, b"", DEADLINE);
    let seen: Vec<&str> = ran.stdout.split(&format!("{MARK}\n")).skip(1).collect();
    for (block, seen) in blocks.iter().zip(&seen) {
        let block = Block { commands: block.commands.clone(), expected: on_free_ports(&block.expected) };
        compare(seen, &block).unwrap_or_else(|wrong| panic!("{wrong}\n--- all of it\n{}", ran.stdout));
    }
    assert!(ran.status.success() && seen.len() == blocks.len(), "{}", ran.stdout);
}

#[test]
fn what_the_page_shows_is_compared_with_what_there_is() {
    let block = |expected: &str| Block { commands: String::new(), expected: expected.to_owned() };
    assert!(compare("a  0.3 ms ok\nb\nc\nd\n", &block("a 12.5 ms ok\n…\nd")).is_ok());
    assert!(compare("valid until 2026\n", &block("valid until …")).is_ok());
    for (shown, expected) in
        [("a\n", "b"), ("a\n", ""), ("a\nb\n", "a"), ("a\n", "a\nb"), ("a\n", "…\nb"), ("ab\n", "a")]
    {
        assert!(compare(shown, &block(expected)).is_err(), "{shown} {expected}");
    }
}
