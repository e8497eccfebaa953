//! Whether a session was on a primary of before. What counts is what Attaché had been told by then: not what there was, and not
//! what a server said to a login that nobody waited for to its end.

use attache::config::domain::Role;
use tokio::time::Instant;

use super::{AGAIN, HEARD, Judge};
use crate::book::{Conn, Duty};
use crate::plan::Reload;

impl Judge<'_> {
    /// A session on a primary of before, although Attaché had been told that another one was promoted after it.
    pub(super) fn old_primary(&self, number: usize) -> Option<String> {
        let conn = &self.state.conns[number];
        let is_session = self.plan.role == Role::Primary && !conn.executed.is_empty();
        // It told its role after it was logged in, and may have been promoted until then.
        let asked = conn.login.unwrap_or(conn.opened) + HEARD;
        let is_promoted = || self.during(conn.opened, asked).any(|facts| facts.primary == conn.server);
        if !is_session || is_promoted() {
            return None;
        }
        let told = self.told_before(conn);
        let promoted = |other| promoted_after(&told, other, conn.server).map(|at| (other, at));
        let (other, at) = (0..self.plan.servers).find_map(promoted)?;
        let (server, at) = (conn.server, self.at(at));
        Some(format!(
            "connection {number} to server {server} although {other} had told at {at:.3} that it took over"
        ))
    }

    /// What servers had told of themselves when this connection was opened, in the order in which it was heard. It is
    /// forgotten with a route that changes; who has waited since then knows nothing else.
    fn told_before(&self, conn: &Conn) -> Vec<(usize, Duty, Instant)> {
        let mut reloads = self.state.reloads.iter().rev().filter(|(_, what)| *what != Reload::Nothing);
        let forgotten = reloads.find(|(at, _)| *at < conn.opened).map(|(at, _)| *at);
        let waits = self.plan.wait + self.reloads() + self.plan.connect_timeout + AGAIN;
        if forgotten.is_some_and(|at| conn.opened < at + waits) {
            return Vec::new();
        }
        let counts = |at| at < conn.opened && forgotten.is_none_or(|reload| at > reload);
        let heard = self.state.reports.iter().filter_map(|report| {
            let at = report.heard.get().copied().filter(|at| counts(*at))?;
            Some((report.server, report.duty, at))
        });
        let mut told: Vec<_> = heard.collect();
        told.sort_by_key(|(.., at)| *at);
        told
    }
}

/// When one server told for the first time that it had become a primary, if all know that it did so after another one. Which
/// of two was first nobody knows unless the one was a replica when the other had told that it was a primary.
fn promoted_after(told: &[(usize, Duty, Instant)], one: usize, other: usize) -> Option<Instant> {
    let of = |server| told.iter().filter(move |(of, ..)| *of == server);
    let (.., before) = of(one).rfind(|(_, duty, _)| *duty == Duty::Replica)?;
    let (.., at) = of(one).find(|(.., at)| at > before)?;
    let (_, was, _) = of(other).rfind(|(.., at)| at <= before)?;
    let has_stayed = of(other).filter(|(.., at)| at > before).all(|(_, duty, _)| *duty == Duty::Primary);
    (*was == Duty::Primary && has_stayed).then_some(*at)
}
