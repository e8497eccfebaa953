//! A connection that breaks, by whichever of the calls that Attaché makes on it, until a whole life passes unharmed.

use std::time::Duration;

use crate::plan::{Habit, Plan, Step};
use crate::schedule;
use crate::speech::Dialect;
use crate::wire::Fault;
use crate::world::{Login, Target};

/// More calls than any of these connections lives to see.
const MANY: u32 = 1000;

/// Two sessions in order, and a rotation with two passwords between them.
fn life(dialect: Dialect) -> Plan {
    let (old, new) = (Login::new("app_a", "password-0"), Login::new("app_a", "password-1"));
    let steps = [(1500, Step::Allow(new.clone())), (2000, Step::Mount(new)), (4000, Step::Forbid(old))];
    let plan = Plan::quiet(dialect).with_clients(1, Habit::Regular).with_steps("two passwords", &steps);
    Plan { length: Duration::from_secs(8), probe_interval: Duration::from_secs(5), ..plan }
}

/// Cuts each of these connections by each call, in every way. Returns how often.
fn cut_everywhere(plan: &Plan, targets: &[Target]) -> u32 {
    let mut wrong = Vec::new();
    let mut cuts = 0;
    for target in targets {
        let start = std::time::Instant::now();
        for fault in Fault::ALL {
            for call in 1..MANY {
                let outcome = schedule::cut(plan, *target, call, fault);
                wrong.extend(outcome.wrong.into_iter().map(|wrong| format!("{target:?}, call {call}, {fault:?}: {wrong}")));
                if !outcome.was_cut {
                    break;
                }
                cuts += 1;
            }
        }
        eprintln!("{target:?} {cuts} {:?}", start.elapsed());
    }
    assert!(wrong.is_empty(), "{} of {cuts} cuts\n{}", wrong.len(), wrong.join("\n"));
    cuts
}

const CLIENTS: [Target; 2] = [Target::Client(0), Target::Client(1)];

fn servers(count: usize) -> Vec<Target> {
    (0..count).map(Target::Server).collect()
}

#[test]
fn a_client_that_breaks_off_anywhere_leaves_nothing_behind() {
    for dialect in [Dialect::Postgres, Dialect::Redis] {
        assert!(cut_everywhere(&life(dialect), &CLIENTS) > 50);
    }
}

#[test]
fn a_server_that_breaks_off_anywhere_before_the_welcome_costs_no_session() {
    for dialect in [Dialect::Postgres, Dialect::Redis] {
        assert!(cut_everywhere(&life(dialect), &servers(5)) > 50);
    }
}

#[test]
fn links_that_wait_and_break_are_replaced() {
    let plan = Plan { warm: 2, reuse: true, ..life(Dialect::Postgres) };
    assert!(cut_everywhere(&plan, &CLIENTS) > 50);
    assert!(cut_everywhere(&plan, &servers(6)) > 50);
}
