//! Addresses: to listen on, and of databases.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::complaint::quote;
use super::domain::{Endpoint, ListenAddress, MOST_MEMBERS};
use super::kind::{Kind, Raw, Wrong};

/// The longest path of a Unix socket: the kernel's structure has 108 octets, the last of them zero (unix(7)).
const UNIX_PATH_LIMIT: usize = 107;
/// The longest name in the DNS, written with dots (RFC 1035, section 2.3.4).
const HOST_LIMIT: usize = 253;

const UNIX: &str = "unix:";
const LISTEN_HINT: &str = "write for example 127.0.0.1:5432, [::1]:5432 or unix:/run/attache/.s.PGSQL.5432";
const TCP_HINT: &str = "write for example 127.0.0.1:9900, 0.0.0.0:9900 or [::]:9900";
const ENDPOINT_HINT: &str = "write for example db.example.com:5432, [fd00::7]:5432 or unix:/run/db/socket";

/// Where a route listens.
pub(super) fn listen() -> Kind<ListenAddress> {
    Kind::of_text("address (`IP:port` or `unix:/path`)", json!({"type": "string"}), |text| {
        match text.strip_prefix(UNIX) {
            Some(path) => unix_path(path).map(ListenAddress::Unix),
            None => socket_address(text, LISTEN_HINT).map(ListenAddress::Tcp),
        }
    })
}

/// Where an HTTP server of ours listens.
pub(super) fn tcp() -> Kind<SocketAddr> {
    Kind::of_text("address (`IP:port`)", json!({"type": "string"}), |text| socket_address(text, TCP_HINT))
}

/// One address of a database. `default_port` is that of the protocol.
pub(super) fn endpoint(default_port: Option<u16>) -> Kind<Endpoint> {
    Kind::of_text("address (`host:port`, `host` or `unix:/path`)", json!({"type": "string"}), move |text| {
        if text.contains("://") || text.contains('@') {
            let reason = "is a URL or holds a login where an address is expected";
            let hint = "write host:port alone; the user and the password come from the folder in credential.path, \
                        the database from the key `database`";
            return Err(Wrong::new(reason, hint));
        }
        match text.strip_prefix(UNIX) {
            Some(path) => unix_path(path).map(Endpoint::Unix),
            None => host_and_port(text, default_port),
        }
    })
}

/// An address of a database, and the zone that it is in, where that is told.
pub(super) fn endpoint_in_zone(default_port: Option<u16>) -> Kind<(Endpoint, Option<String>)> {
    let plain = endpoint(default_port);
    let schema = json!({"anyOf": [plain.schema, {
        "type": "object",
        "properties": {
            "address": {"description": "Where the server is.", "type": "string"},
            "zone": {"description": "The zone that it is in.", "type": "string", "minLength": 1},
        },
        "required": ["address", "zone"],
        "additionalProperties": false,
    }]});
    let name = format!("{}, or `{{ address, zone }}`", plain.name);
    let address = move |raw: Raw<'_>| plain.read(raw).map_err(|mut wrongs| wrongs.remove(0));
    Kind::new(name, schema, move |raw| match raw.value {
        Value::Object(entry) => {
            let hint = "write for example { address: db.example.com:5432, zone: eu-1a }";
            let wrong = |reason: &str| Wrong::new(reason, hint);
            let (Some(value), Some(zone)) = (entry.get("address"), entry.get("zone")) else {
                return Err(wrong("lacks one of the keys address and zone"));
            };
            if entry.len() > 2 {
                return Err(wrong("has keys besides address and zone"));
            }
            let zone =
                zone.as_str().filter(|zone| !zone.is_empty()).ok_or_else(|| wrong("the zone is no text"))?;
            Ok((address(Raw { value, ..raw })?, Some(zone.to_owned())))
        }
        _ => address(raw).map(|endpoint| (endpoint, None)),
    })
}

/// The name of SRV records, as the endpoints that their list may have. The name is absolute, with or without a dot at
/// its end.
pub(super) fn service() -> Kind<Vec<Endpoint>> {
    let schema = json!({"type": "string", "pattern": "^_[^.]+\\._[^.]+\\.[^_]"});
    Kind::of_text("name (`_service._protocol.domain`)", schema, |text| {
        let name = text.strip_suffix('.').unwrap_or(text);
        let mut labels = name.splitn(3, '.');
        let mut marked = || labels.next().is_some_and(|label| label.len() > 1 && label.starts_with('_'));
        let is_service = marked() && marked() && labels.next().is_some_and(|domain| !domain.starts_with('_'));
        if !is_service || !is_host(name) {
            let hint = "write for example _postgresql._tcp.orders.example.com";
            return Err(Wrong::new(format!("{} is no name of SRV records", quote(text)), hint));
        }
        Ok(members(name, MOST_MEMBERS))
    })
}

