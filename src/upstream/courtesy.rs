//! Handshakes that nobody waits for any more are seen through, where servers speak first.
//!
//! Such a server counts handshakes that are broken off, and blocks the host that they came from after some (MySQL's manual,
//! "DNS Lookups and the Host Cache"; MariaDB too): then nobody there logs in until an administrator has flushed its list. A
//! rejected login does not count. So a login that has begun goes on although its client has left, and a server that was
//! met for nothing is told that nobody is there: a user without a name and a password, which it rejects. What counts all
//! the same is TLS that fails, a server that is too slow, and what is not to be told to it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use attache_wire::{Credential, Protocol, Terms};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::probe::FAREWELL;
use super::{Met, Way};
use crate::chance;
use crate::failure::{Failure, Trouble};
use crate::net::dial::{self, Place, Places};
use crate::net::link::Link;
use crate::net::stream::Stream;

/// How long a server may take for what nobody waits for.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// What became of a login, and the link that it was tried on; `None` where it took too long.
pub(super) type Outcome<T> = (Link, Option<Result<T, Trouble>>);

/// Waits for `work`, which goes on where nobody waits: what comes of it goes to `unheard` then.
async fn see_through<T, F>(
    work: impl Future<Output = T> + Send + 'static,
    unheard: impl FnOnce(T) -> F + Send + 'static,
) -> T
where
    T: Send + 'static,
    F: Future<Output = ()> + Send,
{
    let (mut tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let mut work = pin!(work);
        let outcome = tokio::select! {
            biased;
            outcome = &mut work => outcome,
            () = tell.closed() => match timeout(HANDSHAKE, work).await {
                Ok(outcome) => outcome,
                Err(_) => return,
            },
        };
        if let Err(outcome) = tell.send(outcome) {
            unheard(outcome).await;
        }
    });
    told.await.expect("who is waited for tells")
}

/// Connects: from then on a server counts.
pub(super) async fn dial<P: Protocol>(
    protocol: &Arc<P>,
    places: Places,
    way: impl FnOnce(Place) -> Way + Send + 'static,
) -> Result<(Stream, Way), Failure> {
    let work = async move { dial::race(places).await.map(|(stream, place)| (stream, way(place))) };
    if !P::FEATURES.server_first {
        return work.await;
    }
    let protocol = Arc::clone(protocol);
    see_through(work, async move |dialled: Result<_, Failure>| {
        let Ok((stream, way)) = dialled else { return };
        let deadline = Instant::now() + HANDSHAKE;
        if let (link, Some(Ok(hello))) = listen(&protocol, Link::new(stream), &way, deadline).await {
            leave(protocol, link, way, hello).await;
        }
    })
    .await
}

/// Reads a server's first words.
pub(super) async fn listen<P: Protocol>(
    protocol: &Arc<P>,
    mut link: Link,
    way: &Way,
    deadline: Instant,
) -> Outcome<Option<P::Hello>> {
    let Some(machine) = protocol.hello(way.start()) else { return (link, Some(Ok(None))) };
    let (tls, protocol, way) = (way.tls.clone(), Arc::clone(protocol), way.clone());
    let work = async move {
        let said = timeout_at(deadline, link.drive(machine, tls.as_ref())).await.ok();
        (link, said.map(|said| said.map(Some)))
    };
    see_through(work, async move |(link, said): Outcome<Option<P::Hello>>| {
        if let Some(Ok(hello)) = said {
            leave(protocol, link, way, hello).await;
        }
    })
    .await
}

/// Logs in.
pub(super) async fn log_in<P: Protocol>(
    protocol: &Arc<P>,
    mut link: Link,
    way: &Way,
    machine: P::Login,
    deadline: Instant,
) -> Outcome<P::Greeting> {
    if !P::FEATURES.server_first {
        let said = timeout_at(deadline, link.drive(machine, way.tls.as_ref())).await.ok();
        return (link, said);
    }
    let (tls, protocol) = (way.tls.clone(), Arc::clone(protocol));
    let work = async move {
        let said = timeout_at(deadline, link.drive(machine, tls.as_ref())).await.ok();
        (link, said)
    };
    see_through(work, async move |(link, said): Outcome<P::Greeting>| {
        if let Some(Ok(_)) = said {
            part(&*protocol, link).await;
        }
    })
    .await
}

/// Ends a handshake for which there is no credential.
async fn leave<P: Protocol>(protocol: Arc<P>, mut link: Link, way: Way, hello: Option<P::Hello>) {
    let terms = Terms {
        credential: Some(Arc::new(Credential::of_nobody())),
        tls: way.start(),
        private: way.place.is_private(),
        // There is nothing in it.
        allow_cleartext: true,
        ask_role: false,
        nonce: chance::bytes(),
    };
    let machine = protocol.login(&protocol.probe_intent(), hello, terms);
    if let Ok(Ok(_)) = timeout(HANDSHAKE, link.drive(machine, way.tls.as_ref())).await {
        part(&*protocol, link).await;
    }
}

async fn part<P: Protocol>(protocol: &P, mut link: Link) {
    protocol.farewell(&mut link.output);
    let _ = timeout(FAREWELL, link.part()).await;
}

impl<P: Protocol> Drop for Met<P> {
    fn drop(&mut self) {
        if let Some(link) = self.link.take().filter(|_| P::FEATURES.server_first)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (protocol, way, hello) = (Arc::clone(&self.protocol), self.way.clone(), self.hello.take());
            runtime.spawn(leave(protocol, link, way, hello));
        }
    }
}
