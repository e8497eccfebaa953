//! Names to addresses, with the container's own resolver settings and the records' own lifetimes.
//!
//! The library asks, retries and caches. The search list is walked here, because the library goes on to the next
//! name when no name server answers; and both families are asked here, because it waits for the slower one.

mod service;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::{DnsError, NetError, runtime::TokioRuntimeProvider};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};

pub use service::Member;

use crate::failure::{Cause, Trouble};

/// A record is kept at least this long, so that a lifetime of zero does not mean a query per session.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(1);
/// And at most this long: databases move, and nobody waits a day for it.
const LONGEST_LIFETIME: Duration = Duration::from_secs(60);
/// How long the answer for one family waits for that of the other (RFC 8305, section 3).
const OTHER_FAMILY: Duration = Duration::from_millis(50);

/// The process's resolver. Cheap to clone: what it knows is shared.
#[derive(Clone)]
pub struct Resolver(Arc<Known>);

struct Known {
    /// `/etc/hosts`, as it was at the start.
    hosts: Hosts,
    names: Result<Names, String>,
}

/// What `/etc/resolv.conf` says.
struct Names {
    client: TokioResolver,
    search: Vec<Name>,
    /// A name with so many dots is tried as it is before the search list.
    ndots: usize,
}

/// The addresses of a host, in the order of the answers, IPv6 first.
pub struct Found {
    pub first: Vec<SocketAddr>,
    /// Those of the other family, whose answer is not here yet.
    pub late: Option<Late>,
}

pub type Late = Pin<Box<dyn Future<Output = Vec<SocketAddr>> + Send>>;

/// Why there is no address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Miss {
    /// The name does not exist.
    NoName,
    /// The name exists, but has no address.
    NoAddress,
    Failed(String),
    Silent(String),
}

type Answer = Result<Vec<IpAddr>, Miss>;

impl Resolver {
    /// From `/etc/resolv.conf` and `/etc/hosts`. Where the first cannot be used, literal addresses and the names of
    /// the second still work, and every other name fails with the reason.
    pub fn from_system() -> Self {
        let names = system_conf::read_system_conf().and_then(|(config, options)| Names::new(config, options));
        Self(Arc::new(Known {
            hosts: Hosts::from_system().unwrap_or_default(),
            names: names.map_err(|error| format!("/etc/resolv.conf cannot be used: {error}")),
        }))
    }

    /// All addresses of a host.
    ///
    /// # Errors
    /// [`Cause::NameNotFound`], [`Cause::NameServerFailed`] or [`Cause::NameServerSilent`].
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Found, Trouble> {
        let all = |addresses: Vec<IpAddr>| -> Vec<SocketAddr> {
            addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
        };
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Found { first: all(vec![address]), late: None });
        }
        let name = Name::from_str_relaxed(host)
            .map_err(|error| Trouble::new(Cause::NameNotFound, format!("{host}: {error}")))?;
        if let Some(addresses) = self.in_hosts(&name) {
            return Ok(Found { first: all(addresses), late: None });
        }
        let names = self.0.names.as_ref().map_err(|reason| Trouble::new(Cause::NameServerSilent, reason))?;
        let (first, late) = names.search(name).await.map_err(|miss| miss.trouble(host))?;
        let late = late.map(|late| {
            let late = async move {
                let addresses = late.await.unwrap_or_default();
                addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
            };
            Box::pin(late) as Late
        });
        Ok(Found { first: all(first), late })
    }

    /// A name that the file holds is not asked for, as everywhere else on the machine.
    fn in_hosts(&self, name: &Name) -> Option<Vec<IpAddr>> {
        let of = |kind| self.0.hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let lookups = [RecordType::AAAA, RecordType::A].map(of);
        let records = lookups.iter().flatten().flat_map(|lookup| lookup.answers());
        let addresses: Vec<_> = records.filter_map(|record| record.data.ip_addr()).collect();
        (!addresses.is_empty()).then_some(addresses)
    }
}

/// Addresses, and perhaps the question whose answer is not here yet.
type Both = (Vec<IpAddr>, Option<Pin<Box<dyn Future<Output = Answer> + Send>>>);

impl Names {
    fn new(config: ResolverConfig, mut options: ResolverOpts) -> Result<Self, NetError> {
        options.positive_min_ttl = Some(SHORTEST_LIFETIME);
        options.positive_max_ttl = Some(LONGEST_LIFETIME);
        // Some servers, such as Docker's and dnsmasq, do not say how long a family has no address.
        options.negative_min_ttl = Some(SHORTEST_LIFETIME);
        options.negative_max_ttl = Some(SHORTEST_LIFETIME);
        let own_domain = || config.domain().cloned().into_iter().collect();
        let search = if config.search().is_empty() { own_domain() } else { config.search().to_vec() };
        let ndots = options.ndots;
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        Ok(Self { client: builder.with_options(options).build()?, search, ndots })
    }

