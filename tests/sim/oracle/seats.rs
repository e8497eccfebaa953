//! Whether there were never more sessions at once than a route may have, and nobody was refused while there were fewer.

use std::time::Duration;

use tokio::time::Instant;

use super::{HEARD, Judge};
use crate::speech::{Dialect, Told};
use crate::stay::Stay;

/// What clients hear when a route has as many sessions as it may have.
const FULL: &str = "too many sessions on this route";
/// A session whose client has left goes on for so long where its server does not answer, and a little longer.
const GONE_AFTER: Duration = Duration::from_secs(11);

impl Judge<'_> {
    /// A session that came about although there were as many others all the time.
    pub(super) fn crowded(&self, stay: &Stay) -> Option<String> {
        let served = stay.served.filter(|_| self.has_few_seats())?;
        let is_full = |at| {
            let sessions = self.others(stay).filter(|other| other.is_session(at)).count();
            sessions >= self.most_sessions(at)
        };
        let all = self.turns(stay, served).all(is_full);
        let at = self.at(served);
        all.then(|| format!("client {} has a session at {at:.3} although the route was full", stay.client))
    }

    pub(super) fn is_refused(&self, told: &Told) -> bool {
        told.text.contains(FULL)
    }

    /// A session that was refused although there were fewer others all the time, or in other words than those of the protocol.
    pub(super) fn had_room(
        &self,
        client: usize,
        began: Instant,
        ended: Instant,
        told: &Told,
    ) -> Option<String> {
        let code = match self.plan.dialect {
            Dialect::Postgres => "53300",
            Dialect::Redis => "ERR",
            Dialect::Mysql => "1040",
        };
        if told.code != code {
            return Some(format!("it was told {:?}, and not {code}", told.code));
        }
        let stay = self.state.stays.all().iter().find(|stay| stay.client == client && stay.began == began)?;
        let leaving = if self.anything_was_hurt(began, ended) { GONE_AFTER } else { HEARD };
        let is_free = |at: Instant| {
            let is_there = |other: &&Stay| other.began <= at && !other.is_over(at - leaving);
            self.others(stay).filter(is_there).count() < self.most_sessions(at)
        };
        self.turns(stay, ended).all(is_free).then(|| "there was room".to_owned())
    }

    fn others<'a>(&'a self, stay: &Stay) -> impl Iterator<Item = &'a Stay> {
        let Stay { client, began, .. } = *stay;
        self.state.stays.all().iter().filter(move |other| (other.client, other.began) != (client, began))
    }

    /// The moments at which anything changed from its beginning until then.
    fn turns(&self, stay: &Stay, until: Instant) -> impl Iterator<Item = Instant> {
        let of_stays = self.state.stays.all().iter().flat_map(|other| [Some(other.began), other.ended]);
        let reloads = self.state.reloads.iter().map(|(at, _)| *at);
        let range = stay.began..=until;
        [stay.began, until]
            .into_iter()
            .chain(of_stays.flatten())
            .chain(reloads)
            .filter(move |at| range.contains(at))
    }

    fn has_few_seats(&self) -> bool {
        self.plan.max_sessions < self.plan.clients.len()
            || self.state.reloads.iter().any(|(_, what)| what.seats().is_some())
    }

    /// How many there may be; in the moment of a reload, those of before and of after it.
    fn most_sessions(&self, at: Instant) -> usize {
        let reloads = self.state.reloads.iter();
        let seats = reloads.filter_map(|(when, what)| Some((*when, what.seats()?)));
        let all: Vec<_> = [(self.state.start, self.plan.max_sessions)].into_iter().chain(seats).collect();
        let before = all.iter().rev().find(|(when, _)| *when < at).map(|(_, most)| *most);
        let then = all.iter().filter(|(when, _)| *when == at).map(|(_, most)| *most);
        before.into_iter().chain(then).max().expect("there is a beginning")
    }
}
