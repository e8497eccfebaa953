//! From nothing to a link on which the protocol can log in: a name, an address, a connection, and the server's first
//! words where it has the first word.

use std::sync::Arc;
use std::time::Duration;

use attache_wire::{Protocol, TlsStart};
use tokio::time::Instant;

use super::attempt::Progress;
use super::courtesy::Courtesy;
use super::remedy::Failures;
use super::role::{Candidate, Wanted};
use super::{Trail, Upstream, Way, courtesy, nobody};
use crate::config::domain::Endpoint;
use crate::failure::{Cause, Failure, Side, Stage, Trouble};
use crate::net::dial;
use crate::net::link::Link;
use crate::secret::{Material, Picked, Source};

/// A link on which nobody has logged in yet. Where it is dropped, the server is [told](super::courtesy).
pub struct Met<P: Protocol> {
    pub(super) index: usize,
    /// Until it is used.
    pub(super) link: Option<Link>,
    pub(super) way: Way,
    /// What the server said, where it speaks first.
    pub hello: Option<P::Hello>,
    /// How much of the route's `wait` its session has spent on it.
    pub(super) waited: Duration,
    pub(super) courtesy: Courtesy<P>,
}

impl<P: Protocol> Met<P> {
    /// `None` where the server has hung up since, or has said more than it should.
    pub(super) fn if_there(mut self) -> Option<Self> {
        self.link = self.link.take().and_then(|mut link| link.is_idle().then_some(link));
        self.link.is_some().then_some(self)
    }

    /// What a login needs.
    pub(super) fn into_parts(mut self) -> (Link, Way, Option<P::Hello>) {
        let link = self.link.take().expect("a link is taken once");
        (link, self.way.clone(), self.hello.take())
    }
}

impl<P: Protocol> Upstream<P> {
    /// Reaches a server that a session will probably use, before its client has said anything: for protocols in
    /// which the client is greeted as the server greets.
    ///
    /// # Errors
    /// What stood in the way, once trying again is pointless or the route's `wait` is over.
    pub async fn meet(&self, trail: &mut Trail) -> Result<Met<P>, Failure> {
        let start = Instant::now();
        let mut patience = self.patience(Duration::ZERO);
        loop {
            match self.meet_any(trail).await {
                Ok(mut met) => {
                    met.waited = start.elapsed();
                    return Ok(met);
                }
                Err(failure) => self.again(&mut patience, failure, trail).await?,
            }
        }
    }

    /// Every endpoint once, in order.
    async fn meet_any(&self, trail: &mut Trail) -> Result<Met<P>, Failure> {
        let mut failures = Failures::default();
        let order = self.order(trail).await?;
        for candidate in self.candidates(&order) {
            match self.meet_one(candidate, trail).await {
                Ok(met) => return Ok(met),
                Err(failure) => {
                    self.health.alarm();
                    failures.add(failure, self.may_serve(candidate), trail);
                }
            }
        }
        Err(failures.told(trail).unwrap_or_else(nobody))
    }

    async fn meet_one(
        &self,
        Candidate { index, wanted }: Candidate,
        trail: &mut Trail,
    ) -> Result<Met<P>, Failure> {
        if let Wanted::Only(role) = wanted {
            self.take_turn(index, role, trail)?;
        }
        self.look_for_credential().await;
        let material = self.likely_material()?;
        let target = self.target(index);
        let material = material.as_deref();
        let mut progress = self.progress(index, material.map(Arc::as_ref), trail);
        let met = self.reach(index, &target, material, &mut progress).await;
        if let Err(failure) = &met {
            progress.attempted(Some(failure.cause()));
            self.metrics.login_attempt(failure.cause().name());
            self.health.note(index, Err(failure));
        }
        met
    }

    /// The generation that a login will try first.
    pub fn likely_material(&self) -> Result<Option<Picked>, Failure> {
        let Some(source) = &self.source else { return Ok(None) };
        let material = source.pick(&[]);
        material.map(Some).ok_or_else(|| no_credential(source))
    }

    /// Up to the moment when a login can begin.
    pub(super) async fn reach(
        &self,
        index: usize,
        target: &Endpoint,
        material: Option<&Arc<Material>>,
        progress: &mut Progress<'_>,
    ) -> Result<Met<P>, Failure> {
        let tls = self.tls_of(target, material)?;
        let places = self.timed(progress, Stage::Resolve, dial::find(target, &self.resolver)).await?;
        progress.note(|course| course.places.clone_from(&places.first));
        let (endpoint, direct) = (Arc::clone(&self.names[index]), self.settings.tls.direct);
        let way = move |place| Way { endpoint, place, tls, direct };
        let dialled = courtesy::dial(&self.courtesy, places, way);
        let (stream, way) = self.timed(progress, Stage::Dial, dialled).await?;
        let (link, hello) = self.listen(Link::new(stream), &way, progress).await?;
        if let (Some(pool), Some(hello)) = (&self.pool, &hello) {
            pool.heard(index, hello);
        }
        let courtesy = self.courtesy.clone();
        Ok(Met { index, link: Some(link), way, hello, waited: Duration::ZERO, courtesy })
    }

    /// The server's first words. A greeting that does not come is a login that does not begin.
    async fn listen(
        &self,
        link: Link,
        way: &Way,
        progress: &mut Progress<'_>,
    ) -> Result<(Link, Option<P::Hello>), Failure> {
        let start = Instant::now();
        let (link, said) = courtesy::listen(&self.courtesy, link, way, progress.deadline).await;
        match said.unwrap_or_else(|| Err(self.too_slow(Stage::Login))) {
            Ok(hello) => Ok((link, hello)),
            Err(trouble) => {
                let stage = match way.start() {
                    TlsStart::Direct if link.secured_at.is_none() => Stage::Tls,
                    TlsStart::Direct | TlsStart::Negotiated | TlsStart::Off => Stage::Login,
                };
                self.passed(progress, stage, start.elapsed(), false);
                Err(Failure::new(stage, Side::Upstream, trouble))
            }
        }
    }

    /// Takes leave of a server that no client wants after all, politely: with a login, where there is a credential for it.
    pub async fn dismiss(&self, met: Met<P>) {
        let (index, intent) = (met.index, self.protocol.probe_intent());
        let Some(met) = met.if_there() else { return };
        if let Ok(Some(material)) = self.likely_material()
            && let Ok(opened) =
                self.attempt(index, Some(&material), &intent, &mut Some(met), &mut Trail::default()).await
        {
            opened.leave(&self.protocol).await;
        }
    }

    /// How long trying again may go on for a session that has waited so long already.
    pub(super) fn patience(&self, waited: Duration) -> Patience {
        let left = self.settings.wait.saturating_sub(waited);
        Patience { deadline: Instant::now() + left, pause: super::FIRST_PAUSE }
    }
}

/// What is left of a route's `wait`.
pub(super) struct Patience {
    pub(super) deadline: Instant,
    pub(super) pause: Duration,
}

/// There is nothing to log in with, for a reason that the folder tells.
pub(super) fn no_credential(source: &Source) -> Failure {
    let problem = source.standing().problem.map(|problem| problem.to_string()).unwrap_or_default();
    Failure::new(Stage::Login, Side::Attache, Trouble::new(Cause::CredentialMissing, problem))
}
