//! A connection that breaks by whichever of the calls that Attaché makes on it, until a whole life passes unharmed; and
//! a session that is dropped at whichever of its awaits.

use std::time::Duration;

use crate::book::Login;
use crate::plan::{Habit, Plan, Step};
use crate::schedule;
use crate::speech::Dialect;
use crate::wire::Fault;
use crate::world::Target;

/// More calls than any of these connections lives to see.
const MANY: u32 = 1000;
/// Fewer would mean that next to nothing was cut.
const SOME: u32 = 20;

/// Sessions one after another, and a rotation with two passwords between them.
fn life(dialect: Dialect) -> Plan {
    let (old, new) = (Login::new("app_a", "password-0"), Login::new("app_a", "password-1"));
    let steps = [(1500, Step::Allow(new.clone())), (2000, Step::Mount(new)), (4000, Step::Forbid(old))];
    let plan = Plan::quiet(dialect).with_clients(1, Habit::Regular).with_steps("two passwords", &steps);
    Plan { length: Duration::from_secs(8), probe_interval: Duration::from_secs(5), ..plan }
}

/// The same, with links that wait and serve one session after another.
fn life_with_a_pool(dialect: Dialect) -> Plan {
    Plan { warm: 2, reuse: true, ..life(dialect) }
}

fn lives() -> [Plan; 5] {
    let [postgres, redis, mysql] = [Dialect::Postgres, Dialect::Redis, Dialect::Mysql].map(life);
    let pools = [Dialect::Postgres, Dialect::Mysql].map(life_with_a_pool);
    let [of_postgres, of_mysql] = pools;
    [postgres, redis, mysql, of_postgres, of_mysql]
}

/// Cuts each of these by each call, in every way.
fn cut_everywhere(plan: &Plan, targets: &[Target], faults: &[Fault]) {
    let mut wrong = Vec::new();
    let mut cuts = 0;
    for (target, fault) in targets.iter().flat_map(|target| faults.iter().map(move |fault| (*target, *fault)))
    {
        for call in 1..MANY {
            let outcome = schedule::cut(plan, target, call, fault);
            let told = |wrong| format!("{target:?} by call {call}, {fault:?}: {wrong}");
            wrong.extend(outcome.wrong.into_iter().map(told));
            if !outcome.was_cut {
                break;
            }
            cuts += 1;
        }
    }
    assert!(wrong.is_empty(), "{} promises broken by {cuts} cuts\n{}", wrong.len(), wrong.join("\n"));
    assert!(cuts > SOME, "{cuts} cuts");
}

const CLIENTS: [Target; 2] = [Target::Client(0), Target::Client(1)];
/// Probes, sessions, the trial of the new generation, and whatever is logged in ahead.
const SERVERS: [Target; 6] = [
    Target::Server(0),
    Target::Server(1),
    Target::Server(2),
    Target::Server(3),
    Target::Server(4),
    Target::Server(5),
];
const SESSIONS: [Target; 2] = [Target::Session(0), Target::Session(1)];

#[test]
fn a_client_that_breaks_off_anywhere_leaves_nothing_behind() {
    for plan in lives() {
        cut_everywhere(&plan, &CLIENTS, &Fault::ALL);
    }
}

#[test]
fn a_server_that_breaks_off_anywhere_before_the_welcome_costs_no_session_and_later_is_told() {
    for plan in lives() {
        cut_everywhere(&plan, &SERVERS, &Fault::ALL);
    }
}

/// The first session's, from its handshake on.
#[test]
fn tls_that_breaks_off_anywhere_costs_no_session_before_the_welcome_either() {
    cut_everywhere(&Plan { tls: true, ..life(Dialect::Postgres) }, &SERVERS[1..2], &Fault::ALL);
}

#[test]
fn a_session_that_is_dropped_anywhere_leaves_nothing_behind() {
    for plan in lives() {
        cut_everywhere(&plan, &SESSIONS, &[Fault::Reset]);
    }
}
