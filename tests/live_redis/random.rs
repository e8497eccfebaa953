//! Numbers that look random and are had again by their seed.

use std::io::{self, Write};
use std::time::SystemTime;

/// By which the same commands are had again.
pub const SEED: &str = "ATTACHE_CHECK_SEED";

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", section 3.
pub struct Random(u64);

/// Another each time, unless the environment says which. It is printed.
pub fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var(SEED).map_or_else(|_| now(), |seed| seed.parse().unwrap());
    let _ = writeln!(io::stderr(), "{SEED}={seed}");
    seed
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Whether it happens that happens once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    pub fn octets(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.next() as u8).collect()
    }
}
