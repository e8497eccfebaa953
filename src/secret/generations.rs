//! The generations of a credential that are kept, and how the server took each: which one a login should use.
//!
//! A new generation is not trusted before the server has accepted it: until then, the last one that the server accepted
//! goes on. Where that one fails too, nothing is lost by trying the new one at once.

use std::sync::Arc;

use super::ledger::Ledger;
use super::material::{Contents, Material};
use super::numbers::{Likeness, Number, Numbers};

/// What is known of the generations. Kept are the current one, the one before it, and the last one that worked.
pub(super) struct Generations {
    numbers: Numbers,
    /// The one that was read last is the first.
    kept: Vec<Kept>,
    /// Counts the server's verdicts, which puts them in order.
    verdicts: u64,
    pub(super) ever_worked: bool,
}

/// One generation, and the number of the server's last yes to it, and of its first no after that.
struct Kept {
    material: Arc<Material>,
    worked: Option<u64>,
    rejected: Option<u64>,
}

/// How the server takes the current generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// There is none.
    #[default]
    Missing,
    /// Nobody knows yet.
    Untried,
    /// It was accepted last time.
    Ok,
    /// It was rejected, but an older one works.
    Degraded,
    /// It was rejected, and no other one works.
    Rejected,
}

impl State {
    /// As status and log call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Untried => "untried",
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Rejected => "rejected",
        }
    }
}

/// The generations whose sessions and links are good: what the folder holds, and the newest that the server accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InForce {
    pub held: Option<u64>,
    pub accepted: Option<u64>,
    /// The server had accepted a newer one before, and does so no more: it may be on its way to the next.
    pub fell_back: bool,
}

impl InForce {
    pub fn covers(&self, generation: u64) -> bool {
        [self.held, self.accepted].contains(&Some(generation))
    }

    /// What sessions and links of older generations are left for: none is for one that is older still.
    pub fn successor(&self) -> Option<u64> {
        self.accepted.filter(|_| !self.fell_back)
    }
}

impl Generations {
    /// None yet.
    pub(super) fn of_ledger(ledger: Ledger) -> Self {
        Self { numbers: Numbers::of_ledger(ledger), kept: Vec::new(), verdicts: 0, ever_worked: false }
    }

    /// The number of the generation that is current now, if what was read is not what was current already. It may be one
    /// that was there before.
    pub(super) fn accept(&mut self, contents: Contents) -> Option<u64> {
        let Number { generation, likeness, asked } = self.numbers.of(&contents);
        let current = self.current().map(|material| material.generation());
        if current == Some(generation) && likeness == Likeness::Same {
            return None;
        }
        let in_use = self.used().is_some_and(|material| material.generation() == generation);
        let before = self.kept.iter().position(|kept| kept.generation() == generation);
        let before = before.map(|at| self.kept.remove(at));
        let (worked, rejected) = match before {
            Some(kept) if in_use => (kept.worked, kept.rejected),
            // Accounts are locked for another no.
            Some(kept) if kept.is_rejected() => (None, kept.rejected),
            // It has accepted another one since, and may have forgotten this one.
            Some(_) | None => (None, None),
        };
        let material = Arc::new(contents.accept(generation, asked));
        self.kept.insert(0, Kept { material, worked, rejected });
        self.let_go();
        Some(generation)
    }

    fn let_go(&mut self) {
        let works = self.kept.iter().skip(1).find(|kept| kept.works()).map(Kept::generation);
        let mut before = 0;
        self.kept.retain(|kept| {
            before += 1;
            before <= 2 || works == Some(kept.generation())
        });
        let Self { numbers, kept, .. } = self;
        numbers.forget(|generation| kept.iter().any(|one| one.generation() == generation));
    }

    pub(super) fn current(&self) -> Option<&Arc<Material>> {
        self.kept.first().map(|kept| &kept.material)
    }

    /// The next one after the current one that a login may fall back to.
    pub(super) fn previous(&self) -> Option<&Arc<Material>> {
        let works = self.kept.iter().skip(1).find(|kept| kept.works());
        works.or(self.kept.get(1)).map(|kept| &kept.material)
    }

