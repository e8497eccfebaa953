use attache_wire::Secret;
use zeroize::Zeroizing;

use super::*;

fn contents(password: &str) -> Contents {
    let secret = Secret::new(Zeroizing::new(password.as_bytes().to_vec()));
    Contents { user: Some("orders".into()), secret: Some(secret), identity: None, file_time: None }
}

fn generations(passwords: &[&str]) -> Generations {
    let mut generations = Generations::of_ledger(Ledger::default());
    for password in passwords {
        generations.accept(contents(password));
    }
    generations
}

fn order(generations: &Generations) -> Vec<u64> {
    generations.candidates().iter().map(|material| material.generation()).collect()
}

fn on_trial(generations: &Generations) -> Option<u64> {
    generations.on_trial().map(|material| material.generation())
}

fn in_force(held: u64, accepted: u64) -> InForce {
    InForce { held: Some(held), accepted: Some(accepted), fell_back: false }
}

#[test]
fn what_the_server_falls_back_to_succeeds_nothing() {
    let mut generations = generations(&["a"]);
    generations.worked(1);
    generations.accept(contents("b"));
    generations.worked(2);
    assert_eq!(generations.in_force().successor(), Some(2));
    generations.rejected(2);
    generations.accept(contents("c"));
    assert_eq!((generations.in_force().accepted, generations.in_force().successor()), (Some(1), None));
    generations.worked(1);
    assert_eq!(generations.in_force().successor(), None, "it is older than what sessions have");
    generations.worked(3);
    assert_eq!(generations.in_force().successor(), Some(3));
}

#[test]
fn equal_content_is_no_new_generation() {
    let mut generations = generations(&["a"]);
    assert_eq!(generations.accept(contents("a")), None);
    assert_eq!(generations.accept(contents("b")), Some(2));
    assert_eq!(generations.accept(contents("b")), None);
    assert_eq!(generations.accept(contents("a")), Some(1));
    assert_eq!(generations.accept(contents("c")), Some(3));
}

#[test]
fn what_works_works_on_when_a_wrong_one_behind_it_is_taken_back() {
    let mut generations = generations(&["a"]);
    generations.worked(1);
    for round in 0..3 {
        assert_eq!(generations.accept(contents("b")), Some(2));
        let known = if round == 0 { State::Untried } else { State::Degraded };
        assert_eq!((generations.state(), on_trial(&generations)), (known, Some(2)), "a no is heeded");
        generations.rejected(2);
        assert_eq!(generations.in_force(), in_force(2, 1));
        assert_eq!(generations.accept(contents("a")), Some(1));
        assert_eq!(
            (generations.state(), on_trial(&generations), order(&generations)),
            (State::Ok, None, vec![1, 2])
        );
        assert_eq!(generations.in_force(), in_force(1, 1));
    }
}

#[test]
fn what_comes_back_after_another_was_accepted_is_tried_before_it_is_trusted_again() {
    let mut generations = generations(&["a"]);
    generations.rejected(1);
    generations.worked(1);
    generations.accept(contents("b"));
    generations.worked(2);
    assert_eq!(generations.accept(contents("a")), Some(3));
    assert_eq!(
        (generations.state(), on_trial(&generations), order(&generations)),
        (State::Untried, Some(3), vec![2, 3])
    );
    assert_eq!(generations.in_force(), in_force(3, 2));
    generations.rejected(3);
    assert_eq!((generations.state(), order(&generations)), (State::Degraded, vec![2, 3]));
    generations.worked(3);
    assert_eq!((generations.state(), order(&generations)), (State::Ok, vec![3, 2]));
    assert!(!generations.in_force().covers(2));
}

#[test]
fn what_was_let_go_has_its_number_again_and_nothing_else() {
    let mut generations = generations(&["a"]);
    generations.worked(1);
    for password in ["b", "c", "d"] {
        generations.accept(contents(password));
    }
    assert_eq!(order(&generations), [1, 4, 3]);
    assert_eq!(generations.accept(contents("b")), Some(2));
    assert_eq!((order(&generations), generations.state()), (vec![1, 2, 4], State::Untried));
    assert_eq!(generations.accept(contents("e")), Some(5));
}

