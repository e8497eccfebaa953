//! The two HTTP servers of the process: health for kubelets and scrapers, control for operators.
//!
//! They run on the control thread and never touch the data path. Health only tells, so it may listen where
//! others can reach it; control acts, so it listens on loopback or a Unix socket alone.

mod control;
mod health;
mod server;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use tokio::sync::watch;

use crate::app::{House, StartError};
use crate::config::domain::{Config, ListenAddress};
use crate::net::listen::Listener;

/// One server, until it is told to stop.
pub type Server = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Binds what the configuration asks for; the futures serve it until `stopped` is true.
///
/// # Errors
/// An address that cannot be listened on.
pub fn servers(
    config: &Config,
    house: &Arc<House>,
    stopped: &watch::Receiver<bool>,
) -> Result<Vec<Server>, StartError> {
    let health = config.health.map(ListenAddress::Tcp);
    let health = health.map(|address| ("health", address, health::router(Arc::clone(house))));
    let control = config.control.clone();
    let control = control.map(|address| ("control", address, control::router(Arc::clone(house))));
    let wanted = health.into_iter().chain(control);
    wanted.map(|(name, address, router)| server(name, &address, router, stopped.clone())).collect()
}

fn server(
    name: &'static str,
    address: &ListenAddress,
    router: Router,
    stopped: watch::Receiver<bool>,
) -> Result<Server, StartError> {
    let failed = |error| StartError::new(format!("{name}: cannot listen on {address}"), error);
    let listener = Listener::bind(address).map_err(failed)?;
    tracing::info!(address = %listener.address, "{name} listening");
    let acceptor = listener.serve().map_err(failed)?;
    Ok(Box::pin(server::serve(acceptor, router, stopped)))
}
