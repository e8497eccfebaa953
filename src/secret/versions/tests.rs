use attache_wire::Secret;
use zeroize::Zeroizing;

use super::*;

fn contents(password: &str) -> Contents {
    let secret = Secret::new(Zeroizing::new(password.as_bytes().to_vec()));
    Contents { user: Some("orders".into()), secret: Some(secret), identity: None, file_time: None }
}

fn versions(passwords: &[&str]) -> Versions {
    let mut versions = Versions::of_ledger(Ledger::default());
    for password in passwords {
        versions.accept(contents(password));
    }
    versions
}

fn order(versions: &Versions) -> Vec<u64> {
    versions.candidates().iter().map(|material| material.generation()).collect()
}

fn on_trial(versions: &Versions) -> Option<u64> {
    versions.on_trial().map(|material| material.generation())
}

fn in_force(held: u64, accepted: u64) -> InForce {
    InForce { held: Some(held), accepted: Some(accepted), fell_back: false }
}

#[test]
fn what_the_server_falls_back_to_succeeds_nothing() {
    let mut versions = versions(&["a"]);
    versions.worked(1);
    versions.accept(contents("b"));
    versions.worked(2);
    assert_eq!(versions.in_force().successor(), Some(2));
    versions.rejected(2);
    versions.accept(contents("c"));
    assert_eq!((versions.in_force().accepted, versions.in_force().successor()), (Some(1), None));
    versions.worked(1);
    assert_eq!(versions.in_force().successor(), None, "it is older than what sessions have");
    versions.worked(3);
    assert_eq!(versions.in_force().successor(), Some(3));
}

#[test]
fn equal_content_is_no_new_generation() {
    let mut versions = versions(&["a"]);
    assert_eq!(versions.accept(contents("a")), None);
    assert_eq!(versions.accept(contents("b")), Some(2));
    assert_eq!(versions.accept(contents("b")), None);
    assert_eq!(versions.accept(contents("a")), Some(1));
    assert_eq!(versions.accept(contents("c")), Some(3));
}

#[test]
fn what_works_works_on_when_a_wrong_one_behind_it_is_taken_back() {
    let mut versions = versions(&["a"]);
    versions.worked(1);
    for round in 0..3 {
        assert_eq!(versions.accept(contents("b")), Some(2));
        let known = if round == 0 { State::Untried } else { State::Degraded };
        assert_eq!((versions.state(), on_trial(&versions)), (known, Some(2)), "a no is heeded");
        versions.rejected(2);
        assert_eq!(versions.in_force(), in_force(2, 1));
        assert_eq!(versions.accept(contents("a")), Some(1));
        assert_eq!((versions.state(), on_trial(&versions), order(&versions)), (State::Ok, None, vec![1, 2]));
        assert_eq!(versions.in_force(), in_force(1, 1));
    }
}

#[test]
fn what_comes_back_after_another_was_accepted_is_tried_before_it_is_trusted_again() {
    let mut versions = versions(&["a"]);
    versions.rejected(1);
    versions.worked(1);
    versions.accept(contents("b"));
    versions.worked(2);
    assert_eq!(versions.accept(contents("a")), Some(3));
    assert_eq!(
        (versions.state(), on_trial(&versions), order(&versions)),
        (State::Untried, Some(3), vec![2, 3])
    );
    assert_eq!(versions.in_force(), in_force(3, 2));
    versions.rejected(3);
    assert_eq!((versions.state(), order(&versions)), (State::Degraded, vec![2, 3]));
    versions.worked(3);
    assert_eq!((versions.state(), order(&versions)), (State::Ok, vec![3, 2]));
    assert!(!versions.in_force().covers(2));
}

#[test]
fn what_was_let_go_has_its_number_again_and_nothing_else() {
    let mut versions = versions(&["a"]);
    versions.worked(1);
    for password in ["b", "c", "d"] {
        versions.accept(contents(password));
    }
    assert_eq!(order(&versions), [1, 4, 3]);
    assert_eq!(versions.accept(contents("b")), Some(2));
    assert_eq!((order(&versions), versions.state()), (vec![1, 2, 4], State::Untried));
    assert_eq!(versions.accept(contents("e")), Some(5));
}

