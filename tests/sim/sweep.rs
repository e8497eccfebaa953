//! Many schedules, one after another.

use std::time::Instant;

use crate::book::Verdict;
use crate::plan::Plan;
use crate::schedule::{self, Counts, Outcome};

/// How many schedules an ordinary run plays.
const USUAL: u64 = 600;
/// So many seeds that fail are told in full.
const TOLD: usize = 5;

#[test]
fn whatever_happens_no_session_is_lost_that_could_be_saved() {
    match number("ATTACHE_SIM_SEED") {
        Some(seed) => one(seed),
        None => sweep(0),
    }
}

/// The other half, on another thread.
#[test]
fn whatever_happens_nothing_is_left_behind() {
    if number("ATTACHE_SIM_SEED").is_none() {
        sweep(1);
    }
}

#[test]
fn a_schedule_can_be_had_again() {
    for seed in 0..20 {
        let [first, second] = [(); 2].map(|()| {
            let outcome = schedule::run(&Plan::draw(seed));
            let at = |verdict: &Verdict| (verdict.at - outcome.start.unwrap(), verdict.login.clone());
            (outcome.counts, outcome.verdicts.iter().map(at).collect::<Vec<_>>())
        });
        assert_eq!(first, second, "seed {seed}");
    }
}

/// One schedule, told as it goes.
fn one(seed: u64) {
    let plan = Plan::draw(seed);
    let outcome = schedule::tell(&plan);
    println!("{plan}\n{}", outcome.log.join("\n"));
    assert!(outcome.wrong.is_empty(), "{}", outcome.wrong.join("\n"));
}

/// Every second seed.
fn sweep(first: u64) {
    let (start, count) = (Instant::now(), number("ATTACHE_SIM_SEEDS").unwrap_or(USUAL));
    let mut all = Counts::default();
    let mut failed: Vec<(Plan, Outcome)> = Vec::new();
    let mut played = 0;
    for seed in (first..count).step_by(2) {
        let plan = Plan::draw(seed);
        let outcome = schedule::run(&plan);
        all.add(outcome.counts);
        played += 1;
        if !outcome.wrong.is_empty() {
            failed.push((plan, outcome));
        }
    }
    println!("{played} schedules in {:.1?}: {all:?}", start.elapsed());
    for (plan, outcome) in failed.iter().take(TOLD) {
        println!("{plan}{}\n", outcome.wrong.join("\n"));
    }
    let seeds: Vec<u64> = failed.iter().map(|(plan, _)| plan.seed).collect();
    let again = seeds.first().map(|seed| format!("ATTACHE_SIM_SEED={seed} cargo test --test sim"));
    assert!(
        seeds.is_empty(),
        "broken promises with seeds {seeds:?}; to see one: {}",
        again.unwrap_or_default()
    );
    assert!(all.excused > 0, "nothing ever went wrong in these schedules: they prove nothing");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}
