//! What a `postgres://` URL says, and how libpq's environment leads a client to us.
//!
//! Section "Connection URIs" of chapter "libpq" of the PostgreSQL manual, and its "Environment Variables". The
//! URL itself is read by the house.

use attache_wire::access::{authority, encoded};
use attache_wire::{Access, At, Directions, TlsWish, UrlParameter};

/// What a server's socket is called inside its folder, before the port.
const SOCKET: &str = ".s.PGSQL.";

/// The port in its name, where nobody says another.
const USUAL_PORT: u16 = 5432;

/// Parameters that decide who is connected to, or how a login is protected: that is ours to do, and a URL of
/// ours cannot say it.
const OURS: [&str; 19] = [
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "port",
    "user",
    "dbname",
    "service",
    "servicefile",
    "passfile",
    "require_auth",
    "requirepeer",
    "requiressl",
    "krbsrvname",
    "load_balance_hosts",
    "oauth_client_id",
    "oauth_issuer",
    "oauth_scope",
];

/// Parameters that libpq also reads from its environment.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("application_name", "PGAPPNAME"),
    ("client_encoding", "PGCLIENTENCODING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("options", "PGOPTIONS"),
];

/// What would lead a client past us, or have it ask for a login that we do in its place.
const CLEAR: [&str; 11] = [
    "PGCHANNELBINDING",
    "PGGSSENCMODE",
    "PGHOSTADDR",
    "PGPASSWORD",
    "PGREQUIREAUTH",
    "PGREQUIRESSL",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLNEGOTIATION",
    "PGSSLROOTCERT",
    "PGTARGETSESSIONATTRS",
];

pub(crate) fn parameter(name: &str, value: &str) -> UrlParameter {
    match name {
        "sslmode" => tls(value).map_or(UrlParameter::Unknown, UrlParameter::Tls),
        "sslrootcert" if value == "system" => UrlParameter::Authorities(None),
        "sslrootcert" => UrlParameter::Authorities(Some(value.to_owned())),
        "sslnegotiation" => negotiation(value),
        "target_session_attrs" => role(value),
        "host" if value.starts_with('/') => UrlParameter::Socket(value.to_owned()),
        "port" => UrlParameter::Port(value.to_owned()),
        "channel_binding" => UrlParameter::Option("channel_binding"),
        // What goes without saying here: clients need not ask for it first.
        "gssencmode" if value == "disable" => UrlParameter::Client,
        "password" | "sslpassword" | "scram_client_key" | "scram_server_key" | "oauth_client_secret" => {
            UrlParameter::Secret
        }
        name if OURS.contains(&name) || name.starts_with("ssl") => UrlParameter::Unknown,
        _ => UrlParameter::Client,
    }
}

/// The server's socket in this folder.
pub(crate) fn socket(folder: &str, port: Option<u16>) -> String {
    let port = port.unwrap_or(USUAL_PORT);
    format!("{}/{SOCKET}{port}", folder.trim_end_matches('/'))
}

fn negotiation(value: &str) -> UrlParameter {
    let words = ["direct", "postgres"];
    let key = "tls.negotiation";
    let known = words.into_iter().find(|known| *known == value);
    known.map_or(UrlParameter::Unknown, |value| UrlParameter::Upstream { key, value })
}

/// Which of the servers is meant: by what libpq asks each of, and what we know of each.
fn role(value: &str) -> UrlParameter {
    let value = match value {
        "any" => "any",
        "read-write" | "primary" => "primary",
        "read-only" | "standby" => "replica",
        "prefer-standby" => "prefer-replica",
        _ => return UrlParameter::Unknown,
    };
    UrlParameter::Upstream { key: "role", value }
}

fn tls(mode: &str) -> Option<TlsWish> {
    Some(match mode {
        "disable" => TlsWish::Off,
        "allow" | "prefer" | "require" => TlsWish::Unverified,
        "verify-ca" => TlsWish::VerifyCa,
        "verify-full" => TlsWish::VerifyFull,
        _ => return None,
    })
}

pub(crate) fn directions(access: &Access<'_>) -> Result<Directions, String> {
    let (host, port) = place(access.at)?;
    let mut env = vec![("PGHOST", host.to_owned()), ("PGPORT", port.to_string())];
    env.extend(access.user.map(|user| ("PGUSER", user.to_owned())));
    env.extend(access.database.map(|database| ("PGDATABASE", database.to_owned())));
    env.push(("PGSSLMODE", "disable".to_owned()));
    env.extend(access.parameters.iter().filter_map(|(name, value)| {
        let (_, variable) = ENVIRONMENT.iter().find(|(known, _)| known == name)?;
        Some((*variable, value.clone()))
    }));
    env.push(("DATABASE_URL", url(access, host, port)));
    let mut example = ["psql", "-h", host, "-p", &port.to_string()].map(str::to_owned).to_vec();
    example.extend(access.user.into_iter().flat_map(|user| ["-U".to_owned(), user.to_owned()]));
    example.extend(access.database.into_iter().flat_map(|database| ["-d".to_owned(), database.to_owned()]));
    Ok(Directions { env, clear: &CLEAR, example, jdbc: jdbc(access) })
}

/// The form of pgJDBC, which knows no sockets and has the user in a parameter.
fn jdbc(access: &Access<'_>) -> Option<String> {
    let At::Tcp { host, port } = access.at else { return None };
    let place = authority(host, port);
    let database = access.database.map(encoded).unwrap_or_default();
    let user = access.user.map(|user| format!("user={}&", encoded(user))).unwrap_or_default();
    Some(format!("jdbc:postgresql://{place}/{database}?{user}sslmode=disable"))
}