    /// In the order in which a login should try them.
    pub(super) fn candidates(&self) -> Vec<Arc<Material>> {
        let mut order: Vec<_> = self.kept.iter().map(|kept| Arc::clone(&kept.material)).collect();
        if !order.is_empty() {
            order[..=self.in_use()].rotate_right(1);
        }
        order
    }

    /// The generation that new sessions use.
    pub(super) fn used(&self) -> Option<&Arc<Material>> {
        self.kept.get(self.in_use()).map(|kept| &kept.material)
    }

    /// The current generation, where sessions go on with an older one until somebody has tried it.
    pub(super) fn on_trial(&self) -> Option<&Arc<Material>> {
        self.current().filter(|_| self.in_use() > 0)
    }

    /// The newest generation that the server accepts.
    fn proven(&self) -> Option<u64> {
        self.kept.iter().find(|kept| kept.works()).map(Kept::generation)
    }

    pub(super) fn in_force(&self) -> InForce {
        let held = self.current().map(|material| material.generation());
        let mut newer = self.kept.iter().take_while(|kept| !kept.works());
        InForce { held, accepted: self.proven(), fell_back: newer.any(|kept| kept.worked.is_some()) }
    }

    pub(super) fn state(&self) -> State {
        match self.kept.first() {
            None => State::Missing,
            Some(current) if current.is_rejected() && self.in_use() > 0 => State::Degraded,
            Some(current) if current.is_rejected() => State::Rejected,
            Some(current) if current.works() => State::Ok,
            Some(_) => State::Untried,
        }
    }

    /// Whether the server's last word on this generation was no.
    pub(super) fn is_rejected(&self, generation: u64) -> bool {
        self.kept.iter().any(|kept| kept.generation() == generation && kept.is_rejected())
    }

    /// Takes note of a yes; returns whether this is news.
    pub(super) fn worked(&mut self, generation: u64) -> bool {
        self.ever_worked = true;
        self.verdicts += 1;
        let verdict = self.verdicts;
        let Some(kept) = self.kept(generation) else { return false };
        let news = !kept.works();
        kept.worked = Some(verdict);
        if news {
            let current = self.current().map(|material| material.generation());
            self.numbers.accepted(generation, current);
        }
        news
    }

    /// Takes note of a no; returns whether this is news.
    pub(super) fn rejected(&mut self, generation: u64) -> bool {
        self.verdicts += 1;
        let verdict = self.verdicts;
        let Some(kept) = self.kept(generation) else { return false };
        let (news, worked) = (!kept.is_rejected(), kept.works());
        if news {
            kept.rejected = Some(verdict);
        }
        if worked {
            // The server has changed its mind: what it said to others before means nothing any more.
            self.forget_rejections(generation);
        }
        news
    }

    fn forget_rejections(&mut self, but: u64) {
        let others = self.kept.iter_mut().filter(|kept| kept.generation() != but);
        for kept in others.filter(|kept| kept.is_rejected()) {
            (kept.rejected, kept.worked) = (None, None);
        }
    }

    /// Which of the kept ones comes first: the current one, unless an older one works and is known to be better.
    fn in_use(&self) -> usize {
        let Some(current) = self.kept.first().filter(|current| !current.works()) else { return 0 };
        let older = self.kept.iter().skip(1).position(|kept| kept.works()).map_or(0, |at| at + 1);
        let better = current.worked.is_none() || self.kept[older].worked > current.rejected;
        if better { older } else { 0 }
    }

    fn kept(&mut self, generation: u64) -> Option<&mut Kept> {
        self.kept.iter_mut().find(|kept| kept.generation() == generation)
    }
}

impl Kept {
    fn generation(&self) -> u64 {
        self.material.generation()
    }

    /// Whether the server's last word was yes.
    fn works(&self) -> bool {
        self.worked > self.rejected
    }

    /// Whether the server's last word was no.
    fn is_rejected(&self) -> bool {
        self.rejected > self.worked
    }
}

#[cfg(test)]
mod tests;
