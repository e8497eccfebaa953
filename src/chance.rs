//! Randomness, from the library that TLS uses.

use std::cell::RefCell;
use std::time::Duration;

use zeroize::Zeroize;

/// So much is drawn at once, in octets: it costs little more than a few.
const DRAWN: usize = 512;

thread_local! {
    static STOCK: RefCell<Stock> = const { RefCell::new(Stock { drawn: [0; DRAWN], left: 0 }) };
}

/// Octets that nobody has had yet.
struct Stock {
    drawn: [u8; DRAWN],
    /// How many of the first are left.
    left: usize,
}

impl Stock {
    /// Each octet is given out once.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= DRAWN) };
        if self.left < N {
            aws_lc_rs::rand::fill(&mut self.drawn).expect("the operating system gives random bytes");
            self.left = DRAWN;
        }
        let mut bytes = [0; N];
        let given = &mut self.drawn[self.left - N..self.left];
        bytes.copy_from_slice(given);
        given.zeroize();
        self.left -= N;
        bytes
    }
}

/// Fresh bytes.
///
/// # Panics
/// If the operating system gives none, which TLS could not survive either.
pub fn bytes<const N: usize>() -> [u8; N] {
    #[cfg(feature = "sim")]
    if let Some(world) = crate::sim::world() {
        let mut bytes = [0; N];
        world.fill(&mut bytes);
        return bytes;
    }
    STOCK.with_borrow_mut(Stock::take)
}

/// From zero to `most`, each as likely as the other.
pub fn up_to(most: u32) -> u32 {
    let share = u64::from_ne_bytes(bytes()) % (u64::from(most) + 1);
    u32::try_from(share).expect("the remainder is at most `most`")
}

/// Between three quarters and five quarters of `duration`, so that many of us do not act in step.
pub fn about(duration: Duration) -> Duration {
    let share = f64::from(u16::from_ne_bytes(bytes())) / f64::from(u16::MAX);
    duration.mul_f64(0.75 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_octets_are_given_out_twice() {
        let mut stock = Stock { drawn: [0; DRAWN], left: 0 };
        let given: HashSet<[u8; 24]> = (0..1000).map(|_| stock.take()).collect();
        assert_eq!(given.len(), 1000);
        assert!(stock.drawn[stock.left..].iter().all(|octet| *octet == 0), "they are not kept either");
        assert!(!given.contains(&[0; 24]));
    }
}
