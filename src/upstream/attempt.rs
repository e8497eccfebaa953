//! One attempt: one endpoint, one generation, one deadline.

use std::future::Future;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use attache_wire::{Protocol, Terms, TlsStart};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::time::{Instant, timeout_at};

use super::members::{domain_of, is_of_domain};
use super::rotation::Said;
use super::{Course, LinkCount, Met, Opened, Origin, Trail, Upstream, Way, courtesy};
use crate::chance;
use crate::config::domain::{Endpoint, Role, TlsMode};
use crate::failure::{Cause, Failure, Side, Stage, Trouble};
use crate::net::link::Link;
use crate::net::tls::{self, TlsClient, Trust};
use crate::secret::Material;

/// After so long a server shows its certificate again, and proves that it is its own: until then, TLS may go on where an
/// earlier connection ended.
const LONGEST_RESUMPTION: Duration = Duration::from_secs(600);

/// The TLS configuration of the generation that was used last. Each link holds on to its own, so it is not made anew without
/// need.
#[derive(Default)]
pub(super) struct TlsCache(Mutex<Option<Cached>>);

struct Cached {
    /// What it was made from; of no generation on a route without a credential.
    material: Weak<Material>,
    trust: Trust,
    made_at: Instant,
    config: Arc<ClientConfig>,
}

impl<P: Protocol> Upstream<P> {
    /// Dials an endpoint and logs in with one generation, within the route's `connect_timeout`. What was met there
    /// already is used up first.
    pub(super) async fn attempt(
        &self,
        index: usize,
        material: Option<&Arc<Material>>,
        intent: &P::Intent,
        met: &mut Option<Met<P>>,
        trail: &mut Trail,
    ) -> Result<Opened<P>, Failure> {
        let mut progress = self.progress(index, material.map(Arc::as_ref), trail);
        let leave = self.leave(material)?;
        let target = self.target(index);
        // A server lets go of whoever waits for a turn too long: to log in there would cost the turn.
        let met = met.take_if(|met| met.index == index).and_then(Met::if_there);
        let result = self.log_in(index, &target, material, intent, met, &mut progress).await;
        let failure = result.as_ref().err();
        let cause = failure.map(Failure::cause);
        progress.attempted(cause);
        self.metrics.login_attempt(cause.map_or("ok", Cause::name));
        self.heard(material, leave, Said::of(failure));
        if self.target(index) == target {
            let told = result.as_ref().map(|opened| self.protocol.role(&opened.greeting));
            if self.health.note(index, told) {
                let (route, endpoint) = (self.metrics.route(), &*self.names[index]);
                tracing::info!(route, endpoint, "endpoint is a primary now");
                self.health.alarm();
            }
            self.tell_role(index, result.as_ref().ok());
        }
        result
    }

    /// Sessions of the route may have to leave a server that has lost its role.
    fn tell_role(&self, index: usize, opened: Option<&Opened<P>>) {
        if let Some(opened) = opened
            && let Some(role) = self.health.counts_as(index)
            && self.takes_place(&opened.origin, &opened.way.place)
        {
            self.orders.heard_role(&opened.way.place, self.settings.role, role);
        }
    }

