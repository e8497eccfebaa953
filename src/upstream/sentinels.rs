//! The Sentinels of a route: each is asked, and listened to, by a task of its own.
//!
//! Sessions never ask them: they take the list that comes of it ([`hearing`](super::hearing)) as it is, and wait only while
//! there is none.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use attache_wire::{Approach, Credential, Protocol, Report, Terms, TlsStart};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Upstream;
use super::attempt::server_name;
use super::hearing::Sentinels;
use super::probe::rest;
use crate::bell::Follower;
use crate::chance;
use crate::config::domain::{self, Endpoint, TlsMode};
use crate::failure::{Cause, Nature, Trouble};
use crate::net::authorities::Authorities;
use crate::net::dial;
use crate::net::link::Link;
use crate::net::tls::{self, TlsClient, Trust};
use crate::secret::{Material, Source};

/// The first pause after a Sentinel has failed; it doubles up to the second.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A Sentinel is not asked again sooner than this, whatever it announces.
const SOONEST: Duration = Duration::from_millis(50);
/// Nor sooner than this because sessions find no server.
const SOONEST_FOR_SESSIONS: Duration = Duration::from_millis(500);
/// After about so long a Sentinel is asked on a new link: its certificate is known only as it was when a link began.
const LONGEST_LINK: Duration = Duration::from_secs(12 * 3600);

/// A Sentinel that has answered.
pub(super) struct Asked {
    link: Link,
    /// What the Sentinel was shown, to be kept out of what it says. A link is not used any longer than its credential is.
    credential: Option<Arc<Credential>>,
    /// How long the link may be used.
    until: Instant,
    pub(super) report: Option<Report>,
}

/// Why a Sentinel is asked once more.
enum Reason {
    Again,
    /// On a new link: the credential is another, or the link is old.
    Anew,
}