/// The places of a list.
pub(super) fn members(list: &str, most: usize) -> Vec<Endpoint> {
    (0..most).map(|position| Endpoint::Member { list: list.to_owned(), position }).collect()
}

/// Whether only this machine reaches the address.
pub(super) fn is_local(address: &ListenAddress) -> bool {
    match address {
        ListenAddress::Tcp(address) => address.ip().to_canonical().is_loopback(),
        ListenAddress::Unix(_) => true,
    }
}

/// Where on this machine somebody is reached who listens there: on every address, so on loopback too.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => (Ipv6Addr::LOCALHOST, address.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

/// Whether both cannot be listened on at once. Port 0 is a new port each time; a socket of IPv6 takes nothing of IPv4.
pub(super) fn overlap(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => {
            let any = one.ip().is_unspecified() || other.ip().is_unspecified();
            let same_family = one.is_ipv4() == other.is_ipv4();
            one.port() != 0 && one.port() == other.port() && same_family && (any || one.ip() == other.ip())
        }
        (ListenAddress::Unix(one), ListenAddress::Unix(other)) => one == other,
        (ListenAddress::Tcp(_), ListenAddress::Unix(_)) | (ListenAddress::Unix(_), ListenAddress::Tcp(_)) => {
            false
        }
    }
}

fn socket_address(text: &str, hint: &str) -> Result<SocketAddr, Wrong> {
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let address: Option<SocketAddr> = text.parse().ok();
    // An IPv4 address in the clothes of IPv6 can be bound by neither kind of socket.
    let bindable = address.filter(|address| address.ip().to_canonical() == address.ip());
    bindable.ok_or_else(|| Wrong::new(format!("{} is no address to listen on", quote(text)), hint))
}

fn unix_path(path: &str) -> Result<PathBuf, Wrong> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err(Wrong::new("the path of a Unix socket must begin with /", ""));
    }
    if path.ends_with('/') {
        return Err(Wrong::new("the path of a Unix socket names the socket, not a folder", ""));
    }
    if path.len() > UNIX_PATH_LIMIT {
        let reason = format!(
            "the path of a Unix socket has at most {UNIX_PATH_LIMIT} octets, this one {}",
            path.len()
        );
        return Err(Wrong::new(reason, "choose a shorter folder"));
    }
    Ok(PathBuf::from(path))
}

pub(super) fn host_and_port(text: &str, default_port: Option<u16>) -> Result<Endpoint, Wrong> {
    let wrong = || Wrong::new(format!("{} is no address of a server", quote(text)), ENDPOINT_HINT);
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(Wrong::new(
            format!("{} needs brackets around the address", quote(text)),
            format!("write [{text}]"),
        ));
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (ipv6(host).ok_or_else(wrong)?, rest),
        None => match text.find(':') {
            Some(colon) => (text[..colon].to_owned(), &text[colon..]),
            None => (text.to_owned(), ""),
        },
    };
    if !host.contains(':') && !is_host(&host) {
        return Err(wrong());
    }
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?,
        None if port.is_empty() => default_port.ok_or_else(|| {
            Wrong::new(
                format!("{} names no port, and the protocol has none of its own", quote(text)),
                "write host:port",
            )
        })?,
        None => return Err(wrong()),
    };
    Ok(Endpoint::Tcp { host, port })
}

fn ipv6(text: &str) -> Option<String> {
    text.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_string())
}

/// The name in a certificate: that of a host, or an address.
pub(super) fn server_name() -> Kind<String> {
    Kind::of_text("name or IP address", json!({"type": "string", "minLength": 1}), |text| {
        let is_name = is_host(text) || text.parse::<IpAddr>().is_ok();
        is_name.then(|| text.to_owned()).ok_or_else(|| {
            let hint = "write for example db.example.com";
            Wrong::new(format!("{} is no name that a certificate has", quote(text)), hint)
        })
    })
}

