//! The Sentinels of a route: each is asked, and listened to, by a task of its own.
//!
//! What they say together ([`Council`]) becomes the list of servers that sessions use. Sessions never ask them: they take
//! the list as it is, and wait only while there is none.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use attache_wire::{Protocol, Report, Terms, TlsStart};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Upstream;
use super::attempt::server_name;
use super::council::{Council, Seat};
use super::probe::rest;
use crate::bell::{Bell, Follower};
use crate::chance;
use crate::config::domain::{self, Endpoint, TlsMode};
use crate::failure::{Cause, Nature, Trouble};
use crate::net::dial;
use crate::net::link::Link;
use crate::net::tls::{self, Certificate, TlsClient};
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

/// What is known of the Sentinels of one route.
pub struct Sentinels {
    pub settings: domain::Sentinel,
    /// `None` where they ask for no login.
    pub source: Option<Source>,
    names: Vec<Arc<str>>,
    council: Mutex<Council>,
    contacts: Mutex<Vec<Contact>>,
    /// Tells that one of them has said something, or failed to.
    news: Bell,
    /// Tells that they name other servers than before.
    changes: Bell,
}

/// One of them, as it was heard last.
#[derive(Debug, Clone)]
pub struct SentinelSeen {
    pub endpoint: Arc<str>,
    /// `None` until the first answer.
    pub up: Option<bool>,
    pub report: Option<Report>,
    /// Why it has no report, or one that is not followed.
    pub failure: Option<(Cause, String)>,
    pub contact: Contact,
}

/// What is known of a Sentinel beside what it reports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Contact {
    /// When it was asked last.
    pub asked_at: Option<SystemTime>,
    /// Since when it has had a report, or none.
    pub since: Option<SystemTime>,
    /// The end of validity of its certificate, in seconds since 1970, at the beginning of the last link.
    pub certificate_not_after: Option<u64>,
}

/// A Sentinel that has answered.
pub(super) struct Asked {
    link: Link,
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

impl Sentinels {
    pub(super) fn new(settings: &domain::Sentinel, source: Option<Source>) -> Self {
        Self {
            settings: settings.clone(),
            source,
            names: settings.endpoints.iter().map(|endpoint| endpoint.to_string().into()).collect(),
            council: Mutex::new(Council::of(settings.endpoints.len())),
            contacts: Mutex::new(vec![Contact::default(); settings.endpoints.len()]),
            news: Bell::default(),
            changes: Bell::default(),
        }
    }

    /// As things stand: each of them, and the report that counts.
    pub fn seen(&self) -> (Vec<SentinelSeen>, Option<Report>) {
        let council = self.council();
        let contacts = self.contacts();
        let seats = council.seats().iter().zip(contacts.iter());
        let seen = seats.zip(&self.names).map(|((seat, contact), endpoint)| {
            let (up, report, failure) = match seat {
                Seat::Unheard => (None, None, None),
                Seat::Reports(report) if council.is_outdated(report) => {
                    (Some(true), Some(report.clone()), Some((Cause::SentinelOutdated, String::new())))
                }
                Seat::Reports(report) => (Some(true), Some(report.clone()), None),
                Seat::Fails(trouble) => (Some(false), None, Some((trouble.cause, trouble.detail.clone()))),
            };
            SentinelSeen { endpoint: Arc::clone(endpoint), up, report, failure, contact: *contact }
        });
        (seen.collect(), council.report().cloned())
    }

    pub(super) fn news(&self) -> Follower {
        self.news.follow()
    }

    pub(super) fn changes(&self) -> Follower {
        self.changes.follow()
    }

    /// Whether there is a report that counts.
    pub(super) fn have_reported(&self) -> bool {
        self.council().report().is_some()
    }

    /// Why there is no report, once that is known.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.council().trouble(&self.names)
    }

    /// Takes note that it was asked, with a report or without.
    fn note(&self, seat: usize, before: &Seat, has_report: bool) {
        let (now, mut contacts) = (SystemTime::now(), self.contacts());
        let had_report = matches!(before, Seat::Reports(_));
        let is_same = !matches!(before, Seat::Unheard) && had_report == has_report;
        let since = contacts[seat].since.filter(|_| is_same).unwrap_or(now);
        contacts[seat] = Contact { asked_at: Some(now), since: Some(since), ..contacts[seat] };
    }

    fn council(&self) -> MutexGuard<'_, Council> {
        self.council.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn contacts(&self) -> MutexGuard<'_, Vec<Contact>> {
        self.contacts.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
                    Reason::Again => asked.report = self.ask_again(sentinels, &mut asked.link).await?,
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

