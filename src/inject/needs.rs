//! What a sidecar needs of its pod: read out of its configuration, and out of what was asked for.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use attache_wire::{Access, At, Directions};

use super::parameters::Parameters;
use crate::config::domain::{Config, ListenAddress, Route};
use crate::config::{self, Complaints, Elsewhere, reachable};
use crate::registry;

/// Where the configuration and `ca.pem` are seen.
pub(super) const FOLDER: &str = "/etc/attache";
/// Where credentials are seen when nothing says otherwise, each in a folder that is called as its route is.
pub(super) const CREDENTIALS: &str = "/var/run/secrets/attache";
/// Where the kubelet asks.
const HEALTH_PORT: u16 = 9900;

/// What the pod has to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) credentials: Vec<Credential>,
    /// Folders of Unix sockets, which applications share.
    pub(super) sockets: Vec<PathBuf>,
    pub(super) health_port: u16,
    /// Every port that is taken in the pod's network.
    pub(super) ports: BTreeSet<u16>,
    /// Whether the configuration leaves health where the kubelet cannot reach it.
    pub(super) opens_health: bool,
    /// Whether the configuration leaves it open how long a classic sidecar serves on.
    pub(super) lingers: bool,
    pub(super) routes: Vec<Reach>,
}

/// A Secret, and where the configuration looks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credential {
    /// Whose it is: a route, or the Sentinels of a route, which are called `ROUTE.sentinel`.
    pub(super) route: String,
    pub(super) path: PathBuf,
    pub(super) secret: String,
}

/// How an application finds a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) route: String,
    /// Or why that cannot be said.
    pub(super) directions: Result<Directions, String>,
}

/// Reads a configuration as it will be in a pod.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(name: &str, text: &str) -> Result<Config, Complaints> {
    config::load_elsewhere(&Elsewhere { name, folder: Path::new(FOLDER), text }, &registry::facts())
}