/// A name in the DNS or an IPv4 address. Underscores are no part of host names, but of names in clusters.
fn is_host(host: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let name = host.strip_suffix('.').unwrap_or(host);
    name.len() <= HOST_LIMIT && name.split('.').all(|label| !label.is_empty() && label.chars().all(is_letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: 'static>(kind: &Kind<T>, text: &str) -> Result<T, String> {
        let value = Value::from(text);
        kind.read(Raw { value: &value, is_text: false }).map_err(|wrongs| format!("{wrongs:?}"))
    }

    #[test]
    fn endpoints_are_written_in_four_ways() {
        let shown = |text| read(&endpoint(Some(5432)), text).map(|endpoint| endpoint.to_string());
        assert_eq!(shown("db.example.com:6543").as_deref(), Ok("db.example.com:6543"));
        assert_eq!(shown("db_1.ns.svc").as_deref(), Ok("db_1.ns.svc:5432"));
        assert_eq!(shown("[::1]:6543").as_deref(), Ok("[::1]:6543"));
        assert_eq!(shown("[fd00::7]").as_deref(), Ok("[fd00::7]:5432"));
        assert_eq!(shown("unix:/run/db.sock").as_deref(), Ok("unix:/run/db.sock"));
        for wrong in [
            "", ":5432", "db:", "db:0", "db:99999", "db:x", "::1", "[::1", "[db]:5", "[::1]x", "a b", "a..b",
            "unix:db",
        ] {
            assert!(shown(wrong).is_err(), "{wrong:?}");
        }
        assert!(read(&endpoint(None), "db").is_err());
    }

    #[test]
    fn a_service_is_named_with_underscores_and_has_a_fixed_number_of_places() {
        let shown = |text| read(&service(), text).map(|all| (all.len(), all[1].to_string()));
        let orders = Ok((MOST_MEMBERS, "_postgresql._tcp.orders.example.com#2".to_owned()));
        assert_eq!(shown("_postgresql._tcp.orders.example.com"), orders);
        assert_eq!(shown("_postgresql._tcp.orders.example.com."), orders);
        for wrong in ["", "db", "db.example.com", "_tcp.db", "_p._tcp", "_p._tcp.", "_p._tcp.a b", "_._tcp.a"]
        {
            assert!(shown(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_login_in_an_endpoint_is_refused_and_not_repeated() {
        for text in ["postgres://orders:hunter2@db/orders", "orders:hunter2@db:5432"] {
            let wrong = read(&endpoint(Some(5432)), text).expect_err("a login");
            assert!(!wrong.contains("hunter2"), "{wrong}");
            assert!(wrong.contains("credential.path"), "{wrong}");
        }
    }

    #[test]
    fn listen_addresses_are_ip_addresses_or_unix_sockets() {
        let shown = |text| read(&listen(), text).map(|address| address.to_string());
        assert_eq!(shown("localhost:5432").as_deref(), Ok("127.0.0.1:5432"));
        assert_eq!(shown("[::1]:0").as_deref(), Ok("[::1]:0"));
        assert_eq!(shown("unix:/run/a.sock").as_deref(), Ok("unix:/run/a.sock"));
        let long = format!("unix:/{}", "x".repeat(107));
        let mapped = "[::ffff:127.0.0.1]:5432";
        for wrong in
            ["5432", ":5432", "db.example.com:5432", "unix:a.sock", "unix:/run/", mapped, long.as_str()]
        {
            assert!(shown(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn addresses_overlap_where_one_of_them_means_all() {
        let overlaps = |one: &str, other: &str| {
            overlap(&read(&listen(), one).expect("address"), &read(&listen(), other).expect("address"))
        };
        assert!(overlaps("127.0.0.1:5432", "127.0.0.1:5432"));
        assert!(overlaps("0.0.0.0:5432", "127.0.0.1:5432"));
        assert!(overlaps("[::]:5432", "[::1]:5432"));
        assert!(!overlaps("0.0.0.0:5432", "[::]:5432"), "both families of a machine that has two");
        assert!(!overlaps("127.0.0.1:0", "127.0.0.1:0"));
        assert!(!overlaps("127.0.0.1:5432", "127.0.0.2:5432"));
        assert!(overlaps("unix:/a", "unix:/a"));
        assert!(!overlaps("unix:/a", "127.0.0.1:1"));
    }
}
