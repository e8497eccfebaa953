//! The keys of one route.

use serde_json::{Value, json};

use super::address::{self, is_local};
use super::domain::{Client, ListenAddress, Ready, Route, Upstream};
use super::duration::duration;
use super::file_text::{read_files, skip_files};
use super::keys::SOME_TIME;
use super::kind::{any_map, choice, count, flag, text};
use super::reader::Section;
use super::{ProtocolFacts, credential, pool, upstream};

/// The length of a label in the DNS and in Kubernetes: a route's name goes into the names of other things.
const NAME_LIMIT: usize = 63;
/// A session takes up to three file descriptors and some memory. So many should be meant.
const MOST_SESSIONS: u64 = 1_000_000;

/// One route, if what must be there is there. It counts only if there are no complaints.
pub(super) fn read(name: &str, route: &Section<'_, '_>, protocols: &[ProtocolFacts]) -> Option<Route> {
    check_name(name, route);
    let protocol = protocol(route, protocols);
    let listen = listen(route);
    let upstream = upstream::read(route, protocol, protocols);
    let (credential, on_rotation) = credential::read(route, protocol).unzip();
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
