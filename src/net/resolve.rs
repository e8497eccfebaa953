//! Names to addresses, with the container's own resolver settings and the records' own lifetimes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;

use crate::failure::{Cause, Trouble};

/// A record is kept at least this long, so that a lifetime of zero does not mean a query per session.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(1);
/// And at most this long: databases move, and nobody waits a day for it.
const LONGEST_LIFETIME: Duration = Duration::from_secs(60);

/// The process's resolver. Cheap to clone: the cache is shared.
#[derive(Clone)]
pub struct Resolver(Result<TokioResolver, String>);

impl Resolver {
    /// From `/etc/resolv.conf` and `/etc/hosts`. Where they cannot be used, literal addresses still work and
    /// every name fails with the reason.
    pub fn from_system() -> Self {
        Self(Self::build().map_err(|error| format!("/etc/resolv.conf cannot be used: {error}")))
    }

    fn build() -> Result<TokioResolver, NetError> {
        let mut builder = TokioResolver::builder_tokio()?;
        let options = builder.options_mut();
        options.positive_min_ttl = Some(SHORTEST_LIFETIME);
        options.positive_max_ttl = Some(LONGEST_LIFETIME);
        options.negative_max_ttl = Some(SHORTEST_LIFETIME);
        builder.build()
    }

    /// All addresses of a host, in the order of the answer.
    ///
    /// # Errors
    /// [`Cause::NameNotFound`], [`Cause::NameServerFailed`] or [`Cause::NameServerSilent`].
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Trouble> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let resolver = self.0.as_ref().map_err(|reason| Trouble::new(Cause::NameServerFailed, reason))?;
        let found = resolver.lookup_ip(host).await.map_err(|error| trouble(host, &error))?;
        let addresses: Vec<_> = found.iter().map(|address| SocketAddr::new(address, port)).collect();
        if addresses.is_empty() {
            return Err(Trouble::new(Cause::NameNotFound, format!("{host} has no address")));
        }
        Ok(addresses)
    }
}

fn trouble(host: &str, error: &NetError) -> Trouble {
    let detail = match error {
        // The library's own words spell its query out.
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            format!("{host}: the name server answers: {}", none.response_code)
        }
        error => format!("{host}: {error}"),
    };
    Trouble::new(cause(error), detail)
}

fn cause(error: &NetError) -> Cause {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Cause::NameNotFound,
            _ => Cause::NameServerFailed,
        },
        NetError::Dns(_) | NetError::Proto(_) => Cause::NameServerFailed,
        NetError::Timeout | NetError::NoConnections | NetError::Io(_) => Cause::NameServerSilent,
        _ => Cause::NameServerFailed,
    }
}
