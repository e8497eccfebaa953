//! The servers of a service, as SRV records list them (RFC 2782).

use std::fmt;

use hickory_resolver::proto::rr::{Name, RData, RecordType, rdata::SRV};

use super::{Miss, Resolver, miss};
use crate::failure::{Cause, Trouble};

/// One server of a service. The order is that of [`Resolver::members`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Those with the lowest are tried first.
    pub priority: u16,
    /// An absolute name in small letters, without the dot at its end.
    pub host: String,
    pub port: u16,
    /// The share of sessions among those of one priority.
    pub weight: u16,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Member {
    fn of(record: &SRV) -> Self {
        let host = record.target.to_lowercase().to_ascii().trim_end_matches('.').to_owned();
        Self { priority: record.priority, host, port: record.port, weight: record.weight }
    }
}

impl Resolver {
    /// All servers of a service, at least one, in an order that stays the same while the records do. The name is taken
    /// as it is, without the search list.
    ///
    /// # Errors
    /// As [`addresses`](Self::addresses).
    pub async fn members(&self, service: &str) -> Result<Vec<Member>, Trouble> {
        let not_found = |detail: &str| Trouble::new(Cause::NameNotFound, format!("{service}: {detail}"));
        let mut name = Name::from_str_relaxed(service).map_err(|error| not_found(&error.to_string()))?;
        name.set_fqdn(true);
        let names = self.0.names.as_ref().map_err(|reason| Trouble::new(Cause::NameServerSilent, reason))?;
        let found = names.client.lookup(name, RecordType::SRV).await.map_err(|error| match miss(&error) {
            Miss::NoAddress => not_found("the name has no SRV records"),
            miss @ (Miss::NoName | Miss::Failed(_) | Miss::Silent(_)) => miss.trouble(service),
        })?;
        let records = found.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(record) => Some(record),
            _ => None,
        });
        let (absent, listed): (Vec<_>, Vec<_>) = records.partition(|record| record.target.is_root());
        let mut members: Vec<_> = listed.into_iter().map(Member::of).collect();
        members.sort();
        members.dedup_by(|one, other| (&one.host, one.port) == (&other.host, other.port));
        match (members.is_empty(), absent.is_empty()) {
            (false, _) => Ok(members),
            (true, false) => Err(not_found("the service does not exist, says its SRV record")),
            (true, true) => Err(not_found("the name has no SRV records")),
        }
    }
}
