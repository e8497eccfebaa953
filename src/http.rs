//! HTTP within bounds, for every server of ours: how many connections, for how long, how much of a request.
//!
//! What is said over it is the business of those who bring a router.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::net::listen::{Acceptor, Arrival};
use crate::net::stream::Stream;

/// From the connection to the end of the TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// What a server bears.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// At once. Whoever comes beyond takes the place of the oldest: an honest request is done within milliseconds, so
    /// that many that dawdle cannot keep the others out.
    pub connections: usize,
    /// For the head of a request, and between two of them.
    pub head_time: Duration,
    /// What a request's head may have, in octets.
    pub head_size: usize,
    /// For a whole connection, slow readers and bodies that never end included. An answer that is under way then is
    /// finished like one at the end of the process.
    pub connection_time: Duration,
    /// Whether a connection may bring several requests.
    pub keep_alive: bool,
    /// How long answers under way may take once the connection, or the process, is to end.
    pub last_answers: Duration,
}

/// A server, but for its socket and its end.
#[derive(Clone)]
pub struct Service {
    pub router: Router,
    pub tls: Option<TlsAcceptor>,
    pub limits: Limits,
}

/// Serves until `stopped` is true, and then lets answers under way be finished.
pub async fn serve(mut acceptor: Acceptor, service: Service, stopped: watch::Receiver<bool>) {
    let mut connections = Connections::default();
    let mut stop = stopped.clone();
    loop {
        tokio::select! {
            arrival = acceptor.accept() => connections.add(arrival, &service, &stopped),
            _ = stop.wait_for(|stopped| *stopped) => break,
        }
    }
    drop(acceptor);
    let _ = timeout(service.limits.last_answers, connections.end()).await;
}

/// The connections that live, the oldest first.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    by_age: VecDeque<AbortHandle>,
}

impl Connections {
    fn add(&mut self, arrival: Arrival, service: &Service, stopped: &watch::Receiver<bool>) {
        while self.tasks.try_join_next().is_some() {}
        self.by_age.retain(|task| !task.is_finished());
        if self.by_age.len() >= service.limits.connections
            && let Some(oldest) = self.by_age.pop_front()
        {
            oldest.abort();
        }
        let connection = greet(arrival.stream, service.clone(), stopped.clone());
        self.by_age.push_back(self.tasks.spawn(connection));
    }

    async fn end(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// A peer that misbehaves is its own problem; that it does not trust us is worth a line.
async fn greet(stream: Stream, service: Service, stopped: watch::Receiver<bool>) {
    let Some(tls) = &service.tls else { return talk(stream, &service, stopped).await };
    match timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
        Ok(Ok(stream)) => talk(stream, &service, stopped).await,
        Ok(Err(error)) => tracing::warn!(%error, "handshake failed"),
        Err(_) => tracing::warn!("handshake took too long"),
    }
}

async fn talk<S>(stream: S, service: &Service, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Limits { head_time, head_size, connection_time, keep_alive, last_answers, .. } = service.limits;
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .max_buf_size(head_size)
        .keep_alive(keep_alive)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service.router.clone()));
    let mut served = std::pin::pin!(served);
    tokio::select! {
        _ = served.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = sleep(connection_time) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = timeout(last_answers, served).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LIMITS: Limits = Limits {
        connections: 1,
        head_time: Duration::from_secs(5),
        head_size: 8192,
        connection_time: Duration::from_secs(10),
        keep_alive: true,
        last_answers: Duration::from_secs(2),
    };

    /// What a client hears that asks once, of a server that takes so long to answer.
    async fn heard(takes: Duration) -> String {
        let answer = async move || {
            sleep(takes).await;
            "done"
        };
        let service = Service { router: Router::new().route("/", get(answer)), tls: None, limits: LIMITS };
        let (_running, stopped) = watch::channel(false);
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let client = async {
            theirs.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("the server reads");
            let mut text = String::new();
            theirs.read_to_string(&mut text).await.expect("the server closes");
            text
        };
        let talk = async {
            talk(ours, &service, stopped).await;
        };
        tokio::join!(talk, client).1
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_under_way_when_the_connections_time_is_over_is_finished() {
        let text = heard(Duration::from_secs(11)).await;
        assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("done"), "{text:?}");
        assert!(text.contains("connection: close"), "the client knows that it is the last one: {text:?}");
        assert_eq!(heard(Duration::from_secs(13)).await, "", "it does not wait for ever");
    }
}
