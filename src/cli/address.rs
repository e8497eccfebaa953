//! Where the running process answers: as the arguments say, as its configuration says, or as usual.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Args;

use super::Failed;
use super::files::Files;
use crate::config::domain::ListenAddress;

/// The addresses that a configuration has unless it says otherwise.
const USUAL_HEALTH: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);
const USUAL_CONTROL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);

#[derive(Debug, Args)]
pub(super) struct HealthAddress {
    /// Where the health listener answers [default: that of the configuration, else 127.0.0.1:9900].
    #[arg(long = "health", value_name = "ADDRESS", env = "ATTACHE_HEALTH")]
    address: Option<SocketAddr>,

    #[command(flatten)]
    files: Files,
}

impl HealthAddress {
    pub(super) fn find(&self) -> Result<ListenAddress, Failed> {
        let address = match self.address {
            Some(address) => address,
            None if self.files.any() => {
                let health = self.files.load()?.health;
                health.ok_or_else(|| Failed::Arguments("the configuration has `health: off`".to_owned()))?
            }
            None => USUAL_HEALTH,
        };
        Ok(ListenAddress::Tcp(reachable(address)))
    }
}

#[derive(Debug, Args)]
pub(super) struct ControlAddress {
    /// Where the control listener answers [default: that of the configuration, else 127.0.0.1:9901].
    #[arg(long = "control", value_name = "ADDRESS", env = "ATTACHE_CONTROL", value_parser = listen_address)]
    address: Option<ListenAddress>,

    #[command(flatten)]
    files: Files,
}

impl ControlAddress {
    pub(super) fn find(&self) -> Result<ListenAddress, Failed> {
        match &self.address {
            Some(address) => Ok(address.clone()),
            None if self.files.any() => {
                let control = self.files.load()?.control;
                control.ok_or_else(|| Failed::Arguments("the configuration has `control: off`".to_owned()))
            }
            None => Ok(ListenAddress::Tcp(USUAL_CONTROL)),
        }
    }
}

/// Who listens on every address is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => (Ipv6Addr::LOCALHOST, address.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

pub(super) fn listen_address(text: &str) -> Result<ListenAddress, String> {
    match text.strip_prefix("unix:") {
        Some(path) => Ok(ListenAddress::Unix(path.into())),
        None => text.parse().map(ListenAddress::Tcp).map_err(|_| {
            "neither an address with a port, such as 127.0.0.1:9901, nor unix:/a/path".to_owned()
        }),
    }
}