    async fn ask_again(&self, sentinels: &Sentinels, link: &mut Link) -> Result<Option<Report>, Trouble> {
        let machine = P::ask_sentinel(&sentinels.settings.master, None).expect("it was asked before");
        let limit = self.settings.connect_timeout;
        let answer = timeout(limit, link.drive(machine, None)).await;
        answer.unwrap_or_else(|_| Err(too_slow(limit))).map_err(of_sentinel)
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
        let tls = tls_of(&settings.tls, endpoint, material)?;
        let asked = async {
            let places = dial::find(endpoint, &self.resolver).await.map_err(|failure| failure.trouble)?;
            let (stream, place) = dial::race(places).await.map_err(|failure| failure.trouble)?;
            let terms = Terms {
                credential: material.map(|material| Arc::clone(&material.credential)),
                tls: if tls.is_some() { TlsStart::Direct } else { TlsStart::Off },
                private: place.is_private(),
                allow_cleartext: self.allow_cleartext,
                ask_role: false,
                nonce: chance::bytes(),
            };
            let machine = P::ask_sentinel(&settings.master, Some(terms));
            let machine = machine.expect("a checked configuration has Sentinels where the protocol has them");
            let mut link = Link::new(stream);
            let report = link.drive(machine, tls.as_ref()).await;
            self.note_certificate(sentinels, seat, link.certificate);
            let until = Instant::now() + chance::about(LONGEST_LINK);
            Ok(Asked { link, until, report: report.map_err(of_sentinel)? })
        };
        timeout(limit, asked).await.unwrap_or_else(|_| Err(too_slow(limit)))
    }

    fn note_certificate(&self, sentinels: &Sentinels, seat: usize, certificate: Option<Certificate>) {
        let Some(Certificate { not_after }) = certificate else { return };
        self.metrics.sentinel_certificate_expiry(&sentinels.names[seat], not_after);
        sentinels.contacts()[seat].certificate_not_after = Some(not_after);
    }

    /// Takes note of what a Sentinel has said, and follows the report that counts now.
    pub(super) fn hear(&self, sentinels: &Sentinels, seat: usize, said: Result<Option<Report>, Trouble>) {
        let said = said.and_then(|report| report.ok_or_else(|| unknown(&sentinels.settings.master)));
        self.metrics.sentinel_up(&sentinels.names[seat], said.is_ok());
        let mut council = sentinels.council();
        self.tell_sentinel(&sentinels.names[seat], &council.seats()[seat], &said);
        sentinels.note(seat, &council.seats()[seat], said.is_ok());
        council.hear(seat, said, Instant::now());
        let report = council.report();
        let changed = report.is_some_and(|report| self.follow_report(&sentinels.settings.master, report));
        drop(council);
        sentinels.news.ring();
        if changed {
            sentinels.changes.ring();
            self.health.alarm();
        }
    }

    /// What has changed about a Sentinel.
    fn tell_sentinel(&self, sentinel: &str, before: &Seat, said: &Result<Report, Trouble>) {
        let route = self.metrics.route();
        match (before, said) {
            (Seat::Reports(_), Ok(_)) => {}
            (Seat::Fails(before), Err(trouble)) if before.cause == trouble.cause => {}
            (Seat::Unheard | Seat::Fails(_), Ok(report)) if report.announces => {
                tracing::info!(route, sentinel, "Sentinel answers");
            }
            (Seat::Unheard | Seat::Fails(_), Ok(_)) => {
                let advice =
                    "it does not permit SUBSCRIBE: a failover is noticed when it is asked the next time";
                tracing::warn!(route, sentinel, advice, "Sentinel answers, and announces nothing");
            }
            (_, Err(trouble)) => {
                let (cause, advice) = (trouble.cause.name(), trouble.cause.advice());
                tracing::warn!(
                    route,
                    sentinel,
                    cause,
                    detail = trouble.detail,
                    advice,
                    "Sentinel has no report"
                );
            }
        }
    }
}

fn unknown(master: &str) -> Trouble {
    Trouble::new(Cause::SentinelMasterUnknown, format!("it knows no servers called {master}"))
}

fn too_slow(limit: Duration) -> Trouble {
    Trouble::new(Cause::TimedOut, format!("not done within {limit:?}"))
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
    endpoint: &Endpoint,
    material: Option<&Arc<Material>>,
) -> Result<Option<TlsClient>, Trouble> {
    let Endpoint::Tcp { host, .. } = endpoint else { return Ok(None) };
    if tls.mode == TlsMode::Off {
        return Ok(None);
    }
    let name = server_name(tls.server_name.as_deref().unwrap_or(host))?;
    let material = material.map(Arc::as_ref);
    Ok(Some(TlsClient { config: tls::configure(tls, material, None)?, name }))
}
