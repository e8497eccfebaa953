//! What several Sentinels say together: whose report counts.
//!
//! The newest one does. An older one is not believed as long as anybody may remember the newer: a Sentinel that has lost
//! touch with the others, beside a primary that has, would lead sessions back to it.

use std::sync::Arc;
use std::time::Duration;

use attache_wire::Report;
use tokio::time::Instant;

use crate::failure::{Cause, Nature, Trouble};

/// For so long after the last time that anybody reported the newest state, an older one is not believed. The news of a
/// failover reaches every Sentinel within some seconds.
const MEMORY: Duration = Duration::from_secs(60);

/// Every Sentinel of a route, in the order of the configuration.
pub(super) struct Council {
    seats: Vec<Seat>,
    followed: Option<Followed>,
}

/// What one Sentinel said last.
#[derive(Debug, Clone)]
pub(super) enum Seat {
    Unheard,
    Reports(Report),
    /// It could not be asked, or had no report.
    Fails(Trouble),
}

/// The report that counts.
struct Followed {
    seat: usize,
    report: Report,
    /// When somebody reported this epoch last.
    confirmed_at: Instant,
}

impl Council {
    pub(super) fn of(sentinels: usize) -> Self {
        Self { seats: vec![Seat::Unheard; sentinels], followed: None }
    }

    /// One of them has said something, or failed to.
    pub(super) fn hear(&mut self, seat: usize, said: Result<Report, Trouble>, now: Instant) {
        self.seats[seat] = said.map_or_else(Seat::Fails, Seat::Reports);
        if let Some((seat, report)) = self.choose(now) {
            let report = report.clone();
            self.followed = Some(Followed { seat, report, confirmed_at: now });
        }
    }

    /// The report that counts, also when nobody can be asked any more.
    pub(super) fn report(&self) -> Option<&Report> {
        self.followed.as_ref().map(|followed| &followed.report)
    }

    pub(super) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// Whether a report is older than one that was followed.
    pub(super) fn is_outdated(&self, report: &Report) -> bool {
        self.report().is_some_and(|newest| report.epoch < newest.epoch)
    }

    /// Why there is no report, once all of them have failed.
    pub(super) fn trouble(&self, names: &[Arc<str>]) -> Option<Trouble> {
        let failures = self.seats.iter().map(|seat| match seat {
            Seat::Fails(trouble) => Some(trouble),
            Seat::Unheard | Seat::Reports(_) => None,
        });
        let failures: Vec<&Trouble> = failures.collect::<Option<_>>()?;
        let told = names.iter().zip(&failures).map(|(name, trouble)| format!("{name}: {trouble}"));
        let detail = told.collect::<Vec<_>>().join("; ");
        let causes = failures.iter().map(|trouble| common(trouble.cause));
        causes.max_by_key(|cause| tells(*cause)).map(|cause| Trouble::new(cause, detail))
    }

    /// Which report is to be followed, where one of those that are there is.
    fn choose(&self, now: Instant) -> Option<(usize, &Report)> {
        let newest = self.reports().map(|(_, report)| report.epoch).max()?;
        let of_newest = || self.reports().filter(|(_, report)| report.epoch == newest);
        let (_, first) = of_newest().next()?;
        if let Some(followed) = self.followed.as_ref().filter(|followed| newest < followed.report.epoch) {
            let agree = of_newest().filter(|(_, report)| report.primary == first.primary).count();
            let is_majority = agree >= 2 && agree * 2 > self.seats.len();
            if !is_majority || now < followed.confirmed_at + MEMORY {
                return None;
            }
        }
        // Sentinels may call the same server by different names: one of them is stayed with.
        let before = self.followed.as_ref().map(|followed| followed.seat);
        of_newest().find(|(seat, _)| before == Some(*seat)).or_else(|| of_newest().next())
    }

    fn reports(&self) -> impl Iterator<Item = (usize, &Report)> {
        self.seats.iter().enumerate().filter_map(|(index, seat)| match seat {
            Seat::Reports(report) => Some((index, report)),
            Seat::Unheard | Seat::Fails(_) => None,
        })
    }
}

/// What cannot be reached for one reason or another cannot be reached.
fn common(cause: Cause) -> Cause {
    match cause.nature() {
        Nature::OutOfReach | Nature::Passing => Cause::SentinelUnreachable,
        Nature::Unsettled | Nature::Rejected | Nature::Lasting | Nature::Intended => cause,
    }
}

