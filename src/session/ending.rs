//! The relay, and every way in which it ends.
//!
//! A server that goes away is told to the client in the protocol's words, but only where its last frame was
//! complete: appended to half a frame, our words would be taken for data.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use attache_wire::{Fault, Moment, Protocol, Rejection, RejectionKind, Relay, Watch};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use super::interlude::After;
use super::refusal::notice;
use super::{Established, Record, Route, interlude, renewal};
use crate::drain::Drain;
use crate::failure::{Cause, Failure, Side, Stage, Trouble};
use crate::metrics::RouteMetrics;
use crate::net::link::Link;
use crate::net::relay::{Copier, Event, Until};
use crate::net::tls;
use crate::orders::{Ears, Order};

/// A client that has finished sending, and to whom nothing has been sent for this long, is taken for gone.
const GONE_AFTER: Duration = Duration::from_secs(10);
/// How long last words may take to be sent, and then to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What is read and thrown away of a client that is being turned away, in octets.
const UNHEARD: usize = 64 * 1024;

/// Copies until the session ends, tells the client why if it has to be told, and closes both links.
pub(super) async fn relay<P: Protocol>(
    route: &Route<P>,
    established: Box<Established<P>>,
    drain: &Drain,
    record: &mut Record,
) {
    record.reach(Stage::Relay);
    let Some(carried) = carry(route, established, drain, record).await else {
        return record.ends(Ok(()));
    };
    if let End::Failed(failure) = &carried.end
        && failure.side == Side::Upstream
    {
        // Others may have been lost with it, or the server has made way for another one.
        route.upstream.health.alarm();
    }
    if let End::Clean(side) = &carried.end {
        record.ended_by = *side;
    }
    // Whatever becomes of the last words, this is how it ended.
    record.ends(match &carried.end {
        End::Clean(_) | End::Kept => Ok(()),
        End::Quiet(cause) => Err(Failure::new(Stage::Relay, Side::Attache, *cause)),
        End::Failed(failure) => Err(failure.clone()),
    });
    Box::pin(part(route, carried, record)).await;
}

/// What is left when the copying has ended.
struct Carried {
    /// To the client and to the server.
    links: (Link, Link),
    end: End,
    /// The number of the next frame to the client, if there may be one.
    number: Option<u8>,
    /// Whether nobody has looked at what was copied.
    opaque: bool,
}

/// Copies to the end, and settles the accounts; nothing is left where the link serves another session. Apart from what
/// comes behind it, which an idle session has no room for.
async fn carry<P: Protocol>(
    route: &Route<P>,
    established: Box<Established<P>>,
    drain: &Drain,
    record: &mut Record,
) -> Option<Carried> {
    let Established { client, server, relay, mut books, mut lease } = *established;
    let watch = match relay {
        Relay::Opaque => None,
        Relay::Watched(watch) => Some(watch),
    };
    let opaque = watch.is_none();
    let mut copier = Copier::new(client, server, watch, meters(&route.metrics));
    if lease.is_some() {
        copier.keep_server();
    }
    let mut ears = route.upstream.orders.follow(drain, books.facts());
    let (end, number) = loop {
        let asked = match copy(&mut copier, &mut ears, || route.upstream.doubt_role()).await {
            Stop::End(end) => break (end, next_number(&copier)),
            Stop::Asked => true,
            Stop::Renewal => false,
        };
        if asked {
            match Box::pin(interlude::run(route, &mut copier, &mut books, record)).await {
                Ok(After::Same) => {}
                // From now on the link is not what its key says.
                Ok(After::LoggedIn) => lease = None,
                Err(failure) => break (End::Failed(failure), None),
            }
        } else {
            let done = Box::pin(renewal::run(route, &mut copier, &mut books, &mut ears, record)).await;
            if let Err(failure) = done {
                break (End::Failed(failure), next_number(&copier));
            }
            lease.iter_mut().for_each(|lease| lease.renewed(books.facts().generation));
        }
        ears.moved(books.facts());
    };
    (record.to_upstream, record.to_client) = copier.passed();
    if let (End::Kept, Some(lease), Some(watch)) = (&end, lease, copier.take_watch()) {
        let (_, server) = copier.into_links();
        lease.give_back(route, server, watch, books);
        return None;
    }
    Some(Carried { links: copier.into_links(), end, number, opaque })
}

