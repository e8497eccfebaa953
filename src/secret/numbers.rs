//! The number of a generation: an equal content has the same one, until the server has accepted a newer one.
//!
//! Sessions and links are told apart by it, so that nobody is ended for a Secret that was wrong for a while. A content that was
//! let go is known again by its marks alone.

use attache_wire::{Mark, Marker};

use super::ledger::Ledger;
use super::material::{Asked, Contents};
use crate::chance;

/// So many contents are remembered. After as many wrong ones in a row, the right one is taken for new.
const REMEMBERED: usize = 64;

/// The contents that have been there, and their numbers.
pub(super) struct Numbers {
    marker: Marker,
    /// The one that came last is the last.
    known: Vec<Known>,
    ledger: Ledger,
}

struct Known {
    generation: u64,
    marks: Marks,
    asked: Asked,
}

#[derive(PartialEq, Eq)]
struct Marks {
    login: Mark,
    identity: Option<Mark>,
}

/// The number of a content.
pub(super) struct Number {
    pub(super) generation: u64,
    pub(super) likeness: Likeness,
    /// Whether servers have asked this generation for a certificate.
    pub(super) asked: Asked,
}

/// What a content is to the one that had its number before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// The same.
    Same,
    /// Another certificate, which no server has asked for.
    Alike,
    /// There was none.
    New,
}

impl Numbers {
    pub(super) fn of_ledger(ledger: Ledger) -> Self {
        Self { marker: Marker::new(chance::bytes()), known: Vec::new(), ledger }
    }

    /// The number of this content, which is the last one that came from now on.
    pub(super) fn of(&mut self, contents: &Contents) -> Number {
        let marks = self.marks(contents);
        let same = self.known.iter().position(|known| known.marks == marks);
        let alike = || self.known.iter().rposition(|known| known.makes_no_difference(&marks));
        let found = same.map(|at| (at, Likeness::Same)).or_else(|| Some((alike()?, Likeness::Alike)));
        let (generation, asked, likeness) = match found {
            Some((at, likeness)) => {
                let Known { generation, asked, .. } = self.known.remove(at);
                (generation, asked, likeness)
            }
            None => (self.ledger.next(), Asked::default(), Likeness::New),
        };
        self.known.push(Known { generation, marks, asked: asked.clone() });
        Number { generation, likeness, asked }
    }

    /// The server has accepted this generation: older contents but the `current` one have new numbers if they come again.
    pub(super) fn accepted(&mut self, generation: u64, current: Option<u64>) {
        self.known.retain(|known| known.generation >= generation || Some(known.generation) == current);
    }

    /// Remembers no more than there is room for, but always those that are `kept`.
    pub(super) fn forget(&mut self, kept: impl Fn(u64) -> bool) {
        while self.known.len() > REMEMBERED
            && let Some(at) = self.known.iter().position(|known| !kept(known.generation))
        {
            self.known.remove(at);
        }
    }

    fn marks(&self, contents: &Contents) -> Marks {
        let login = self.marker.login(contents.user.as_deref(), contents.secret.as_ref());
        let identity = contents.identity.as_ref().map(|identity| identity.mark(&self.marker));
        Marks { login, identity }
    }
}

impl Known {
    /// Whether no server has seen how this content differs from one with these marks.
    fn makes_no_difference(&self, marks: &Marks) -> bool {
        self.marks.login == marks.login && !self.asked.was()
    }
}

#[cfg(test)]
mod tests {
    use attache_wire::Secret;
    use zeroize::Zeroizing;

    use super::*;

    fn contents(number: usize) -> Contents {
        let secret = Secret::new(Zeroizing::new(number.to_string().into_bytes()));
        Contents { user: None, secret: Some(secret), identity: None, file_time: None }
    }

    #[test]
    fn the_latest_are_remembered_and_those_that_are_kept() {
        let mut numbers = Numbers::of_ledger(Ledger::default());
        let mut of = |number| {
            let found = numbers.of(&contents(number)).generation;
            numbers.forget(|generation| generation == 1);
            (found, numbers.known.len())
        };
        for number in 1..=1000 {
            let (generation, remembered) = of(number);
            assert!(generation == number as u64 && remembered <= REMEMBERED);
        }
        assert_eq!([of(1000).0, of(990).0, of(1).0, of(2).0], [1000, 990, 1, 1001]);
    }
}
