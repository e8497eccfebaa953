//! What happened when, as the script did it: what the judge goes by, and what a failure prints.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What a spell does to sessions, whoever serves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effect {
    /// Sessions that live may be lost, until so long after its end.
    pub cuts: Option<Duration>,
    /// Nobody can log in while it lasts.
    pub bars: bool,
}

/// From an action of the script to its undoing.
#[derive(Debug, Clone)]
pub struct Spell {
    pub what: String,
    pub from: Duration,
    /// `None` while it lasts.
    pub until: Option<Duration>,
    pub effect: Effect,
}

#[derive(Debug)]
pub struct Timeline {
    start: Instant,
    spells: Mutex<Vec<Spell>>,
}

/// Ends its spell when it is dropped.
#[must_use]
pub struct Open<'a> {
    timeline: &'a Timeline,
    index: usize,
}

impl Timeline {
    pub fn new() -> Timeline {
        Timeline { start: Instant::now(), spells: Mutex::default() }
    }

    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// To be called before the first effect can be felt.
    pub fn begin(&self, what: impl Into<String>, effect: Effect) -> Open<'_> {
        let mut spells = self.lock();
        spells.push(Spell { what: what.into(), from: self.now(), until: None, effect });
        Open { timeline: self, index: spells.len() - 1 }
    }

    pub fn spells(&self) -> Vec<Spell> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Spell>> {
        self.spells.lock().unwrap()
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.timeline.lock()[self.index].until = Some(self.timeline.now());
    }
}

impl Spell {
    /// Whether it lasts, or its end is less than `tail` ago, anywhere between these moments.
    pub fn touches(&self, from: Duration, to: Duration, tail: Duration) -> bool {
        self.from <= to && self.until.is_none_or(|until| until + tail >= from)
    }
}
