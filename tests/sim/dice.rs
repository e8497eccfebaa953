//! Chance that can be had again: everything that a schedule draws comes from one number.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): one word of state, good enough to shuffle events.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice of its own for one purpose: what is drawn for another does not change what is drawn here.
    pub fn of(seed: u64, purpose: &str) -> Dice {
        let mixed = purpose.bytes().fold(seed, |sum, byte| Dice(sum ^ u64::from(byte)).next());
        Dice(mixed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// From zero to below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    pub fn in_hundred(&mut self, chances: u64) -> bool {
        self.roll(100) < chances
    }

    /// From `least` to `most`, to the millisecond.
    pub fn between(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.roll(most - least + 1))
    }

    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        let at = usize::try_from(self.roll(all.len() as u64)).expect("an index");
        all[at]
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_ne_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
