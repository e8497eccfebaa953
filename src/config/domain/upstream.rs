//! The server side of a route, as the house uses it: which servers, how they are reached, whom the link trusts.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::CredentialSource;

/// The server side of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// In the order in which they are tried.
    pub endpoints: Vec<Endpoint>,
    /// In which zone each of them is, where that is told.
    pub zones: Vec<Option<String>>,
    /// Those who name the servers, where the configuration does not.
    pub sentinel: Option<Sentinel>,
    pub role: Role,
    pub tls: Tls,
    /// One attempt: resolving, connecting, TLS and login together.
    pub connect_timeout: Duration,
    /// How long a new session waits for an upstream to come back.
    pub wait: Duration,
    /// How often every endpoint is probed; zero switches probing off.
    pub probe_interval: Duration,
}

impl Upstream {
    /// Puts the endpoints of a zone before the others. Apart from that they stay in order.
    pub fn prefer_zone(&mut self, own: &str) {
        let mut all: Vec<_> = self.endpoints.drain(..).zip(self.zones.drain(..)).collect();
        all.sort_by_key(|(_, zone)| zone.as_deref() != Some(own));
        (self.endpoints, self.zones) = all.into_iter().unzip();
    }

    /// The name of the list that the servers are on, where the configuration does not name them.
    pub fn list(&self) -> Option<&str> {
        match self.endpoints.first()? {
            Endpoint::Member { list, .. } => Some(list),
            Endpoint::Tcp { .. } | Endpoint::Unix(_) => None,
        }
    }

    /// The name of the SRV records that list the servers, where they do.
    pub fn srv(&self) -> Option<&str> {
        self.list().filter(|_| self.sentinel.is_none())
    }
}

/// Processes beside the servers that agree on which of them is the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentinel {
    pub endpoints: Vec<Endpoint>,
    /// Under which name they know the servers.
    pub master: String,
    /// What Attaché logs in to them with; `None` means that it does not.
    pub credential: Option<CredentialSource>,
    pub tls: Tls,
    /// How often each of them is asked even if it has announced nothing.
    pub poll: Duration,
}

/// Which of the servers a session may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Any,
    Primary,
    Replica,
    /// A replica, or the primary while no replica can be reached.
    PreferReplica,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::PreferReplica => "prefer-replica",
        }
    }
}

/// So many servers of a list are used. Each is probed and has metrics of its own, whose labels are fixed at the start; a
/// database has a primary and a handful of replicas.
pub const MOST_MEMBERS: usize = 8;

/// One address of the database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Tcp {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
    /// The server that has this position in a list, while there is one.
    Member {
        /// The name of the SRV records, or that under which Sentinels know the servers.
        list: String,
        position: usize,
    },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Member { list, position } => write!(f, "{list}#{}", position + 1),
        }
    }
}

/// How the link to the database is encrypted, and whom it trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub mode: TlsMode,
    /// A PEM file of certificate authorities; `None` means those of the system.
    pub ca: Option<PathBuf>,
    /// The name in the server's certificate, where it is not the host of the endpoint.
    pub server_name: Option<String>,
    /// Whether TLS starts at once although the protocol could ask for it.
    pub direct: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// The chain and the name are verified.
    VerifyFull,
    /// The chain is verified, the name is not.
    VerifyCa,
    /// Nothing is verified: whoever answers gets the credential.
    InsecureNoVerify,
    Off,
}

impl TlsMode {
    pub const ALL: [Self; 4] = [Self::VerifyFull, Self::VerifyCa, Self::InsecureNoVerify, Self::Off];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::VerifyFull => "verify-full",
            Self::VerifyCa => "verify-ca",
            Self::InsecureNoVerify => "insecure-no-verify",
            Self::Off => "off",
        }
    }

    /// Whether anything is verified, so that authorities matter.
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyFull | Self::VerifyCa)
    }
}
