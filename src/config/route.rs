//! The keys of one route.

use std::time::Duration;

use serde_json::{Value, json};

use super::address::{self, is_local};
use super::domain::{
    Client, CredentialKeys, CredentialSource, Endpoint, ListenAddress, Live, OnRotation, Ready, Role, Route,
    Upstream,
};
use super::file_text::{read_files, skip_files};
use super::keys::UP_TO_A_DAY;
use super::kind::{Kind, Wrong, any_map, choice, count, duration, flag, path, text};
use super::reader::Section;
use super::{ProtocolFacts, SENTINEL, pool, sentinel, tls};

/// The length of a label in the DNS and in Kubernetes: a route's name goes into the names of other things.
const NAME_LIMIT: usize = 63;
/// A session takes up to three file descriptors and some memory. So many should be meant.
const MOST_SESSIONS: u64 = 1_000_000;
/// Less than a millisecond is no time to connect to anything.
const SOME_TIME: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);
/// More often than once a second is a burden, less than once an hour is no safety net.
pub(super) const NOW_AND_THEN: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3600);

/// One route, if what must be there is there. It counts only if there are no complaints.
pub(super) fn read(name: &str, route: &Section<'_, '_>, protocols: &[ProtocolFacts]) -> Option<Route> {
    check_name(name, route);
    let protocol = protocol(route, protocols);
    let listen = listen(route);
    let upstream =
        route.section("upstream", "The database.", |section| upstream(section, protocol, protocols));
    let (credential, on_rotation) = credential(route, protocol).unzip();
    let database = route
        .key("database", "The database to use, whatever the application asks for.")
        .example("orders")
        .optional(&text());
    let client = client(route, listen.as_deref());
    let pool = pool::read(route, protocol);
    let options = options(route, protocol);
    let allow_remote = route
        .key("allow_remote", "Allows `listen` to name addresses that other machines reach. Whoever reaches one uses the database.")
        .or("false", &flag());
    let allow_cleartext = route
        .key("allow_cleartext", "Allows a password to be sent in clear text, or weakly hashed, over a link that is not encrypted.")
        .or("false", &flag());
    let ready = route
        .key(
            "ready",
            "What `/readyz` asks of this route: to have started, or also that its last probe succeeded.",
        )
        .or("started", &choice(&[("started", Ready::Started), ("upstream", Ready::Upstream)]));
    check_remote(route, listen.as_deref().unwrap_or_default(), allow_remote);
    check_ready(route, ready, upstream.as_ref());
    Some(Route {
        name: name.to_owned(),
        protocol: protocol?.name.to_owned(),
        listen: listen?,
        upstream: upstream?,
        credential,
        on_rotation: on_rotation.unwrap_or_default(),
        database,
        client,
        pool,
        allow_remote,
        allow_cleartext,
        ready,
        options,
    })
}

fn check_name(name: &str, route: &Section<'_, '_>) {
    if !is_name(name) {
        route.complain("", "a route's name has 1 to 63 small letters, digits, - and _", "");
    }
}

/// Whether a route, or a database of a project, may be called so.
pub fn is_name(name: &str) -> bool {
    let is_letter =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter);
    !name.is_empty() && name.len() <= NAME_LIMIT && name.chars().all(is_letter)
}

fn protocol<'p>(route: &Section<'_, '_>, protocols: &'p [ProtocolFacts]) -> Option<&'p ProtocolFacts> {
    let words: Vec<_> =
        protocols.iter().enumerate().map(|(index, protocol)| (protocol.name, index)).collect();
    let index = route
        .key("protocol", "What the application and the database speak.")
        .example("postgres")
        .required(&choice(&words))?;
    protocols.get(index)
}

fn listen(route: &Section<'_, '_>) -> Option<Vec<ListenAddress>> {
    route
        .key("listen", "Where the application connects. A Unix socket is made with the mode 0660.")
        .example("[\"127.0.0.1:5432\", \"unix:/run/attache/.s.PGSQL.5432\"]")
        .required(&address::listen().one_or_more())
}