#[test]
fn a_late_yes_to_another_one_leaves_what_is_current_its_number() {
    let mut generations = generations(&["a"]);
    generations.worked(1);
    generations.accept(contents("b"));
    generations.accept(contents("a"));
    generations.worked(2);
    assert_eq!(generations.accept(contents("a")), None, "it is read again");
    assert_eq!((generations.accept(contents("b")), generations.accept(contents("a"))), (Some(2), Some(1)));
}

#[test]
fn older_generations_are_let_go_but_not_the_last_one_that_worked() {
    let mut generations = generations(&["a"]);
    let first = Arc::downgrade(generations.current().expect("a generation"));
    generations.accept(contents("b"));
    assert!(first.upgrade().is_some());
    generations.accept(contents("c"));
    assert!(first.upgrade().is_none());

    generations.worked(3);
    for password in ["d", "e", "f"] {
        generations.accept(contents(password));
    }
    assert_eq!(order(&generations), [3, 6, 5]);
    assert_eq!(generations.previous().map(|material| material.generation()), Some(3));
}

#[test]
fn the_newer_generation_comes_first_while_none_has_worked() {
    assert_eq!(order(&generations(&[])), [0u64; 0]);
    assert_eq!(order(&generations(&["a"])), [1]);
    assert_eq!(order(&generations(&["a", "b", "c"])), [3, 2]);
    assert_eq!(on_trial(&generations(&["a", "b"])), None);
}

#[test]
fn a_new_generation_waits_for_its_trial_behind_one_that_works() {
    let mut generations = generations(&["a"]);
    generations.worked(1);
    assert_eq!((generations.state(), generations.proven()), (State::Ok, Some(1)));
    generations.accept(contents("b"));
    assert_eq!((order(&generations), generations.state()), (vec![1, 2], State::Untried));
    assert_eq!(on_trial(&generations), Some(2));
    generations.worked(2);
    assert_eq!((order(&generations), generations.state()), (vec![2, 1], State::Ok));
    assert_eq!((on_trial(&generations), generations.proven()), (None, Some(2)));
}

#[test]
fn a_rejected_generation_is_kept_aside_while_an_older_one_works() {
    let mut generations = generations(&["a", "b"]);
    generations.worked(1);
    generations.rejected(2);
    assert_eq!((order(&generations), generations.state()), (vec![1, 2], State::Degraded));
    assert_eq!(generations.proven(), Some(1));
    generations.rejected(1);
    assert!(!generations.is_rejected(2), "it may be what the server has changed to");
    assert_eq!((order(&generations), generations.state()), (vec![2, 1], State::Untried));
    generations.rejected(2);
    assert_eq!((order(&generations), generations.state()), (vec![2, 1], State::Rejected));
    assert_eq!((on_trial(&generations), generations.proven()), (None, None));
    generations.worked(2);
    assert_eq!((order(&generations), generations.state()), (vec![2, 1], State::Ok));
}

#[test]
fn an_older_generation_takes_over_from_one_that_stopped_working_once_it_has_worked_again() {
    let mut generations = generations(&["a", "b"]);
    generations.worked(1);
    generations.worked(2);
    generations.rejected(2);
    assert_eq!((order(&generations), generations.state()), (vec![2, 1], State::Rejected));
    generations.worked(1);
    assert_eq!((order(&generations), generations.state()), (vec![1, 2], State::Degraded));
}

#[test]
fn an_older_generation_that_has_taken_over_goes_on_when_the_newer_one_is_rejected_again() {
    let mut generations = generations(&["a", "b"]);
    generations.worked(1);
    generations.worked(2);
    generations.rejected(2);
    generations.worked(1);
    assert!(!generations.rejected(2), "a login that was under way, or a trial");
    assert_eq!((order(&generations), generations.state()), (vec![1, 2], State::Degraded));
    assert_eq!(on_trial(&generations), Some(2));
    generations.worked(2);
    assert_eq!((order(&generations), generations.state()), (vec![2, 1], State::Ok));
}

#[test]
fn verdicts_are_news_once() {
    let mut generations = generations(&["a"]);
    assert!(!generations.ever_worked);
    assert!(generations.rejected(1));
    assert!(!generations.rejected(1) && generations.is_rejected(1));
    assert!(!generations.ever_worked);
    assert!(generations.worked(1));
    assert!(!generations.worked(1) && !generations.is_rejected(1));
    assert!(generations.ever_worked);
    assert!(!generations.worked(7), "a generation that was let go");
}
