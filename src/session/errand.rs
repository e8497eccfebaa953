//! Errands: a message of one connection for the server of another session, such as a cancel request.
//!
//! Every session leaves a ticket here. An errand that names it is delivered to the very server that the
//! session is on, in the way the session's own link took. An errand that names none is dropped, and its
//! client learns nothing from that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
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

type Tickets = Arc<Mutex<HashMap<Arc<[u8]>, Way>>>;

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

/// Valid while its session lives.
#[derive(Debug)]
pub(super) struct Ticket {
    key: Arc<[u8]>,
    tickets: Tickets,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl Errands {
    pub(super) fn issue(&self, key: Vec<u8>, way: Way) -> Ticket {
        let key = Arc::from(key);
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(&key), way);
        Ticket { key, tickets: Arc::clone(&self.tickets) }
    }

    fn find(&self, key: &[u8]) -> Option<Way> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Delivers an errand, and waits until the server has closed the connection: it has taken note then.
    pub(super) async fn run<P: Protocol>(
        &self,
        route: &Route<P>,
        errand: P::Errand,
        record: &mut Record,
    ) -> Result<(), Failure> {
        let failure = |cause| Failure::new(Stage::Accept, Side::Attache, cause);
        let way = self.find(&route.protocol.errand_ticket(&errand)).ok_or(failure(Cause::UnknownErrand))?;
        let _permit = self.at_once.try_acquire().map_err(|_| failure(Cause::TooManySessions))?;
        record.trail.endpoint = Some(Arc::clone(&way.endpoint));
        record.reach(Stage::Dial);
        let delivered = tokio::time::timeout(TIME_LIMIT, deliver(route, errand, &way)).await;
        delivered.unwrap_or_else(|_| Err(Failure::new(Stage::Dial, Side::Upstream, Cause::TimedOut)))
    }
}

async fn deliver<P: Protocol>(route: &Route<P>, errand: P::Errand, way: &Way) -> Result<(), Failure> {
    let (stream, _) = dial::connect(&way.place).await?;
    let mut link = Link::new(stream);
    let machine = route.protocol.deliver(errand, way.start());
    let delivered = link.drive(machine, way.tls.as_ref()).await;
    delivered.map_err(|trouble| Failure::new(Stage::Dial, Side::Upstream, trouble))?;
    link.gone(ANSWER).await;
    Ok(())
}
