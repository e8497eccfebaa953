//! The process wrapper, tried on a shell that plays `attache`.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attache_kit::tools;
use attache_kit::{Launch, Signal, eventually};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);

fn program(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attache");
    tools::write_script(&path, &format!("#!/bin/sh\n{text}\n"));
    (folder, path)
}

#[test]
fn it_is_started_with_its_configuration_and_its_log_can_be_waited_for() {
    let (_folder, path) = program(
        r#"echo "$1 $2 $4 $ATTACHE_LOG__LEVEL" >&2; cat "$3"
           trap 'echo "{\"message\":\"draining\"}" >&2; exit 0' TERM
           echo '{"message":"listening","port":5432}' >&2
           while :; do sleep 0.05; done"#,
    );
    let mut process =
        Launch::binary(path).config("routes: {}\n").arg("--x").env("ATTACHE_LOG__LEVEL", "debug").start();
    let line = process.wait_for("that it listens", DEADLINE, |line| line["message"] == "listening");
    assert_eq!(line["port"], 5432);
    assert_eq!(process.log()[0], "run -c --x debug");
    assert!(process.is_running() && process.open_files() >= 3 && process.threads() == 1);
    assert!(process.resident_bytes() > 0);

    process.rewrite_config("routes: {a: 1}\n");
    assert_eq!(fs::read_to_string(process.config_path()).unwrap(), "routes: {a: 1}\n");

    let so_far = process.lines();
    process.signal(Signal::TERM);
    process.wait_for_since(so_far, "the drain", DEADLINE, |line| line["message"] == "draining");
    assert_eq!(process.wait_exit(DEADLINE).code(), Some(0));
    assert_eq!(process.stdout(), "routes: {}");
    assert_eq!(process.count(|line| line["message"] == "listening"), 1);
}

#[test]
#[should_panic(expected = "waited 50ms for the log to tell something that never happens")]
fn a_wait_for_the_log_has_an_end() {
    let (_folder, path) = program("exec sleep 60");
    let process = Launch::binary(path).start();
    process.wait_for("something that never happens", Duration::from_millis(50), |_| true);
}

#[test]
fn it_is_gone_after_a_drop() {
    let (_folder, path) = program("exec sleep 60");
    let process = Launch::binary(path).start();
    let proc = format!("/proc/{}", process.pid());
    assert!(Path::new(&proc).exists());
    drop(process);
    eventually("the process to go", DEADLINE, || (!Path::new(&proc).exists()).then_some(()));
}

#[test]
fn a_command_runs_to_its_end() {
    let (_folder, path) = program(r#"cat "$3"; echo "bad: $1" >&2; exit 2"#);
    let ran = Launch::binary(path).config("a: 1\n").command(&["check", "-c", "{config}"]);
    assert_eq!(
        (ran.status.code(), ran.stdout.as_str(), ran.stderr.as_str()),
        (Some(2), "a: 1\n", "bad: check\n")
    );
}
