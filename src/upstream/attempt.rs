//! One attempt: one endpoint, one generation, one deadline.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attache_wire::{Protocol, Terms, TlsStart};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::time::{Instant, timeout_at};

use super::{LinkCount, Opened, Trail, Upstream, Way};
use crate::chance;
use crate::config::domain::{Endpoint, TlsMode};
use crate::failure::{Cause, Failure, Side, Stage, Trouble};
use crate::net::dial::dial;
use crate::net::link::Link;
use crate::net::tls::{self, TlsClient};
use crate::secret::Material;

/// How long a TLS configuration is used before its files are read again.
const TLS_LIFETIME: Duration = Duration::from_secs(5);

/// The TLS configuration of the generation that was used last. Certificates and authorities that were renewed
/// are picked up within [`TLS_LIFETIME`].
#[derive(Default)]
pub(super) struct TlsCache(Mutex<Option<Cached>>);

struct Cached {
    generation: u64,
    read_at: Instant,
    config: Arc<ClientConfig>,
}

impl<P: Protocol> Upstream<P> {
    /// Dials an endpoint and logs in with one generation, within the route's `connect_timeout`.
    pub(super) async fn attempt(
        &self,
        index: usize,
        material: Option<&Arc<Material>>,
        intent: &P::Intent,
        trail: &mut Trail,
    ) -> Result<Opened<P>, Failure> {
        trail.endpoint = Some(Arc::clone(&self.names[index]));
        trail.generation = material.map(|material| material.generation());
        let mut progress = Progress { stage: Stage::Dial, since: Instant::now() };
        let deadline = Instant::now() + self.settings.connect_timeout;
        let attempt = self.log_in(index, material, intent, &mut progress);
        let result = match timeout_at(deadline, attempt).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(progress.stage, Side::Upstream, too_slow(progress.stage))),
        };
        trail.stage = Some(progress.stage);
        self.metrics.login_attempt(result.as_ref().err().map_or("ok", |failure| failure.cause().name()));
        self.health.note(index, result.as_ref().map(|_| ()));
        result
    }

    async fn log_in(
        &self,
        index: usize,
        material: Option<&Arc<Material>>,
        intent: &P::Intent,
        progress: &mut Progress,
    ) -> Result<Opened<P>, Failure> {
        let endpoint = &self.settings.endpoints[index];
        let tls = self
            .tls_for(endpoint, material)
            .map_err(|trouble| Failure::new(Stage::Tls, Side::Attache, trouble))?;
        let (stream, place) = dial(endpoint, &self.resolver).await?;
        self.metrics.stage(Stage::Dial, progress.next(Stage::Login));
        let way =
            Way { endpoint: Arc::clone(&self.names[index]), place, tls, direct: self.settings.tls.direct };
        let mut link = Link::new(stream);
        let machine = self.protocol.login(intent, self.terms(material, way.start()));
        let login = link.drive(machine, way.tls.as_ref()).await;
        let greeting = login.map_err(|trouble| during_login(&link, way.start(), trouble))?;
        self.metrics.stage(Stage::Login, progress.next(Stage::Login));
        if let Some(certificate) = link.certificate {
            self.metrics.certificate_expiry(&way.endpoint, certificate.not_after);
            self.health.certificate(index, certificate.not_after);
        }
        let count = material
            .zip(self.source.as_ref())
            .map(|(material, source)| LinkCount::new(material.generation(), &self.metrics, source));
        Ok(Opened { link, greeting, way, count })
    }

    fn terms(&self, material: Option<&Arc<Material>>, tls: TlsStart) -> Terms {
        Terms {
            credential: material.map(|material| Arc::clone(&material.credential)),
            tls,
            allow_cleartext: self.allow_cleartext,
            nonce: chance::bytes(),
        }
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
        let name = self.settings.tls.server_name.as_ref().unwrap_or(host).trim_end_matches('.').to_owned();
        let name = ServerName::try_from(name.clone()).map_err(|_| {
            Trouble::new(Cause::TlsSetup, format!("{name} cannot be the name in a certificate"))
        })?;
        Ok(Some(TlsClient { config: self.tls_config(material)?, name }))
    }

    fn tls_config(&self, material: Option<&Arc<Material>>) -> Result<Arc<ClientConfig>, Trouble> {
        let generation = material.map_or(0, |material| material.generation());
        let mut cached = self.tls.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cached.as_ref()
            && cached.generation == generation
            && cached.read_at.elapsed() < TLS_LIFETIME
        {
            return Ok(Arc::clone(&cached.config));
        }
        let identity = material.and_then(|material| material.identity.as_ref());
        let config = tls::configure(&self.settings.tls, identity, P::FEATURES.alpn)?;
        *cached = Some(Cached { generation, read_at: Instant::now(), config: Arc::clone(&config) });
        Ok(config)
    }
}

/// How far an attempt has come.
struct Progress {
    stage: Stage,
    since: Instant,
}

impl Progress {
    /// Goes on to the next stage; returns how long this one took.
    fn next(&mut self, stage: Stage) -> Duration {
        self.stage = stage;
        let took = self.since.elapsed();
        self.since = Instant::now();
        took
    }
}

fn too_slow(stage: Stage) -> Cause {
    match stage {
        Stage::Resolve => Cause::NameServerSilent,
        Stage::Dial => Cause::ConnectTimedOut,
        Stage::Accept | Stage::Tls | Stage::Login | Stage::Welcome | Stage::Relay => Cause::TimedOut,
    }
}

/// A failure before TLS was there is one of TLS, where TLS was to be had.
fn during_login(link: &Link, start: TlsStart, trouble: Trouble) -> Failure {
    let stage = match (start, &link.tls) {
        (TlsStart::Direct | TlsStart::Negotiated, None) => Stage::Tls,
        (TlsStart::Direct | TlsStart::Negotiated, Some(_)) | (TlsStart::Off, _) => Stage::Login,
    };
    Failure::new(stage, Side::Upstream, trouble)
}
