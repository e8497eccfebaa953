//! THE list of protocols. Everything else walks it: configuration, serving, conformance tests, documents.
//!
//! This is the only file of the house that names a concrete protocol.

use std::sync::Arc;

use attache_mysql::Mysql;
use attache_postgres::Postgres;
use attache_redis::Redis;
use attache_tcp::Tcp;
use attache_wire::{Access, Directions, Protocol, Scheme, UrlParameter};

use crate::config::{ProtocolFacts, domain};
use crate::route::Serve;
use crate::session::{Route, RouteParts};

/// Every protocol that a route can speak.
pub fn protocols() -> Vec<Kind> {
    vec![kind::<Tcp>(), kind::<Postgres>(), kind::<Mysql>(), kind::<Redis>()]
}

/// One protocol, with its types rubbed out.
#[derive(Clone, Copy)]
pub struct Kind {
    pub facts: ProtocolFacts,
    /// What a URL of this protocol begins with.
    pub schemes: &'static [Scheme],
    /// Whether a login is part of the protocol.
    pub has_login: bool,
    /// Whether a URL without a database means the one that is called as its user is.
    pub database_of_user: bool,
    /// What a parameter of such a URL means.
    pub url_parameter: fn(name: &str, value: &str) -> UrlParameter,
    /// The server's socket, as such a URL names it.
    pub socket: fn(path: &str, port: Option<u16>) -> Option<String>,
    /// How clients find a listener of ours by themselves.
    pub directions: fn(&Access<'_>) -> Result<Directions, String>,
    build: fn(&domain::Route, RouteParts) -> Arc<dyn Serve>,
}

impl Kind {
    /// Builds a route of this protocol.
    pub fn build(&self, config: &domain::Route, parts: RouteParts) -> Arc<dyn Serve> {
        (self.build)(config, parts)
    }
}

/// What the configuration has to know of all of them.
pub fn facts() -> Vec<ProtocolFacts> {
    protocols().iter().map(|kind| kind.facts).collect()
}

fn kind<P: Protocol>() -> Kind {
    let features = P::FEATURES;
    let facts = ProtocolFacts {
        name: features.name,
        default_port: features.default_port,
        negotiates_tls: features.negotiates_tls,
        needs_user: features.needs_user,
        has_roles: features.has_roles,
        keeps: P::KEEPS,
        sentinel_port: P::SENTINEL_PORT,
        check_options: |value| parse::<P>(value).map(|_| ()),
        options_schema: || schemars::schema_for!(P::Options),
    };
    Kind {
        facts,
        schemes: features.schemes,
        has_login: features.has_login,
        database_of_user: features.database_of_user,
        url_parameter: P::url_parameter,
        socket: P::socket,
        directions: P::directions,
        build: build::<P>,
    }
}

fn build<P: Protocol>(config: &domain::Route, parts: RouteParts) -> Arc<dyn Serve> {
    let options =
        parse::<P>(&config.options).expect("a checked configuration has options that its protocol accepts");
    Arc::new(Route::new(config, P::new(options, config.database.clone()), parts))
}

fn parse<P: Protocol>(value: &serde_json::Value) -> Result<P::Options, String> {
    match value {
        serde_json::Value::Null => Ok(P::Options::default()),
        value => serde_json::from_value(value.clone()).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Drain;
    use crate::net::listen::Arrival;

    /// What a session keeps while it is idle, beside its two sockets. Every byte counts thousands of times.
    const IDLE_SESSION_OCTETS: usize = 1024;

    #[test]
    fn an_idle_session_is_small() {
        fn size<P: Protocol, F>(_: impl Fn(Arc<Route<P>>, Arrival, Drain) -> F) -> usize {
            size_of::<F>()
        }
        let sizes = [
            ("postgres", size(crate::session::serve::<Postgres>)),
            ("mysql", size(crate::session::serve::<Mysql>)),
            ("redis", size(crate::session::serve::<Redis>)),
            ("tcp", size(crate::session::serve::<Tcp>)),
        ];
        assert!(sizes.iter().all(|(_, size)| *size <= IDLE_SESSION_OCTETS), "{sizes:?}");
    }
}
