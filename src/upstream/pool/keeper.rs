//! The background task that keeps links warm: it logs in what is lacking, and takes leave of what has gone bad.
//!
//! It runs beside the data path. A failed login makes it pause: it is never the keeper who beats upon a server that
//! is down or an account that is about to be locked.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use attache_wire::Protocol;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until};

use super::stock::{Key, Order};
use super::{Pool, Warm};
use crate::bell::Follower;
use crate::chance;
use crate::failure::Failure;
use crate::upstream::{LinkState, Opened, Trail, Upstream};

/// Logins under way at once: a server that has just come back has other things to do.
const AT_ONCE: usize = 2;
/// How often the links that wait are looked at, while there are any: what is known of endpoints and credentials may
/// have changed, and servers close links.
const TICK: Duration = Duration::from_secs(1);
/// The first pause after a failed login; it doubles up to the second.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Keeps the links of a route warm for ever, or until its pool is closed. When this is dropped, the pool is closed too.
pub async fn keep<P: Protocol>(upstream: Arc<Upstream<P>>) {
    let Some(pool) = &upstream.pool else { return };
    let _closing = Closing(pool);
    let mut accepted = upstream.source.as_ref().map(|source| source.acceptances());
    let mut logins = FuturesUnordered::new();
    let mut pause = Pause::default();
    loop {
        look(&upstream, pool);
        if pool.stock().is_closed() {
            return;
        }
        if pause.is_over() {
            let orders = pool.stock().orders(Instant::now(), AT_ONCE - logins.len());
            logins.extend(orders.into_iter().map(|order| log_in(&upstream, order)));
        }
        let in_use = pool.stock().is_in_use();
        tokio::select! {
            biased;
            Some((key, outcome)) = logins.next(), if !logins.is_empty() => {
                pause.note(outcome.as_ref().err().copied());
                pool.stock().settle(&key);
                let unwanted = outcome.ok().and_then(|opened| upstream.shelve(pool, &key, Warm::new(opened)));
                unwanted.into_iter().for_each(|warm| pool.stock().discard(warm));
            }
            () = pool.asked.notified() => {}
            () = changed(&mut accepted) => pause = Pause::default(),
            () = pause.over(), if !pause.is_over() => {}
            () = sleep(TICK), if in_use => {}
        }
    }
}

/// Looks at what waits, and says goodbye where that is due.
fn look<P: Protocol>(upstream: &Arc<Upstream<P>>, pool: &Pool<P>) {
    let gone = {
        let mut stock = pool.stock();
        stock.sweep(Instant::now(), |warm| upstream.judge(warm));
        stock.gone()
    };
    for Warm { mut opened, home } in gone {
        let here = home == std::thread::current().id() || opened.link.stream.move_here().is_ok();
        if here {
            let upstream = Arc::clone(upstream);
            tokio::spawn(async move { opened.leave(&upstream.protocol).await });
        }
    }
}

/// One login on the endpoint that a session would try first, if it is there.
fn log_in<P: Protocol>(
    upstream: &Arc<Upstream<P>>,
    order: Order<P::Intent>,
) -> impl Future<Output = (Key, Result<Opened<P>, Setback>)> + Send + use<P> {
    let upstream = Arc::clone(upstream);
    async move {
        let Order { key, intent } = order;
        let mut trail = Trail::default();
        (key, upstream.log_in_ahead(&intent, &mut trail).await)
    }
}

impl<P: Protocol> Upstream<P> {
    async fn log_in_ahead(&self, intent: &P::Intent, trail: &mut Trail) -> Result<Opened<P>, Setback> {
        let failed = |failure: Failure| {
            tracing::debug!(route = self.metrics.route(), %failure, "no warm link");
            Setback::Failed
        };
        let order = self.order(trail).await.map_err(failed)?;
        let first = self.candidates(&order).into_iter().next();
        let first = first.filter(|first| self.health.is_worth_trying(first.index)).ok_or(Setback::Spared)?;
        let mut opened = self.candidate(first, intent, &mut None, trail).await.map_err(failed)?;
        opened.count.as_mut().into_iter().for_each(|count| count.turn(LinkState::Warm));
        Ok(opened)
    }
}

/// Comes back when the server accepts what it did not accept before.
async fn changed(accepted: &mut Option<Follower>) {
    match accepted {
        Some(accepted) => accepted.changed().await,
        None => std::future::pending().await,
    }
}

/// Why there is no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setback {
    Failed,
    /// The endpoint is known to be down, so that nobody was asked. It may be back at any moment.
    Spared,
}

/// Time to wait after failed logins.
struct Pause {
    until: Option<Instant>,
    next: Duration,
}

impl Default for Pause {
    fn default() -> Self {
        Self { until: None, next: FIRST_PAUSE }
    }
}

impl Pause {
    fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    fn note(&mut self, setback: Option<Setback>) {
        match setback {
            None => *self = Self::default(),
            Some(Setback::Failed) => {
                self.until = Some(Instant::now() + chance::about(self.next));
                self.next = (self.next * 2).min(LONGEST_PAUSE);
            }
            Some(Setback::Spared) => self.until = Some(Instant::now() + chance::about(FIRST_PAUSE)),
        }
    }

    async fn over(&self) {
        if let Some(until) = self.until {
            sleep_until(until).await;
        }
    }
}

/// Closes a pool that nobody keeps any more.
struct Closing<'a, P: Protocol>(&'a Pool<P>);

impl<P: Protocol> Drop for Closing<'_, P> {
    fn drop(&mut self) {
        let mut stock = self.0.stock();
        stock.close();
        drop(stock.gone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_failed_logins_the_keeper_pauses_longer_and_longer_until_one_succeeds() {
        let mut pause = Pause::default();
        assert!(pause.is_over());
        for expected in [1, 2, 4, 8, 15, 15] {
            pause.note(Some(Setback::Failed));
            let start = Instant::now();
            assert!(!pause.is_over());
            pause.over().await;
            let share = start.elapsed().as_secs_f64() / f64::from(expected);
            assert!((0.75..=1.25).contains(&share), "{share} of {expected} s");
        }
        pause.note(None);
        assert!(pause.is_over());
        pause.note(Some(Setback::Failed));
        assert!(pause.until.is_some_and(|until| until <= Instant::now() + FIRST_PAUSE * 2));
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_was_asked_the_keeper_looks_again_soon_however_long_that_goes_on() {
        let mut pause = Pause::default();
        for _ in 0..20 {
            pause.note(Some(Setback::Spared));
            assert!(!pause.is_over());
            assert!(pause.until.is_some_and(|until| until <= Instant::now() + FIRST_PAUSE * 2));
            pause.over().await;
        }
    }
}
