//! Where the running process answers: as the arguments say, as its configuration says, or as usual.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;

use super::Failed;
use super::files::Files;
use crate::config::domain::ListenAddress;
use crate::config::{self, reachable};

/// The addresses that a configuration has unless it says otherwise.
const USUAL_HEALTH: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);
const USUAL_CONTROL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);

/// What an argument says, or a variable that is a setting of the process too.
#[derive(Debug, Clone)]
enum Said<T> {
    Off,
    At(T),
}

#[derive(Debug, Args)]
pub(super) struct HealthAddress {
    /// Where the health listener answers [default: that of the configuration, else 127.0.0.1:9900].
    #[arg(long = "health", value_name = "ADDRESS", env = "ATTACHE_HEALTH", value_parser = health)]
    address: Option<Said<SocketAddr>>,

    #[command(flatten)]
    files: Files,
}

impl HealthAddress {
    pub(super) fn find(&self) -> Result<ListenAddress, Failed> {
        let address = match self.address {
            Some(Said::At(address)) => address,
            Some(Said::Off) => return Err(off("health")),
            None if self.files.any() => self.files.listeners()?.health.ok_or_else(|| off("health"))?,
            None => USUAL_HEALTH,
        };
        Ok(ListenAddress::Tcp(reachable(address)))
    }
}

#[derive(Debug, Args)]
pub(super) struct ControlAddress {
    /// Where the control listener answers [default: that of the configuration, else 127.0.0.1:9901].
    #[arg(long = "control", value_name = "ADDRESS", env = "ATTACHE_CONTROL", value_parser = control)]
    address: Option<Said<ListenAddress>>,

    #[command(flatten)]
    files: Files,
}

impl ControlAddress {
    pub(super) fn find(&self) -> Result<ListenAddress, Failed> {
        match &self.address {
            Some(Said::At(address)) => Ok(address.clone()),
            Some(Said::Off) => Err(off("control")),
            None if self.files.any() => self.files.listeners()?.control.ok_or_else(|| off("control")),
            None => Ok(ListenAddress::Tcp(USUAL_CONTROL)),
        }
    }
}

fn off(listener: &str) -> Failed {
    Failed::Arguments(format!("`{listener}` is off, so nobody answers there"))
}

fn health(text: &str) -> Result<Said<SocketAddr>, String> {
    config::health_address(text).map(|address| address.map_or(Said::Off, Said::At))
}

fn control(text: &str) -> Result<Said<ListenAddress>, String> {
    config::control_address(text).map(|address| address.map_or(Said::Off, Said::At))
}
