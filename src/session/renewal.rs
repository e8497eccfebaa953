//! A session that lives is logged in again, in place, with a newer generation of the credential.
//!
//! Nothing is outstanding, so that the next answer is ours; the client is not told of it. A server that says no leaves
//! the session as it was. Only a link on which the answer is missing is no good any more.

use std::future::{Future, poll_fn};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use attache_wire::{Fault, Protocol};
use tokio::time::timeout;

use super::{Books, Record, Route, SENT_AHEAD};
use crate::failure::{Cause, Failure, Side, Stage, Trouble};
use crate::net::link::Link;
use crate::net::relay::Copier;
use crate::orders::{Ears, Order};
use crate::secret::Material;

/// How long the server may take to answer. It may be busy with a long script: the client's own next command would have
/// to wait as long.
const ANSWER: Duration = Duration::from_secs(60);
/// How long it may take once the client has left, so that what the client still said is passed on.
const ANSWER_TO_NOBODY: Duration = Duration::from_secs(10);

/// Renews a session at a moment when its watch takes a login, if there is a generation to renew it with. Otherwise the
/// session goes on as it is, and its ears know when to try again.
///
/// # Errors
/// Why the session cannot go on. The client has not been told.
pub(super) async fn run<P: Protocol>(
    route: &Route<P>,
    copier: &mut Copier<P::Watch>,
    books: &mut Books,
    ears: &mut Ears,
    record: &mut Record,
) -> Result<(), Failure> {
    let upstream = &route.upstream;
    let Some(material) = upstream.other_material(books.facts().generation) else {
        ears.put_off(Duration::ZERO);
        return Ok(());
    };
    let Some(intent) = route.protocol.renewal(&material.credential) else {
        ears.give_up();
        return Ok(());
    };
    let leave = match upstream.leave_at_leisure(&material) {
        Ok(leave) => leave,
        Err(wait) => {
            ears.put_off(wait);
            return Ok(());
        }
    };
    let said = log_in(route, copier, &intent, &material, ears).await;
    let outcome = said.as_ref().copied().map_err(Failure::cause);
    let (generation, ended) = (material.generation(), outcome.err().map_or("ok", Cause::name));
    upstream.heard_at_leisure(&material, leave, outcome);
    route.metrics.renewal(ended);
    tracing::debug!(route = route.name, session = %record.id, generation, ended, "session logged in again");
    match said {
        Ok(()) => {
            books.link = upstream.count(Some(&material));
            record.trail.generation = NonZeroU64::new(generation);
            record.renewals += 1;
            Ok(())
        }
        Err(failure) if is_harmless(&failure) => {
            ears.put_off(Duration::ZERO);
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// One login on the link that is there. Unless the link is spoilt, whatever else the server said goes on its way.
async fn log_in<P: Protocol>(
    route: &Route<P>,
    copier: &mut Copier<P::Watch>,
    intent: &P::Intent,
    material: &Arc<Material>,
    ears: &mut Ears,
) -> Result<(), Failure> {
    let (mut client, mut server, watch) = copier.pause();
    let watch = watch.expect("only a watch takes a login");
    let terms = route.upstream.terms_within(Some(material), &server);
    let machine = route.protocol.relogin(watch, intent, terms);
    let machine = machine.expect("a protocol that renews logs in again");
    let said = answer(&mut client, ears, server.drive(machine, None)).await;
    if said.as_ref().is_err_and(|failure| !is_harmless(failure)) {
        server.input.clear();
    }
    copier.resume(client, server);
    said.map(|_greeting| ())
}

/// Waits for the answer, unless the session has to end first. What the client says meanwhile is kept.
async fn answer<T>(
    client: &mut Link,
    ears: &mut Ears,
    login: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Failure> {
    let failed = |side, trouble| Failure::new(Stage::Relay, side, trouble);
    tokio::pin!(login);
    let left = tokio::select! {
        biased;
        said = &mut login => return said.map_err(|trouble| failed(Side::Upstream, trouble)),
        cause = end(ears) => return Err(failed(Side::Attache, cause.into())),
        left = timeout(ANSWER, client.gone(SENT_AHEAD)) => left.is_ok(),
    };
    if !left {
        return Err(failed(Side::Upstream, Cause::TimedOut.into()));
    }
    match timeout(ANSWER_TO_NOBODY, login).await {
        Ok(said) => said.map_err(|trouble| failed(Side::Upstream, trouble)),
        Err(_) => Err(failed(Side::Client, Cause::ClientLeft.into())),
    }
}

/// Waits until the session has to end at once.
async fn end(ears: &mut Ears) -> Cause {
    loop {
        if let Order::Now(cause) = ears.order() {
            return cause;
        }
        poll_fn(|cx| ears.poll_changed(cx)).await;
    }
}

/// Whether the link is as it was: the server has said no, or was not asked.
fn is_harmless(failure: &Failure) -> bool {
    match &failure.trouble.fault {
        Some(Fault::Rejected(_) | Fault::Insecure(_) | Fault::Incomplete(_) | Fault::Unsupported(_)) => true,
        Some(Fault::Malformed(_) | Fault::TooLong(_) | Fault::EarlyData) | None => false,
    }
}
