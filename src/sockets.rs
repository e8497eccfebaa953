//! The sockets that clients come in by, through all reloads: one whose address is still wanted is never closed, whoever
//! serves it next, and whoever waits in its queue is served.

use std::collections::VecDeque;

use crate::config::domain::{Config, ListenAddress};
use crate::failure::StartError;
use crate::net::listen::Listener;

/// A socket, by the address that the configuration names.
#[derive(Debug)]
pub struct Socket {
    pub listener: Listener,
    /// Port 0 stands for one that was found.
    pub wanted: ListenAddress,
}

/// Sockets that nobody serves: bound just now, or given up by whoever served them.
#[derive(Debug, Default)]
pub struct Spare(VecDeque<Socket>);

impl Spare {
    /// Binds what a configuration wants beyond those addresses that are held.
    ///
    /// # Errors
    /// An address that cannot be had. Nothing is bound then.
    pub fn beyond<'a>(
        held: impl IntoIterator<Item = &'a ListenAddress>,
        config: &Config,
    ) -> Result<Self, StartError> {
        let mut held: Vec<_> = held.into_iter().collect();
        let missing = wanted(config).into_iter().filter(|(_, address)| {
            let at = held.iter().position(|held| *held == address);
            at.map(|at| held.swap_remove(at)).is_none()
        });
        missing.map(|(name, address)| Socket::bind(name, address)).collect::<Result<_, _>>().map(Self)
    }

    /// Puts one here that its owner does not need any more.
    pub fn put(&mut self, socket: Socket) {
        self.0.push_back(socket);
    }

    /// The socket of this address, if there is one.
    pub fn take(&mut self, wanted: &ListenAddress) -> Option<Socket> {
        let at = self.0.iter().position(|socket| socket.wanted == *wanted)?;
        self.0.remove(at)
    }

    /// Closes what nobody wanted. The addresses are free at once.
    pub fn close(self) {
        self.0.into_iter().for_each(|socket| socket.listener.close());
    }
}

impl Socket {
    fn bind(name: &str, wanted: ListenAddress) -> Result<Self, StartError> {
        let failed = |error| StartError::new(format!("{name}: cannot listen on {wanted}"), error);
        Ok(Self { listener: Listener::bind(&wanted).map_err(failed)?, wanted })
    }
}

/// Where the health server listens, as an address like the others.
pub fn of_health(config: &Config) -> Option<ListenAddress> {
    config.health.map(ListenAddress::Tcp)
}

/// Every address of a configuration, and who wants it.
fn wanted(config: &Config) -> Vec<(&str, ListenAddress)> {
    let of_routes = config.routes.iter().flat_map(|route| {
        let named = |address: &ListenAddress| (route.name.as_str(), address.clone());
        route.listen.iter().map(named)
    });
    let health = of_health(config).map(|address| ("health", address));
    let control = config.control.clone().map(|address| ("control", address));
    of_routes.chain(health).chain(control).collect()
}