/// Asks one Sentinel, and listens to it, for ever.
pub async fn attend<P: Protocol>(upstream: Arc<Upstream<P>>, seat: usize) {
    let Some(sentinels) = &upstream.sentinels else { return };
    let mut alarms = upstream.health.alarms();
    let mut pause = FIRST_PAUSE;
    loop {
        alarms.catch_up();
        let Err(trouble) = upstream.stay_with(sentinels, seat, &mut alarms, &mut pause).await;
        upstream.hear(sentinels, seat, Err(trouble));
        rest(chance::about(pause), &mut alarms).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl<P: Protocol> Upstream<P> {
    /// Until the Sentinel fails.
    async fn stay_with(
        &self,
        sentinels: &Sentinels,
        seat: usize,
        alarms: &mut Follower,
        pause: &mut Duration,
    ) -> Result<Infallible, Trouble> {
        loop {
            let mut generation = sentinels.source.as_ref().map(Source::subscribe);
            let mut asked = self.ask_anew(sentinels, seat).await?;
            loop {
                *pause = FIRST_PAUSE;
                self.hear(sentinels, seat, Ok(asked.report.take()));
                match self.reason_to_ask(sentinels, &mut asked, alarms, generation.as_mut()).await? {
                    Reason::Again => asked.report = self.ask_again(sentinels, &mut asked).await?,
                    Reason::Anew => break,
                }
            }
        }
    }

    /// Waits until there is a reason to ask once more.
    async fn reason_to_ask(
        &self,
        sentinels: &Sentinels,
        asked: &mut Asked,
        alarms: &mut Follower,
        generation: Option<&mut Follower>,
    ) -> Result<Reason, Trouble> {
        let asked_at = Instant::now();
        let machine = P::heed_sentinel(&sentinels.settings.master).expect("Sentinels are there to be heeded");
        let rotated = async {
            match generation {
                Some(generation) => generation.changed().await,
                None => std::future::pending().await,
            }
        };
        let alarmed = async {
            sleep(SOONEST_FOR_SESSIONS).await;
            alarms.changed().await;
        };
        tokio::select! {
            biased;
            heard = asked.link.drive(machine, None) => heard?,
            () = alarmed => {}
            () = sleep(chance::about(sentinels.settings.poll)) => {}
            () = rotated => return Ok(Reason::Anew),
            () = sleep_until(asked.until) => return Ok(Reason::Anew),
        }
        sleep_until(asked_at + SOONEST).await;
        Ok(Reason::Again)
    }

    async fn ask_again(&self, sentinels: &Sentinels, asked: &mut Asked) -> Result<Option<Report>, Trouble> {
        let approach = Approach::Again(asked.credential.clone());
        let machine = P::ask_sentinel(&sentinels.settings.master, approach).expect("it was asked before");
        let limit = self.settings.connect_timeout;
        let answer = timeout(limit, asked.link.drive(machine, None)).await;
        answer.unwrap_or_else(|_| Err(Trouble::overdue(Cause::TimedOut, limit))).map_err(of_sentinel)
    }

    /// On a new link, with every generation of the credential that there is. Nobody but us tries a new one.
    pub(super) async fn ask_anew(&self, sentinels: &Sentinels, seat: usize) -> Result<Asked, Trouble> {
        let Some(source) = &sentinels.source else { return self.ask(sentinels, seat, None).await };
        let mut last = Trouble::new(Cause::CredentialMissing, "upstream.sentinel.credential");
        let on_trial = source.on_trial();
        let tried = on_trial.as_ref().map(|material| material.generation());
        let others = source.candidates().into_iter().filter(|other| Some(other.generation()) != tried);
        for material in on_trial.into_iter().chain(others) {
            let generation = material.generation();
            let Ok(leave) = source.leave(generation) else {
                last = Trouble::new(Cause::SentinelLoginRejected, "not sent, so as not to be locked out");
                continue;
            };
            match self.ask(sentinels, seat, Some(&material)).await {
                Ok(asked) => {
                    source.worked(generation);
                    source.was_not_rejected(leave);
                    return Ok(asked);
                }
                Err(trouble) if trouble.cause == Cause::SentinelLoginRejected => {
                    source.rejected(generation, leave);
                    last = trouble;
                }
                Err(trouble) => {
                    if trouble.cause.nature() == Nature::OutOfReach {
                        source.was_not_rejected(leave);
                    }
                    return Err(trouble);
                }
            }
        }
        Err(last)
    }

    async fn ask(
        &self,
        sentinels: &Sentinels,
        seat: usize,
        material: Option<&Arc<Material>>,
    ) -> Result<Asked, Trouble> {
        let (settings, limit) = (&sentinels.settings, self.settings.connect_timeout);
        let endpoint = &settings.endpoints[seat];
        let tls = tls_of(&settings.tls, &self.authorities, endpoint, material)?;
        let credential = material.map(|material| Arc::clone(&material.credential));
        let asked = async {
            let places = dial::find(endpoint, &self.resolver).await.map_err(|failure| failure.trouble)?;
            let (stream, place) = dial::race(places).await.map_err(|failure| failure.trouble)?;
            let terms = Terms {
                credential: credential.clone(),
                tls: if tls.is_some() { TlsStart::Direct } else { TlsStart::Off },
                private: place.is_private(),
                allow_cleartext: self.allow_cleartext,
                ask_role: false,
                nonce: chance::bytes(),
            };
            let machine = P::ask_sentinel(&settings.master, Approach::Anew(terms));
            let machine = machine.expect("a checked configuration has Sentinels where the protocol has them");
            let mut link = Link::new(stream);
            let report = link.drive(machine, tls.as_ref()).await;
            self.note_certificate(sentinels, seat, link.certificate);
            let until = Instant::now() + chance::about(LONGEST_LINK);
            Ok(Asked { link, credential, until, report: report.map_err(of_sentinel)? })
        };
        timeout(limit, asked).await.unwrap_or_else(|_| Err(Trouble::overdue(Cause::TimedOut, limit)))
    }
}

/// A Sentinel's refusal says nothing of the route's own credential.
fn of_sentinel(trouble: Trouble) -> Trouble {
    match trouble.cause == Cause::CredentialRejected {
        true => Trouble { cause: Cause::SentinelLoginRejected, ..trouble },
        false => trouble,
    }
}

fn tls_of(
    tls: &domain::Tls,
    authorities: &Authorities,
    endpoint: &Endpoint,
    material: Option<&Arc<Material>>,
) -> Result<Option<TlsClient>, Trouble> {
    let Endpoint::Tcp { host, .. } = endpoint else { return Ok(None) };
    if tls.mode == TlsMode::Off {
        return Ok(None);
    }
    let name = server_name(tls.server_name.as_deref().unwrap_or(host))?;
    let material = material.map(Arc::as_ref);
    let trust = Trust::of(tls, authorities)?;
    Ok(Some(TlsClient { config: tls::configure(&trust, material, None)?, name }))
}
