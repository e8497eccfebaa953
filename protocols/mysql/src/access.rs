//! What a `mysql://` URL says, and how a client's environment leads it to us.
//!
//! No two drivers call their parameters alike: names are compared without case and hyphens (MySQL Shell and
//! libmysqlclient: `ssl-mode`; Connector/J: `sslMode` and, of old, `useSSL`; Go: `tls`; Prisma:
//! `sslaccept`). The environment is that of MySQL's and MariaDB's own
//! clients (manual, "Environment Variables"). The URL itself is read by the house.

use attache_wire::access::{authority, encoded};
use attache_wire::{Access, At, Directions, TlsWish, UrlParameter};

/// Parameters that decide who is connected to, or how a login is protected: that is ours to do, and a URL of ours
/// cannot say it.
const OURS: [&str; 16] = [
    "allowcleartextpasswords",
    "allowpublickeyretrieval",
    "authmethod",
    "compress",
    "compression",
    "database",
    "db",
    "defaultauth",
    "getserverpublickey",
    "host",
    "port",
    "protocol",
    "serverpublickeypath",
    "serverrsapublickeyfile",
    "socket",
    "unixsocket",
];

/// Parts of the names of parameters with secrets, and of those on TLS: every driver has its own.
const SECRETS: [&str; 3] = ["password", "passwd", "pwd"];
const OF_TLS: [&str; 5] = ["ssl", "tls", "certificate", "keystore", "truststore"];

/// A password is not needed here, and would be sent for nothing. A client that is led to a port should not find a
/// socket, nor the other way round.
const CLEAR_ON_TCP: [&str; 2] = ["MYSQL_PWD", "MYSQL_UNIX_PORT"];
const CLEAR_ON_UNIX: [&str; 2] = ["MYSQL_PWD", "MYSQL_TCP_PORT"];

pub(crate) fn parameter(name: &str, value: &str) -> UrlParameter {
    match plain(name).as_str() {
        "sslmode" => ssl_mode(value).map_or(UrlParameter::Unknown, UrlParameter::Tls),
        "tls" => tls(value).map_or(UrlParameter::Unknown, UrlParameter::Tls),
        "usessl" => use_ssl(value).map_or(UrlParameter::Unknown, UrlParameter::Tls),
        "sslaccept" => ssl_accept(value).map_or(UrlParameter::Unknown, UrlParameter::Tls),
        "trustservercertificate" => trust(value).map_or(UrlParameter::Unknown, UrlParameter::Tls),
        "sslca" => UrlParameter::Authorities(Some(value.to_owned())),
        "socket" | "unixsocket" if value.starts_with('/') => UrlParameter::Socket(value.to_owned()),
        name if SECRETS.iter().any(|part| name.contains(part)) => UrlParameter::Secret,
        "user" | "username" => UrlParameter::Unknown,
        name if OURS.contains(&name) || OF_TLS.iter().any(|part| name.contains(part)) => {
            UrlParameter::Unknown
        }
        _ => UrlParameter::Client,
    }
}

/// Lower case, without what separates words.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

/// The modes of MySQL's clients, and those of MariaDB's Connector/J.
fn ssl_mode(mode: &str) -> Option<TlsWish> {
    Some(match plain(mode).as_str() {
        "disabled" | "disable" => TlsWish::Off,
        "preferred" | "prefer" | "required" | "require" | "trust" => TlsWish::Unverified,
        "verifyca" => TlsWish::VerifyCa,
        "verifyidentity" | "verifyfull" => TlsWish::VerifyFull,
        _ => return None,
    })
}

/// Those of Go's driver.
fn tls(mode: &str) -> Option<TlsWish> {
    Some(match mode {
        "false" => TlsWish::Off,
        "preferred" | "skip-verify" => TlsWish::Unverified,
        "true" => TlsWish::VerifyFull,
        _ => return None,
    })
}

/// Connector/J, before it had `sslMode`.
fn use_ssl(value: &str) -> Option<TlsWish> {
    Some(match value {
        "false" => TlsWish::Off,
        "true" => TlsWish::Unverified,
        _ => return None,
    })
}

/// MariaDB's Connector/J.
fn trust(value: &str) -> Option<TlsWish> {
    Some(match value {
        "true" => TlsWish::Unverified,
        "false" => TlsWish::VerifyFull,
        _ => return None,
    })
}

/// Prisma.
fn ssl_accept(value: &str) -> Option<TlsWish> {
    Some(match value {
        "strict" => TlsWish::VerifyFull,
        "accept_invalid_certs" => TlsWish::Unverified,
        _ => return None,
    })
}

pub(crate) fn directions(access: &Access<'_>) -> Result<Directions, String> {
    let mut env = Vec::new();
    let mut example = vec!["mysql".to_owned()];
    let clear = match access.at {
        At::Tcp { host, port } => {
            env.extend([("MYSQL_HOST", host.to_owned()), ("MYSQL_TCP_PORT", port.to_string())]);
            // Without it, some of them look for a socket if the host is called localhost.
            example.extend(["--protocol=tcp", "-h", host, "-P", &port.to_string()].map(str::to_owned));
            &CLEAR_ON_TCP[..]
        }
        At::Unix(path) => {
            env.extend([("MYSQL_HOST", "localhost".to_owned()), ("MYSQL_UNIX_PORT", path.to_owned())]);
            example.extend(["-S", path].map(str::to_owned));
            &CLEAR_ON_UNIX[..]
        }
    };
    env.push(("DATABASE_URL", url(access)));
    // MariaDB's clients insist on TLS from 11.4 on; MySQL's have no option of this name, and say so in a warning.
    example.push("--loose-skip-ssl".to_owned());
    example.extend(access.user.into_iter().flat_map(|user| ["-u".to_owned(), user.to_owned()]));
    example.extend(access.database.map(str::to_owned));
    Ok(Directions { env, clear, example, jdbc: jdbc(access) })
}

