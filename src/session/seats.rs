//! How many sessions a route serves, whatever it was configured as when they came.
//!
//! A reload makes a route anew while its sessions live on: they count for the new one too, or each reload would let in as
//! many again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The seats of a route that are taken.
#[derive(Debug, Default)]
pub struct Seats(AtomicUsize);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Seat(Arc<Seats>);

impl Seats {
    /// Takes a seat, if fewer than `most` are taken.
    pub fn take(self: &Arc<Self>, most: usize) -> Option<Seat> {
        let one_more = |taken| (taken < most).then_some(taken + 1);
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        before.is_ok().then(|| Seat(Arc::clone(self)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_and_one_that_is_given_back_is_free_again() {
        let seats = Arc::new(Seats::default());
        let taken: Vec<_> = (0..2).map(|_| seats.take(2)).collect();
        assert!(taken.iter().all(Option::is_some));
        assert!(seats.take(2).is_none());
        assert!(seats.take(1).is_none(), "a smaller route has fewer");
        assert!(seats.take(3).is_some(), "a larger one has more");
        drop(taken);
        assert!(seats.take(1).is_some());
    }
}
