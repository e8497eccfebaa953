//! One session: the stages, strictly forward.
//!
//! Accept the client's first words, open the upstream, welcome the client, copy, end. Where servers speak first, one
//! is met before the client is greeted. A client hears success only when the database has said it, and the only
//! retries are inside `meet` and `open`, before anything was promised.

mod ending;
mod errand;
mod greet;
mod interlude;
mod lease;
mod record;
mod refusal;
mod renewal;
mod route;
mod seats;

use std::sync::Arc;
use std::time::Instant;

use attache_wire::{Moment, Opening, Protocol, Relay};
use prometheus_client::metrics::gauge::Gauge;

pub use errand::Errands;
use errand::Ticket;
use greet::Words;
use lease::{Held, Lease};
pub use record::{Ids, Record};
pub use route::{Route, RouteParts};
pub use seats::{Seat, Seats};

use crate::chance;
use crate::deadline::within;
use crate::drain::Drain;
use crate::failure::{Cause, Failure, Side, Stage, Trouble};
use crate::net::link::Link;
use crate::net::listen::Arrival;
use crate::orders::{Facts, Spot};
use crate::upstream::{LinkCount, Met, Opened};

/// How much a client may send ahead while its upstream is being opened, in octets.
const SENT_AHEAD: usize = 64 * 1024;

/// Serves one client from its first byte to its last.
pub async fn serve<P: Protocol>(route: Arc<Route<P>>, arrival: Arrival, drain: Drain) {
    let _present = drain.enter();
    let mut record = Record::new(&route.ids, &route.metrics, route.traces.begin(P::FEATURES.name));
    // Everything before the relay is boxed: an idle session should not carry a handshake's state.
    let established = Box::pin(begin(&route, arrival, &mut record)).await;
    if let Some(established) = established {
        ending::relay(&route, established, &drain, &mut record).await;
    }
}

/// A session that is logged in and welcomed.
struct Established<P: Protocol> {
    client: Link,
    server: Link,
    relay: Relay<P::Watch>,
    books: Books,
    /// Where the link to the server may serve another session.
    lease: Option<Box<Lease<P>>>,
}

/// What a client's session will be made of: the link to the server, how it is relayed, and its accounts.
type Ready<P> = (Link, Relay<<P as Protocol>::Watch>, Books, Option<Box<Lease<P>>>);

/// Settles a session's accounts when it is dropped.
struct Books {
    _place: Place,
    ticket: Option<Ticket>,
    link: Option<LinkCount>,
    /// Where the server is.
    at: Spot,
}

impl Books {
    /// What decides which orders concern the session.
    fn facts(&self) -> Facts {
        Facts { generation: self.link.as_ref().map_or(0, LinkCount::generation), spot: self.at }
    }
}

/// How far a session had come when its client has to be turned away.
enum Come<I> {
    /// Nobody has said anything.
    Silence,
    /// The client has been greeted, or is expected to speak.
    Opening,
    /// It waits for its welcome.
    Waiting(I),
}

impl<I> Come<I> {
    fn moment(&self) -> Moment<'_, I> {
        match self {
            Self::Silence => Moment::Silence,
            Self::Opening => Moment::Opening,
            Self::Waiting(intent) => Moment::Waiting(intent),
        }
    }
}

/// Everything up to the welcome. Of a client that does not get there the record knows why, and it has been told.
async fn begin<P: Protocol>(
    route: &Arc<Route<P>>,
    arrival: Arrival,
    record: &mut Record,
) -> Option<Box<Established<P>>> {
    let mut client = Link::new(arrival.stream);
    let mut come = if P::FEATURES.server_first { Come::Silence } else { Come::Opening };
    match established(route, &mut client, arrival.uid, &mut come, record).await {
        Ok(Some((server, relay, books, lease))) => {
            Some(Box::new(Established { client, server, relay, books, lease }))
        }
        Ok(None) => {
            record.ends(Ok(()));
            None
        }
        Err(failure) => {
            record.ends(Err(failure.clone()));
            Box::pin(ending::turn_away(route, client, &failure, come.moment(), record)).await;
            None
        }
    }
}

