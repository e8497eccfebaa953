//! The keys of a route's `upstream`.

use super::address;
use super::domain::{Endpoint, Role, Upstream};
use super::duration::duration;
use super::keys::{NOW_AND_THEN, SOME_TIME, UP_TO_A_DAY};
use super::kind::choice;
use super::reader::Section;
use super::{ProtocolFacts, SENTINEL, sentinel, tls};

pub(super) fn read(
    route: &Section<'_, '_>,
    protocol: Option<&ProtocolFacts>,
    protocols: &[ProtocolFacts],
) -> Option<Upstream> {
    route.section("upstream", "The database.", |upstream| {
        let Servers { endpoints, zones, role, sentinel } = servers(upstream, protocol);
        // While the protocol is not known, what any of them allows will do.
        let possible = protocol.map_or(protocols, std::slice::from_ref);
        let tls = tls::read(upstream, possible, &endpoints);
        let upstream = Upstream {
            sentinel: sentinel.map(|sentinel| sentinel.finish(upstream, &tls)),
            role,
            tls,
            connect_timeout: upstream
                .key(
                    "connect_timeout",
                    "The limit of one attempt: resolving, connecting, TLS and login together.",
                )
                .or("5s", &duration(SOME_TIME)),
            wait: upstream
                .key(
                    "wait",
                    "How long a new session waits for the database to come back, or for a rotation to complete.",
                )
                .or("15s", &duration(UP_TO_A_DAY)),
            probe_interval: upstream
                .key("probe_interval", "How often every endpoint is probed with a login.")
                .or("30s", &duration(NOW_AND_THEN).or_off())
                .unwrap_or_default(),
            endpoints,
            zones,
        };
        (!upstream.endpoints.is_empty()).then_some(upstream)
    })
}

/// Which servers there are, and which of them sessions may use.
struct Servers {
    endpoints: Vec<Endpoint>,
    zones: Vec<Option<String>>,
    role: Role,
    sentinel: Option<sentinel::Draft>,
}

fn servers(upstream: &Section<'_, '_>, protocol: Option<&ProtocolFacts>) -> Servers {
    let endpoints = upstream
        .key("endpoints", "The database's addresses, in the order in which they are tried. Without a port, that of the protocol is meant. Those \
             whose zone is that of the environment variable ATTACHE_ZONE come first.")
        .example("[\"orders-1.db.example.com:5432\", \"orders-2.db.example.com\"]")
        .required_unless(&["srv", SENTINEL], &address::endpoint_in_zone(protocol.and_then(|protocol| protocol.default_port)).one_or_more());
    let members = upstream
        .key(
            "srv",
            "Instead of `endpoints`: the name whose SRV records list the servers, as an absolute name. The first 8 of \
             them are used. Without `tls.server_name`, a server has to be in the domain of the name.",
        )
        .example("_postgresql._tcp.orders.example.com")
        .required_unless(&["endpoints", SENTINEL], &address::service());
    let sentinel = sentinel::read(upstream, protocol);
    let role = role(upstream, protocol, sentinel.is_some());
    let members = members.or_else(|| sentinel.as_ref().map(|sentinel| sentinel.places(role)));
    let members = members.map(|members| members.into_iter().map(|member| (member, None)).collect());
    let (endpoints, zones): (Vec<_>, Vec<_>) = endpoints.or(members).unwrap_or_default().into_iter().unzip();
    check_twice(upstream, &endpoints);
    Servers { endpoints, zones, role, sentinel }
}

fn role(upstream: &Section<'_, '_>, protocol: Option<&ProtocolFacts>, by_sentinel: bool) -> Role {
    let names =
        [Role::Any, Role::Primary, Role::Replica, Role::PreferReplica].map(|role| (role.name(), role));
    let role = upstream
        .key(
            "role",
            "What a server has to be for a session to use it. `prefer-replica` takes the primary while no replica can be \
             reached. With `sentinel` the default is `primary`.",
        )
        .or("any", &choice(&names));
    if let Some(protocol) = protocol.filter(|protocol| !protocol.has_roles && role != Role::Any) {
        let reason = format!("{} cannot tell a primary from a replica", protocol.name);
        upstream.complain("role", reason, "remove it");
    }
    match role {
        Role::Any if by_sentinel => {
            if upstream.has("role") {
                let reason = "Sentinels tell a primary and its replicas: no session is for any of them";
                upstream.complain("role", reason, "remove it for the primary, or write prefer-replica");
            }
            Role::Primary
        }
        Role::Any | Role::Primary | Role::Replica | Role::PreferReplica => role,
    }
}

pub(super) fn check_twice(upstream: &Section<'_, '_>, endpoints: &[Endpoint]) {
    for (index, endpoint) in endpoints.iter().enumerate() {
        if endpoints[..index].contains(endpoint) {
            upstream.complain(&format!("endpoints[{index}]"), format!("{endpoint} is listed twice"), "");
        }
    }
}