#[test]
fn a_late_yes_to_another_one_leaves_what_is_current_its_number() {
    let mut versions = versions(&["a"]);
    versions.worked(1);
    versions.accept(contents("b"));
    versions.accept(contents("a"));
    versions.worked(2);
    assert_eq!(versions.accept(contents("a")), None, "it is read again");
    assert_eq!((versions.accept(contents("b")), versions.accept(contents("a"))), (Some(2), Some(1)));
}

#[test]
fn older_generations_are_let_go_but_not_the_last_one_that_worked() {
    let mut versions = versions(&["a"]);
    let first = Arc::downgrade(versions.current().expect("a version"));
    versions.accept(contents("b"));
    assert!(first.upgrade().is_some());
    versions.accept(contents("c"));
    assert!(first.upgrade().is_none());

    versions.worked(3);
    for password in ["d", "e", "f"] {
        versions.accept(contents(password));
    }
    assert_eq!(order(&versions), [3, 6, 5]);
    assert_eq!(versions.previous().map(|material| material.generation()), Some(3));
}

#[test]
fn the_newer_generation_comes_first_while_none_has_worked() {
    assert_eq!(order(&versions(&[])), [0u64; 0]);
    assert_eq!(order(&versions(&["a"])), [1]);
    assert_eq!(order(&versions(&["a", "b", "c"])), [3, 2]);
    assert_eq!(on_trial(&versions(&["a", "b"])), None);
}

#[test]
fn a_new_generation_waits_for_its_trial_behind_one_that_works() {
    let mut versions = versions(&["a"]);
    versions.worked(1);
    assert_eq!((versions.state(), versions.proven()), (State::Ok, Some(1)));
    versions.accept(contents("b"));
    assert_eq!((order(&versions), versions.state()), (vec![1, 2], State::Untried));
    assert_eq!(on_trial(&versions), Some(2));
    versions.worked(2);
    assert_eq!((order(&versions), versions.state()), (vec![2, 1], State::Ok));
    assert_eq!((on_trial(&versions), versions.proven()), (None, Some(2)));
}

#[test]
fn a_rejected_generation_is_kept_aside_while_an_older_one_works() {
    let mut versions = versions(&["a", "b"]);
    versions.worked(1);
    versions.rejected(2);
    assert_eq!((order(&versions), versions.state()), (vec![1, 2], State::Degraded));
    assert_eq!(versions.proven(), Some(1));
    versions.rejected(1);
    assert!(!versions.is_rejected(2), "it may be what the server has changed to");
    assert_eq!((order(&versions), versions.state()), (vec![2, 1], State::Untried));
    versions.rejected(2);
    assert_eq!((order(&versions), versions.state()), (vec![2, 1], State::Rejected));
    assert_eq!((on_trial(&versions), versions.proven()), (None, None));
    versions.worked(2);
    assert_eq!((order(&versions), versions.state()), (vec![2, 1], State::Ok));
}

#[test]
fn an_older_generation_takes_over_from_one_that_stopped_working_once_it_has_worked_again() {
    let mut versions = versions(&["a", "b"]);
    versions.worked(1);
    versions.worked(2);
    versions.rejected(2);
    assert_eq!((order(&versions), versions.state()), (vec![2, 1], State::Rejected));
    versions.worked(1);
    assert_eq!((order(&versions), versions.state()), (vec![1, 2], State::Degraded));
}

#[test]
fn an_older_generation_that_has_taken_over_goes_on_when_the_newer_one_is_rejected_again() {
    let mut versions = versions(&["a", "b"]);
    versions.worked(1);
    versions.worked(2);
    versions.rejected(2);
    versions.worked(1);
    assert!(!versions.rejected(2), "a login that was under way, or a trial");
    assert_eq!((order(&versions), versions.state()), (vec![1, 2], State::Degraded));
    assert_eq!(on_trial(&versions), Some(2));
    versions.worked(2);
    assert_eq!((order(&versions), versions.state()), (vec![2, 1], State::Ok));
}

#[test]
fn verdicts_are_news_once() {
    let mut versions = versions(&["a"]);
    assert!(!versions.ever_worked);
    assert!(versions.rejected(1));
    assert!(!versions.rejected(1) && versions.is_rejected(1));
    assert!(!versions.ever_worked);
    assert!(versions.worked(1));
    assert!(!versions.worked(1) && !versions.is_rejected(1));
    assert!(versions.ever_worked);
    assert!(!versions.worked(7), "a generation that was let go");
}
