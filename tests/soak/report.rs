//! What a soak has counted, and what it prints.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::judge::{Attempt, Excuse, Kind};
use crate::timeline::Spell;

/// Counted while it runs.
#[derive(Debug, Default)]
pub struct Tally {
    pub operations: u64,
    pub sessions: u64,
    stalls: BTreeMap<&'static str, (Duration, Duration)>,
    excused: BTreeMap<Excuse, u64>,
    pub failures: Vec<Attempt>,
    /// What else is wrong.
    pub complaints: Vec<String>,
}

impl Tally {
    pub fn note(&mut self, what: Kind, from: Duration, to: Duration) {
        let name = match what {
            Kind::Connecting | Kind::FirstAnswer => {
                self.sessions += 1;
                "connecting"
            }
            Kind::Relogin => "a new login",
            Kind::Operation => "an operation",
            Kind::Goodbye => return,
        };
        self.operations += 1;
        let longest = self.stalls.entry(name).or_default();
        *longest = (*longest).max((to - from, from));
    }

    pub fn excused(&mut self, excuse: Excuse) {
        *self.excused.entry(excuse).or_default() += 1;
    }

    pub fn longest_stall(&self) -> Duration {
        self.stalls.values().map(|(longest, _)| *longest).max().unwrap_or_default()
    }

    pub fn fail(&mut self, attempt: Attempt) {
        self.failures.push(attempt);
    }

    pub fn count(&self, excuse: Excuse) -> u64 {
        self.excused.get(&excuse).copied().unwrap_or_default()
    }
}

/// How big the process was.
#[derive(Debug, Clone, Copy, Default)]
pub struct Size {
    pub resident: u64,
    pub files: usize,
}

#[derive(Debug, Default)]
pub struct Report {
    pub name: &'static str,
    pub took: Duration,
    pub tally: Tally,
    pub spells: Vec<Spell>,
    /// What the process says of itself at the end, by the metric's name.
    pub metrics: BTreeMap<&'static str, f64>,
    pub at_first: Size,
    pub at_most: Size,
    pub at_last: Size,
    /// The process's log around what failed.
    pub log: Vec<String>,
}

impl Report {
    pub fn has_failed(&self) -> bool {
        !self.tally.failures.is_empty() || !self.tally.complaints.is_empty()
    }

    fn events(&self) -> BTreeMap<&str, usize> {
        let mut events = BTreeMap::new();
        for spell in &self.spells {
            let kind = spell.what.split([',', ':']).next().unwrap_or_default();
            *events.entry(kind).or_default() += 1;
        }
        events
    }

    /// What the script did shortly before and during the first failure.
    fn around_the_failure(&self) -> Vec<&Spell> {
        const BEFORE: Duration = Duration::from_secs(20);
        let Some(failed) = self.tally.failures.first() else { return self.spells.iter().collect() };
        let from = failed.well.min(failed.from).saturating_sub(BEFORE);
        self.spells.iter().filter(|spell| spell.touches(from, failed.to, Duration::ZERO)).collect()
    }
}

const MIB: f64 = 1024.0 * 1024.0;

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { name, tally, .. } = self;
        writeln!(
            out,
            "{name}: {} operations, {} of them new sessions, in {:.0} s; {} failed",
            tally.operations,
            tally.sessions,
            self.took.as_secs_f64(),
            tally.failures.len()
        )?;
        for (what, (longest, at)) in &tally.stalls {
            writeln!(out, "  longest stall of {what}: {longest:.1?} at {at:.1?}")?;
        }
        writeln!(out, "  impossible to save: {:?}; metrics: {:?}", tally.excused, self.metrics)?;
        writeln!(out, "  events: {:?}", self.events())?;
        let mib = |size: Size| size.resident as f64 / MIB;
        let (first, most, last) = (self.at_first, self.at_most, self.at_last);
        writeln!(
            out,
            "  memory {:.1} MiB at first, {:.1} at most, {:.1} at last; files {}, {}, {}",
            mib(first),
            mib(most),
            mib(last),
            first.files,
            most.files,
            last.files
        )?;
        for failure in &tally.failures {
            writeln!(out, "  FAILED {failure:?}")?;
        }
        for complaint in &tally.complaints {
            writeln!(out, "  WRONG {complaint}")?;
        }
        for spell in self.around_the_failure() {
            writeln!(
                out,
                "  {:8.2?} to {:8.2?} {}",
                spell.from,
                spell.until.unwrap_or(self.took),
                spell.what
            )?;
        }
        self.log.iter().try_for_each(|line| writeln!(out, "  {line}"))
    }
}
