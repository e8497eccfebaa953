//! What all credentials have in common that a route has had, one after the other: the numbers of their generations, and with
//! which of these anybody is logging in.
//!
//! A reload may put another credential in the place of one whose sessions live on. They are told apart by numbers
//! alone, so none is given twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The numbers of one route; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    /// The highest number that was given; 0 stands for none.
    last: u64,
    /// The one that is current now.
    current: Option<u64>,
    /// How many logins are under way, by generation.
    under_way: BTreeMap<u64, usize>,
}

impl Ledger {
    /// A number that no generation of the route has had.
    pub(super) fn next(&self) -> u64 {
        let mut entries = self.entries();
        entries.last += 1;
        entries.last
    }

    pub(super) fn last(&self) -> u64 {
        self.entries().last
    }

    /// Takes note of the generation that is current from now on.
    pub(super) fn turn(&self, current: Option<u64>) {
        self.entries().current = current;
    }

    pub(super) fn is_current(&self, generation: u64) -> bool {
        self.entries().current == Some(generation)
    }

    /// A login begins.
    pub(super) fn begin(&self, generation: u64) {
        *self.entries().under_way.entry(generation).or_default() += 1;
    }

    /// A login has come to its end.
    pub(super) fn end(&self, generation: u64) {
        let under_way = &mut self.entries().under_way;
        if let Some(count) = under_way.get_mut(&generation) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&generation);
            }
        }
    }

    /// Whether logins are under way with other generations than this one.
    pub(super) fn others_under_way(&self, generation: Option<u64>) -> bool {
        self.entries().under_way.keys().any(|other| Some(*other) != generation)
    }

    /// Nothing that panics runs under this lock, and each change under it is complete in itself.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
