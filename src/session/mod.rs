//! One session: the stages, strictly forward.
//!
//! Accept the client's first words, open the upstream, welcome the client, copy, end. A client hears success only
//! when the database has said it, and the only retries are inside `open`, before anything was promised.

mod ending;
mod errand;
mod record;
mod refusal;
mod route;

use std::sync::Arc;
use std::time::Instant;

use attache_wire::{Opening, Protocol, Relay};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::OwnedSemaphorePermit;

pub use errand::Errands;
use errand::Ticket;
pub use record::{Ids, Record};
pub use route::{Route, RouteParts};

use crate::drain::Drain;
use crate::failure::{Cause, Failure, Side, Stage, Trouble};
use crate::net::link::Link;
use crate::net::listen::Arrival;
use crate::upstream::{LinkCount, Opened};

/// How much a client may send ahead while its upstream is being opened, in octets.
const SENT_AHEAD: usize = 64 * 1024;

/// Serves one client from its first byte to its last.
pub async fn serve<P: Protocol>(route: Arc<Route<P>>, arrival: Arrival, drain: Drain) {
    let _present = drain.enter();
    let mut record = Record::new(&route.ids);
    // Everything before the relay is boxed: an idle session should not carry a handshake's state.
    let outcome = match Box::pin(begin(&route, arrival, &mut record)).await {
        Ok(Begun::Session(established)) => ending::relay(&route, established, &drain, &mut record).await,
        Ok(Begun::Errand) => Ok(()),
        Err(failure) => Err(failure),
    };
    record.write(&route.metrics, outcome);
}

enum Begun {
    Session(Box<Established>),
    /// An errand, delivered.
    Errand,
}

/// A session that is logged in and welcomed.
struct Established {
    client: Link,
    server: Link,
    relay: Relay,
    books: Books,
}

/// Settles a session's accounts when it is dropped.
struct Books {
    _permit: OwnedSemaphorePermit,
    _active: Active,
    _ticket: Option<Ticket>,
    _link: Option<LinkCount>,
}

/// Everything up to the welcome. A client that does not get there has been told why.
async fn begin<P: Protocol>(
    route: &Arc<Route<P>>,
    arrival: Arrival,
    record: &mut Record,
) -> Result<Begun, Failure> {
    let mut client = Link::new(arrival.stream);
    match established(route, &mut client, arrival.uid, record).await {
        Ok(None) => Ok(Begun::Errand),
        Ok(Some((server, relay, books))) => {
            Ok(Begun::Session(Box::new(Established { client, server, relay, books })))
        }
        Err(failure) => {
            ending::turn_away(route, client, &failure, record).await;
            Err(failure)
        }
    }
}

/// The stages. `None` is an errand that was delivered.
async fn established<P: Protocol>(
    route: &Arc<Route<P>>,
    client: &mut Link,
    uid: Option<u32>,
    record: &mut Record,
) -> Result<Option<(Link, Relay, Books)>, Failure> {
    admit(route, uid)?;
    let intent = match accept(route, client, record).await? {
        Opening::Session(intent) => intent,
        Opening::Errand(errand) => {
            record.errand = true;
            return route.errands.run(route, errand, record).await.map(|()| None);
        }
    };
    let permit = Arc::clone(&route.sessions).try_acquire_owned();
    let permit = permit.map_err(|_| Failure::new(Stage::Accept, Side::Attache, Cause::TooManySessions))?;
    let active = Active::new(&route.metrics.sessions_active);
    let Opened { link, greeting, way, count } = open(route, client, &intent, record).await?;
    let ticket = route.protocol.ticket(&greeting).map(|key| route.errands.issue(key, way));
    let relay = route.protocol.relay(&intent, &greeting);
    welcome(route, client, &intent, greeting, record).await?;
    let books = Books { _permit: permit, _active: active, _ticket: ticket, _link: count };
    Ok(Some((link, relay, books)))
}

fn admit<P: Protocol>(route: &Route<P>, uid: Option<u32>) -> Result<(), Failure> {
    match (&route.allow_uids, uid) {
        (Some(allowed), Some(uid)) if !allowed.contains(&uid) => {
            let trouble = Trouble::new(Cause::NotAllowed, format!("user id {uid}"));
            Err(Failure::new(Stage::Accept, Side::Client, trouble))
        }
        _ => Ok(()),
    }
}

async fn accept<P: Protocol>(
    route: &Route<P>,
    client: &mut Link,
    record: &mut Record,
) -> Result<Opening<P::Intent, P::Errand>, Failure> {
    let start = Instant::now();
    record.reach(Stage::Accept);
    let accepted =
        tokio::time::timeout(route.login_timeout, client.drive(route.protocol.accept(), None)).await;
    let accepted =
        accepted.unwrap_or_else(|_| Err(Trouble::new(Cause::TimedOut, "the client said nothing usable")));
    let opening =
        accepted.map_err(|trouble| Failure::new(Stage::Accept, Side::Client, of_client(trouble)))?;
    route.metrics.stage(Stage::Accept, start.elapsed());
    Ok(opening)
}

/// A client that closes before it is served has left, and that is all.
fn of_client(mut trouble: Trouble) -> Trouble {
    if matches!(trouble.cause, Cause::Closed | Cause::Reset) {
        trouble.cause = Cause::ClientLeft;
    }
    trouble
}

/// Opens the upstream, unless the client gives up first.
async fn open<P: Protocol>(
    route: &Route<P>,
    client: &mut Link,
    intent: &P::Intent,
    record: &mut Record,
) -> Result<Opened<P>, Failure> {
    tokio::select! {
        opened = route.upstream.open(intent, &mut record.trail) => opened,
        () = client.gone(SENT_AHEAD), if !P::FEATURES.half_open_clients => {
            Err(Failure::new(Stage::Login, Side::Client, Cause::ClientLeft))
        }
    }
}

async fn welcome<P: Protocol>(
    route: &Route<P>,
    client: &mut Link,
    intent: &P::Intent,
    greeting: P::Greeting,
    record: &mut Record,
) -> Result<(), Failure> {
    record.reach(Stage::Welcome);
    route.protocol.welcome(intent, greeting, &mut client.output);
    let flushed = tokio::time::timeout(route.login_timeout, client.flush()).await;
    let flushed = flushed.map_err(|_| Trouble::from(Cause::TimedOut)).and_then(|sent| Ok(sent?));
    flushed.map_err(|trouble| Failure::new(Stage::Welcome, Side::Client, of_client(trouble)))
}

/// Counts a session in its route's gauge for as long as it is kept.
struct Active(Gauge);

impl Active {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}
