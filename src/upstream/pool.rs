//! Links that are logged in before a session needs them.
//!
//! A session finds one that was logged in for a client like its own, by the generation, on the server and in the role
//! that it would choose now; whatever is doubtful about a link closes it. One session uses a link at a time. The
//! [`keeper`] logs links in; those that are reset after their session come back by [`Upstream::take_back`].

mod keeper;
mod stock;

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use attache_wire::{Keeps, Protocol, Shared};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

pub use keeper::keep;
pub use stock::Key;
use stock::{Found, Stock, Verdict};

use super::probe::FAREWELL;
use super::{LinkCount, LinkState, Opened, Origin, Trail, Upstream, Way};
use crate::chance;
use crate::config::domain::{self, Live};
use crate::deadline::within;
use crate::metrics::RouteMetrics;
use crate::net::link::Link;
use crate::secret::{InForce, Source};

/// How long a session waits for a link that is being reset: some round trips. A login takes as long.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long a reset may take: temporary tables have to be dropped.
const RESET_LIMIT: Duration = Duration::from_secs(5);

/// The links of one route that wait.
pub struct Pool<P: Protocol> {
    rules: domain::Pool,
    stock: Mutex<Stock<P::Intent, Warm<P>>>,
    /// Wakes the keeper: something is lacking, or has to be taken leave of.
    asked: Notify,
    /// Wakes sessions that wait for a link which is being reset.
    returned: Notify,
    /// What a server said first, where servers do, and which one that was.
    words: Mutex<Option<(usize, P::Hello)>>,
    hits: Counter,
    misses: Counter,
}

/// A link that waits.
struct Warm<P: Protocol> {
    opened: Opened<P>,
    /// The thread whose runtime hears of what happens to it.
    home: ThreadId,
}

/// What clients have in common whose links are alike.
pub struct Kind<P: Protocol> {
    pub key: Key,
    /// What such links are logged in for.
    pub intent: Arc<P::Intent>,
}

/// A link whose session is over, and what is known of it.
pub struct Returned<P: Protocol> {
    pub key: Key,
    pub link: Link,
    /// What the server said before that session.
    pub greeting: P::Greeting,
    pub watch: Box<P::Watch>,
    pub way: Way,
    pub origin: Origin,
    pub count: Option<LinkCount>,
}

impl<P: Protocol> Pool<P> {
    /// The pool of a route, if it is to have one.
    pub(super) fn of(rules: domain::Pool, metrics: &RouteMetrics) -> Option<Self> {
        if rules.warm == 0 || P::KEEPS == Keeps::Nothing {
            return None;
        }
        Some(Self {
            rules,
            stock: Mutex::new(Stock::new(rules)),
            asked: Notify::new(),
            returned: Notify::new(),
            words: Mutex::default(),
            hits: metrics.pool_takes("hit"),
            misses: metrics.pool_takes("miss"),
        })
    }

    /// Whether links serve one session after another.
    pub fn reuses(&self) -> bool {
        self.rules.reuse
    }

    /// Keeps nothing from now on. What waits is taken leave of.
    pub fn close(&self) {
        self.stock().close();
        self.asked.notify_one();
    }

    /// A server has said its first words.
    pub(super) fn heard(&self, index: usize, hello: &P::Hello) {
        *self.words() = Some((index, hello.clone()));
    }

    fn words(&self) -> MutexGuard<'_, Option<(usize, P::Hello)>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a session that comes now may find a link.
    fn is_promising(&self) -> bool {
        let stock = self.stock();
        !stock.is_closed() && (self.reuses() || stock.has_links())
    }

    fn stock(&self) -> MutexGuard<'_, Stock<P::Intent, Warm<P>>> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link that waits for a session of this kind, or will in a moment.
    async fn find(&self, upstream: &Upstream<P>, kind: &Kind<P>) -> Option<Opened<P>> {
        let start = Instant::now();
        let mut found = self.take(upstream, kind, start);
        while let Found::Soon = found {
            let returned = self.returned.notified();
            tokio::pin!(returned);
            returned.as_mut().enable();
            // It may have been returned before anybody listened.
            found = self.take(upstream, kind, Instant::now());
            if let Found::Soon = found {
                timeout_at(start + PATIENCE, returned).await.ok()?;
            }
        }
        match found {
            Found::Link(warm) => warm.moved_here(),
            Found::Nothing | Found::Soon => None,
        }
    }

