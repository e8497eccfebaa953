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
            // First: another server may be served by the same socket already.
            biased;
            _ = stop.wait_for(|stopped| *stopped) => break,
            arrival = acceptor.accept() => connections.add(arrival, &service, &stopped),
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
    // One that brings a single request ends behind it by itself. Told to, it would end before it: whoever has connected
    // and not been heard yet would be lost.
    if keep_alive {
        served.as_mut().graceful_shutdown();
    }
    let _ = timeout(last_answers, served).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;

    const LIMITS: Limits = Limits {
        connections: 4,
        head_time: Duration::from_secs(5),
        head_size: 16 * 1024,
        connection_time: Duration::from_secs(15),
        keep_alive: false,
        last_answers: Duration::from_millis(500),
    };
    const LARGE: usize = 1 << 20;

    fn service(keep_alive: bool) -> Service {
        let router = Router::new()
            .route("/", get(async || "ok\n"))
            .route("/large", get(async || "a".repeat(LARGE)))
            .route("/form", post(async |form: String| form));
        Service { router, tls: None, limits: Limits { keep_alive, ..LIMITS } }
    }

    /// How long a connection lives whose client does this, and stays.
    async fn life<C: Future<Output = DuplexStream>>(
        keep_alive: bool,
        client: impl FnOnce(DuplexStream) -> C,
    ) -> Duration {
        let (ours, theirs) = duplex(1024);
        let (_stop, stopped) = watch::channel(false);
        let (start, service) = (Instant::now(), service(keep_alive));
        let server = async {
            talk(ours, &service, stopped).await;
            start.elapsed()
        };
        let client = async {
            let _open = client(theirs).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            took = server => took,
            () = client => unreachable!("it stays"),
        }
    }

    async fn say(mut stream: DuplexStream, text: &str) -> DuplexStream {
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// An octet a second, of something that has no end.
    async fn drip(mut stream: DuplexStream, head: &str) -> DuplexStream {
        stream.write_all(head.as_bytes()).await.unwrap();
        while stream.write_all(b"a").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
        stream
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_however_it_comes() {
        for client in ["", "GET / HTTP/1.1\r\nHost: local"] {
            assert_eq!(life(false, |stream| say(stream, client)).await, LIMITS.head_time, "{client}");
        }
        assert_eq!(life(false, |stream| drip(stream, "GET /")).await, LIMITS.head_time);
        let twice = life(true, async |mut stream| {
            sleep(Duration::from_secs(4)).await;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            stream
        });
        assert_eq!(twice.await, Duration::from_secs(9), "as long again for the next one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_has_its_time_whatever_it_waits_for() {
        // An answer that is under way has a moment more.
        let most = LIMITS.connection_time + LIMITS.last_answers;
        let form = "POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
        assert_eq!(life(false, |stream| say(stream, form)).await, most);
        assert_eq!(life(false, |stream| drip(stream, form)).await, most);
        let large = "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let never_reads = life(false, |stream| say(stream, large));
        assert_eq!(never_reads.await, most, "nobody takes the answer");
        let reads_slowly = life(false, async |mut stream| {
            stream.write_all(large.as_bytes()).await.unwrap();
            while stream.read_u8().await.is_ok() {
                sleep(Duration::from_millis(100)).await;
            }
            stream
        });
        assert_eq!(reads_slowly.await, most);
    }

    #[tokio::test(start_paused = true)]
    async fn an_honest_request_is_answered_at_once_and_ends_the_connection() {
        let took = life(false, async |mut stream| {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
            stream
        });
        assert_eq!(took.await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_connected_when_the_server_ends_is_still_answered() {
        let (ours, mut theirs) = duplex(1024);
        let (stop, stopped) = watch::channel(false);
        let service = service(false);
        stop.send(true).unwrap();
        let client = async {
            sleep(Duration::from_millis(100)).await;
            theirs.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut text = String::new();
            theirs.read_to_string(&mut text).await.unwrap();
            text
        };
        let ((), text) = tokio::join!(talk(ours, &service, stopped), client);
        assert!(text.starts_with("HTTP/1.1 200 "), "{text:?}");
    }

    /// What a client hears that asks once, of a server that takes so long to answer.
    async fn heard(takes: Duration) -> String {
        let answer = async move || {
            sleep(takes).await;
            "done"
        };
        let last_answers = Duration::from_secs(2);
        let limits = Limits { keep_alive: true, last_answers, ..LIMITS };
        let service = Service { router: Router::new().route("/", get(answer)), tls: None, limits };
        let (_running, stopped) = watch::channel(false);
        let (ours, mut theirs) = duplex(4096);
        let client = async {
            theirs.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut text = String::new();
            theirs.read_to_string(&mut text).await.unwrap();
            text
        };
        let talk = async {
            talk(ours, &service, stopped).await;
        };
        tokio::join!(talk, client).1
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_under_way_when_the_connections_time_is_over_is_finished() {
        let text = heard(Duration::from_secs(16)).await;
        assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("done"), "{text:?}");
        assert!(text.contains("connection: close"), "the client knows that it is the last one: {text:?}");
        assert_eq!(heard(Duration::from_secs(18)).await, "", "it does not wait for ever");
    }
}