fn check_remote(route: &Section<'_, '_>, listen: &[ListenAddress], allow_remote: bool) {
    for (index, address) in
        listen.iter().enumerate().filter(|(_, address)| !is_local(address) && !allow_remote)
    {
        let item = if listen.len() == 1 { String::new() } else { format!("[{index}]") };
        let reason = format!("other machines reach {address}, and with it the database, without a password");
        route.complain(&format!("listen{item}"), reason, "listen on 127.0.0.1, or set allow_remote: true");
    }
}

/// Who never looks never finds out.
fn check_ready(route: &Section<'_, '_>, ready: Ready, upstream: Option<&Upstream>) {
    let is_probed = upstream.is_none_or(|upstream| !upstream.probe_interval.is_zero());
    if ready == Ready::Upstream && !is_probed {
        let reason = "would never come true: upstream.probe_interval is off";
        route.complain("ready", reason, "remove one of them");
    }
}

fn upstream(
    upstream: &Section<'_, '_>,
    protocol: Option<&ProtocolFacts>,
    protocols: &[ProtocolFacts],
) -> Option<Upstream> {
    // While the protocol is not known, what any of them allows will do.
    let possible = protocol.map_or(protocols, std::slice::from_ref);
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

fn credential(
    route: &Section<'_, '_>,
    protocol: Option<&ProtocolFacts>,
) -> Option<(CredentialSource, OnRotation)> {
    let means = "What Attaché logs in with. Required where the protocol logs in as a user.";
    if protocol.is_some_and(|protocol| protocol.needs_user) && !route.has("credential") {
        let reason = "credential is missing: the protocol logs in as a user";
        route.complain_of_absence(
            "",
            reason,
            "for example credential: { path: /var/run/secrets/attache/orders }",
        );
    }
    route.optional_section("credential", means, |credential| {
        let source = folder(credential);
        let on_rotation = on_rotation(credential);
        source.map(|source| (source, on_rotation))
    })?
}

/// Where a credential is mounted.
pub(super) fn folder(credential: &Section<'_, '_>) -> Option<CredentialSource> {
    let path = credential
        .key("path", "The folder in which the Secret is mounted; a relative one is relative to the configuration file.")
        .example("/var/run/secrets/attache/orders")
        .required(&path())
        .map(|path| credential.resolve("path", &path));
    let keys = credential.section("keys", "Names of the keys, that is of the files in the folder.", keys);
    let poll = credential
        .key("poll", "How often the folder is read even if no change was noticed.")
        .or("30s", &duration(NOW_AND_THEN));
    Some(CredentialSource { path: path?, keys, poll })
}

fn keys(keys: &Section<'_, '_>) -> CredentialKeys {
    CredentialKeys {
        username: keys.key("username", "The user to log in as.").or("username", &file_name()),
        password: keys.key("password", "The password or token.").or("password", &file_name()),
        certificate: keys
            .key("certificate", "The client certificate and its chain, in PEM.")
            .or("tls.crt", &file_name()),
        private_key: keys
            .key("private_key", "The private key of the certificate, in PEM.")
            .or("tls.key", &file_name()),
    }
}

/// The value is never repeated: someone may have written the secret itself here.
fn file_name() -> Kind<String> {
    let schema = serde_json::json!({"type": "string", "pattern": "^[-._a-zA-Z0-9]{1,253}$"});
    Kind::of_text("file name", schema, |name| {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
        let is_name = (1..=253).contains(&name.len())
            && name.chars().all(is_letter)
            && name != "."
            && !name.starts_with("..");
        let hint =
            "it has letters, digits, -, _ and . as the keys of a Secret do; the content stays in the file";
        is_name
            .then(|| name.to_owned())
            .ok_or_else(|| Wrong::new("is not the name of a file in the folder", hint))
    })
}

fn on_rotation(credential: &Section<'_, '_>) -> OnRotation {
    let means = "What it means for sessions that live when the server has accepted a new generation.";
    credential.section("on_rotation", means, |rotation| OnRotation {
        live: rotation
            .key(
                "live",
                "`keep` lets them end by themselves, and logs them in again in place where the protocol can (redis); `drain` \
                 ends each at a quiet moment; `cut` ends all at once: the old password has leaked.",
            )
            .or("keep", &choice(&[("keep", Live::Keep), ("drain", Live::Drain), ("cut", Live::Cut)])),
        within: rotation
            .key(
                "within",
                "The window of `drain`: the ends are spread over its first three quarters. A session that is not quiet \
                 by its end lives on.",
            )
            .or("60s", &duration(UP_TO_A_DAY)),
    })
}

fn client(route: &Section<'_, '_>, listen: Option<&[ListenAddress]>) -> Client {
    route.section("client", "Who may use the route, and how many at once.", |client| {
        let allow_uids = client
            .key("allow_uids", "The user ids that may connect over a Unix socket; without it, all that the socket's mode lets in.")
            .example("[1000]")
            .optional(&count(0..=u64::from(u32::MAX)).list())
            .map(|uids| uids.into_iter().filter_map(|uid| u32::try_from(uid).ok()).collect());
        let has_unix = |listen: &[ListenAddress]| listen.iter().any(|at| matches!(at, ListenAddress::Unix(_)));
        if client.has("allow_uids") && listen.is_some_and(|listen| !has_unix(listen)) {
            let reason = "has no effect: user ids are known over Unix sockets only";
            client.complain("allow_uids", reason, "listen on unix:/…, or remove it");
        }
        let max_sessions = client
            .key(
                "max_sessions",
                "The most sessions at once; more are refused. The default is more than most databases take, and less than \
                 the file descriptors that a container usually has.",
            )
            .or("1000", &count(1..=MOST_SESSIONS));
        let login_timeout = client
            .key("login_timeout", "From the connection to the end of the application's first words.")
            .or("10s", &duration(SOME_TIME));
        Client { allow_uids, max_sessions: usize::try_from(max_sessions).unwrap_or(usize::MAX), login_timeout }
    })
}

fn options(route: &Section<'_, '_>, protocol: Option<&ProtocolFacts>) -> Value {
    let means = "The protocol's own settings.";
    let mut options = route
        .key("options", means)
        .example("{}")
        .optional(&any_map())
        .unwrap_or_else(|| Value::Object(Default::default()));
    let Some(protocol) = protocol else { return options };
    if route.is_elsewhere() {
        skip_files(&mut options);
    }
    let unread = read_files(&mut options, |name, path| route.resolve(&format!("options.{name}"), path));
    for (name, reason) in &unread {
        route.complain(&format!("options.{name}"), reason, "");
    }
    if unread.is_empty() {
        check_options(route, protocol, &options);
    }
    options
}

/// Everything that is wrong with them, each by its own key.
fn check_options(route: &Section<'_, '_>, protocol: &ProtocolFacts, options: &Value) {
    let schema = (protocol.options_schema)().to_value();
    let known: Vec<&str> =
        schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let accept = |options: &Value| {
        (protocol.check_options)(options)
            .map_err(|reason| format!("not accepted by {}: {reason}", protocol.name))
    };
    let mut accepted = true;
    for (name, value) in options.as_object().into_iter().flatten() {
        if !known.contains(&name.as_str()) {
            route.complain_of_unknown_key("options", name, known.iter().copied());
            accepted = false;
        } else if let Err(reason) = accept(&json!({ name: value })) {
            route.complain(&format!("options.{name}"), reason, "");
            accepted = false;
        }
    }
    // Each may be right, and not beside another.
    if let Err(reason) = accept(options)
        && accepted
    {
        route.complain("options", reason, "");
    }
}
