//! Many clients at once who look for wrong data: each does what chance tells it, for a time, beside a storm.
//!
//! What they do and what would be wrong each protocol knows for itself.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use crate::chance::{self, Chance};
use crate::house::LONG;
use crate::wait::within;

/// What is over is remembered for so long: what is on its way to it may still hit somebody.
const LATEST: usize = 16;

#[derive(Debug)]
pub struct Crowd {
    members: usize,
    time: Duration,
    seed: u64,
}

/// One client, which has one session after another.
#[derive(Debug)]
pub struct Member {
    pub number: usize,
    /// So far, the present one included.
    pub sessions: usize,
    pub chance: Chance,
}

impl Crowd {
    /// For so many seconds, unless the environment says otherwise.
    pub fn of(members: usize, seconds: u64) -> Crowd {
        Crowd { members, time: chance::time(seconds), seed: chance::seed() }
    }

    /// All members have sessions, each of which ends in one of these ways: first in every one of them. Beside them comes
    /// the storm, again and again. Both are counted; the storm by what it returns. A busy machine is given more time, until
    /// there was one of everything.
    ///
    /// # Panics
    /// If anybody did, or if there was no time for everything.
    pub fn acts<E: Copy + Ord + Debug + Send + Sync>(
        &self,
        ends: &[E],
        session: impl Fn(&mut Member, E) + Sync,
        storm: impl Fn(&mut Chance) -> usize + Sync,
    ) -> (BTreeMap<E, usize>, usize) {
        let over = AtomicBool::new(false);
        let goes_on = || !over.load(Ordering::Relaxed);
        let (counts, stormed) = (Mutex::new(BTreeMap::new()), AtomicUsize::new(0));
        let live = |number: usize| {
            let mut member =
                Member { number, sessions: 0, chance: Chance::new(self.seed).of(&number.to_string()) };
            while goes_on() {
                let end = member.next(ends);
                session(&mut member, end);
                *locked(&counts).entry(end).or_insert(0) += 1;
            }
        };
        let there_was_everything =
            || locked(&counts).len() == ends.len() && stormed.load(Ordering::Relaxed) > 0;
        thread::scope(|scope| {
            let live = &live;
            let members: Vec<_> = (0..self.members).map(|number| scope.spawn(move || live(number))).collect();
            let storm = scope.spawn(|| {
                let mut chance = Chance::new(self.seed).of("storm");
                while goes_on() {
                    let done = storm(&mut chance);
                    if done == 0 {
                        thread::yield_now();
                    }
                    stormed.fetch_add(done, Ordering::Relaxed);
                }
            });
            let failed = || members.iter().any(ScopedJoinHandle::is_finished);
            within(self.time, || failed().then_some(()));
            within(LONG, || (failed() || there_was_everything()).then_some(()));
            over.store(true, Ordering::Relaxed);
            members.into_iter().for_each(|member| member.join().expect("nothing wrong was seen"));
            storm.join().expect("the storm goes on");
        });
        let all_there = there_was_everything();
        let (all, stormed) = (locked(&counts).clone(), stormed.into_inner());
        assert!(all_there, "too little time: {all:?}, {stormed} in the storm");
        (all, stormed)
    }
}

impl Member {
    /// Each begins with another end, so that all are there soon.
    fn next<E: Copy>(&mut self, ends: &[E]) -> E {
        self.sessions += 1;
        if self.sessions <= ends.len() {
            ends[(self.number + self.sessions) % ends.len()]
        } else {
            self.chance.pick(ends)
        }
    }

    /// The session's own, unlike any other.
    pub fn token(&self) -> String {
        format!("{}-{}", self.number, self.sessions)
    }
}

/// By what sessions were known that are over: nobody is to be hit by it any more.
#[derive(Debug, Default)]
pub struct Past<T>(Mutex<Vec<T>>);

impl<T: Clone> Past<T> {
    pub fn push(&self, key: T) {
        self.keys().push(key);
    }

    /// One of the latest.
    pub fn pick(&self, chance: &mut Chance) -> Option<T> {
        let keys = self.keys();
        let latest = &keys[keys.len().saturating_sub(LATEST)..];
        (!latest.is_empty()).then(|| chance.pick(latest))
    }

    fn keys(&self) -> MutexGuard<'_, Vec<T>> {
        locked(&self.0)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
