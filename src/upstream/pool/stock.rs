//! Which links wait for whom, and for how long: the rules, without a socket.
//!
//! Keys are learned from the sessions that come. Links of each wait on a shelf of its own; what is not to be used any
//! more is put aside for whoever takes leave of the servers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::domain;

/// So many kinds of clients are remembered. An application has a handful; one that tells its process number in
/// `application_name` must not fill the server with links that nobody will use.
const MOST_KEYS: usize = 16;
/// A kind of client that did not come for so long is forgotten, unless it was the last one to come.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// Where links come back after their sessions, one is opened only for what was lacking all this time.
const REFILL_AFTER: Duration = Duration::from_secs(1);

/// What a link has to be logged in for, as the protocol has it.
pub type Key = Arc<[u8]>;

/// The links of one route that wait, by key.
pub(super) struct Stock<I, L> {
    rules: domain::Pool,
    /// That of the session that came last is the first.
    shelves: Vec<Shelf<I, L>>,
    /// Links to take leave of.
    gone: Vec<L>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing is kept any more.
    Closed,
}

struct Shelf<I, L> {
    key: Key,
    intent: Arc<I>,
    used_at: Instant,
    /// The one that came last is the last.
    waiting: Vec<Waiting<L>>,
    /// Logins under way.
    opening: usize,
    /// Links that will be here in a moment, if nothing is wrong with them.
    returning: usize,
    /// Since when it is watched how many wait, and the most that did. `None` before the first look.
    watched: Option<(Instant, usize)>,
}

struct Waiting<L> {
    link: L,
    /// When another should take its place.
    due: Instant,
    /// When it is not used any more, whether there is another or not.
    over: Instant,
    freshness: Freshness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freshness {
    Fresh,
    /// It may serve until another takes its place.
    Stale,
}

/// What is to become of a link that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// Another is to take its place.
    Stale,
    /// It is not to be used any more.
    Dead,
}

/// What a session finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<L> {
    Link(L),
    /// There may be one in a moment.
    Soon,
    Nothing,
}

/// A login that is to be made.
pub(super) struct Order<I> {
    pub(super) key: Key,
    pub(super) intent: Arc<I>,
}

