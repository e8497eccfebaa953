//! Many schedules, one after another.

use std::time::Instant;

use crate::plan::Plan;
use crate::schedule::{self, Counts};

/// How many schedules an ordinary run plays.
const USUAL: u64 = 1000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn whatever_happens_no_session_is_lost_that_could_be_saved() {
    if let Some(seed) = number("ATTACHE_SIM_SEED") {
        let plan = Plan::draw(seed);
        let outcome = schedule::tell(&plan);
        eprintln!("{plan}\n{}", outcome.log.join("\n"));
        assert!(outcome.wrong.is_empty(), "{}", outcome.wrong.join("\n"));
        return;
    }
    let start = Instant::now();
    let mut all = Counts::default();
    let mut failed = Vec::new();
    let count = number("ATTACHE_SIM_SEEDS").unwrap_or(USUAL);
    for seed in 0..count {
        let plan = Plan::draw(seed);
        let outcome = schedule::run(&plan);
        all.logins += outcome.counts.logins;
        all.rejected += outcome.counts.rejected;
        all.questions += outcome.counts.questions;
        all.excused += outcome.counts.excused;
        if !outcome.wrong.is_empty() {
            failed.push((seed, outcome.wrong));
        }
    }
    eprintln!("{count} schedules in {:?}: {all:?}", start.elapsed());
    for (seed, wrong) in &failed {
        eprintln!("{seed}: {}", wrong.join("\n    "));
    }
    assert!(failed.is_empty(), "{} seeds failed", failed.len());
}
