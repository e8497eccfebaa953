//! The commands of the README, run from its own text against a database of the test's.

use std::fs;
use std::path::Path;
use std::process::Command;

use attache_kit::{Launch, Process, Signal, eventually, ports, tools};

use crate::house::{SECRET, SOON, Terminal, psql, server};

const README: &str = include_str!("../../README.md");

/// Commands that install, build or run the tests themselves: each is a target of the Makefile, or cargo's own.
const NOT_RUN: [&str; 3] = ["make demo", "make test", "cargo build --release"];

/// Every line that a reader would type, without what is said about it.
fn commands() -> Vec<String> {
    let blocks = README.split("\n```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let lines = blocks.flat_map(str::lines).map(|line| line.split("  #").next().unwrap());
    let lines = lines.map(|line| line.split(" # ").next().unwrap().trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// The same with what is true here.
fn made_true(text: &str, truths: &[(&str, String)]) -> String {
    truths.iter().fold(text.to_owned(), |text, (written, here)| {
        assert!(README.contains(written), "the README does not say {written} any more");
        text.replace(written, here)
    })
}

fn example() -> &'static str {
    README.split("\n```yaml\n").nth(1).unwrap().split("\n```").next().unwrap()
}

#[test]
fn every_command_of_the_readme_is_run_here_or_known_not_to_be() {
    let commands = commands();
    assert!(commands.len() >= 6, "{commands:?}");
    for command in &commands {
        let words = [
            "target/release/attache check",
            "target/release/attache run",
            "psql -h 127.0.0.1 orders",
            "attache dev ",
        ];
        let is_known =
            NOT_RUN.contains(&command.as_str()) || words.iter().any(|words| command.starts_with(words));
        assert!(is_known, "no test runs {command}");
    }
    let makefile = include_str!("../../Makefile");
    for target in ["demo", "test"] {
        assert!(makefile.contains(&format!("\n{target}: ##")), "{target}");
    }
}

#[test]
fn the_configuration_of_the_readme_is_checked_and_run_and_psql_needs_no_password() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(folder.path().join("secret")).unwrap();
    fs::write(folder.path().join("secret/username"), "app").unwrap();
    fs::write(folder.path().join("secret/password"), SECRET).unwrap();
    let [listen, health, control] = [(); 3].map(|()| ports::reserve());
    let database = format!("localhost:{}", server.postgres.port());
    let config = made_true(
        example(),
        &[
            ("0.0.0.0:9900", health.addr().to_string()),
            ("127.0.0.1:5432", listen.addr().to_string()),
            ("unix:/run/attache/.s.PGSQL.5432", format!("unix:{}", at(".s.PGSQL.5432"))),
            ("\"orders-1.db.example.com:5432\", \"orders-2.db.example.com:5432\"", format!("\"{database}\"")),
            ("/etc/attache/ca.pem", server.pki.ca().display().to_string()),
            ("/var/run/secrets/attache/orders", at("secret")),
        ],
    );
    fs::write(folder.path().join("attache.yaml"), config).unwrap();
    let mut attache = None;
    for command in commands() {
        let line = command.replace("target/release/attache", env!("CARGO_BIN_EXE_attache"));
        let mut words = line.split(' ').map(str::to_owned);
        let mut shell = Command::new(words.next().unwrap());
        shell.args(words).current_dir(folder.path()).env("ATTACHE_CONTROL", control.addr().to_string());
        if command.contains("attache check") {
            let ran = tools::run(&mut shell, b"", SOON);
            assert!(ran.status.success() && ran.stdout.contains("login"), "{}{}", ran.stdout, ran.stderr);
        } else if command.contains("attache run") {
            attache = Some(run(&line, folder.path(), &control.addr().to_string()));
        } else if command.starts_with("psql") {
            let line = command.replace("psql", &psql).replace(" orders", " app");
            let port = listen.number();
            let line = format!("PGPORT={port} {line} -XAtc 'select current_user'");
            let ran =
                tools::run(Command::new("sh").args(["-c", &line]).current_dir(folder.path()), b"", SOON);
            assert_eq!(ran.stdout, "app\n", "{}", ran.stderr);
        }
    }
    let mut attache = attache.expect("the README runs it");
    attache.signal(Signal::TERM);
    assert_eq!(attache.wait_exit(SOON).code(), Some(0));
}

/// As the README has it, in a folder.
fn run(line: &str, folder: &Path, control: &str) -> Process {
    let arguments = line
        .split(' ')
        .skip(1)
        .map(|word| word.replace("attache.yaml", &folder.join("attache.yaml").display().to_string()));
    let launch = Launch::binary(env!("CARGO_BIN_EXE_attache")).env("ATTACHE_CONTROL", control);
    let process = arguments.fold(launch, Launch::arg).start();
    eventually("the start", SOON, || process.stderr().contains("started").then_some(()));
    process
}

#[test]
fn dev_of_the_readme_asks_for_the_password_and_runs_the_command() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    let folder = tempfile::tempdir().unwrap();
    // What a project's tests may be.
    let npm = folder.path().join("npm");
    tools::write_script(&npm, &format!("#!/bin/sh\necho \"$@\" of $({psql} -XAtqc 'select current_user')\n"));
    let line = commands().into_iter().find(|line| line.starts_with("attache dev")).unwrap();
    let line = made_true(
        &line,
        &[
            ("attache dev", format!("{} dev", env!("CARGO_BIN_EXE_attache"))),
            ("app@staging.example.com/orders", format!("app@localhost:{}/app", server.postgres.port())),
            ("ca.pem", server.pki.ca().display().to_string()),
            ("npm test", format!("{} test", npm.display())),
        ],
    );
    let mut terminal = Terminal::run(&line, folder.path());
    eventually("the question", SOON, || terminal.shown().contains("Password of app").then_some(()));
    terminal.press(&format!("{SECRET}\r"));
    assert_eq!(terminal.wait_exit(), Some(0), "{}", terminal.shown());
    eventually("the tests", SOON, || terminal.shown().contains("test of app").then_some(()));
}
