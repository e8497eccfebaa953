//! How often a credential is tried that the database rejects, by the clock.

use std::time::Duration;

use crate::book::Login;
use crate::plan::{Habit, Plan, Step};
use crate::schedule::{self, Outcome};
use crate::speech::Dialect;

const MINUTE: Duration = Duration::from_secs(60);
/// Logins that are under way when the first rejection arrives: one for each client.
const CLIENTS: usize = 6;
/// As documented in `docs/rotation.md`.
const REJECTED_A_MINUTE: usize = 10;
const TURN: Duration = Duration::from_secs(12);

/// When logins were rejected, since the beginning.
fn rejections(outcome: &Outcome) -> Vec<Duration> {
    let rejected = outcome.verdicts.iter().filter(|verdict| !verdict.accepted);
    rejected.map(|verdict| verdict.at - outcome.start.unwrap()).collect()
}

#[test]
fn a_generation_that_is_rejected_is_tried_after_longer_and_longer_pauses_and_costs_no_session() {
    let wrong = Login::new("app_a", "a typing error");
    let plan = Plan::quiet(Dialect::Postgres)
        .with_clients(3, Habit::Stayer)
        .with_clients(3, Habit::Hopper)
        .with_steps("the wrong Secret", &[(5000, Step::Mount(wrong))]);
    let outcome = schedule::run(&Plan { length: MINUTE * 6, ..plan });
    assert_eq!(outcome.wrong, [""; 0]);
    assert_eq!(outcome.counts.excused, 0, "nobody noticed");
    let times = rejections(&outcome);
    let pauses: Vec<f64> = times.windows(2).map(|two| (two[1] - two[0]).as_secs_f64()).collect();
    for (pause, wanted) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]) {
        assert!((wanted * 0.75..wanted * 1.25 + 1.0).contains(pause), "{pauses:?}");
    }
    assert!(pauses.len() >= 8, "{pauses:?}");
}

#[test]
fn no_account_is_locked_and_there_is_always_a_next_try() {
    for dialect in [Dialect::Postgres, Dialect::Redis, Dialect::Mysql] {
        let new = Login::new("app_a", "password-1");
        let (lost, found) = (Duration::from_secs(10), MINUTE * 10);
        let steps = [(10_000, Step::Replace(new.clone())), (600_000, Step::Mount(new))];
        let plan =
            Plan::quiet(dialect).with_clients(CLIENTS, Habit::Hopper).with_steps("nobody tells us", &steps);
        let outcome = schedule::run(&Plan { length: MINUTE * 11, ..plan });
        assert_eq!(outcome.wrong, [""; 0]);
        let times = rejections(&outcome);
        let within = |from: Duration, time: Duration| {
            times.iter().filter(|at| (from..from + time).contains(*at)).count()
        };
        for from in (10..540).map(Duration::from_secs) {
            let most = REJECTED_A_MINUTE + if from < lost + MINUTE { CLIENTS } else { 0 };
            assert!(within(from, MINUTE) <= most, "{} in the minute from {from:?}", within(from, MINUTE));
            let next = within(from, TURN + Duration::from_secs(1));
            assert!(from >= found || next > 0, "nobody tried from {from:?}");
        }
        let last = outcome.verdicts.iter().rfind(|verdict| !verdict.accepted).unwrap();
        assert!(
            last.at - outcome.start.unwrap() < found + Duration::from_secs(1),
            "served as soon as it was told"
        );
    }
}
