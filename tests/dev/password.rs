//! Where the password may come from, and that a file of it is followed.

use std::fs;
use std::path::Path;
use std::process::Command;

use attache_kit::{Encryption, eventually, tools};

use crate::house::{Cache, SECRET, SOON, Terminal, code, dev, launch, psql, server};

const WHO: &str = "select current_user";

#[test]
fn a_password_file_is_followed_while_it_runs() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    server.postgres.role("rotated", "before", Encryption::Scram);
    let file = server.password("rotated", "before");
    let url = server.url("rotated");
    let arguments = ["dev", &url, "--password-file", &file, "--listen", "127.0.0.1:0", "--log-level", "info"];
    let process = arguments.into_iter().fold(launch(), |launch, argument| launch.arg(argument)).start();
    let line = eventually("the directions", SOON, || {
        process
            .stdout()
            .lines()
            .find_map(|line| line.trim().strip_prefix("export PGPORT=").map(str::to_owned))
    });
    let query = || {
        let mut command = Command::new(&psql);
        command.args(["-h", "127.0.0.1", "-U", "x", "-d", "y", "-XAtqc", WHO, "-p", &line]);
        tools::run(&mut command, b"", SOON)
    };
    assert_eq!(query().ok(), "rotated\n");
    server.postgres.password("rotated", "after", Encryption::Scram);
    // As editors do it: another file takes the name.
    let next = format!("{file}.next");
    fs::write(&next, "after").unwrap();
    fs::rename(&next, &file).unwrap();
    // The first session after the change waits for the new password if it has to.
    assert_eq!(query().ok(), "rotated\n");
    process.wait_for("the second generation", SOON, |line| line.to_string().contains("generation=2"));
}

#[test]
fn the_first_line_of_standard_input_is_the_password_and_the_rest_is_the_commands() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    let mut command = Command::new(env!("CARGO_BIN_EXE_attache"));
    command.args(["dev", &server.url("app"), "--password-file", "-", "--", &psql, "-XAtq"]);
    let ran = tools::run(&mut command, format!("{SECRET}\n{WHO};\n").as_bytes(), SOON);
    assert_eq!((code(&ran), ran.stdout.as_str()), (Some(0), "app\n"), "{}", ran.stderr);
}

#[test]
fn a_password_may_come_from_another_program() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    let attache = env!("CARGO_BIN_EXE_attache");
    let url = server.url("app");
    let line = format!("{attache} dev '{url}' --password-file <(echo {SECRET}) -- {psql} -XAtqc '{WHO}'");
    let ran = tools::run(Command::new("bash").args(["-c", &line]), b"", SOON);
    assert_eq!((code(&ran), ran.stdout.as_str()), (Some(0), "app\n"), "{}", ran.stderr);
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    let file = server.password("by-environment", SECRET);
    let launch = launch().env("ATTACHE_PASSWORD_FILE", &file);
    let ran = launch.command(&["dev", &server.url("app"), "--", &psql, "-XAtqc", WHO]);
    assert_eq!((code(&ran), ran.stdout.as_str()), (Some(0), "app\n"), "{}", ran.stderr);
}

#[test]
fn at_a_terminal_the_password_is_asked_for_and_not_shown() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    let attache = env!("CARGO_BIN_EXE_attache");
    let line = format!("{attache} dev '{}' -- {psql} -P pager=off -XAtqc '{WHO}'", server.url("app"));
    let mut terminal = Terminal::run(&line, Path::new("/"));
    eventually("the question", SOON, || {
        terminal.shown().contains("Password of app at localhost").then_some(())
    });
    terminal.press(&format!("{SECRET}x\x7f\r"));
    assert_eq!(terminal.wait_exit(), Some(0), "{}", terminal.shown());
    eventually("the answer", SOON, || terminal.shown().contains("app\r\n").then_some(()));
    assert!(!terminal.shown().contains(SECRET), "{}", terminal.shown());
}

#[test]
fn several_passwords_are_asked_for_one_after_the_other() {
    let (Some(server), Some(cache)) = (server(), Cache::shared()) else { return };
    let attache = env!("CARGO_BIN_EXE_attache");
    let urls = format!("orders='{}' '{}'", server.url("app"), cache.url("app@", 0));
    let line =
        format!("{attache} dev {urls} -- sh -c 'redis-cli -u $REDIS_URL acl whoami | cat; echo $PGUSER'");
    let mut terminal = Terminal::run(&line, Path::new("/"));
    for (name, secret) in [("orders", SECRET), ("redis", SECRET)] {
        let question = format!("{name}: Password of app at localhost");
        eventually("the question", SOON, || terminal.shown().contains(&question).then_some(()));
        terminal.press(&format!("{secret}\r"));
    }
    assert_eq!(terminal.wait_exit(), Some(0), "{}", terminal.shown());
    eventually("the answers", SOON, || (terminal.shown().matches("app\r\n").count() == 2).then_some(()));
    assert!(!terminal.shown().contains(SECRET), "{}", terminal.shown());
}

#[test]
fn ctrl_c_at_the_question_ends_it_and_gives_the_terminal_back() {
    let attache = env!("CARGO_BIN_EXE_attache");
    let line = format!("sh -c '{attache} dev postgres://app@localhost -- true; echo status $?; stty -a'");
    let mut terminal = Terminal::run(&line, Path::new("/"));
    eventually("the question", SOON, || terminal.shown().contains("Password of app").then_some(()));
    terminal.press("half\x03");
    assert_eq!(terminal.wait_exit(), Some(0));
    eventually("the state of the terminal", SOON, || terminal.shown().contains(" echo ").then_some(()));
    let shown = terminal.shown();
    assert!(
        shown.contains("status 1") && shown.contains("interrupted") && !shown.contains("half"),
        "{shown}"
    );
    assert!(shown.contains(" icanon ") && !shown.contains("-icanon") && shown.contains("isig "), "{shown}");
}

#[test]
fn without_any_password_a_server_that_asks_for_one_is_explained() {
    let Some(server) = server() else { return };
    let ran = dev(&[&server.url("app"), "--", "true"]);
    assert_eq!((code(&ran), ran.stderr.lines().count()), (Some(1), 1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("credential_incomplete") && ran.stderr.contains("--password-file"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_password_file_that_cannot_be_one_is_explained() {
    let Some(server) = server() else { return };
    let empty = server.password("empty", "");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let missing = format!("{folder}/nothing");
    for (file, why) in [(empty.as_str(), "empty"), (folder, "is a folder"), (&missing, "No such file")] {
        let ran = dev(&[&server.url("app"), "--password-file", file, "--", "true"]);
        assert_eq!((code(&ran), ran.stderr.lines().count()), (Some(1), 1), "{}", ran.stderr);
        assert!(ran.stderr.contains(why) && ran.stderr.contains("the password file"), "{}", ran.stderr);
    }
}
