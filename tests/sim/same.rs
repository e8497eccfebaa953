//! The same credential is the same, however often it is written and whatever comes in between.

use std::time::Duration;

use attache::config::domain::Live;

use crate::book::{Condition, Login, Verdict};
use crate::plan::{Farewell, Habit, Plan, Step, WRONG};
use crate::schedule::{self, Outcome};
use crate::speech::Dialect;

const DIALECTS: [Dialect; 2] = [Dialect::Postgres, Dialect::Redis];

fn login(number: u32) -> Login {
    Login::new("app_a", &format!("password-{number}"))
}

fn wrong() -> Login {
    Login::new("app_a", WRONG)
}

/// Clients of each kind that stays.
fn plan(dialect: Dialect, live: Live) -> Plan {
    let plan = Plan::quiet(dialect).with_clients(3, Habit::Stayer).with_clients(2, Habit::Sleeper);
    let warm = if dialect == Dialect::Postgres { 2 } else { 0 };
    Plan { live, within: Duration::ZERO, warm, length: Duration::from_secs(15), ..plan }
}

fn since(outcome: &Outcome, moment: Duration) -> impl Iterator<Item = &Verdict> {
    let start = outcome.start.unwrap();
    outcome.verdicts.iter().filter(move |verdict| verdict.at >= start + moment)
}

#[test]
fn a_wrong_secret_that_is_put_right_again_ends_nobody() {
    let steps = [(4000, Step::Mount(wrong())), (8000, Step::Mount(login(0)))];
    for dialect in DIALECTS {
        for live in [Live::Cut, Live::Drain] {
            let outcome = schedule::run(&plan(dialect, live).with_steps("put right", &steps));
            assert_eq!(outcome.wrong, [""; 0]);
            assert!(outcome.counts.rejected > 0, "the wrong one was tried");
            assert_eq!(outcome.counts.excused, 0, "{dialect:?} {live:?}: somebody had to go");
        }
    }
}

/// Neither a trial, nor a login of a session that lives, nor another link in the place of one that waits.
#[test]
fn a_secret_that_is_put_right_again_takes_no_login() {
    let steps = [(4000, Step::Mount(wrong())), (8000, Step::Mount(login(0)))];
    for dialect in DIALECTS {
        let plan = Plan::quiet(dialect).with_clients(3, Habit::Sleeper).with_steps("put right", &steps);
        let warm = if dialect == Dialect::Postgres { 2 } else { 0 };
        let outcome = schedule::run(&Plan { warm, length: Duration::from_secs(20), ..plan });
        assert_eq!(outcome.wrong, [""; 0]);
        let begun = outcome.start.unwrap() + Duration::from_secs(8);
        let again = since(&outcome, Duration::from_secs(8)).filter(|verdict| verdict.began >= begun);
        let again: Vec<_> = again.filter(|verdict| verdict.at < begun + Duration::from_secs(12)).collect();
        assert!(again.is_empty(), "{dialect:?}: {again:#?}");
    }
}

/// No server of this world asks for a certificate.
#[test]
fn a_certificate_that_is_renewed_beside_the_same_password_ends_nobody() {
    let steps = [(2000, Step::Renew), (5000, Step::Renew), (8000, Step::Renew)];
    for dialect in DIALECTS {
        let outcome = schedule::run(&plan(dialect, Live::Cut).with_steps("renewed", &steps));
        assert_eq!((outcome.wrong, outcome.counts.excused), (Vec::<String>::new(), 0), "{dialect:?}");
    }
}

/// There and back again: sessions of what was in between end, and those of the first that have stayed go on.
#[test]
fn a_rotation_that_is_taken_back_is_a_rotation() {
    let steps = [
        (3000, Step::Allow(login(1))),
        (4000, Step::Mount(login(1))),
        (8000, Step::Mount(login(0))),
        (11_000, Step::Forbid(login(1))),
    ];
    for dialect in DIALECTS {
        for live in [Live::Keep, Live::Drain, Live::Cut] {
            let outcome = schedule::run(&plan(dialect, live).with_steps("taken back", &steps));
            assert_eq!(outcome.wrong, [""; 0]);
            let tried = since(&outcome, Duration::from_secs(8));
            let first = tried.map(|verdict| &verdict.login).next();
            assert_eq!(first, Some(&login(0)), "it is tried before it is trusted again");
        }
    }
}

/// A login that did not get as far as the password cannot lock an account.
#[test]
fn what_was_never_sent_is_not_counted_as_rejected() {
    const BACK: u64 = 24_000;
    for early in [0, 2500, 5000, 7500, 10_000] {
        let down = 8000 - early / 4;
        let steps = [
            (5000, Step::Replace(login(1))),
            (down, Step::Server(0, Condition::Down, Farewell::Polite)),
            (15_000, Step::Replace(login(0))),
            (BACK - early, Step::Server(0, Condition::Up, Farewell::None)),
        ];
        let plan = Plan::quiet(Dialect::Postgres).with_clients(2, Habit::Hopper);
        let wait = Duration::from_secs(60);
        let plan = Plan { wait, length: Duration::from_secs(45), ..plan.with_steps("both at once", &steps) };
        let outcome = schedule::run(&plan);
        assert_eq!(outcome.wrong, [""; 0]);
        let back = Duration::from_millis(BACK - early);
        let first = since(&outcome, back).find(|verdict| verdict.accepted).unwrap();
        let after = first.at - outcome.start.unwrap() - back;
        assert!(after < Duration::from_secs(4), "served only after {after:?}");
    }
}
