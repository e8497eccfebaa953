//! What the Sentinels of a route have said.
//!
//! What they say together ([`Council`]) becomes the list of servers that sessions use. They are asked elsewhere
//! ([`sentinels`](super::sentinels)).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use attache_wire::{Protocol, Report};
use tokio::time::Instant;

use super::Upstream;
use super::council::{Council, Seat};
use crate::bell::{Bell, Follower};
use crate::config::domain;
use crate::failure::{Cause, Trouble};
use crate::net::tls::Certificate;
use crate::secret::Source;

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

impl<P: Protocol> Upstream<P> {
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

    pub(super) fn note_certificate(
        &self,
        sentinels: &Sentinels,
        seat: usize,
        certificate: Option<Certificate>,
    ) {
        let Some(Certificate { not_after }) = certificate else { return };
        self.metrics.sentinel_certificate_expiry(&sentinels.names[seat], not_after);
        sentinels.contacts()[seat].certificate_not_after = Some(not_after);
    }
}

fn unknown(master: &str) -> Trouble {
    Trouble::new(Cause::SentinelMasterUnknown, format!("it knows no servers called {master}"))
}
