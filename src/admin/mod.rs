//! The two HTTP servers of the process: health for kubelets and scrapers, control for operators.
//!
//! They run on the control thread and never touch the data path. Health only tells, so it may listen where
//! others can reach it; control acts, so it listens on loopback or a Unix socket alone.

mod control;
mod guard;
mod health;
mod page;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use guard::Token;

use crate::config::domain::{Config, ListenAddress};
use crate::house::House;
use crate::http::{self, Limits, Service};
use crate::net::listen::Listener;
use crate::sockets::{self, Socket, Spare};
use crate::worker::Worker;

/// One request, one answer: nobody who asks now and then needs to keep a connection. Far more of them than kubelets,
/// scrapers and operators need at once; a request without a body fits a packet.
const LIMITS: Limits = Limits {
    connections: 64,
    head_time: Duration::from_secs(5),
    head_size: 16 * 1024,
    connection_time: Duration::from_secs(15),
    keep_alive: false,
    last_answers: Duration::from_millis(500),
};

/// The two servers, as far as the configuration asks for them.
pub struct Admin {
    house: Arc<House>,
    health: Option<Server>,
    control: Option<Server>,
    /// What an order from the page has to bring.
    token: Token,
}

/// One server that runs.
struct Server {
    socket: Socket,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Admin {
    pub fn new(house: Arc<House>) -> Self {
        Self { house, health: None, control: None, token: Token::new() }
    }

    pub fn workers(&self) -> &[Worker] {
        &self.house.workers
    }

    /// The addresses that the servers listen on.
    pub fn addresses(&self) -> impl Iterator<Item = &ListenAddress> {
        self.health.iter().chain(&self.control).map(|server| &server.socket.wanted)
    }

    /// Ends the servers that are to listen elsewhere or not at all. Their sockets are spare then.
    pub fn give_up(&mut self, config: &Config, sockets: &mut Spare) {
        let (health, control) = (sockets::of_health(config), &config.control);
        let gone = [(&mut self.health, health.as_ref()), (&mut self.control, control.as_ref())];
        for (server, wanted) in gone {
            if let Some(Server { socket, stop, .. }) =
                server.take_if(|running| Some(&running.socket.wanted) != wanted)
            {
                let _ = stop.send(true);
                sockets.put(socket);
            }
        }
    }

    /// Starts the servers that do not run yet. Their sockets are among the spare ones.
    pub fn serve(&mut self, config: &Config, sockets: &mut Spare) {
        if self.health.is_none() {
            let socket = sockets::of_health(config).and_then(|address| sockets.take(&address));
            let router = health::router(Arc::clone(&self.house));
            self.health = socket.and_then(|socket| start("health", socket, router));
        }
        if self.control.is_none() {
            let socket = config.control.as_ref().and_then(|address| sockets.take(address));
            let router = control::router(Arc::clone(&self.house), &self.token);
            self.control = socket.and_then(|socket| start("control", socket, router));
        }
    }

    /// Ends both servers; answers under way are finished.
    pub async fn end(self) {
        for server in self.health.into_iter().chain(self.control) {
            let _ = server.stop.send(true);
            let _ = server.task.await;
        }
    }
}

fn start(name: &'static str, socket: Socket, router: Router) -> Option<Server> {
    let acceptor = match socket.listener.share().and_then(Listener::serve) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            tracing::error!(address = %socket.listener.address, %error, "{name} cannot take clients in");
            return None;
        }
    };
    tracing::info!(address = %socket.listener.address, "{name} listening");
    let (stop, stopped) = watch::channel(false);
    let service = Service { router, tls: None, limits: LIMITS };
    let task = tokio::spawn(http::serve(acceptor, service, stopped));
    Some(Server { socket, stop, task })
}