    fn take(&self, upstream: &Upstream<P>, kind: &Kind<P>, now: Instant) -> Found<Warm<P>> {
        self.stock().take(&kind.key, &kind.intent, now, |warm| {
            let fits = upstream.may_use(warm) && !upstream.is_retired(warm) && warm.opened.link.is_idle();
            if !fits {
                warm.count_as(LinkState::Active);
            }
            fits
        })
    }
}

impl<P: Protocol> Upstream<P> {
    /// What links for a client with this intent are kept as, where any are kept for it.
    pub fn kind(&self, intent: &P::Intent) -> Option<Kind<P>> {
        self.pool.as_ref()?;
        let Shared { key, intent } = self.protocol.shared(intent)?;
        Some(Kind { key: key.into(), intent: Arc::new(intent) })
    }

    /// A link for a client of this kind that is logged in already, if there is one.
    pub async fn take_warm(&self, kind: &Kind<P>, trail: &mut Trail) -> Option<Opened<P>> {
        let (pool, start) = (self.pool.as_ref()?, Instant::now());
        let found = pool.find(self, kind).await;
        if found.is_none() || !pool.reuses() {
            // One less waits; where links come back, the keeper looks by itself.
            pool.asked.notify_one();
        }
        let Some(mut opened) = found else {
            pool.misses.inc();
            return None;
        };
        pool.hits.inc();
        opened.count.as_mut().into_iter().for_each(|count| count.turn(LinkState::Active));
        trail.endpoint = Some(Arc::clone(&opened.way.endpoint));
        trail.generation = opened.origin.generation.and_then(NonZeroU64::new);
        trail.login = Some(start.elapsed());
        trail.warm = true;
        Some(opened)
    }

    /// What the server of the links that wait says first: for a client that is greeted before it is known which one it
    /// will have. `None` where a server had better be met.
    pub fn words_ahead(&self) -> Option<P::Hello> {
        let pool = self.pool.as_ref().filter(|pool| pool.is_promising())?;
        let (index, hello) = pool.words().clone()?;
        let order = self.order_favouring(index);
        let first = self.health.candidates(&order).into_iter().next()?;
        (first.index == index).then_some(hello)
    }

    /// Whether a session that comes now may have this link, if it is idle.
    fn may_use(&self, warm: &Warm<P>) -> bool {
        let origin = &warm.opened.origin;
        *self.target(origin.index) == origin.target
            && self.is_first_choice(origin.index, &warm.opened.greeting)
            && !self.is_cut(origin)
    }

    /// Whether its password has leaked: nothing that it logged in is used once the server accepts another.
    fn is_cut(&self, origin: &Origin) -> bool {
        let successor = self.in_force().and_then(|in_force| in_force.successor());
        self.live == Live::Cut && successor.is_some() && !self.is_current(origin)
    }

    /// Whether a session on this link would be told to end as soon as it begins.
    fn is_retired(&self, warm: &Warm<P>) -> bool {
        warm.opened.origin.generation.is_some_and(|generation| self.orders.retires(generation))
    }

    /// Whether a session that comes now would try this endpoint first, for all that is known, and take a server that
    /// greets like this.
    fn is_first_choice(&self, index: usize, greeting: &P::Greeting) -> bool {
        let order = self.order_favouring(index);
        let first = self.candidates(&order).into_iter().next();
        first.is_some_and(|first| {
            first.index == index
                && first.wanted.admits(self.protocol.role(greeting))
                && self.health.may_be(index, first.wanted)
        })
    }