    /// Walks the search list as the C library does: on to the next name where one does not exist or a name server
    /// fails, but not where none answers.
    async fn search(&self, name: Name) -> Result<Both, Miss> {
        let mut worst = Miss::NoName;
        for name in self.candidates(name) {
            match self.both_families(name).await {
                Ok(found) => return Ok(found),
                Err(silent @ Miss::Silent(_)) => return Err(silent),
                Err(miss) => worst = worst.max(miss),
            }
        }
        Err(worst)
    }

    /// A name with a dot at its end stands for itself. Of others, those with enough dots are tried as they are first.
    fn candidates(&self, name: Name) -> Vec<Name> {
        let mut absolute = name.clone();
        absolute.set_fqdn(true);
        if name.is_fqdn() || name.is_localhost() {
            return vec![absolute];
        }
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let mut all: Vec<_> =
            self.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
        all.insert(if dots >= self.ndots { 0 } else { all.len() }, absolute);
        all
    }

    /// Asks for both families at once. The answer of one waits a moment for that of the other, so that IPv6 can go
    /// first; one family that nobody answers for costs no more than that moment.
    async fn both_families(&self, name: Name) -> Result<Both, Miss> {
        let v6 = Box::pin(ask(self.client.clone(), name.clone(), RecordType::AAAA));
        let v4 = Box::pin(ask(self.client.clone(), name, RecordType::A));
        // What has no A record has no name; but some servers say so of AAAA alone.
        match select(v6, v4).await {
            Either::Left((v6, v4)) => {
                let settled = v6.is_ok();
                combine(v6, wait_for(v4, settled).await, |v6, v4| [v6, v4].concat())
            }
            Either::Right((v4, v6)) => {
                let settled = matches!(v4, Ok(_) | Err(Miss::NoName));
                combine(v4, wait_for(v6, settled).await, |v4, v6| [v6, v4].concat())
            }
        }
    }
}

/// The other family's answer, or its question where the first answer needs to wait no longer.
async fn wait_for<F: Future<Output = Answer> + Unpin>(mut other: F, settled: bool) -> Either<Answer, F> {
    if !settled {
        return Either::Left(other.await);
    }
    match tokio::time::timeout(OTHER_FAMILY, &mut other).await {
        Ok(answer) => Either::Left(answer),
        Err(_) => Either::Right(other),
    }
}

fn combine<F: Future<Output = Answer> + Send + 'static>(
    one: Answer,
    other: Either<Answer, Pin<Box<F>>>,
    in_order: impl Fn(Vec<IpAddr>, Vec<IpAddr>) -> Vec<IpAddr>,
) -> Result<Both, Miss> {
    match (one, other) {
        (Ok(one), Either::Left(Ok(other))) => Ok((in_order(one, other), None)),
        (Ok(found), Either::Left(Err(_))) | (Err(_), Either::Left(Ok(found))) => Ok((found, None)),
        (Ok(found), Either::Right(late)) => Ok((found, Some(late))),
        (Err(one), Either::Left(Err(other))) => Err(one.max(other)),
        (Err(miss), Either::Right(_)) => Err(miss),
    }
}

async fn ask(client: TokioResolver, name: Name, kind: RecordType) -> Answer {
    let found = client.lookup(name, kind).await.map_err(|error| miss(&error))?;
    let addresses: Vec<_> = found.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
    if addresses.is_empty() { Err(Miss::NoAddress) } else { Ok(addresses) }
}

fn miss(error: &NetError) -> Miss {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Miss::NoName,
            ResponseCode::NoError => Miss::NoAddress,
            code => Miss::Failed(format!("the name server answers: {code}")),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => {
            Miss::Failed(format!("the name server answers: {code}"))
        }
        NetError::Timeout | NetError::NoConnections | NetError::Io(_) => Miss::Silent(error.to_string()),
        error => Miss::Failed(error.to_string()),
    }
}

impl Miss {
    fn trouble(self, host: &str) -> Trouble {
        let (cause, detail) = match self {
            Self::NoName => (Cause::NameNotFound, "there is no such name".to_owned()),
            Self::NoAddress => (Cause::NameNotFound, "the name has no address".to_owned()),
            Self::Failed(detail) => (Cause::NameServerFailed, detail),
            Self::Silent(detail) => (Cause::NameServerSilent, detail),
        };
        Trouble::new(cause, format!("{host}: {detail}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
