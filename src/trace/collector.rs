//! The way to the collector: one connection, opened when it is needed and used again while it lasts.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::time::timeout;

use crate::config::domain::{Tls, TlsMode, Traces};
use crate::net::authorities::Authorities;
use crate::net::dial;
use crate::net::resolve::Resolver;
use crate::net::stream::Stream;
use crate::net::tls::{self, TlsClient, Trust};
use crate::secret::headers;

/// From the connection to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a collector may answer, in octets: nothing that anyone reads.
const ANSWER: usize = 64 * 1024;

/// Why a request came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// It may succeed later.
    Now(String),
    /// The collector does not want it.
    Ever(String),
}

pub(super) struct Collector {
    settings: Traces,
    resolver: Resolver,
    authorities: Authorities,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Collector {
    pub(super) fn new(settings: Traces, resolver: Resolver) -> Self {
        Self { settings, resolver, authorities: Authorities::default(), connection: None }
    }

    /// Sends one body.
    pub(super) async fn post(&mut self, body: Bytes) -> Result<(), Unsent> {
        let answer = match timeout(PATIENCE, self.exchange(body)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        if answer.is_err() {
            self.connection = None;
        }
        judge(answer.map_err(Unsent::Now)?)
    }

    async fn exchange(&mut self, body: Bytes) -> Result<StatusCode, String> {
        let request = self.request(body)?;
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let sent = async {
            connection.ready().await?;
            connection.send_request(request).await
        };
        let answer: Response<_> = sent.await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let rest = Limited::new(answer.into_body(), ANSWER).collect().await;
        rest.map_err(|error| error.to_string())?;
        self.connection = Some(connection);
        Ok(status)
    }

    /// With the headers as they are now: they hold a token that may have been rotated.
    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let given = self.settings.headers_file.as_deref().map(headers::read).transpose()?;
        let collector = &self.settings.collector;
        let host =
            HeaderValue::try_from(collector.endpoint().to_string()).map_err(|error| error.to_string())?;
        let mut request =
            Request::post(&collector.path).body(Full::new(body)).map_err(|error| error.to_string())?;
        let mut all = given.unwrap_or_else(HeaderMap::new);
        all.insert(HOST, host);
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        all.insert(USER_AGENT, HeaderValue::from_static(concat!("attache/", env!("CARGO_PKG_VERSION"))));
        *request.headers_mut() = all;
        Ok(request)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let collector = &self.settings.collector;
        let found =
            dial::find(&collector.endpoint(), &self.resolver).await.map_err(|failure| failure.to_string())?;
        let (stream, _) = dial::race(found).await.map_err(|failure| failure.to_string())?;
        let stream = if collector.tls { self.secure(stream).await? } else { stream };
        let connected = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = connected.map_err(|error| error.to_string())?;
        // It ends with the sender; what becomes of it shows there.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn secure(&self, stream: Stream) -> Result<Stream, String> {
        let host = self.settings.collector.host.trim_end_matches('.').to_owned();
        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
        let (ca, server_name) = (self.settings.ca.clone(), None);
        let trusted = Tls { mode: TlsMode::VerifyFull, ca, server_name, direct: true };
        let config = Trust::of(&trusted, &self.authorities)
            .and_then(|trust| tls::configure(&trust, None, Some("http/1.1")));
        let config = config.map_err(|trouble| trouble.to_string())?;
        let client = TlsClient { config, name };
        let (stream, ..) = client.handshake(stream).await.map_err(|trouble| trouble.to_string())?;
        Ok(stream)
    }
}

/// OTLP/HTTP, "Failures": these four ask to come again.
fn judge(status: StatusCode) -> Result<(), Unsent> {
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Err(Unsent::Now(format!("the collector answered {status}"))),
        status => Err(Unsent::Ever(format!("the collector answered {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert_eq!(judge(StatusCode::OK), Ok(()));
        assert!(matches!(judge(StatusCode::SERVICE_UNAVAILABLE), Err(Unsent::Now(_))));
        for status in [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR] {
            assert!(matches!(judge(status), Err(Unsent::Ever(_))), "{status}");
        }
    }
}
