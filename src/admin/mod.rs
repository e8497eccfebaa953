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
use crate::failure::StartError;
use crate::house::House;
use crate::http::{self, Limits, Service};
use crate::net::listen::{Acceptor, Listener};
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
    address: ListenAddress,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Sockets for the servers whose address is new.
pub struct Prepared {
    health: Option<Acceptor>,
    control: Option<Acceptor>,
}

impl Admin {
    pub fn new(house: Arc<House>) -> Self {
        Self { house, health: None, control: None, token: Token::new() }
    }

    pub fn workers(&self) -> &[Worker] {
        &self.house.workers
    }

    /// Binds what a configuration asks for and is not there yet. Nothing else changes.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub fn prepare(&self, config: &Config) -> Result<Prepared, StartError> {
        let health = prepare("health", self.health.as_ref(), health_address(config).as_ref())?;
        let control = prepare("control", self.control.as_ref(), config.control.as_ref())?;
        Ok(Prepared { health, control })
    }

    /// Serves what was prepared, and ends what the configuration does not ask for any more.
    pub fn serve(&mut self, prepared: Prepared, config: &Config) {
        let router = health::router(Arc::clone(&self.house));
        replace(&mut self.health, prepared.health, health_address(config), router);
        let router = control::router(Arc::clone(&self.house), &self.token);
        replace(&mut self.control, prepared.control, config.control.clone(), router);
    }

    /// Ends both servers; answers under way are finished.
    pub async fn end(self) {
        for server in self.health.into_iter().chain(self.control) {
            let _ = server.stop.send(true);
            let _ = server.task.await;
        }
    }
}

fn health_address(config: &Config) -> Option<ListenAddress> {
    config.health.map(ListenAddress::Tcp)
}

fn prepare(
    name: &'static str,
    running: Option<&Server>,
    wanted: Option<&ListenAddress>,
) -> Result<Option<Acceptor>, StartError> {
    let Some(address) = wanted.filter(|wanted| running.is_none_or(|running| running.address != **wanted))
    else {
        return Ok(None);
    };
    let failed = |error| StartError::new(format!("{name}: cannot listen on {address}"), error);
    let listener = Listener::bind(address).map_err(failed)?;
    tracing::info!(address = %listener.address, "{name} listening");
    listener.serve().map(Some).map_err(failed)
}

fn replace(
    server: &mut Option<Server>,
    acceptor: Option<Acceptor>,
    wanted: Option<ListenAddress>,
    router: Router,
) {
    if let Some(running) = server.take_if(|running| Some(&running.address) != wanted.as_ref()) {
        let _ = running.stop.send(true);
    }
    if let Some((acceptor, address)) = acceptor.zip(wanted) {
        let (stop, stopped) = watch::channel(false);
        let service = Service { router, tls: None, limits: LIMITS };
        let task = tokio::spawn(http::serve(acceptor, service, stopped));
        *server = Some(Server { address, stop, task });
    }
}
