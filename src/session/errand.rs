//! Errands: a message of one connection for the server of another session, such as a cancel request.
//!
//! Every session leaves a ticket here. An errand that names it is delivered to the very server that the
//! session is on, in the way the session's own link took. Where that link may serve another session later, the two
//! know of each other, so that a late errand never hits the wrong one. An errand that names none is dropped, and its
//! client learns nothing from that.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use attache_wire::Protocol;
use tokio::sync::Semaphore;

use super::{Record, Route};
use crate::failure::{Cause, Failure, Side, Stage};
use crate::net::dial;
use crate::net::link::Link;
use crate::upstream::Way;

/// Errands under way at once, per route: a storm of cancel requests must not use up the server's connections.
const AT_ONCE: usize = 32;
/// From the connection to the server until it has taken note.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// What a server may say to an errand, in octets: nothing that anyone reads.
const ANSWER: usize = 1024;

type Tickets = Arc<Mutex<HashMap<Arc<[u8]>, Addressee>>>;

/// The tickets of one route's sessions.
#[derive(Debug)]
pub struct Errands {
    tickets: Tickets,
    at_once: Semaphore,
}

impl Default for Errands {
    fn default() -> Self {
        Self { tickets: Tickets::default(), at_once: Semaphore::new(AT_ONCE) }
    }
}

/// Whom errands with a ticket are for.
#[derive(Debug)]
struct Addressee {
    way: Way,
    /// The server's own ticket, where the client has one of ours.
    real: Option<Arc<[u8]>>,
    /// Errands under way.
    coming: usize,
    /// Whether of some errand nobody knows if it will still arrive.
    doubtful: bool,
}

/// Valid while its session lives.
#[derive(Debug)]
pub(super) struct Ticket {
    key: Arc<[u8]>,
    tickets: Tickets,
}

impl Ticket {
    /// Takes no more errands. Whether none is on its way that could hit whoever the server talks to next.
    pub(super) fn end(self) -> bool {
        self.remove().is_none_or(|addressee| addressee.coming == 0 && !addressee.doubtful)
    }

    /// The session goes on with a link on which the server knows it by another ticket.
    pub(super) fn leads_to(&self, real: Vec<u8>, way: Way) {
        if let Some(addressee) = lock(&self.tickets).get_mut(&self.key) {
            (addressee.real, addressee.way) = (Some(real.into()), way);
        }
    }

    fn remove(&self) -> Option<Addressee> {
        let mut tickets = lock(&self.tickets);
        let (key, _) = tickets.get_key_value(&self.key)?;
        // Once this one is gone, another session may have been given the same.
        if Arc::ptr_eq(key, &self.key) { tickets.remove(&self.key) } else { None }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.remove();
    }
}

/// An errand on its way. Unless it has [arrived](Self::arrived), it leaves its addressee in doubt.
pub(super) struct Coming {
    key: Arc<[u8]>,
    tickets: Tickets,
    way: Way,
    /// The server's own ticket, where the client has one of ours.
    real: Option<Arc<[u8]>>,
    arrived: bool,
}

impl Coming {
    /// The server's own ticket, where the session has one of ours.
    pub(super) fn real(&self) -> Option<&[u8]> {
        self.real.as_deref()
    }

    /// Whether its session still lives.
    fn is_expected(&self) -> bool {
        self.addressee(|_| ()).is_some()
    }

    pub(super) fn arrived(mut self) {
        self.arrived = true;
    }

    fn addressee<T>(&self, act: impl FnOnce(&mut Addressee) -> T) -> Option<T> {
        let mut tickets = lock(&self.tickets);
        let (key, _) = tickets.get_key_value(&self.key)?;
        if !Arc::ptr_eq(key, &self.key) {
            return None;
        }
        tickets.get_mut(&self.key).map(act)
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        let arrived = self.arrived;
        self.addressee(|addressee| {
            addressee.coming -= 1;
            addressee.doubtful |= !arrived;
        });
    }
}

