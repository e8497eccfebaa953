//! HTTP within bounds: how many connections, for how long, and with or without TLS.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::net::listen::Acceptor;
use crate::net::stream::Stream;

/// API servers are few and keep their connections.
const CONNECTIONS: usize = 256;
/// From the connection to the end of the handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);
/// Between two requests, and for the head of one.
const HEADER_TIME: Duration = Duration::from_secs(60);
/// For a whole connection, so that a body that never ends does.
const CONNECTION_TIME: Duration = Duration::from_secs(300);
/// What a request's head may have, in octets.
const HEADER_SIZE: usize = 32 * 1024;
/// How long answers under way may take once the process ends.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Serves until `stopped` is true, and then lets answers under way be finished.
pub(super) async fn serve(
    mut acceptor: Acceptor,
    tls: Option<TlsAcceptor>,
    router: Router,
    stopped: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut stop = stopped.clone();
    loop {
        let permit = Arc::clone(&room).acquire_owned();
        let arrived = async {
            let permit = permit.await.expect("nobody closes the semaphore");
            (permit, acceptor.accept().await)
        };
        tokio::select! {
            (permit, arrival) = arrived => {
                let (tls, router, stopped) = (tls.clone(), router.clone(), stopped.clone());
                connections.spawn(async move {
                    greet(arrival.stream, tls, router, stopped).await;
                    drop(permit);
                });
            }
            _ = stop.wait_for(|stopped| *stopped) => break,
        }
        while connections.try_join_next().is_some() {}
    }
    drop(acceptor);
    let _ = timeout(LAST_ANSWERS, async { while connections.join_next().await.is_some() {} }).await;
}

/// A peer that misbehaves is its own problem; that it does not trust us is worth a line.
async fn greet(stream: Stream, tls: Option<TlsAcceptor>, router: Router, stopped: watch::Receiver<bool>) {
    let Some(tls) = tls else { return talk(stream, router, stopped).await };
    match timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
        Ok(Ok(stream)) => talk(stream, router, stopped).await,
        Ok(Err(error)) => tracing::warn!(%error, "handshake failed"),
        Err(_) => tracing::warn!("handshake took too long"),
    }
}

async fn talk<S>(stream: S, router: Router, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(HEADER_SIZE);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    let whole = async {
        tokio::select! {
            _ = served.as_mut() => return,
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        served.as_mut().graceful_shutdown();
        let _ = served.await;
    };
    let _ = timeout(CONNECTION_TIME, whole).await;
}
