//! The server that the API server asks: reviews over TLS, health and metrics beside it.
//!
//! It keeps nothing, reads no Secret but its own certificate, and has no rights in the cluster. Any number of copies may
//! run.

mod certificate;
mod metrics;
mod profiles;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub use certificate::{SelfSigned, self_signed};
use metrics::Metrics;

use super::parameters::Parameters;
use super::review::{House, Verdict};
use crate::config::domain::ListenAddress;
use crate::http::{self, Limits, Service};
use crate::net::listen::{Acceptor, Listener};
use crate::secret::{Source, Watcher};

/// The API server takes no request above 3 MiB, and a review holds little beside the object.
const LONGEST_REVIEW: usize = 4 * 1024 * 1024;
/// A usual pod's review has some 10 KiB.
const USUAL_REVIEW: u64 = 64 * 1024;
/// Longer ones take turns, this many at once: all that a copy can be made to hold has to fit into its memory.
const LONG_REVIEWS: usize = 2;
/// For the whole of a request to arrive. The API server waits for 30 seconds at most, and 5 as the manifests have it.
const ARRIVAL_TIME: Duration = Duration::from_secs(10);

/// API servers are few and keep their connections. They close what was unused for 90 seconds, and would take it for a failed
/// review if that was done here while they send one.
const LIMITS: Limits = Limits {
    connections: 256,
    head_time: Duration::from_secs(120),
    head_size: 32 * 1024,
    connection_time: Duration::from_secs(3600),
    keep_alive: true,
    last_answers: Duration::from_secs(2),
};

/// What the server is told.
#[derive(Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    pub health: SocketAddr,
    pub defaults: Parameters,
    /// A folder of configurations, `NAME.yaml`.
    pub profiles: Option<PathBuf>,
    /// How long it serves on after it was told to end: the cluster takes a while to notice.
    pub linger: Duration,
}

/// Who the server is.
pub enum Identity {
    /// A mounted Secret with `tls.crt` and `tls.key`, which is followed.
    Mounted(Source, Watcher),
    SelfSigned(SelfSigned),
}

struct Webhook {
    settings: Settings,
    certificate: certificate::Current,
    metrics: Metrics,
    ending: watch::Receiver<bool>,
    long_reviews: Semaphore,
}

/// Serves until `end` comes, and for `linger` after it.
///
/// # Errors
/// An address that cannot be listened on, or a certificate that cannot be used.
pub async fn run(
    settings: Settings,
    identity: Identity,
    end: impl Future<Output = ()>,
) -> Result<(), String> {
    let (certificate, follow) = certificate::Current::new(identity)?;
    let tls = TlsAcceptor::from(certificate.server_config()?);
    let reviews = bind("webhook", settings.listen)?;
    let health = bind("health", settings.health)?;
    let linger = settings.linger;
    let (told, ending) = watch::channel(false);
    let (stop, stopped) = watch::channel(false);
    let (metrics, long_reviews) = (Metrics::new(), Semaphore::new(LONG_REVIEWS));
    let webhook = Arc::new(Webhook { settings, certificate, metrics, ending, long_reviews });

    let mut tasks = JoinSet::new();
    let service = Service { router: review_router(Arc::clone(&webhook)), tls: Some(tls), limits: LIMITS };
    tasks.spawn(http::serve(reviews, service, stopped.clone()));
    let service = Service { router: health_router(webhook), tls: None, limits: LIMITS };
    tasks.spawn(http::serve(health, service, stopped));
    let follow = tokio::spawn(follow);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "started");

    end.await;
    told.send_replace(true);
    tracing::info!("ending");
    tokio::time::sleep(linger).await;
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    follow.abort();
    tracing::info!("ended");
    Ok(())
}

fn bind(name: &'static str, address: SocketAddr) -> Result<Acceptor, String> {
    let failed = |error| format!("{name}: cannot listen on {address}: {error}");
    let listener = Listener::bind(&ListenAddress::Tcp(address)).map_err(failed)?;
    tracing::info!(address = %listener.address, "{name} listening");
    listener.serve().map_err(failed)
}

fn review_router(webhook: Arc<Webhook>) -> Router {
    let router = Router::new().route("/mutate", post(mutate)).with_state(webhook);
    router.layer(DefaultBodyLimit::max(LONGEST_REVIEW))
}

async fn mutate(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let Ok(arrived) = timeout(ARRIVAL_TIME, webhook.receive(request)).await else {
        return (StatusCode::REQUEST_TIMEOUT, "the review did not arrive in time\n").into_response();
    };
    match arrived {
        Ok((body, _turn)) => review(&webhook, &body),
        Err(refusal) => refusal,
    }
}

fn review(webhook: &Webhook, body: &[u8]) -> Response {
    let start = Instant::now();
    let house = match webhook.house() {
        Ok(house) => house,
        Err(reason) => {
            tracing::error!(reason, "profiles cannot be read");
            webhook.metrics.reviewed("failed", start.elapsed());
            return (StatusCode::INTERNAL_SERVER_ERROR, format!("{reason}\n")).into_response();
        }
    };
    match house.review(body) {
        Ok(answer) => {
            webhook.metrics.reviewed(answer.verdict.name(), start.elapsed());
            let (pod, verdict) = (&answer.pod, answer.verdict.name());
            match &answer.verdict {
                Verdict::Denied(reason) => tracing::warn!(pod, verdict, reason, "review"),
                Verdict::Injected | Verdict::Unchanged => tracing::info!(pod, verdict, "review"),
            }
            axum::Json(answer.body).into_response()
        }
        Err(reason) => {
            webhook.metrics.reviewed("invalid", start.elapsed());
            (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response()
        }
    }
}

impl Webhook {
    /// The body of a request, and its turn where it is a long one.
    async fn receive(
        &self,
        request: Request<Body>,
    ) -> Result<(Bytes, Option<SemaphorePermit<'_>>), Response> {
        let is_usual = request.body().size_hint().upper().is_some_and(|length| length <= USUAL_REVIEW);
        let turn = match is_usual {
            true => None,
            false => Some(self.long_reviews.acquire().await.expect("it is never closed")),
        };
        let body = Bytes::from_request(request, &()).await.map_err(IntoResponse::into_response)?;
        Ok((body, turn))
    }

    /// Profiles are read for each review: they are small, reviews are rare, and so they are never out of date.
    fn house(&self) -> Result<House, String> {
        let profiles = self.settings.profiles.as_deref().map(profiles::read).transpose()?;
        Ok(House { defaults: self.settings.defaults.clone(), profiles: profiles.unwrap_or_default() })
    }

    fn missing(&self) -> Option<String> {
        if *self.ending.borrow() {
            return Some("ending".to_owned());
        }
        self.certificate.missing().or_else(|| self.house().err())
    }
}

fn health_router(webhook: Arc<Webhook>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(webhook)
}

async fn ready(State(webhook): State<Arc<Webhook>>) -> Response {
    match webhook.missing() {
        None => "ok\n".into_response(),
        Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, missing + "\n").into_response(),
    }
}

async fn scrape(State(webhook): State<Arc<Webhook>>, headers: HeaderMap) -> Response {
    webhook.metrics.certificate_expiry(webhook.certificate.not_after());
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let exposition = webhook.metrics.exposition(accept);
    ([(CONTENT_TYPE, exposition.content_type)], exposition.text).into_response()
}