    /// What is to become of a link that waits.
    fn judge(&self, warm: &mut Warm<P>) -> Verdict {
        let is_usable = self.may_use(warm) && warm.opened.link.is_idle();
        match (is_usable, self.is_current(&warm.opened.origin)) {
            (false, _) => {
                warm.count_as(LinkState::Active);
                Verdict::Dead
            }
            (true, false) => Verdict::Stale,
            (true, true) => Verdict::Good,
        }
    }

    fn in_force(&self) -> Option<InForce> {
        self.source.as_ref().map(Source::in_force)
    }

    /// Resets a link whose session is over, so that it serves another, or takes leave of it. Doubt closes it.
    pub async fn take_back(&self, returned: Returned<P>) {
        let Returned { key, mut link, greeting, watch, way, origin, count } = returned;
        let machine = self.protocol.reset(&watch, greeting);
        let pool = self.pool.as_ref().filter(|pool| pool.stock().wants_back(&key, origin.at, Instant::now()));
        let (Some(pool), Some(machine), true) = (pool, machine, self.is_current(&origin)) else {
            return self.part_from(link).await;
        };
        let returning = Returning::new(pool, &key);
        let reset = within(RESET_LIMIT, link.drive(machine, None)).await;
        let Ok(Ok(greeting)) = reset else {
            tracing::debug!(route = self.metrics.route(), "a link could not be reset");
            return;
        };
        let mut warm = Warm::new(Opened { link, greeting, way, origin, count });
        let unwanted = match self.may_use(&warm) && warm.opened.link.seems_idle() {
            true => self.shelve(pool, &key, warm),
            false => Some(warm),
        };
        drop(returning);
        // Of a pool that was closed meanwhile no keeper takes leave of links.
        if let Some(warm) = unwanted {
            warm.opened.leave(&self.protocol).await;
        }
    }

    /// Whether it was logged in with what is good now.
    fn is_current(&self, origin: &Origin) -> bool {
        let in_force = self.in_force().zip(origin.generation);
        in_force.is_none_or(|(in_force, generation)| in_force.covers(generation))
    }

    /// Puts a link where sessions find it. Returns one that is not wanted.
    fn shelve(&self, pool: &Pool<P>, key: &[u8], mut warm: Warm<P>) -> Option<Warm<P>> {
        warm.count_as(LinkState::Warm);
        let opened_at = warm.opened.origin.at;
        let chance = f64::from(u16::from_ne_bytes(chance::bytes())) / f64::from(u16::MAX);
        let mut unwanted = pool.stock().put(key, warm, opened_at, Instant::now(), chance).err();
        unwanted.iter_mut().for_each(|warm| warm.count_as(LinkState::Active));
        unwanted
    }

    /// Takes leave of the server on a link that nobody uses.
    pub async fn part_from(&self, mut link: Link) {
        self.protocol.farewell(&mut link.output);
        let _ = timeout(FAREWELL, link.part()).await;
    }
}

impl<P: Protocol> Warm<P> {
    fn new(opened: Opened<P>) -> Self {
        Self { opened, home: thread::current().id() }
    }

    /// One that nobody is to use any more does not wait, although it is still open.
    fn count_as(&mut self, state: LinkState) {
        self.opened.count.as_mut().into_iter().for_each(|count| count.turn(state));
    }

    /// For use on this thread.
    fn moved_here(mut self) -> Option<Opened<P>> {
        if self.home != thread::current().id() {
            self.opened.link.stream.move_here().ok()?;
        }
        Some(self.opened)
    }
}

/// A link that is being reset, as those see it who wait for one.
struct Returning<'a, P: Protocol> {
    pool: &'a Pool<P>,
    key: Key,
}

impl<'a, P: Protocol> Returning<'a, P> {
    fn new(pool: &'a Pool<P>, key: &Key) -> Self {
        pool.stock().returning(key);
        Self { pool, key: Arc::clone(key) }
    }
}

impl<P: Protocol> Drop for Returning<'_, P> {
    fn drop(&mut self) {
        self.pool.stock().returned(&self.key);
        self.pool.returned.notify_waiters();
    }
}