/// The number of the next frame to the client, if there may be one.
fn next_number<W: Watch>(copier: &Copier<W>) -> Option<u8> {
    copier.may_speak().then(|| copier.next_number())
}

/// Tells the client what it has to be told, and takes leave of both sides.
async fn part<P: Protocol>(route: &Route<P>, carried: Carried, record: &Record) {
    let Carried { links: (mut client, mut server), end, number, opaque } = carried;
    match end {
        End::Clean(_) => {}
        // The server has not heard the client's goodbye.
        End::Kept => route.protocol.farewell(&mut server.output),
        End::Quiet(cause) => {
            // Words of ours are appended to what the client sent only where that is known to end with a whole
            // frame: they could complete half a statement otherwise.
            route.protocol.farewell(&mut server.output);
            let moment = Moment::Session(number.unwrap_or_default());
            tell(route, &mut client, cause, moment, record).await;
        }
        // The other side should see what we saw: a cut, and not an orderly end before it.
        End::Failed(_) if opaque => {
            client.stream.abort();
            server.stream.abort();
            return;
        }
        End::Failed(failure) => {
            if let Some(number) = number {
                tell(route, &mut client, failure.cause(), Moment::Session(number), record).await;
            }
        }
    }
    let _ = timeout(LAST_WORDS, async {
        server.flush().await?;
        server.stream.shutdown().await
    })
    .await;
}

fn meters(metrics: &RouteMetrics) -> [prometheus_client::metrics::counter::Counter; 2] {
    [metrics.to_upstream.clone(), metrics.to_client.clone()]
}

/// How a session ended.
enum End {
    /// As its two sides agreed; this one began.
    Clean(Side),
    /// By the client, at a moment when its link to the server could serve another. The server knows nothing of it.
    Kept,
    /// By us, for this cause, at a moment when nobody loses anything.
    Quiet(Cause),
    Failed(Failure),
}

/// What the copying stops for.
enum Stop {
    End(End),
    /// The client has asked for something that takes a pause.
    Asked,
    /// The session can be logged in again, and is to be.
    Renewal,
}

/// Copies to the end, or to a pause before it.
async fn copy<W: Watch>(copier: &mut Copier<W>, ears: &mut Ears, doubt_role: impl Fn()) -> Stop {
    let mut client_ended = false;
    Stop::End(loop {
        copier.make_room(ears.order() == Order::MakeRoom);
        let until = match ears.order() {
            Order::GoOn => Until::End,
            Order::Renew | Order::MakeRoom => Until::Login,
            Order::WhenFree(_) => Until::Free,
            Order::WhenQuiet(_) => Until::Quiet,
            Order::Now(cause) => break failed(Side::Attache, cause),
        };
        let event = match next(copier, ears, until, client_ended).await {
            News::Event(event) => event,
            News::Silence => break failed(Side::Client, Cause::ClientLeft),
            News::Other => continue,
        };
        match event {
            Event::RoleDoubted => doubt_role(),
            Event::ClientEnded => client_ended = true,
            Event::Moment => match ears.order() {
                Order::WhenFree(cause) | Order::WhenQuiet(cause) | Order::Now(cause) => {
                    break End::Quiet(cause);
                }
                Order::Renew | Order::MakeRoom => return Stop::Renewal,
                Order::GoOn => continue,
            },
            Event::Paused => return Stop::Asked,
            Event::Kept => break End::Kept,
            Event::Finished => break End::Clean(Side::Client),
            Event::UpstreamClosed | Event::Upstream(_) if copier.client_left() => {
                break End::Clean(Side::Client);
            }
            Event::UpstreamClosed => break failed(Side::Upstream, Cause::Closed),
            Event::Upstream(error) => {
                break End::Failed(Failure::new(Stage::Relay, Side::Upstream, tls::trouble(&error)));
            }
            Event::Client(error) => {
                let trouble = Trouble::new(Cause::ClientLeft, error.to_string());
                break End::Failed(Failure::new(Stage::Relay, Side::Client, trouble));
            }
            Event::ClientFault(fault) => {
                break End::Failed(Failure::new(Stage::Relay, Side::Client, fault));
            }
            Event::UpstreamFault(fault) => {
                break End::Failed(Failure::new(Stage::Relay, Side::Upstream, fault));
            }
        }
    })
}

