//! Waiting for a condition with a deadline, or watching that one holds: the only kinds of waiting that tests may do.

use std::thread;
use std::time::{Duration, Instant};

/// Short beside any deadline, long beside one probe.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until there is an answer, and panics when the deadline has passed.
pub fn eventually<T>(what: &str, deadline: Duration, probe: impl FnMut() -> Option<T>) -> T {
    within(deadline, probe).unwrap_or_else(|| panic!("waited {deadline:?} for {what}"))
}

/// Asks until there is an answer or the deadline has passed; asks at least once.
pub fn within<T>(deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(PAUSE);
    }
}

/// Watches for so long that it stays like this, and panics when it does not. That nothing happens can be seen in no other
/// way; so the time is spent in full.
pub fn stays(what: &str, time: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < time {
        assert!(holds(), "not {what} any more after {:?}", start.elapsed());
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "not quiet any more")]
    fn what_does_not_stay_is_noticed() {
        let mut looks = 0;
        stays("quiet", Duration::from_secs(60), || {
            looks += 1;
            looks < 3
        });
    }

    #[test]
    fn what_stays_is_watched_for_all_the_time() {
        let (start, time) = (Instant::now(), Duration::from_millis(20));
        stays("quiet", time, || true);
        assert!(start.elapsed() >= time);
    }
}
