//! Where a URL says that the servers are: hosts, or a socket on this machine.
//!
//! A socket stands in the place of a host, with `%2F` for each `/`, or in a parameter, as the protocol's clients have it.

use super::target::decoded;
use crate::registry::Kind;

/// What is said of it, until the whole URL is read.
#[derive(Default)]
pub(super) struct Place<'a> {
    /// What stands where hosts do.
    pub(super) hosts: &'a str,
    /// A socket, or its folder, that a parameter names.
    pub(super) socket: Option<String>,
    /// The port that a parameter names.
    pub(super) port: Option<String>,
}

impl Place<'_> {
    /// In the notation of the configuration's `endpoints`.
    ///
    /// # Errors
    /// What cannot be meant.
    pub(super) fn endpoints(self, kind: &Kind) -> Result<Vec<String>, String> {
        let Self { hosts, socket, port } = self;
        let (host, beside) = host_and_port(hosts);
        if socket.is_some() && !matches!(host, "" | "localhost") {
            return Err("the URL names a host and a socket: leave one of them out".to_owned());
        }
        let path = socket.map_or_else(|| decoded(host), Ok)?;
        if path.starts_with('/') && !path.contains(',') {
            return Ok(vec![unix(kind, &path, port.as_deref().or(beside))?]);
        }
        if port.is_some() {
            return Err("the URL's port is understood beside a socket only: write HOST:PORT".to_owned());
        }
        hosts.split(',').map(|host| endpoint(kind, host)).collect()
    }
}

fn endpoint(kind: &Kind, text: &str) -> Result<String, String> {
    let (host, port) = host_and_port(text);
    match decoded(host)? {
        path if path.starts_with('/') => unix(kind, &path, port),
        _ => Ok(text.to_owned()),
    }
}

/// A socket has no colon in it that is not written `%3A`; an address of IPv6 is in brackets.
fn host_and_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    }
}

fn unix(kind: &Kind, path: &str, port: Option<&str>) -> Result<String, String> {
    let port =
        port.map(|port| port.parse().map_err(|_| "the URL's port is no number".to_owned())).transpose()?;
    let socket = (kind.socket)(path, port);
    let socket = socket.ok_or("the URL has a port beside a socket, which has none: leave it out")?;
    Ok(format!("unix:{socket}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::target::Target;

    fn endpoints(url: &str) -> Result<Vec<String>, String> {
        Target::parse(url).map(|target| target.endpoints)
    }

    #[test]
    fn a_socket_is_named_as_the_clients_of_the_protocol_name_it() {
        for (url, expected) in [
            ("postgres://o@/o?host=/run/postgresql", "unix:/run/postgresql/.s.PGSQL.5432"),
            ("postgres://o@/o?host=%2Frun%2Fpg&port=5433", "unix:/run/pg/.s.PGSQL.5433"),
            ("postgres://o@:5433/o?host=/run/pg", "unix:/run/pg/.s.PGSQL.5433"),
            ("postgres://o@%2Frun%2Fpg:5433/o", "unix:/run/pg/.s.PGSQL.5433"),
            ("postgres://o@%2Frun%2Fpg/o?port=5433", "unix:/run/pg/.s.PGSQL.5433"),
            ("postgresql://o@%2frun%2fpg/o", "unix:/run/pg/.s.PGSQL.5432"),
            ("mysql://o@localhost/o?socket=/run/mysqld/mysqld.sock", "unix:/run/mysqld/mysqld.sock"),
            ("mariadb://o@/?unix_socket=/run/mysqld/mysqld.sock", "unix:/run/mysqld/mysqld.sock"),
            ("mysql://o@%2Frun%2Fmysqld%2Fmysqld%2Esock", "unix:/run/mysqld/mysqld.sock"),
            ("redis://%2Frun%2Fredis.sock/2", "unix:/run/redis.sock"),
            ("tcp://%2Frun%2Fsomething", "unix:/run/something"),
        ] {
            assert_eq!(endpoints(url).unwrap(), [expected], "{url}");
        }
        assert_eq!(endpoints("postgres://o@a,[::1]:6543,b:1/o").unwrap(), ["a", "[::1]:6543", "b:1"]);
    }

    #[test]
    fn what_is_neither_a_host_nor_a_socket_is_told() {
        for (url, told) in [
            ("postgres://o@db/o?host=/run/pg", "a host and a socket"),
            ("postgres://o@db/o?port=5433", "beside a socket only"),
            ("postgres://o@/o?host=/run/pg&port=x", "no number"),
            ("postgres://o@db/o?host=other", "URL's host is not understood"),
            ("mysql://o@db/o?socket=/run/mysqld.sock", "a host and a socket"),
            ("mysql://o@localhost:3306/o?socket=/run/mysqld.sock", "beside a socket, which has none"),
            ("mysql://o@localhost/o?socket=mysqld.sock", "URL's socket is not understood"),
        ] {
            let complaint = endpoints(url).unwrap_err();
            assert!(complaint.contains(told), "{url}: {complaint}");
        }
    }
}
