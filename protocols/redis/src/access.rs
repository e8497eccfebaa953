//! What a `redis://` URL says, and how clients are led to us.
//!
//! The form is that of the provisional registration of the scheme with IANA: `redis://HOST:PORT/DATABASE`. No two
//! clients agree on more; the variables below are those that frameworks and hosting services use.

use attache_wire::access::{authority, encoded};
use attache_wire::{Access, At, Directions, TlsWish, UrlParameter};

/// What would lead a client past us, or have it log in with something that it should not need.
const CLEAR: [&str; 5] = ["REDISCLI_AUTH", "REDIS_PASSWORD", "REDIS_TLS_URL", "REDIS_USER", "REDIS_USERNAME"];

/// Parameters that decide who is connected to, or how: that is ours to do.
const OURS: [&str; 10] = [
    "db",
    "host",
    "path",
    "port",
    "sentinelMasterId",
    "skip_verify",
    "startTls",
    "unix_socket_path",
    "username",
    "verifyPeer",
];

/// The parameters are those of redis-py, and those by which go-redis and Lettuce say what is verified.
pub(crate) fn parameter(name: &str, value: &str) -> UrlParameter {
    match (name, value) {
        ("ssl_cert_reqs", "required") => UrlParameter::Tls(TlsWish::VerifyFull),
        ("ssl_cert_reqs", "none" | "optional") => UrlParameter::Tls(TlsWish::Unverified),
        ("skip_verify", "true") | ("verifyPeer", "NONE") => UrlParameter::Tls(TlsWish::Unverified),
        ("skip_verify", "false") | ("verifyPeer", "FULL") => UrlParameter::Tls(TlsWish::VerifyFull),
        ("verifyPeer", "CA") => UrlParameter::Tls(TlsWish::VerifyCa),
        ("ssl_ca_certs", file) => UrlParameter::Authorities(Some(file.to_owned())),
        (name, _) if name.contains("password") => UrlParameter::Secret,
        (name, _) if OURS.contains(&name) || name.starts_with("ssl") => UrlParameter::Unknown,
        _ => UrlParameter::Client,
    }
}

pub(crate) fn directions(access: &Access<'_>) -> Result<Directions, String> {
    let database = access.database.filter(|database| !database.is_empty());
    if let Some(name) = database.filter(|name| name.parse::<u32>().is_err()) {
        return Err(format!("a database of Redis is a number, and {name:?} is none"));
    }
    let mut env = vec![("REDIS_URL", url(access, database))];
    let mut example = vec!["redis-cli".to_owned()];
    match access.at {
        At::Tcp { host, port } => {
            env.extend([("REDIS_HOST", host.to_owned()), ("REDIS_PORT", port.to_string())]);
            example.extend(["-h".to_owned(), host.to_owned(), "-p".to_owned(), port.to_string()]);
        }
        At::Unix(path) => example.extend(["-s".to_owned(), path.to_owned()]),
    }
    Ok(Directions { env, clear: &CLEAR, example, jdbc: None })
}

/// The database is in it, although the route selects it: a client that shows where it works should show the right one.
fn url(access: &Access<'_>, database: Option<&str>) -> String {
    let mut parameters: Vec<String> = access
        .parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    let place = match access.at {
        At::Tcp { host, port } => {
            let database = database.map(|database| format!("/{database}")).unwrap_or_default();
            format!("redis://{}{database}", authority(host, port))
        }
        At::Unix(path) => {
            parameters.splice(..0, database.map(|database| format!("db={database}")));
            format!("unix://{path}")
        }
    };
    let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    place + &query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_led_to_a_port_or_to_a_socket() {
        let parameters = [("protocol".to_owned(), "3".to_owned())];
        let at = At::Tcp { host: "::1", port: 6380 };
        let access = Access { at, user: Some("orders"), database: Some("2"), parameters: &parameters };
        let to_a_port = directions(&access).unwrap();
        let expected =
            [("REDIS_URL", "redis://[::1]:6380/2?protocol=3"), ("REDIS_HOST", "::1"), ("REDIS_PORT", "6380")];
        assert_eq!(to_a_port.env, expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(to_a_port.example, ["redis-cli", "-h", "::1", "-p", "6380"]);

        let to_a_socket = directions(&Access { at: At::Unix("/run/attache/redis.sock"), ..access }).unwrap();
        assert_eq!(
            to_a_socket.env,
            [("REDIS_URL", "unix:///run/attache/redis.sock?db=2&protocol=3".to_owned())]
        );
        assert_eq!(to_a_socket.example, ["redis-cli", "-s", "/run/attache/redis.sock"]);
        assert!(directions(&Access { database: Some("orders"), ..access }).is_err());
    }

    #[test]
    fn an_unverified_mode_is_told_from_a_verified_one() {
        assert_eq!(parameter("ssl_cert_reqs", "required"), UrlParameter::Tls(TlsWish::VerifyFull));
        assert_eq!(parameter("ssl_cert_reqs", "none"), UrlParameter::Tls(TlsWish::Unverified));
        assert_eq!(parameter("ssl_cert_reqs", "NONE"), UrlParameter::Unknown);
        assert_eq!(parameter("skip_verify", "true"), UrlParameter::Tls(TlsWish::Unverified));
        assert_eq!(parameter("verifyPeer", "CA"), UrlParameter::Tls(TlsWish::VerifyCa));
        for (name, value) in [("ssl_keyfile", "x"), ("skip_verify", "1"), ("sentinelMasterId", "x")] {
            assert_eq!(parameter(name, value), UrlParameter::Unknown, "{name}");
        }
        assert_eq!(parameter("ssl_password", "x"), UrlParameter::Secret);
        assert_eq!(parameter("password", "x"), UrlParameter::Secret);
        assert_eq!(parameter("protocol", "3"), UrlParameter::Client);
    }
}