/// Of several causes the one that says most of what is to be done.
fn tells(cause: Cause) -> usize {
    let least = [Cause::SentinelMasterUnknown, Cause::SentinelLoginRejected];
    let rank = least.iter().position(|known| *known == cause).map(|at| at + 2);
    rank.unwrap_or(usize::from(cause != Cause::SentinelUnreachable))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use attache_wire::Address;

    use super::*;

    fn report(epoch: u64, primary: &str) -> Result<Report, Trouble> {
        let primary = Address { host: primary.to_owned(), port: 6379 };
        Ok(Report { epoch, primary, replicas: Vec::new(), announces: true })
    }

    fn gone() -> Result<Report, Trouble> {
        Err(Cause::ConnectRefused.into())
    }

    /// Hears these in turn, and tells which primary counts after each.
    fn followed(sentinels: usize, said: Vec<(usize, Result<Report, Trouble>)>) -> Vec<String> {
        let (mut council, now) = (Council::of(sentinels), Instant::now());
        let heard = said.into_iter().map(|(seat, said)| {
            council.hear(seat, said, now);
            council.report().map_or_else(String::new, |report| report.primary.host.clone())
        });
        heard.collect()
    }

    #[tokio::test]
    async fn the_newest_report_counts_whoever_has_it_and_whoever_leaves() {
        let said =
            vec![(0, report(3, "a")), (1, report(4, "b")), (2, report(3, "a")), (1, gone()), (0, gone())];
        assert_eq!(followed(3, said), ["a", "b", "b", "b", "b"]);
    }

    #[tokio::test]
    async fn one_sentinel_is_stayed_with_where_several_name_a_server_differently() {
        let said = vec![
            (1, report(3, "10.0.0.1")),
            (0, report(3, "redis-0")),
            (2, report(3, "redis-0")),
            (1, report(3, "10.0.0.2")),
            (1, gone()),
        ];
        assert_eq!(followed(3, said), ["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2", "redis-0"]);
    }

    #[tokio::test]
    async fn an_older_report_counts_only_for_a_majority_and_once_the_newer_one_is_forgotten() {
        let now = Instant::now();
        let mut council = Council::of(3);
        council.hear(0, report(7, "b"), now);
        council.hear(0, gone(), now);
        let later = now + MEMORY;
        let primary = |council: &Council| council.report().map(|report| report.primary.host.clone());
        council.hear(1, report(0, "a"), later);
        assert_eq!(primary(&council).as_deref(), Some("b"), "one alone may have lost touch");
        council.hear(2, report(0, "a"), later - Duration::from_secs(1));
        assert_eq!(primary(&council).as_deref(), Some("b"), "it was reported within the minute");
        assert!(council.is_outdated(&report(0, "a").unwrap()));
        council.hear(2, report(0, "a"), later);
        assert_eq!(primary(&council).as_deref(), Some("a"), "they were set up anew");
    }

    #[tokio::test]
    async fn a_single_sentinel_cannot_lead_back() {
        let (mut council, now) = (Council::of(1), Instant::now());
        council.hear(0, report(2, "b"), now);
        council.hear(0, report(1, "a"), now + MEMORY * 10);
        assert_eq!(council.report().unwrap().primary.host, "b");
    }

    #[tokio::test]
    async fn the_cause_that_says_what_to_do_is_told_once_all_have_failed() {
        let now = Instant::now();
        let names: Vec<Arc<str>> = vec!["one:1".into(), "two:2".into()];
        let cause = |one: Cause, two: Cause| {
            let mut council = Council::of(2);
            council.hear(0, Err(one.into()), now);
            assert!(council.trouble(&names).is_none(), "one may still answer");
            council.hear(1, Err(two.into()), now);
            council.trouble(&names).unwrap()
        };
        let told = cause(Cause::ConnectRefused, Cause::NameNotFound);
        assert_eq!(told.to_string(), "sentinel_unreachable: one:1: connect_refused; two:2: name_not_found");
        let of = |one, two| cause(one, two).cause;
        assert_eq!(of(Cause::SentinelMasterUnknown, Cause::TimedOut), Cause::SentinelMasterUnknown);
        assert_eq!(
            of(Cause::SentinelMasterUnknown, Cause::SentinelLoginRejected),
            Cause::SentinelLoginRejected
        );
        assert_eq!(of(Cause::CertificateExpired, Cause::Closed), Cause::CertificateExpired);
    }
}
