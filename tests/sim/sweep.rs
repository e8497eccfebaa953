//! Many schedules, one after another.

use std::time::Instant;

use crate::plan::Plan;
use crate::schedule::{self, Counts, Outcome};

/// How many schedules an ordinary run plays.
const USUAL: u64 = 400;
/// So many are played twice and compared.
const COMPARED: u64 = 50;
/// What is told of a schedule has more lines than this.
const SOME_LINES: usize = 10;
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

/// Whoever looks at a schedule that failed has to see it fail.
#[test]
fn a_seed_plays_the_same_each_time_to_the_octet() {
    for seed in 0..COMPARED {
        let plan = Plan::draw(seed);
        let [one, other] = [(); 2].map(|()| schedule::tell(&plan).log);
        assert!(one.len() > SOME_LINES, "next to nothing is told of seed {seed}");
        let differing = one.iter().zip(&other).position(|(one, other)| one != other);
        let at = differing.unwrap_or(one.len().min(other.len()));
        assert!(one == other, "seed {seed}, line {at}:\n{:?}\n{:?}", one.get(at), other.get(at));
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
    let from = number("ATTACHE_SIM_FROM").unwrap_or_default();
    let mut all = Counts::default();
    let mut failed: Vec<(Plan, Outcome)> = Vec::new();
    let mut played = 0;
    for seed in (from + first..from + count).step_by(2) {
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