/// What interrupts the copying.
enum News {
    Event(Event),
    /// A client that has finished sending has been sent nothing for as long as is waited.
    Silence,
    /// There may be another order, or a client has been sent something and is waited for again.
    Other,
}

/// Copies until something is to be done. Polled for every query: written out, for a `select!` is not free.
fn next<W: Watch>(
    copier: &mut Copier<W>,
    ears: &mut Ears,
    until: Until,
    client_ended: bool,
) -> impl Future<Output = News> {
    let passed = copier.passed();
    let mut patience = client_ended.then(|| Box::pin(sleep(GONE_AFTER)));
    poll_fn(move |cx| {
        if let Poll::Ready(event) = copier.poll(cx, until) {
            return Poll::Ready(News::Event(event));
        }
        if ears.poll_changed(cx).is_ready() {
            return Poll::Ready(News::Other);
        }
        let over = patience.as_mut().map_or(Poll::Pending, |patience| patience.as_mut().poll(cx));
        over.map(|()| if copier.passed() == passed { News::Silence } else { News::Other })
    })
}

fn failed(side: Side, cause: Cause) -> End {
    End::Failed(Failure::new(Stage::Relay, side, cause))
}

/// Tells a client that its session does not come about.
pub(super) async fn turn_away<P: Protocol>(
    route: &Route<P>,
    mut client: Link,
    failure: &Failure,
    moment: Moment<'_, P::Intent>,
    record: &Record,
) {
    if record.errand {
        return;
    }
    match verbatim(failure) {
        Some(rejection) => {
            route.protocol.repeat(rejection, moment, &mut client.output);
            last_words(&mut client).await;
        }
        None => tell(route, &mut client, failure.cause(), moment, record).await,
    }
}

/// The server's own words, where its refusal is between it and the client: a database that does not exist, too
/// many connections. A rejected credential is not: the client knows nothing of that user.
fn verbatim(failure: &Failure) -> Option<&Rejection> {
    match failure.trouble.fault.as_ref()? {
        Fault::Rejected(rejection) => match rejection.kind {
            RejectionKind::Credential => None,
            RejectionKind::NotNow | RejectionKind::Other => Some(rejection),
        },
        Fault::Malformed(_)
        | Fault::Unsupported(_)
        | Fault::TooLong(_)
        | Fault::EarlyData
        | Fault::Insecure(_)
        | Fault::Incomplete(_) => None,
    }
}

async fn tell<P: Protocol>(
    route: &Route<P>,
    client: &mut Link,
    cause: Cause,
    moment: Moment<'_, P::Intent>,
    record: &Record,
) {
    let session = record.id.to_string();
    if let Some(notice) = notice(cause, &session) {
        route.protocol.refuse(&notice, moment, &mut client.output);
        last_words(client).await;
    }
}

/// Sends what is left to be said, and waits a moment for the client to hang up: closing with its bytes unread
/// would reset the connection, and the words would be lost.
async fn last_words(client: &mut Link) {
    let said = timeout(LAST_WORDS, async {
        client.flush().await?;
        client.stream.shutdown().await
    });
    if matches!(said.await, Ok(Ok(()))) {
        client.input.clear();
        let _ = timeout(LAST_WORDS, client.gone(UNHEARD)).await;
    }
}