impl Needs {
    /// Of a configuration whose text is known.
    ///
    /// # Errors
    /// Everything that is wrong with it, or that a pod could not give.
    pub(super) fn of_text(name: &str, text: &str, asked: &Parameters) -> Result<Self, Vec<String>> {
        let config = read(name, text)
            .map_err(|complaints| complaints.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let mut wrong = Vec::new();
        let (health_port, opens_health) = health(&config, &mut wrong);
        let credentials = credentials(&config, asked, &mut wrong);
        config.routes.iter().for_each(|route| check_authorities(route, &mut wrong));
        let needs = Self {
            ports: ports(&config),
            sockets: sockets(&config, &mut wrong),
            routes: config.routes.iter().map(reach).collect(),
            lingers: config.drain.linger.is_zero(),
            credentials,
            health_port,
            opens_health,
        };
        if wrong.is_empty() { Ok(needs) } else { Err(wrong) }
    }

    /// Of a configuration that is in the cluster only: each Secret that is named is seen where it usually is.
    pub(super) fn of_secrets(asked: &Parameters) -> Self {
        let credential = |(route, secret): (&String, &String)| Credential {
            route: route.clone(),
            path: Path::new(CREDENTIALS).join(route),
            secret: secret.clone(),
        };
        Self {
            credentials: asked.secrets.iter().map(credential).collect(),
            sockets: Vec::new(),
            health_port: HEALTH_PORT,
            ports: [HEALTH_PORT].into(),
            opens_health: true,
            lingers: true,
            routes: Vec::new(),
        }
    }
}

fn health(config: &Config, wrong: &mut Vec<String>) -> (u16, bool) {
    match config.health {
        Some(address) if address.port() == 0 => {
            wrong.push("health: the kubelet has to know its port, and 0 is any".to_owned());
            (HEALTH_PORT, false)
        }
        Some(address) => (address.port(), address.ip().is_loopback()),
        None => {
            wrong.push("health: the kubelet asks it, and it is off: remove the key".to_owned());
            (HEALTH_PORT, false)
        }
    }
}

/// One for each folder: routes may share a Secret, and it is enough to name it for one of them.
fn credentials(config: &Config, asked: &Parameters, wrong: &mut Vec<String>) -> Vec<Credential> {
    let mut found: Vec<Credential> = Vec::new();
    let all: Vec<(String, PathBuf)> = config.routes.iter().flat_map(folders).collect();
    for (route, path) in all.iter().cloned() {
        let Some(secret) = asked.secrets.get(&route).cloned() else { continue };
        match found.iter().find(|known| known.path == path) {
            None => found.push(Credential { route, path, secret }),
            Some(known) if known.secret == secret => {}
            Some(known) => wrong.push(format!(
                "routes {} and {route}: both read {}, which cannot show both {} and {secret}",
                known.route,
                path.display(),
                known.secret
            )),
        }
    }
    let nameless = all.iter().filter(|(_, path)| found.iter().all(|it| it.path != *path));
    wrong.extend(nameless.map(|(route, path)| {
        format!(
            "route {route}: no Secret is named for {}: say --secret {route}=NAME, or the annotation \
             attache-proxy.io/secret.{route}",
            path.display()
        )
    }));
    let strangers = asked.secrets.keys().filter(|name| !all.iter().any(|(route, _)| route == *name));
    wrong.extend(strangers.map(|name| {
        format!("a Secret is named for the route {name}, and the configuration has no such route with a credential")
    }));
    check_places(&found, wrong);
    found
}

/// The folders that a route reads, each with the name by which its Secret is named.
fn folders(route: &Route) -> Vec<(String, PathBuf)> {
    let own = route.credential.as_ref().map(|source| (route.name.clone(), source.path.clone()));
    let sentinel = route.upstream.sentinel.as_ref().and_then(|sentinel| sentinel.credential.as_ref());
    let of_sentinels = sentinel.map(|source| (format!("{}.sentinel", route.name), source.path.clone()));
    own.into_iter().chain(of_sentinels).collect()
}

/// A folder is mounted as it is, and nothing can be mounted within another's.
fn check_places(found: &[Credential], wrong: &mut Vec<String>) {
    for (index, credential) in found.iter().enumerate() {
        let (route, path) = (&credential.route, credential.path.display());
        if !is_plain(&credential.path) {
            wrong.push(format!("route {route}: credential.path {path} must be absolute, without dots"));
        } else if credential.path.starts_with(FOLDER) {
            wrong.push(format!(
                "route {route}: credential.path {path} is within {FOLDER}, where the configuration is: use \
                 {CREDENTIALS}/{route}"
            ));
        }
        let others = found.iter().enumerate().filter(|(other, _)| *other != index);
        for (_, other) in others.filter(|(_, other)| credential.path.starts_with(&other.path)) {
            wrong.push(format!(
                "routes {} and {route}: {path} is within {}: give each a folder of its own",
                other.route,
                other.path.display()
            ));
        }
    }
}

fn is_plain(path: &Path) -> bool {
    let mut steps = path.components();
    steps.next() == Some(Component::RootDir)
        && path.components().count() > 1
        && steps.all(|step| matches!(step, Component::Normal(_)))
}

/// A file that nothing mounts would only be missed once the pod runs.
fn check_authorities(route: &Route, wrong: &mut Vec<String>) {
    let of_sentinels = route.upstream.sentinel.as_ref().and_then(|sentinel| sentinel.tls.ca.as_ref());
    let mounted: Vec<_> = folders(route).into_iter().map(|(_, folder)| folder).collect();
    let is_mounted =
        |ca: &&PathBuf| ca.starts_with(FOLDER) || mounted.iter().any(|folder| ca.starts_with(folder));
    let named: BTreeSet<_> = route.upstream.tls.ca.as_ref().into_iter().chain(of_sentinels).collect();
    for ca in named.into_iter().filter(|ca| !is_mounted(ca)) {
        wrong.push(format!(
            "route {}: nothing mounts {}: put the authority into {FOLDER}/ca.pem, or beside the credential",
            route.name,
            ca.display()
        ));
    }
}

fn ports(config: &Config) -> BTreeSet<u16> {
    let listeners = config.routes.iter().flat_map(|route| &route.listen).chain(config.control.as_ref());
    let listeners = listeners.filter_map(|address| match address {
        ListenAddress::Tcp(address) => Some(address.port()),
        ListenAddress::Unix(_) => None,
    });
    listeners.chain(config.health.map(|address| address.port())).collect()
}

fn sockets(config: &Config, wrong: &mut Vec<String>) -> Vec<PathBuf> {
    let of_routes = config.routes.iter().flat_map(|route| &route.listen).chain(config.control.as_ref());
    let mut folders = BTreeSet::new();
    for address in of_routes {
        let ListenAddress::Unix(path) = address else { continue };
        match path.parent().filter(|folder| is_plain(folder) && !folder.starts_with(FOLDER)) {
            Some(folder) => _ = folders.insert(folder.to_owned()),
            None => {
                wrong.push(format!("{address}: the socket needs a folder of its own, such as /run/attache"));
            }
        }
    }
    folders.into_iter().collect()
}

fn reach(route: &Route) -> Reach {
    Reach { route: route.name.clone(), directions: directions(route) }
}

/// Where a route listens, in the words of its protocol's clients. The user means nothing to Attaché, but some clients
/// cannot do without: it is called as the route is.
fn directions(route: &Route) -> Result<Directions, String> {
    let kind = registry::protocols().into_iter().find(|kind| kind.facts.name == route.protocol);
    let kind = kind.expect("a configuration that was accepted names a protocol");
    let address = route.listen.iter().find_map(|address| match address {
        ListenAddress::Tcp(address) => Some(reachable(*address)),
        ListenAddress::Unix(_) => None,
    });
    let socket = route.listen.iter().find_map(|address| match address {
        ListenAddress::Unix(path) => path.to_str(),
        ListenAddress::Tcp(_) => None,
    });
    let host = address.map(|address| address.ip().to_string());
    let at = match (&host, address, socket) {
        (Some(host), Some(address), _) if address.port() != 0 => At::Tcp { host, port: address.port() },
        (None, None, Some(path)) => At::Unix(path),
        _ => return Err("it listens on any port, which only its log tells".to_owned()),
    };
    let user = kind.facts.needs_user.then_some(route.name.as_str());
    let database = route.database.as_deref();
    (kind.directions)(&Access { at, user, database, parameters: &[] })
}