/// Host and port as libpq understands them: of a socket it is told the folder and the port in its name.
fn place(at: At<'_>) -> Result<(&str, u16), String> {
    match at {
        At::Tcp { host, port } => Ok((host, port)),
        At::Unix(path) => path
            .rsplit_once('/')
            .and_then(|(folder, name)| Some((folder, name.strip_prefix(SOCKET)?.parse().ok()?)))
            .ok_or_else(|| {
                format!(
                    "a PostgreSQL client looks for a socket that is called {SOCKET}5432, or by another port"
                )
            }),
    }
}

fn url(access: &Access<'_>, host: &str, port: u16) -> String {
    let user = access.user.map(|user| encoded(user) + "@").unwrap_or_default();
    let database = access.database.map(|database| format!("/{}", encoded(database))).unwrap_or_default();
    let (authority, socket) = match access.at {
        At::Tcp { .. } => (authority(host, port), String::new()),
        At::Unix(_) => (String::new(), format!("host={}&port={port}&", encoded(host))),
    };
    let parameters = access.parameters.iter();
    let parameters: String =
        parameters.map(|(name, value)| format!("{}={}&", encoded(name), encoded(value))).collect();
    format!("postgresql://{user}{authority}{database}?{socket}{parameters}sslmode=disable")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(access: &Access<'_>) -> Vec<(&'static str, String)> {
        directions(access).expect("directions").env
    }

    #[test]
    fn an_unverified_mode_is_told_from_a_verified_one() {
        let mode = |mode| parameter("sslmode", mode);
        assert_eq!(mode("disable"), UrlParameter::Tls(TlsWish::Off));
        for weak in ["allow", "prefer", "require"] {
            assert_eq!(mode(weak), UrlParameter::Tls(TlsWish::Unverified));
        }
        assert_eq!(mode("verify-full"), UrlParameter::Tls(TlsWish::VerifyFull));
        assert_eq!(mode("REQUIRE"), UrlParameter::Unknown);
        assert_eq!(parameter("sslrootcert", "system"), UrlParameter::Authorities(None));
        assert_eq!(parameter("sslcert", "x"), UrlParameter::Unknown);
        assert_eq!(parameter("hostaddr", "10.0.0.1"), UrlParameter::Unknown);
        for secret in
            ["password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"]
        {
            assert_eq!(parameter(secret, "x"), UrlParameter::Secret);
        }
        for ours in ["requirepeer", "load_balance_hosts", "oauth_issuer", "sslkey", "gssdelegation"] {
            assert_eq!(parameter(ours, "x"), UrlParameter::Unknown, "{ours}");
        }
        assert_eq!(parameter("application_name", "x"), UrlParameter::Client);
        assert_eq!(parameter("channel_binding", "require"), UrlParameter::Option("channel_binding"));
        assert_eq!(parameter("gssencmode", "disable"), UrlParameter::Client);
        assert_eq!(parameter("gssencmode", "require"), UrlParameter::Unknown);
    }

    #[test]
    fn what_decides_on_the_server_is_said_to_us_and_not_to_the_client() {
        let upstream = |key, value| UrlParameter::Upstream { key, value };
        assert_eq!(parameter("sslnegotiation", "direct"), upstream("tls.negotiation", "direct"));
        assert_eq!(parameter("sslnegotiation", "postgres"), upstream("tls.negotiation", "postgres"));
        assert_eq!(parameter("sslnegotiation", "maybe"), UrlParameter::Unknown);
        assert_eq!(parameter("target_session_attrs", "read-write"), upstream("role", "primary"));
        assert_eq!(parameter("target_session_attrs", "prefer-standby"), upstream("role", "prefer-replica"));
        assert_eq!(parameter("target_session_attrs", "x"), UrlParameter::Unknown);
        assert_eq!(parameter("host", "/run/pg"), UrlParameter::Socket("/run/pg".to_owned()));
        assert_eq!(parameter("host", "db"), UrlParameter::Unknown);
        assert_eq!(socket("/run/pg/", None), "/run/pg/.s.PGSQL.5432");
    }

    #[test]
    fn a_client_is_led_to_a_port_or_to_a_socket() {
        let parameters = [("application_name".to_owned(), "a b".to_owned())];
        let at = At::Tcp { host: "::1", port: 6543 };
        let access = Access { at, user: Some("o@x"), database: Some("orders"), parameters: &parameters };
        let expected = [
            ("PGHOST", "::1"),
            ("PGPORT", "6543"),
            ("PGUSER", "o@x"),
            ("PGDATABASE", "orders"),
            ("PGSSLMODE", "disable"),
            ("PGAPPNAME", "a b"),
            ("DATABASE_URL", "postgresql://o%40x@[::1]:6543/orders?application_name=a%20b&sslmode=disable"),
        ];
        assert_eq!(env(&access), expected.map(|(name, value)| (name, value.to_owned())));

        let at = At::Unix("/run/attache/.s.PGSQL.5432");
        let access = Access { at, user: None, database: None, parameters: &[] };
        let expected = [
            ("PGHOST", "/run/attache"),
            ("PGPORT", "5432"),
            ("PGSSLMODE", "disable"),
            ("DATABASE_URL", "postgresql://?host=%2Frun%2Fattache&port=5432&sslmode=disable"),
        ];
        assert_eq!(env(&access), expected.map(|(name, value)| (name, value.to_owned())));
        assert!(directions(&Access { at: At::Unix("/run/socket"), ..access }).is_err());
    }
}
