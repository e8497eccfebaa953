//! HTTP within bounds: how many connections, for how long, how much of a request.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::net::listen::{Acceptor, Arrival};

/// Far more than kubelets, scrapers and operators need at once.
const CONNECTIONS: usize = 64;
/// A request without a body fits a packet; whoever takes longer is no kubelet.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// For a whole connection, slow readers of the answer included.
const CONNECTION_TIME: Duration = Duration::from_secs(15);
/// What a request's head may have, in octets.
const HEADER_SIZE: usize = 16 * 1024;
/// How long answers under way may take once the process ends.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Serves until `stopped` is true, and then lets answers under way be finished.
pub(super) async fn serve(mut acceptor: Acceptor, router: Router, mut stopped: watch::Receiver<bool>) {
    let mut connections = Connections::default();
    loop {
        tokio::select! {
            arrival = acceptor.accept() => connections.add(arrival, router.clone()),
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
    }
    drop(acceptor);
    let _ = timeout(LAST_ANSWERS, connections.end()).await;
}

/// The connections that live, the oldest first.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    by_age: VecDeque<AbortHandle>,
}

impl Connections {
    /// Where there is no room the oldest connection goes: an honest one is done within milliseconds, so that
    /// many that dawdle cannot keep a kubelet out.
    fn add(&mut self, arrival: Arrival, router: Router) {
        while self.tasks.try_join_next().is_some() {}
        self.by_age.retain(|task| !task.is_finished());
        if self.by_age.len() >= CONNECTIONS
            && let Some(oldest) = self.by_age.pop_front()
        {
            oldest.abort();
        }
        self.by_age.push_back(self.tasks.spawn(connection(arrival, router)));
    }

    async fn end(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// One request, one answer: nobody who asks now and then needs to keep a connection.
async fn connection(arrival: Arrival, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_SIZE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(arrival.stream), TowerToHyperService::new(router));
    // A client that misbehaves is its own problem, and not worth a line in the log.
    let _ = timeout(CONNECTION_TIME, served).await;
}
