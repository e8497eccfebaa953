//! How much each route copies, over the last minutes: a beat every few seconds, from the totals that are counted
//! anyhow. Nothing of it is on the data path.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// From one look at the totals to the next.
pub const BEAT: Duration = Duration::from_secs(5);
/// Five minutes of them.
pub const BEATS: u32 = 60;

/// What one route has copied since the start, in octets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub to_upstream: u64,
    pub to_client: u64,
}

/// What it copied in a second, in octets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    pub to_upstream: f64,
    pub to_client: f64,
}

/// The totals of the last minutes, by route.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<BTreeMap<String, VecDeque<(Instant, Totals)>>>);

impl Pulse {
    /// Takes note of every route's totals; a route that is not among them is forgotten.
    pub fn beat<'a>(&self, routes: impl Iterator<Item = (&'a str, Totals)>) {
        let now = Instant::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *known);
        for (route, totals) in routes {
            let mut beats = before.remove(route).unwrap_or_default();
            if beats.len() > BEATS as usize {
                beats.pop_front();
            }
            beats.push_back((now, totals));
            known.insert(route.to_owned(), beats);
        }
    }

    /// A route's rates between one beat and the next, the newest last.
    pub fn rates(&self, route: &str) -> Vec<Rate> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(beats) = known.get(route) else { return Vec::new() };
        beats.iter().zip(beats.iter().skip(1)).map(|(one, other)| rate(*one, *other)).collect()
    }
}

fn rate((from, before): (Instant, Totals), (to, after): (Instant, Totals)) -> Rate {
    let seconds = (to - from).as_secs_f64().max(f64::EPSILON);
    // A double counts octets exactly up to eight pebibytes.
    let per_second = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
    Rate {
        to_upstream: per_second(before.to_upstream, after.to_upstream),
        to_client: per_second(before.to_client, after.to_client),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(to_upstream: u64, to_client: u64) -> Totals {
        Totals { to_upstream, to_client }
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_what_was_copied_between_two_beats() {
        let pulse = Pulse::default();
        assert_eq!(pulse.rates("a"), []);
        for totals in [totals(0, 0), totals(10, 100), totals(10, 600)] {
            pulse.beat([("a", totals)].into_iter());
            tokio::time::advance(BEAT).await;
        }
        let expected = [(2.0, 20.0), (0.0, 100.0)];
        assert_eq!(
            pulse.rates("a"),
            expected.map(|(to_upstream, to_client)| Rate { to_upstream, to_client })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn minutes_are_kept_and_routes_that_are_gone_are_not() {
        let pulse = Pulse::default();
        for _ in 0..2 * BEATS {
            pulse.beat([("a", totals(0, 0)), ("b", totals(0, 0))].into_iter());
            tokio::time::advance(BEAT).await;
        }
        assert_eq!(pulse.rates("a").len(), BEATS as usize);
        pulse.beat([("b", totals(0, 0))].into_iter());
        assert_eq!((pulse.rates("a").len(), pulse.rates("b").len()), (0, BEATS as usize));
    }
}
