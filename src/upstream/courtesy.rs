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

use attache_wire::{Credential, Machine, Protocol, Terms};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::probe::FAREWELL;
use super::{Met, Way};
use crate::chance;
use crate::failure::{Failure, Trouble};
use crate::net::dial::{self, Place, Places};
use crate::net::link::Link;
use crate::net::stream::Stream;
use crate::net::tls::TlsClient;

/// How long a server may take for what nobody waits for.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How many handshakes of a route at once nobody waits for; others are broken off. Clients that come and go before a server that hangs
/// would use up all descriptors, of which few are kept back.
const MOST: usize = 32;

/// What a route owes its servers.
pub(super) struct Courtesy<P> {
    protocol: Arc<P>,
    unattended: Unattended,
}

impl<P> Clone for Courtesy<P> {
    fn clone(&self) -> Self {
        Self { protocol: Arc::clone(&self.protocol), unattended: self.unattended.clone() }
    }
}

impl<P> Courtesy<P> {
    pub(super) fn new(protocol: &Arc<P>) -> Self {
        Self { protocol: Arc::clone(protocol), unattended: Unattended::default() }
    }
}

/// Room for what nobody waits for.
#[derive(Clone)]
struct Unattended(Arc<Semaphore>);

impl Default for Unattended {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Unattended {
    /// Goes on with it, unless there is too much already.
    async fn run(&self, work: impl Future<Output = ()>) {
        if let Ok(_one) = self.0.try_acquire() {
            work.await;
        }
    }
}

/// What became of a login, and the link that it was tried on; `None` where it took too long.
pub(super) type Outcome<T> = (Link, Option<Result<T, Trouble>>);

/// Waits for `work`, which goes on where nobody waits: what comes of it goes to `unheard` then.
async fn see_through<T, F>(
    unattended: &Unattended,
    work: impl Future<Output = T> + Send + 'static,
    unheard: impl FnOnce(T) -> F + Send + 'static,
) -> T
where
    T: Send + 'static,
    F: Future<Output = ()> + Send,
{
    let (mut tell, told) = oneshot::channel();
    let unattended = unattended.clone();
    tokio::spawn(async move {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            outcome = &mut work => {
                if let Err(outcome) = tell.send(outcome) {
                    unattended.run(unheard(outcome)).await;
                }
            }
            () = tell.closed() => {
                unattended.run(async {
                    if let Ok(outcome) = timeout(HANDSHAKE, work).await {
                        unheard(outcome).await;
                    }
                })
                .await;
            }
        }
    });
    told.await.expect("who is waited for tells")
}

/// Connects: from then on a server counts.
pub(super) async fn dial<P: Protocol>(
    courtesy: &Courtesy<P>,
    places: Places,
    way: impl FnOnce(Place) -> Way + Send + 'static,
) -> Result<(Stream, Way), Failure> {
    let work = async move { dial::race(places).await.map(|(stream, place)| (stream, way(place))) };
    if !P::FEATURES.server_first {
        return work.await;
    }
    let ours = courtesy.clone();
    see_through(&courtesy.unattended, work, async move |dialled: Result<_, Failure>| {
        let Ok((stream, way)) = dialled else { return };
        let deadline = Instant::now() + HANDSHAKE;
        if let (link, Some(Ok(hello))) = listen(&ours, Link::new(stream), &way, deadline).await {
            leave(ours.protocol, link, way, hello).await;
        }
    })
    .await
}

/// Reads a server's first words.
pub(super) async fn listen<P: Protocol>(
    courtesy: &Courtesy<P>,
    link: Link,
    way: &Way,
    deadline: Instant,
) -> Outcome<Option<P::Hello>> {
    let Some(machine) = courtesy.protocol.hello(way.start()) else { return (link, Some(Ok(None))) };
    let (tls, protocol, way) = (way.tls.clone(), Arc::clone(&courtesy.protocol), way.clone());
    let work = async move {
        let (link, said) = drive(link, machine, tls.as_ref(), deadline).await;
        (link, said.map(|said| said.map(Some)))
    };
    see_through(&courtesy.unattended, work, async move |(link, said): Outcome<Option<P::Hello>>| {
        if let Some(Ok(hello)) = said {
            leave(protocol, link, way, hello).await;
        }
    })
    .await
}

/// Logs in.
pub(super) async fn log_in<P: Protocol>(
    courtesy: &Courtesy<P>,
    link: Link,
    way: &Way,
    machine: P::Login,
    deadline: Instant,
) -> Outcome<P::Greeting> {
    if !P::FEATURES.server_first {
        return drive(link, machine, way.tls.as_ref(), deadline).await;
    }
    let (tls, protocol) = (way.tls.clone(), Arc::clone(&courtesy.protocol));
    let work = async move { drive(link, machine, tls.as_ref(), deadline).await };
    see_through(&courtesy.unattended, work, async move |(link, said): Outcome<P::Greeting>| {
        if let Some(Ok(_)) = said {
            part(&*protocol, link).await;
        }
    })
    .await
}

async fn drive<M: Machine>(
    mut link: Link,
    machine: M,
    tls: Option<&TlsClient>,
    deadline: Instant,
) -> Outcome<M::Output> {
    let said = timeout_at(deadline, link.drive(machine, tls)).await.ok();
    (link, said)
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
            let (courtesy, way, hello) = (self.courtesy.clone(), self.way.clone(), self.hello.take());
            runtime.spawn(async move {
                let Courtesy { protocol, unattended } = courtesy;
                unattended.run(leave(protocol, link, way, hello)).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_is_bounded_in_number_and_in_time() {
        let (held, unattended) = (Arc::new(()), Unattended::default());
        let mut waiting: Vec<_> = (0..MOST + 5)
            .map(|_| {
                let held = Arc::clone(&held);
                let work = async move {
                    let _held = held;
                    pending::<()>().await;
                };
                Box::pin(see_through(&unattended, work, async |()| ()))
            })
            .collect();
        for one in &mut waiting {
            assert!(futures_util::poll!(one).is_pending());
        }
        sleep(Duration::from_millis(1)).await;
        assert_eq!(Arc::strong_count(&held), 1 + MOST + 5);
        drop(waiting);
        sleep(Duration::from_millis(1)).await;
        assert_eq!(Arc::strong_count(&held), 1 + MOST, "the rest is broken off");
        sleep(HANDSHAKE).await;
        assert_eq!((Arc::strong_count(&held), unattended.0.available_permits()), (1, MOST));
    }
}
