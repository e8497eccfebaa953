//! A session's hold on a link that may have served others and may serve others after it.
//!
//! Where links are reused, the server's ticket stays here: the client gets one of its own, and errands find the
//! server by way of both. A link goes back only if its session ended well, and if no errand is on its way that might
//! hit the next session.

use std::sync::Arc;

use attache_wire::{Protocol, Relay, Watch};

use super::errand::Ticket;
use super::{Books, Route};
use crate::chance;
use crate::failure::Failure;
use crate::net::link::Link;
use crate::upstream::{Key, Kind, Met, Opened, Origin, Returned, Trail, Way};

/// What it takes to give a link back.
pub(super) struct Lease<P: Protocol> {
    key: Key,
    /// What the server said, and no client has heard.
    greeting: P::Greeting,
    way: Way,
    origin: Origin,
}

/// How a session holds its link.
pub(super) struct Held<P: Protocol> {
    /// For the client.
    pub(super) greeting: P::Greeting,
    pub(super) ticket: Option<Ticket>,
    /// `None` where the link ends with the session. Boxed, for it is needed at its end only.
    pub(super) lease: Option<Box<Lease<P>>>,
}

/// A link for the session: one that waits, or else a new one.
pub(super) async fn open<P: Protocol>(
    route: &Route<P>,
    intent: &P::Intent,
    kind: Option<&Kind<P>>,
    met: Option<Met<P>>,
    trail: &mut Trail,
) -> Result<Opened<P>, Failure> {
    let warm = match kind {
        Some(kind) => route.upstream.take_warm(kind, trail).await,
        None => None,
    };
    if let Some(opened) = warm {
        if let Some(met) = met {
            let upstream = Arc::clone(&route.upstream);
            tokio::spawn(async move { upstream.dismiss(met).await });
        }
        return Ok(opened);
    }
    // A link that may serve others is logged in for what they have in common.
    let intent = kind.filter(|_| reuses(route)).map_or(intent, |kind| &kind.intent);
    // Boxed, for a login takes more room than all the rest of a session's beginning.
    Box::pin(route.upstream.open(intent, met, trail)).await
}

fn reuses<P: Protocol>(route: &Route<P>) -> bool {
    route.upstream.pool.as_ref().is_some_and(|pool| pool.reuses())
}

/// Issues the session's ticket, and keeps what is needed to give a link of this kind back. `told` is the ticket of ours
/// that the client was greeted with, where servers speak first.
pub(super) fn hold<P: Protocol>(
    route: &Route<P>,
    kind: Option<Kind<P>>,
    greeting: P::Greeting,
    way: Way,
    origin: Origin,
    told: Option<Vec<u8>>,
) -> Held<P> {
    let key = kind.filter(|_| reuses(route)).map(|kind| kind.key);
    if P::FEATURES.server_first {
        return hold_told(route, key, greeting, way, origin, told);
    }
    match key.and_then(|key| Some((key, reusable(route, &greeting, &way)?))) {
        Some((key, (disguised, ticket))) => {
            let lease = Some(Box::new(Lease { key, greeting, way, origin }));
            Held { greeting: disguised, ticket, lease }
        }
        None => {
            let ticket = route.protocol.ticket(&greeting).map(|key| route.errands.issue(key, way));
            Held { greeting, ticket, lease: None }
        }
    }
}

/// The same where the client has been told its ticket before there was a link.
fn hold_told<P: Protocol>(
    route: &Route<P>,
    key: Option<Key>,
    greeting: P::Greeting,
    way: Way,
    origin: Origin,
    told: Option<Vec<u8>>,
) -> Held<P> {
    let tickets = told.zip(route.protocol.ticket(&greeting));
    let ticket = tickets.and_then(|(ours, real)| route.errands.issue_for(ours, real, way.clone()));
    let key = key.filter(|_| ticket.is_some());
    let disguised = key.and_then(|key| Some((key, route.protocol.disguise(&greeting, &chance::bytes())?)));
    match disguised {
        Some((key, disguised)) => {
            Held { greeting: disguised, ticket, lease: Some(Box::new(Lease { key, greeting, way, origin })) }
        }
        None => Held { greeting, ticket, lease: None },
    }
}

/// The greeting for the client and its ticket, where the link may serve another session.
fn reusable<P: Protocol>(
    route: &Route<P>,
    greeting: &P::Greeting,
    way: &Way,
) -> Option<(P::Greeting, Option<Ticket>)> {
    loop {
        let disguised = route.protocol.disguise(greeting, &chance::bytes())?;
        let tickets = route.protocol.ticket(greeting).zip(route.protocol.ticket(&disguised));
        let Some((real, ours)) = tickets else { return Some((disguised, None)) };
        // Old keys are short: another session may have the same.
        if let Some(ticket) = route.errands.issue_for(ours, real, way.clone()) {
            return Some((disguised, Some(ticket)));
        }
    }
}

impl<P: Protocol> Lease<P> {
    /// Prepares the watch of a session whose link may be given back; a session that nobody watches ends its link.
    pub(super) fn prepare(lease: Option<Box<Self>>, relay: &mut Relay<P::Watch>) -> Option<Box<Self>> {
        match relay {
            Relay::Watched(watch) => {
                if lease.is_some() {
                    watch.may_be_kept();
                }
                lease
            }
            Relay::Opaque => None,
        }
    }

    /// The link was logged in again, with this generation.
    pub(super) fn renewed(&mut self, generation: u64) {
        self.origin.renewed(generation);
    }

    /// Gives the link of a session that has ended well back to whoever comes next, if nothing speaks against it.
    pub(super) fn give_back(self, route: &Route<P>, link: Link, watch: Box<P::Watch>, books: Books) {
        let Books { _place, ticket, link: count, at: _ } = books;
        let Self { key, greeting, way, origin } = self;
        let returned = Returned { key, link, greeting, watch, way, origin, count };
        let upstream = Arc::clone(&route.upstream);
        let unhunted = ticket.is_none_or(Ticket::end);
        tokio::spawn(async move {
            if unhunted {
                upstream.take_back(returned).await;
            } else {
                upstream.part_from(returned.link).await;
            }
        });
    }
}