    /// An attempt begins.
    pub(super) fn progress<'a>(
        &self,
        index: usize,
        material: Option<&Material>,
        trail: &'a mut Trail,
    ) -> Progress<'a> {
        trail.endpoint = Some(Arc::clone(&self.names[index]));
        trail.generation = material.map(Material::generation).and_then(NonZeroU64::new);
        trail.stage = None;
        if let Some(journey) = &mut trail.journey {
            journey.attempt(&self.names[index], trail.generation.map(NonZeroU64::get));
        }
        if let Some(course) = &mut trail.course {
            **course = Course::default();
        }
        Progress { deadline: Instant::now() + self.settings.connect_timeout, trail }
    }

    async fn log_in(
        &self,
        index: usize,
        target: &Endpoint,
        material: Option<&Arc<Material>>,
        intent: &P::Intent,
        met: Option<Met<P>>,
        progress: &mut Progress<'_>,
    ) -> Result<Opened<P>, Failure> {
        let met = match met {
            Some(mut met) => {
                // Its client certificate is that of the generation which logs in.
                met.way.tls = self.tls_of(target, material)?;
                met
            }
            None => self.reach(index, target, material, progress).await?,
        };
        let (link, way, hello) = met.into_parts();
        let machine = self.protocol.login(intent, hello, self.terms(material, &way));
        let start = Instant::now();
        let (link, login) = courtesy::log_in(&self.courtesy, link, &way, machine, progress.deadline).await;
        let login = login.unwrap_or_else(|| Err(self.too_slow(Stage::Login)));
        self.split(progress, &link, &way, start, login.is_ok());
        if let Some(certificate) = link.certificate
            && *target == *self.target(index)
        {
            self.metrics.certificate_expiry(&way.endpoint, certificate.not_after);
            self.health.certificate(index, certificate.not_after);
        }
        let greeting = login.map_err(|trouble| {
            let stage = progress.trail.stage.expect("an attempt that logs in has reached a stage");
            Failure::new(stage, Side::Upstream, trouble)
        })?;
        let generation = material.map(|material| material.generation());
        let origin = Origin { index, target: target.clone(), at: Instant::now(), generation };
        Ok(Opened { link, greeting, way, origin, count: self.count(material) })
    }

    /// Counts a link that is logged in with this generation.
    pub fn count(&self, material: Option<&Arc<Material>>) -> Option<LinkCount> {
        let (material, source) = material.zip(self.source.as_ref())?;
        Some(LinkCount::new(material.generation(), &self.metrics, source))
    }

    /// One stage before there is a link.
    pub(super) async fn timed<T>(
        &self,
        progress: &mut Progress<'_>,
        stage: Stage,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let start = Instant::now();
        let result = timeout_at(progress.deadline, work).await;
        let result =
            result.unwrap_or_else(|_| Err(Failure::new(stage, Side::Upstream, self.too_slow(stage))));
        self.passed(progress, stage, start.elapsed(), result.is_ok());
        result
    }

    /// Tells the handshake from the login, which one machine did in one go. What failed before TLS was there
    /// has failed at TLS, where TLS was to be had.
    fn split(&self, progress: &mut Progress<'_>, link: &Link, way: &Way, start: Instant, ok: bool) {
        let secured = match way.start() {
            TlsStart::Off => start,
            TlsStart::Direct | TlsStart::Negotiated => {
                let end = link.secured_at.unwrap_or_else(Instant::now);
                self.passed(progress, Stage::Tls, end - start, link.secured_at.is_some());
                end
            }
        };
        if link.secured_at.is_some() || way.start() == TlsStart::Off {
            self.passed(progress, Stage::Login, secured.elapsed(), ok);
        }
        progress.note(|course| course.certificate = link.certificate);
    }

    pub(super) fn passed(&self, progress: &mut Progress<'_>, stage: Stage, took: Duration, ok: bool) {
        progress.trail.stage = Some(stage);
        progress.note(|course| course.took.push((stage, took)));
        if let Some(journey) = &mut progress.trail.journey {
            journey.passed(stage, took, !ok);
        }
        if ok {
            self.metrics.stage(stage, took);
        }
    }

    pub(super) fn too_slow(&self, stage: Stage) -> Trouble {
        let cause = match stage {
            Stage::Resolve => Cause::NameServerSilent,
            Stage::Dial => Cause::ConnectTimedOut,
            Stage::Accept | Stage::Tls | Stage::Login | Stage::Welcome | Stage::Relay => Cause::TimedOut,
        };
        Trouble::overdue(cause, self.settings.connect_timeout)
    }

    /// The conditions of a login over this way.
    fn terms(&self, material: Option<&Arc<Material>>, way: &Way) -> Terms {
        self.terms_on(material, way.start(), way.place.is_private())
    }

    /// The conditions of another login on a link that has one behind it.
    pub fn terms_within(&self, material: Option<&Arc<Material>>, link: &Link) -> Terms {
        let tls = if link.stream.is_encrypted() { TlsStart::Direct } else { TlsStart::Off };
        self.terms_on(material, tls, link.stream.is_private())
    }

    fn terms_on(&self, material: Option<&Arc<Material>>, tls: TlsStart, private: bool) -> Terms {
        Terms {
            credential: material.map(|material| Arc::clone(&material.credential)),
            tls,
            private,
            allow_cleartext: self.allow_cleartext,
            ask_role: self.settings.role != Role::Any,
            nonce: chance::bytes(),
        }
    }

    /// TLS for another connection to where a link leads: as it is now, for the link may be old.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn tls_again(&self, way: &Way) -> Result<Option<TlsClient>, Trouble> {
        match &way.tls {
            Some(before) if self.settings.tls.mode != TlsMode::Off => {
                let material = self.source.as_ref().and_then(|source| source.candidates().into_iter().next());
                let config = self.tls_config(material.as_ref())?;
                Ok(Some(TlsClient { config, name: before.name.clone() }))
            }
            before => Ok(before.clone()),
        }
    }

    pub(super) fn tls_of(
        &self,
        target: &Endpoint,
        material: Option<&Arc<Material>>,
    ) -> Result<Option<TlsClient>, Failure> {
        let tls = self.tls_for(target, material);
        tls.map_err(|trouble| Failure::new(Stage::Tls, Side::Attache, trouble))
    }

    fn tls_for(
        &self,
        endpoint: &Endpoint,
        material: Option<&Arc<Material>>,
    ) -> Result<Option<TlsClient>, Trouble> {
        let Endpoint::Tcp { host, .. } = endpoint else { return Ok(None) };
        if self.settings.tls.mode == TlsMode::Off {
            return Ok(None);
        }
        let name = server_name(self.certificate_name(host)?)?;
        Ok(Some(TlsClient { config: self.tls_config(material)?, name }))
    }

    /// The name that the server's certificate has to be for. A list of servers that somebody has forged must not
    /// choose it freely.
    fn certificate_name<'a>(&'a self, host: &'a str) -> Result<&'a str, Trouble> {
        let tls = &self.settings.tls;
        match (&tls.server_name, self.settings.srv()) {
            (Some(name), _) => Ok(name),
            (None, Some(srv)) if tls.mode != TlsMode::InsecureNoVerify && !is_of_domain(host, srv) => {
                let host = host.trim_end_matches('.');
                let detail = format!(
                    "{srv} lists {host}, which is not in its domain {}; if that is meant, set tls.server_name to the \
                     name in the servers' certificates",
                    domain_of(srv)
                );
                Err(Trouble::new(Cause::TlsSetup, detail))
            }
            (None, _) => Ok(host),
        }
    }

    fn tls_config(&self, material: Option<&Arc<Material>>) -> Result<Arc<ClientConfig>, Trouble> {
        let made_from = material.map_or_else(Weak::new, Arc::downgrade);
        let trust = Trust::of(&self.settings.tls, &self.authorities)?;
        let mut cached = self.tls.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cached.as_ref()
            && cached.material.ptr_eq(&made_from)
            && cached.trust.is(&trust)
            && cached.made_at.elapsed() < LONGEST_RESUMPTION
        {
            return Ok(Arc::clone(&cached.config));
        }
        let material = material.map(Arc::as_ref);
        let config = tls::configure(&trust, material, P::FEATURES.alpn)?;
        let made_at = Instant::now();
        *cached = Some(Cached { material: made_from, trust, made_at, config: Arc::clone(&config) });
        Ok(config)
    }
}

/// A host as its certificate has it.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, Trouble> {
    let name = host.trim_end_matches('.').to_owned();
    ServerName::try_from(name.clone())
        .map_err(|_| Trouble::new(Cause::TlsSetup, format!("{name} cannot be the name in a certificate")))
}

/// How far an attempt has come, and until when it may go on.
pub(super) struct Progress<'a> {
    pub(super) deadline: Instant,
    pub(super) trail: &'a mut Trail,
}

impl Progress<'_> {
    /// The attempt is over.
    pub(super) fn attempted(&mut self, cause: Option<Cause>) {
        if let Some(journey) = &mut self.trail.journey {
            journey.attempted(cause);
        }
    }

    pub(super) fn note(&mut self, write: impl FnOnce(&mut Course)) {
        if let Some(course) = &mut self.trail.course {
            write(course);
        }
    }
}
