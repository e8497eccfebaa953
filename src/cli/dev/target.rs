//! What the URL says, by the rules of the protocol that its scheme belongs to.
//!
//! A URL that may hold a password is never repeated, not even to complain of it.

use std::path::PathBuf;

use attache_wire::{Scheme, TlsWish, UrlParameter};
use percent_encoding::percent_decode_str;

use super::place::Place;
use crate::registry::{self, Kind};

const NO_PASSWORD: &str = "a password does not belong into the URL, where everyone on this machine can read it: leave \
                           it out and type it when you are asked, or give --password-file FILE";

/// Where to go, as whom, and how.
pub(super) struct Target {
    pub(super) kind: Kind,
    pub(super) user: Option<String>,
    /// In the notation of the configuration's `endpoints`.
    pub(super) endpoints: Vec<String>,
    pub(super) database: Option<String>,
    /// What the URL says of TLS, by its scheme or by a parameter.
    pub(super) tls: Option<TlsWish>,
    pub(super) authorities: Option<PathBuf>,
    /// Keys of the configuration's `upstream`, and their values.
    pub(super) upstream: Vec<(&'static str, &'static str)>,
    /// Options of the protocol that the URL sets, by name.
    pub(super) options: Vec<(&'static str, String)>,
    /// What the client is to hear of.
    pub(super) parameters: Vec<(String, String)>,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (kind, scheme, rest) = kind(url)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (user, hosts),
            None => ("", authority),
        };
        if user.contains(':') {
            return Err(NO_PASSWORD.to_owned());
        }
        // A password with such letters in it makes an authority of what is none.
        if path.contains('@') || query.contains('@') {
            return Err(format!("{NO_PASSWORD}; any other @ behind the host is written %40"));
        }
        let (user, database) = (decoded(user)?, decoded(path)?);
        let mut target = Self {
            kind,
            user: (!user.is_empty()).then_some(user),
            endpoints: Vec::new(),
            database: (!database.is_empty()).then_some(database),
            tls: scheme.tls,
            authorities: None,
            upstream: Vec::new(),
            options: Vec::new(),
            parameters: Vec::new(),
        };
        target.check_login(scheme.name)?;
        let mut place = Place { hosts, ..Place::default() };
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            target.take(decoded(name)?, decoded(value)?, &mut place)?;
        }
        target.endpoints = place.endpoints(&kind)?;
        Ok(target)
    }

    /// The servers, for people.
    pub(super) fn servers(&self) -> String {
        self.endpoints.join(",")
    }

    fn check_login(&mut self, scheme: &str) -> Result<(), String> {
        if !self.kind.has_login && (self.user.is_some() || self.database.is_some()) {
            return Err(format!("this protocol logs nobody in: write {scheme}://HOST:PORT"));
        }
        if self.kind.facts.needs_user && self.user.is_none() {
            return Err(format!("the URL names no user: write {scheme}://USER@HOST/…"));
        }
        if self.kind.database_of_user && self.database.is_none() {
            self.database.clone_from(&self.user);
        }
        Ok(())
    }

    /// Whether every server is on this machine, behind a socket, where there is no TLS.
    pub(super) fn is_on_sockets(&self) -> bool {
        self.endpoints.iter().all(|endpoint| endpoint.starts_with("unix:"))
    }

    fn take(&mut self, name: String, value: String, place: &mut Place<'_>) -> Result<(), String> {
        match (self.kind.url_parameter)(&name, &value) {
            UrlParameter::Tls(wish) => self.tls = Some(wish),
            UrlParameter::Authorities(file) => self.authorities = file.map(PathBuf::from),
            UrlParameter::Socket(path) => place.socket = Some(path),
            UrlParameter::Port(port) => place.port = Some(port),
            UrlParameter::Upstream { key, value } => self.upstream.push((key, value)),
            UrlParameter::Option(option) => self.options.push((option, value)),
            UrlParameter::Client => self.parameters.push((name, value)),
            UrlParameter::Secret => return Err(NO_PASSWORD.to_owned()),
            UrlParameter::Unknown => {
                return Err(format!(
                    "the URL's {name} is not understood here, or not with that value: leave it out, or write a \
                     configuration"
                ));
            }
        }
        Ok(())
    }
}

fn kind(url: &str) -> Result<(Kind, Scheme, &str), String> {
    let all = registry::protocols();
    let schemes = || all.iter().flat_map(|kind| kind.schemes.iter().map(move |scheme| (*kind, *scheme)));
    let known = || {
        let known: Vec<_> = schemes().map(|(_, scheme)| format!("{}://", scheme.name)).collect();
        format!("the URL has to begin with {}", known.join(" or "))
    };
    let (name, rest) = url.split_once("://").ok_or_else(known)?;
    let (kind, scheme) = schemes().find(|(_, scheme)| scheme.name == name).ok_or_else(known)?;
    Ok((kind, scheme, rest))
}