/// The stages. `None` is an errand that was delivered.
async fn established<P: Protocol>(
    route: &Arc<Route<P>>,
    client: &mut Link,
    uid: Option<u32>,
    come: &mut Come<P::Intent>,
    record: &mut Record,
) -> Result<Option<Ready<P>>, Failure> {
    admit(route, uid)?;
    let mut place = Place::default();
    let mut words = Words::default();
    if P::FEATURES.server_first {
        place.take(route)?;
        words = unless_gone::<P, _>(client, Box::pin(Words::find(route, record))).await?;
        *come = Come::Opening;
    }
    let intent = match accept(route, client, words.hello(), record).await {
        Ok(Opening::Session(intent)) => intent,
        Ok(Opening::Errand(errand)) => {
            record.errand = true;
            return Box::pin(route.errands.run(route, errand, record)).await.map(|()| None);
        }
        Err(failure) => {
            dismiss(route, words.met, place);
            return Err(failure);
        }
    };
    *come = Come::Waiting(intent);
    let Come::Waiting(intent) = come else { unreachable!("it was just set") };
    place.take(route)?;
    let (met, told) = words.into_parts();
    let kind = route.upstream.kind(intent);
    let opening = lease::open(route, intent, kind.as_ref(), met, &mut record.trail);
    let opened = unless_gone::<P, _>(client, opening).await?;
    let Opened { link, greeting, way, origin, count } = opened;
    let at = Spot::of(&way.place);
    let Held { greeting, ticket, lease } = lease::hold(route, kind, greeting, way, origin, told);
    let mut relay = route.protocol.relay(intent, &greeting);
    let lease = Lease::prepare(lease, &mut relay);
    welcome(route, client, intent, greeting, record).await?;
    Ok(Some((link, relay, Books { _place: place, ticket, link: count, at }, lease)))
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
    hello: Option<&P::Hello>,
    record: &mut Record,
) -> Result<Opening<P::Intent, P::Errand>, Failure> {
    let start = Instant::now();
    record.reach(Stage::Accept);
    let machine = route.protocol.accept(hello, chance::bytes());
    let accepted = within(route.login_timeout, client.drive(machine, None)).await;
    let accepted =
        accepted.unwrap_or_else(|_| Err(Trouble::new(Cause::TimedOut, "the client said nothing usable")));
    let opening =
        accepted.map_err(|trouble| Failure::new(Stage::Accept, Side::Client, of_client(trouble)))?;
    route.metrics.stage(Stage::Accept, start.elapsed());
    record.leave();
    Ok(opening)
}

/// A client that closes before it is served has left, and that is all.
fn of_client(mut trouble: Trouble) -> Trouble {
    if matches!(trouble.cause, Cause::Closed | Cause::Reset) {
        trouble.cause = Cause::ClientLeft;
    }
    trouble
}

/// Work on the upstream, unless the client gives up first.
async fn unless_gone<P: Protocol, T>(
    client: &mut Link,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        done = work => done,
        () = client.gone(SENT_AHEAD), if !P::FEATURES.half_open_clients => {
            Err(Failure::new(Stage::Login, Side::Client, Cause::ClientLeft))
        }
    }
}

/// Lets go of a server that was met for nothing. The session keeps its place until that is done.
fn dismiss<P: Protocol>(route: &Arc<Route<P>>, met: Option<Met<P>>, place: Place) {
    if let Some(met) = met {
        let upstream = Arc::clone(&route.upstream);
        tokio::spawn(async move {
            upstream.dismiss(met).await;
            drop(place);
        });
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
    let flushed = within(route.login_timeout, client.flush()).await;
    let flushed = flushed.map_err(|_| Trouble::from(Cause::TimedOut)).and_then(|sent| Ok(sent?));
    flushed.map_err(|trouble| Failure::new(Stage::Welcome, Side::Client, of_client(trouble)))
}

/// One of the sessions that a route may have at once, from the moment when it costs the server something.
#[derive(Default)]
struct Place {
    seat: Option<Seat>,
    gauge: Option<Gauge>,
}

impl Place {
    fn take<P: Protocol>(&mut self, route: &Route<P>) -> Result<(), Failure> {
        if self.seat.is_none() {
            let seat = route.seats.take(route.max_sessions);
            let full = || Failure::new(Stage::Accept, Side::Attache, Cause::TooManySessions);
            self.seat = Some(seat.ok_or_else(full)?);
            route.metrics.sessions_active.inc();
            self.gauge = Some(route.metrics.sessions_active.clone());
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(gauge) = &self.gauge {
            gauge.dec();
        }
    }
}