impl<I, L> Stock<I, L> {
    pub(super) fn new(rules: domain::Pool) -> Self {
        Self { rules, shelves: Vec::new(), gone: Vec::new(), state: State::Open }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether any kind of client is known.
    pub(super) fn is_in_use(&self) -> bool {
        !self.shelves.is_empty()
    }

    /// Whether any link waits, or will in a moment.
    pub(super) fn has_links(&self) -> bool {
        self.shelves.iter().any(|shelf| !shelf.waiting.is_empty() || shelf.returning > 0)
    }

    /// A session of this kind has come. Of the links that `fits` admits it takes the one that came last, and those
    /// that are to be replaced after all others. `intent` is what others of the kind are logged in for.
    pub(super) fn take(
        &mut self,
        key: &Key,
        intent: &Arc<I>,
        now: Instant,
        mut fits: impl FnMut(&mut L) -> bool,
    ) -> Found<L> {
        if self.is_closed() {
            return Found::Nothing;
        }
        self.use_shelf(key, intent, now);
        let Self { shelves, gone, .. } = self;
        let shelf = &mut shelves[0];
        while let Some(mut link) = shelf.next(now) {
            if fits(&mut link) {
                return Found::Link(link);
            }
            gone.push(link);
        }
        if shelf.returning > 0 { Found::Soon } else { Found::Nothing }
    }

    /// Makes the shelf of this key the first, and forgets the one that was used least recently if there are too many.
    fn use_shelf(&mut self, key: &Key, intent: &Arc<I>, now: Instant) {
        match self.shelves.iter().position(|shelf| shelf.key == *key) {
            Some(at) => self.shelves[..=at].rotate_right(1),
            None => self.shelves.insert(0, Shelf::new(key, intent, now)),
        }
        self.shelves[0].used_at = now;
        let forgotten = self.shelves.drain(MOST_KEYS.min(self.shelves.len())..);
        self.gone.extend(forgotten.flat_map(Shelf::into_links));
    }

    /// Whether a link of this age, whose session is over, is worth being reset.
    pub(super) fn wants_back(&self, key: &[u8], opened_at: Instant, now: Instant) -> bool {
        let is_young = now.duration_since(opened_at) < self.rules.max_age;
        let room = |shelf: &Shelf<I, L>| shelf.fresh(now) + shelf.returning < self.rules.warm;
        !self.is_closed() && self.rules.reuse && is_young && self.shelf(key).is_some_and(room)
    }

    /// Puts a link where sessions find it. It is to be replaced after half of its time and `chance` (0 to 1) of the third
    /// quarter, so that there is time for that. It takes the place of one that was to be replaced.
    ///
    /// # Errors
    /// The link, if it is not wanted any more.
    pub(super) fn put(
        &mut self,
        key: &[u8],
        link: L,
        opened_at: Instant,
        now: Instant,
        chance: f64,
    ) -> Result<(), L> {
        let rules = self.rules;
        let left = (opened_at + rules.max_age).saturating_duration_since(now).min(rules.max_idle);
        let Some(at) = self.shelves.iter().position(|shelf| *shelf.key == *key) else { return Err(link) };
        let (shelf, gone) = (&mut self.shelves[at], &mut self.gone);
        if shelf.fresh(now) >= rules.warm || left.is_zero() {
            return Err(link);
        }
        let due = now + left.mul_f64(0.5 + chance / 4.0);
        shelf.waiting.push(Waiting { link, due, over: now + left, freshness: Freshness::Fresh });
        if shelf.waiting.len() > rules.warm
            && let Some(old) = shelf.waiting.iter().position(|waiting| !waiting.is_fresh(now))
        {
            gone.push(shelf.waiting.remove(old).link);
        }
        let fresh = shelf.fresh(now);
        if let Some((_, most)) = &mut shelf.watched {
            *most = fresh.max(*most);
        }
        Ok(())
    }

    /// Looks at every link that waits, and at every key.
    pub(super) fn sweep(&mut self, now: Instant, mut judge: impl FnMut(&mut L) -> Verdict) {
        let Self { shelves, gone, .. } = self;
        for (at, shelf) in std::mem::take(shelves).into_iter().enumerate() {
            if at > 0 && now.duration_since(shelf.used_at) >= FORGET_AFTER {
                gone.extend(shelf.into_links());
                continue;
            }
            let mut shelf = shelf;
            for mut waiting in std::mem::take(&mut shelf.waiting) {
                let verdict = if now < waiting.over { judge(&mut waiting.link) } else { Verdict::Dead };
                waiting.freshness = match verdict {
                    Verdict::Good => Freshness::Fresh,
                    Verdict::Stale => Freshness::Stale,
                    Verdict::Dead => {
                        gone.push(waiting.link);
                        continue;
                    }
                };
                shelf.waiting.push(waiting);
            }
            shelves.push(shelf);
        }
    }

    /// Up to `most` logins that are to be made now. Each is under way until it is [settled](Self::settle).
    pub(super) fn orders(&mut self, now: Instant, most: usize) -> Vec<Order<I>> {
        if self.is_closed() {
            return Vec::new();
        }
        let (rules, mut orders) = (self.rules, Vec::new());
        for shelf in &mut self.shelves {
            let lacking = shelf.lacking(rules, now).min(most - orders.len());
            shelf.opening += lacking;
            let order = || Order { key: Arc::clone(&shelf.key), intent: Arc::clone(&shelf.intent) };
            orders.extend(std::iter::repeat_with(order).take(lacking));
        }
        orders
    }

    /// An ordered login has come to its end.
    pub(super) fn settle(&mut self, key: &[u8]) {
        if let Some(shelf) = self.shelf_mut(key) {
            shelf.opening = shelf.opening.saturating_sub(1);
        }
    }

    /// A link of this key is being reset.
    pub(super) fn returning(&mut self, key: &[u8]) {
        if let Some(shelf) = self.shelf_mut(key) {
            shelf.returning += 1;
        }
    }

    /// A reset has come to its end.
    pub(super) fn returned(&mut self, key: &[u8]) {
        if let Some(shelf) = self.shelf_mut(key) {
            shelf.returning = shelf.returning.saturating_sub(1);
        }
    }

    /// Links that nobody is to use any more.
    pub(super) fn gone(&mut self) -> Vec<L> {
        std::mem::take(&mut self.gone)
    }

    /// Puts aside a link that is not to be used any more.
    pub(super) fn discard(&mut self, link: L) {
        self.gone.push(link);
    }

    /// Keeps nothing from now on.
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
        let shelves = std::mem::take(&mut self.shelves);
        self.gone.extend(shelves.into_iter().flat_map(Shelf::into_links));
    }

    fn shelf(&self, key: &[u8]) -> Option<&Shelf<I, L>> {
        self.shelves.iter().find(|shelf| *shelf.key == *key)
    }

    fn shelf_mut(&mut self, key: &[u8]) -> Option<&mut Shelf<I, L>> {
        self.shelves.iter_mut().find(|shelf| *shelf.key == *key)
    }
}

impl<I, L> Shelf<I, L> {
    fn new(key: &Key, intent: &Arc<I>, now: Instant) -> Self {
        Self {
            key: Arc::clone(key),
            intent: Arc::clone(intent),
            used_at: now,
            waiting: Vec::new(),
            opening: 0,
            returning: 0,
            watched: None,
        }
    }

    /// How many wait that need not be replaced.
    fn fresh(&self, now: Instant) -> usize {
        self.waiting.iter().filter(|waiting| waiting.is_fresh(now)).count()
    }

    /// The next link to be used.
    fn next(&mut self, now: Instant) -> Option<L> {
        let usable = |waiting: &Waiting<L>| now < waiting.over;
        let fresh = self.waiting.iter().rposition(|waiting| waiting.is_fresh(now));
        let at = fresh.or_else(|| self.waiting.iter().rposition(usable))?;
        Some(self.waiting.remove(at).link)
    }

    /// How many logins are to be made.
    fn lacking(&mut self, rules: domain::Pool, now: Instant) -> usize {
        let fresh = self.fresh(now);
        let most = match self.watched {
            // Links that serve a session now will be back.
            Some((since, _)) if rules.reuse && now.duration_since(since) < REFILL_AFTER => return 0,
            Some((_, most)) if rules.reuse => most.max(fresh),
            Some(_) | None => fresh,
        };
        self.watched = Some((now, fresh));
        rules.warm.saturating_sub(most + self.opening)
    }

    fn into_links(self) -> impl Iterator<Item = L> {
        self.waiting.into_iter().map(|waiting| waiting.link)
    }
}

impl<L> Waiting<L> {
    fn is_fresh(&self, now: Instant) -> bool {
        self.freshness == Freshness::Fresh && now < self.due
    }
}

#[cfg(test)]
mod tests;
