//! How many rejected logins a server may see of one credential: accounts are locked after a few.

use std::time::Duration;

use tokio::time::Instant;

/// The most logins of a minute that are sent although the last one with the same generation was rejected. Locks that
/// are set by policy usually fall at five to ten failures, and forget them within a quarter of an hour or so.
pub const REJECTED_A_MINUTE: u32 = 10;

/// Half of them at once, the other half spread over the minute: any minute then has at most all of them, and there is
/// always a next one to come soon.
const AT_ONCE: u32 = REJECTED_A_MINUTE / 2;
const EVERY: Duration = Duration::from_secs(60 / (REJECTED_A_MINUTE - AT_ONCE) as u64);
/// What an older generation leaves for the current one.
const KEPT_FOR_CURRENT: u32 = 2;

/// The account of one credential.
#[derive(Debug, Default)]
pub(super) struct Lockout {
    /// When everything that was sent will be forgotten.
    clear_at: Option<Instant>,
}

impl Lockout {
    /// Takes leave to send a login that will probably be rejected. Where there is none, tells when there will be.
    pub(super) fn take(&mut self, now: Instant, current: bool) -> Result<(), Duration> {
        let most = if current { AT_ONCE } else { AT_ONCE - KEPT_FOR_CURRENT };
        let wait = self.wait(now, most);
        if wait.is_zero() {
            self.charge(now);
            return Ok(());
        }
        Err(wait)
    }

    /// Until the current generation may be sent again.
    pub(super) fn wait_for_current(&self, now: Instant) -> Duration {
        self.wait(now, AT_ONCE)
    }

    /// A login was rejected that nobody expected to be. However many there were, the next one that is expected to be is
    /// not further away than [`EVERY`]: sessions wait for it.
    pub(super) fn charge(&mut self, now: Instant) {
        let from = self.clear_at.map_or(now, |at| at.max(now));
        self.clear_at = Some((from + EVERY).min(now + EVERY * AT_ONCE));
    }

    /// A login that there was leave for was not rejected.
    pub(super) fn refund(&mut self) {
        self.clear_at = self.clear_at.and_then(|at| at.checked_sub(EVERY));
    }

    fn wait(&self, now: Instant, most: u32) -> Duration {
        let owed = self.clear_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        owed.saturating_sub(EVERY * (most - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(lockout: &mut Lockout, from: Instant, seconds: u64, current: bool) -> Vec<u64> {
        let at = |second| from + Duration::from_secs(second);
        (0..seconds).filter(|second| lockout.take(at(*second), current).is_ok()).collect()
    }

    #[test]
    fn no_minute_has_more_than_ten_rejected_logins_and_none_is_without_any() {
        let sent = sent(&mut Lockout::default(), Instant::now(), 600, true);
        assert_eq!(sent[..7], [0, 1, 2, 3, 4, 12, 24]);
        for start in 0..540 {
            let within = sent.iter().filter(|second| (start..start + 60).contains(*second)).count();
            assert!((1..=REJECTED_A_MINUTE as usize).contains(&within), "{within} from second {start}");
        }
    }

    #[test]
    fn an_older_generation_leaves_some_for_the_current_one() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        assert_eq!(sent(&mut lockout, now, 10, false), [0, 1, 2]);
        assert!(lockout.take(now, true).is_ok());
        assert!(lockout.take(now, true).is_ok());
        let wait = lockout.take(now, true);
        assert_eq!(wait, Err(lockout.wait_for_current(now)));
    }

    #[test]
    fn what_is_not_rejected_leaves_the_account_as_it_was() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        for _ in 0..100 {
            assert!(lockout.take(now, true).is_ok());
            lockout.refund();
        }
        assert_eq!(sent(&mut lockout, now, 10, true), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn what_nobody_expected_counts_too_but_not_for_ever() {
        let (mut lockout, now) = (Lockout::default(), Instant::now());
        (0..100).for_each(|_| lockout.charge(now));
        assert!(lockout.take(now, true).is_err());
        assert_eq!(lockout.wait_for_current(now), EVERY);
        assert!(lockout.take(now + EVERY, true).is_ok());
    }
}
