//! Numbers that look drawn by chance, and come again with the same seed.

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a check takes, and its seed: for whoever looks for more, or for the same again.
const SECONDS: &str = "ATTACHE_CHECK_SECONDS";
pub const SEED: &str = "ATTACHE_CHECK_SEED";

/// A generator (xorshift64*).
#[derive(Debug, Clone)]
pub struct Chance(u64);

/// An odd number far from any pattern: neighbouring seeds begin far from each other.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Chance {
    pub fn new(seed: u64) -> Chance {
        // Zero would stay zero.
        Chance(seed.wrapping_mul(SPREAD).max(1))
    }

    /// Another one, for a part that draws for itself: the same for the same name.
    pub fn of(&self, part: &str) -> Chance {
        let seed = part.bytes().fold(self.0, |seed, byte| seed.rotate_left(7) ^ u64::from(byte));
        Chance::new(seed)
    }

    /// # Panics
    /// If there is nothing below the limit.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    /// Whether it happens that happens once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Fewer than so many.
    pub fn octets(&mut self, limit: usize) -> Vec<u8> {
        (0..self.below(limit)).map(|_| self.below(1 << 8) as u8).collect()
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// To the millisecond; the longest is not reached.
    pub fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let span = usize::try_from((longest - shortest).as_millis()).unwrap_or(usize::MAX);
        shortest + Duration::from_millis(self.below(span.max(1)) as u64)
    }

    pub fn shuffle<T>(&mut self, cards: &mut [T]) {
        for last in (1..cards.len()).rev() {
            cards.swap(last, self.below(last + 1));
        }
    }
}

/// Another seed each time, unless the environment says which. It is told.
#[expect(clippy::print_stdout, reason = "the test runner shows it under a failed test")]
pub fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let seed = set(SEED).unwrap_or_else(now);
    println!("{SEED}={seed}");
    seed
}

/// So many seconds, unless the environment says how many.
pub fn time(seconds: u64) -> Duration {
    Duration::from_secs(set(SECONDS).unwrap_or(seconds))
}

fn set(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("no number: {name}={value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_again_and_another_seed_does_not() {
        let draw = |seed| {
            let mut chance = Chance::new(seed).of("part");
            let mut cards: Vec<usize> = (0..50).collect();
            chance.shuffle(&mut cards);
            cards
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mut sorted = draw(3);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_between_lies_between() {
        let (low, high) = (Duration::from_millis(5), Duration::from_millis(8));
        let mut chance = Chance::new(0);
        assert!((0..100).map(|_| chance.between(low, high)).all(|drawn| drawn >= low && drawn < high));
    }
}