/// The form of Connector/J, which knows no sockets and has the user in a parameter.
fn jdbc(access: &Access<'_>) -> Option<String> {
    let At::Tcp { host, port } = access.at else { return None };
    let place = authority(host, port);
    let database = access.database.map(encoded).unwrap_or_default();
    let user = access.user.map(|user| format!("user={}&", encoded(user))).unwrap_or_default();
    Some(format!("jdbc:mysql://{place}/{database}?{user}sslMode=DISABLED"))
}

fn url(access: &Access<'_>) -> String {
    let user = access.user.map(|user| encoded(user) + "@").unwrap_or_default();
    let database = access.database.map(encoded).unwrap_or_default();
    let (authority, socket) = match access.at {
        At::Tcp { host, port } => (authority(host, port), None),
        At::Unix(path) => ("localhost".to_owned(), Some(format!("socket={}", encoded(path)))),
    };
    let parameters =
        access.parameters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    let parameters: Vec<String> = socket.into_iter().chain(parameters).collect();
    let mark = if parameters.is_empty() { "" } else { "?" };
    format!("mysql://{user}{authority}/{database}{mark}{}", parameters.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_understood_in_the_words_of_every_driver() {
        for (name, value, wish) in [
            ("ssl-mode", "DISABLED", TlsWish::Off),
            ("sslMode", "disable", TlsWish::Off),
            ("ssl_mode", "REQUIRED", TlsWish::Unverified),
            ("ssl-mode", "preferred", TlsWish::Unverified),
            ("sslmode", "VERIFY_CA", TlsWish::VerifyCa),
            ("sslMode", "verify-ca", TlsWish::VerifyCa),
            ("sslMode", "VERIFY_IDENTITY", TlsWish::VerifyFull),
            ("sslMode", "verify-full", TlsWish::VerifyFull),
            ("tls", "true", TlsWish::VerifyFull),
            ("tls", "skip-verify", TlsWish::Unverified),
            ("tls", "false", TlsWish::Off),
            ("useSSL", "false", TlsWish::Off),
            ("useSSL", "true", TlsWish::Unverified),
            ("sslaccept", "strict", TlsWish::VerifyFull),
            ("sslaccept", "accept_invalid_certs", TlsWish::Unverified),
            ("trustServerCertificate", "true", TlsWish::Unverified),
        ] {
            assert_eq!(parameter(name, value), UrlParameter::Tls(wish), "{name}={value}");
        }
        for (name, value) in [("ssl-mode", "maybe"), ("tls", "my-config"), ("sslCert", "x"), ("ssl", "true")]
        {
            assert_eq!(parameter(name, value), UrlParameter::Unknown, "{name}={value}");
        }
    }

    #[test]
    fn what_is_ours_cannot_be_said_in_a_url() {
        for name in [
            "requireSSL",
            "verifyServerCertificate",
            "serverSslCert",
            "clientCertificateKeyStoreUrl",
            "trustStore",
            "host",
            "socket",
            "defaultAuth",
            "allowPublicKeyRetrieval",
            "user",
            "compress",
        ] {
            assert_eq!(parameter(name, "x"), UrlParameter::Unknown, "{name}");
        }
        for name in ["password", "password3", "clientCertificateKeyStorePassword", "keyStorePassword"] {
            assert_eq!(parameter(name, "x"), UrlParameter::Secret, "{name}");
        }
        assert_eq!(parameter("socket", "/x"), UrlParameter::Socket("/x".to_owned()));
        assert_eq!(parameter("ssl-ca", "/ca.pem"), UrlParameter::Authorities(Some("/ca.pem".to_owned())));
        assert_eq!(parameter("charset", "utf8mb4"), UrlParameter::Client);
    }

    #[test]
    fn a_client_is_led_to_a_port_or_to_a_socket() {
        let parameters = [("charset".to_owned(), "utf8 mb4".to_owned())];
        let at = At::Tcp { host: "::1", port: 3307 };
        let access = Access { at, user: Some("o@x"), database: Some("orders"), parameters: &parameters };
        let found = directions(&access).unwrap();
        let url = "mysql://o%40x@[::1]:3307/orders?charset=utf8%20mb4";
        let expected = [("MYSQL_HOST", "::1"), ("MYSQL_TCP_PORT", "3307"), ("DATABASE_URL", url)];
        assert_eq!(found.env, expected.map(|(name, value)| (name, value.to_owned())));
        let example = "mysql --protocol=tcp -h ::1 -P 3307 --loose-skip-ssl -u o@x orders";
        assert_eq!(found.example.join(" "), example);
        assert!(found.clear.contains(&"MYSQL_UNIX_PORT"));

        let at = At::Unix("/run/attache/mysql.sock");
        let found = directions(&Access { at, user: None, database: None, parameters: &[] }).unwrap();
        let url = "mysql://localhost/?socket=%2Frun%2Fattache%2Fmysql%2Esock";
        let expected = [
            ("MYSQL_HOST", "localhost"),
            ("MYSQL_UNIX_PORT", "/run/attache/mysql.sock"),
            ("DATABASE_URL", url),
        ];
        assert_eq!(found.env, expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(found.example.join(" "), "mysql -S /run/attache/mysql.sock --loose-skip-ssl");
        assert!(found.clear.contains(&"MYSQL_TCP_PORT"));
    }
}