/// Without its %-sequences.
pub(super) fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "the URL holds a %-sequence that is no text; a % by itself is written %25".to_owned();
    let is_sequence = |part: &str| part.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(is_sequence) {
        return Err(wrong());
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| wrong())?;
    if decoded.chars().any(char::is_control) { Err(wrong()) } else { Ok(decoded.into_owned()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn complaint(url: &str) -> String {
        Target::parse(url).err().unwrap_or_else(|| panic!("{url} is accepted"))
    }

    #[test]
    fn a_url_says_where_as_whom_and_how() {
        let url = "postgres://o%40x@db-1.example.com,[::1]:6543/or%20ders?sslmode=require&sslrootcert=/ca.pem&options=-cx%3D1";
        let target = Target::parse(url).unwrap();
        assert_eq!(target.kind.facts.name, "postgres");
        assert_eq!(target.user.as_deref(), Some("o@x"));
        assert_eq!(target.endpoints, ["db-1.example.com", "[::1]:6543"]);
        assert_eq!(target.database.as_deref(), Some("or ders"));
        assert_eq!(target.tls, Some(TlsWish::Unverified));
        assert_eq!(target.authorities, Some(PathBuf::from("/ca.pem")));
        assert_eq!(target.parameters, [("options".to_owned(), "-cx=1".to_owned())]);
        let target = Target::parse("postgres://o@db/o?channel_binding=require").unwrap();
        assert_eq!(target.options, [("channel_binding", "require".to_owned())]);
    }

    #[test]
    fn a_database_is_called_as_its_user_unless_the_url_says_otherwise() {
        assert_eq!(Target::parse("postgresql://orders@db").unwrap().database.as_deref(), Some("orders"));
        assert_eq!(Target::parse("tcp://db:1").unwrap().database, None);
    }

    #[test]
    fn a_scheme_may_decide_on_tls_and_a_login_may_be_optional() {
        let cache = Target::parse("rediss://app@cache.example.com/2").unwrap();
        assert_eq!((cache.user.as_deref(), cache.database.as_deref()), (Some("app"), Some("2")));
        assert_eq!((cache.kind.facts.name, cache.tls), ("redis", Some(TlsWish::VerifyFull)));
        let cache = Target::parse("redis://cache").unwrap();
        assert_eq!((cache.user, cache.database, cache.tls), (None, None, Some(TlsWish::Off)));
        let raised = Target::parse("redis://cache?ssl_cert_reqs=required").unwrap();
        assert_eq!(raised.tls, Some(TlsWish::VerifyFull));
        assert_eq!(Target::parse("mariadb://app@db").unwrap().tls, None);
    }

    #[test]
    fn a_password_is_refused_in_every_place_and_never_repeated() {
        for url in [
            "postgres://orders:hunter2@db/orders",
            "postgres://orders:@db/orders",
            "postgres://orders:hun@ter2@db/orders",
            "postgres://orders:hun/ter2@db/orders",
            "postgres://orders:hun?ter2@db/orders",
            "postgres://orders:hun#ter2@db/orders",
            "postgres://orders:12/hunter2@db/orders",
            "postgres://orders@db/orders?password=hunter2",
            "tcp://a:hunter2@db:1",
            "redis://:hunter2@cache",
            "rediss://app:hunter2@cache/2",
            "mysql://app:hunter2@db/app",
        ] {
            let complaint = complaint(url);
            assert!(complaint.contains("--password-file"), "{url}: {complaint}");
            assert!(!complaint.contains("hun") && !complaint.contains("ter2"), "{complaint}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        assert!(complaint("db.example.com").contains("postgres://"));
        assert!(complaint("oracle://db").contains("tcp://"));
        assert!(complaint("postgres://db/orders").contains("names no user"));
        assert!(complaint("tcp://me@db:1").contains("logs nobody in"));
        assert!(complaint("tcp://db:1/x").contains("logs nobody in"));
        assert!(complaint("tcp://db:1?a=b").contains("not understood"));
        assert!(complaint("postgres://o@db/o?sslcert=x").contains("sslcert"));
        for wrong in ["%00", "%zz", "%", "a%2", "%+2"] {
            assert!(complaint(&format!("postgres://o@db/{wrong}")).contains("%-sequence"), "{wrong}");
        }
    }
}
