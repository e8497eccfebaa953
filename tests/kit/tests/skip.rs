//! A test whose server is missing is heard when it is skipped, and fails where that is not allowed.

#![allow(clippy::unwrap_used)]

use std::env;
use std::process::Command;
use std::time::Duration;

use attache_kit::tools::{self, Ran};
use attache_kit::{Missing, StartError, Unavailable, available};

const DEADLINE: Duration = Duration::from_secs(60);
const MISSING: &str = "ATTACHE_KIT_MISSING";
const UNAVAILABLE: &str = "ATTACHE_KIT_UNAVAILABLE";

/// Runs in a process of its own, whose environment the tests below decide.
#[test]
fn helper_asks_for_something_missing() {
    if env::var_os(UNAVAILABLE).is_some() {
        assert!(available::<()>(Err(Unavailable("a database (no mirror has it)".to_string()))).is_none());
    } else if env::var_os(MISSING).is_some() {
        assert!(available::<()>(Err(Missing("a database".to_string()))).is_none());
    }
}

fn ask(variables: &[(&str, &str)]) -> Ran {
    let mut helper = Command::new(env::current_exe().unwrap());
    helper
        .args(["--exact", "helper_asks_for_something_missing"])
        .env_remove("CI")
        .env_remove("ATTACHE_REQUIRE_SERVERS")
        .env(MISSING, "1")
        .envs(variables.iter().copied());
    tools::run(&mut helper, b"", DEADLINE)
}

#[test]
fn a_skipped_test_is_heard_through_the_test_runner() {
    let ran = ask(&[]);
    assert!(ran.status.success());
    assert_eq!(ran.stderr, "SKIPPED: a database is not installed: run make setup\n");
}

#[test]
fn in_ci_nothing_is_skipped() {
    for variable in [("CI", "true"), ("ATTACHE_REQUIRE_SERVERS", "1")] {
        let ran = ask(&[variable]);
        assert!(!ran.status.success(), "{variable:?}");
        assert!(ran.stdout.contains("a database is not installed"), "{}", ran.stdout);
    }
}

#[test]
fn what_setup_could_not_get_is_skipped_in_ci_too() {
    let ran = ask(&[("CI", "true"), (UNAVAILABLE, "1")]);
    assert!(ran.status.success(), "{}", ran.stdout);
    assert_eq!(ran.stderr, "SKIPPED: a database (no mirror has it) cannot be had here\n");
}

#[test]
#[should_panic(expected = "port taken")]
fn a_server_that_is_there_and_fails_is_never_skipped() {
    available::<()>(Err(StartError::Failed("port taken".to_string())));
}