fn lock(tickets: &Tickets) -> MutexGuard<'_, HashMap<Arc<[u8]>, Addressee>> {
    tickets.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Errands {
    /// For a session that has the server's own ticket.
    pub(super) fn issue(&self, key: Vec<u8>, way: Way) -> Ticket {
        let key = Arc::from(key);
        let addressee = Addressee { way, real: None, coming: 0, doubtful: false };
        // A server may give a ticket again once it has forgotten a session that is not quite over here.
        let mut tickets = lock(&self.tickets);
        tickets.remove(&key);
        tickets.insert(Arc::clone(&key), addressee);
        Ticket { key, tickets: Arc::clone(&self.tickets) }
    }

    /// For a session that has a ticket of ours in place of the server's. `None` if another session has it.
    pub(super) fn issue_for(&self, ours: Vec<u8>, real: Vec<u8>, way: Way) -> Option<Ticket> {
        let key: Arc<[u8]> = ours.into();
        let addressee = Addressee { way, real: Some(real.into()), coming: 0, doubtful: false };
        match lock(&self.tickets).entry(Arc::clone(&key)) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(place) => place.insert(addressee),
        };
        Some(Ticket { key, tickets: Arc::clone(&self.tickets) })
    }

    /// Sets an errand on its way: from now on its session does not end unnoticed by it, nor it by the session.
    pub(super) fn set_out(&self, ticket: &[u8]) -> Option<Coming> {
        let mut tickets = lock(&self.tickets);
        let (key, _) = tickets.get_key_value(ticket)?;
        let key = Arc::clone(key);
        let addressee = tickets.get_mut(ticket)?;
        addressee.coming += 1;
        let (way, real) = (addressee.way.clone(), addressee.real.clone());
        Some(Coming { key, tickets: Arc::clone(&self.tickets), way, real, arrived: false })
    }

    /// Delivers an errand, and waits until the server has closed the connection: it has taken note then.
    pub(super) async fn run<P: Protocol>(
        &self,
        route: &Route<P>,
        errand: P::Errand,
        record: &mut Record,
    ) -> Result<(), Failure> {
        let failure = |cause| Failure::new(Stage::Accept, Side::Attache, cause);
        let coming = self.set_out(&route.protocol.errand_ticket(&errand));
        let coming = coming.ok_or(failure(Cause::UnknownErrand))?;
        let _permit = self.at_once.try_acquire().map_err(|_| failure(Cause::TooManySessions))?;
        let errand = match &coming.real {
            Some(real) => route.protocol.redirect(errand, real),
            None => errand,
        };
        record.trail.endpoint = Some(Arc::clone(&coming.way.endpoint));
        record.reach(Stage::Dial);
        let delivered = tokio::time::timeout(TIME_LIMIT, deliver(route, errand, coming)).await;
        delivered.unwrap_or_else(|_| Err(Failure::new(Stage::Dial, Side::Upstream, Cause::TimedOut)))
    }
}

/// Delivers an errand whose session has not ended before there is a link to the server.
async fn deliver<P: Protocol>(route: &Route<P>, errand: P::Errand, coming: Coming) -> Result<(), Failure> {
    let (stream, _) = dial::connect(&coming.way.place).await?;
    if !coming.is_expected() {
        return Err(Failure::new(Stage::Dial, Side::Attache, Cause::UnknownErrand));
    }
    let tls = route.upstream.tls_again(&coming.way);
    let tls = tls.map_err(|trouble| Failure::new(Stage::Dial, Side::Attache, trouble))?;
    let mut link = Link::new(stream);
    let machine = route.protocol.deliver(errand, coming.way.start());
    let delivered = link.drive(machine, tls.as_ref()).await;
    delivered.map_err(|trouble| Failure::new(Stage::Dial, Side::Upstream, trouble))?;
    link.gone(ANSWER).await;
    coming.arrived();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &[u8] = b"real";

    fn way() -> Way {
        let place = dial::Place::Unix("/nowhere".into());
        Way { endpoint: "nowhere".into(), place, tls: None, direct: false }
    }

    fn issue(errands: &Errands, key: &[u8]) -> Ticket {
        errands.issue_for(key.to_vec(), REAL.to_vec(), way()).expect("a key that nobody has")
    }

    #[test]
    fn a_ticket_of_ours_leads_to_that_of_the_server_while_its_session_lives() {
        let errands = Errands::default();
        let ticket = issue(&errands, b"a");
        let coming = errands.set_out(b"a").expect("the session lives");
        assert_eq!(coming.real.as_deref(), Some(REAL));
        assert!(errands.issue_for(b"a".to_vec(), REAL.to_vec(), way()).is_none(), "it is taken");
        coming.arrived();
        assert!(ticket.end());
        assert!(errands.set_out(b"a").is_none());
    }

    #[test]
    fn an_errand_that_is_under_way_when_its_session_ends_spoils_the_link_and_goes_no_further() {
        let errands = Errands::default();
        let ticket = issue(&errands, b"a");
        let coming = errands.set_out(b"a").expect("the session lives");
        assert!(coming.is_expected());
        assert!(!ticket.end());
        assert!(!coming.is_expected());
        let next = issue(&errands, b"a");
        assert!(!coming.is_expected(), "the next session may have the same key");
        drop(coming);
        assert!(next.end());
    }

    #[test]
    fn an_errand_of_which_nobody_knows_whether_it_arrived_spoils_the_link() {
        let errands = Errands::default();
        let ticket = issue(&errands, b"a");
        drop(errands.set_out(b"a"));
        assert!(!ticket.end());
    }

    #[test]
    fn a_ticket_of_ours_follows_its_session_to_another_link() {
        let errands = Errands::default();
        let ticket = issue(&errands, b"a");
        ticket.leads_to(b"other".to_vec(), way());
        let coming = errands.set_out(b"a").expect("the session lives");
        assert_eq!(coming.real(), Some(&b"other"[..]));
    }

    #[test]
    fn a_session_that_ends_late_does_not_take_the_next_ones_ticket_along() {
        let errands = Errands::default();
        let old = errands.issue(b"a".to_vec(), way());
        let new = errands.issue(b"a".to_vec(), way());
        drop(old);
        assert!(errands.set_out(b"a").is_some());
        drop(new);
        assert!(errands.set_out(b"a").is_none());
    }
}
