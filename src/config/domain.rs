//! The configuration as the house uses it: checked, with every default in its place.
//!
//! Nothing here is optional that has a default, and nothing here can be wrong: whatever was doubtful
//! has become a complaint before one of these values exists.

mod upstream;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use upstream::{Endpoint, MOST_MEMBERS, Role, Sentinel, Tls, TlsMode, Upstream};

/// Everything that one process does.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where `/livez`, `/readyz`, `/startupz` and `/metrics` answer; `None` switches them off.
    pub health: Option<SocketAddr>,
    /// Where `/status` and the actions answer; `None` switches them off.
    pub control: Option<ListenAddress>,
    pub drain: Drain,
    pub log: Log,
    pub telemetry: Telemetry,
    /// How many worker threads; `None` means as many as the container is allowed cores.
    pub workers: Option<usize>,
    pub routes: Vec<Route>,
}

/// Where operators ask; `None` switches a listener off.
#[derive(Debug, Clone, PartialEq)]
pub struct Listeners {
    pub health: Option<SocketAddr>,
    pub control: Option<ListenAddress>,
}

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// From the signal to the end at the latest.
    pub deadline: Duration,
    /// How long no new session must have come before the process ends.
    pub linger: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    pub level: Level,
}

/// What is told to collectors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Telemetry {
    /// `None` switches them off.
    pub traces: Option<Traces>,
}

/// Traces of sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    pub collector: Collector,
    /// A PEM file of certificate authorities; `None` means those of the system.
    pub ca: Option<PathBuf>,
    /// What the collector wants to hear beside the traces.
    pub headers_file: Option<PathBuf>,
    /// Which share of the sessions is told, from 0 to 1.
    pub sample: f64,
    /// What the collector calls us.
    pub service: String,
}

/// Where a collector listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    pub path: String,
}

impl Collector {
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Tcp { host: self.host.clone(), port: self.port }
    }

    /// Whether what is sent to it never leaves the machine.
    pub fn is_beside_us(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        self.host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.endpoint(), self.path)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// JSON lines, or text where standard error is a terminal.
    Auto,
    Json,
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// One named entry: where to listen, which protocol, which upstream, which credential.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    pub name: String,
    /// The name of a registered protocol.
    pub protocol: String,
    pub listen: Vec<ListenAddress>,
    pub upstream: Upstream,
    pub credential: Option<CredentialSource>,
    pub on_rotation: OnRotation,
    /// Overrides the database that clients ask for.
    pub database: Option<String>,
    pub client: Client,
    pub pool: Pool,
    /// Whether listening outside loopback is meant.
    pub allow_remote: bool,
    /// Whether a password may cross an unencrypted link in clear text or weakly hashed.
    pub allow_cleartext: bool,
    pub ready: Ready,
    /// The protocol's own settings, already accepted by the protocol.
    pub options: serde_json::Value,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where a credential is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSource {
    pub path: PathBuf,
    /// Names of the keys, that is of the files in the folder.
    pub keys: CredentialKeys,
    /// How often the folder is read even if nothing was noticed.
    pub poll: Duration,
}

/// What a rotation means for sessions that live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnRotation {
    pub live: Live,
    /// The window over which sessions are ended.
    pub within: Duration,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Live {
    /// They end by themselves.
    #[default]
    Keep,
    /// Each ends at a quiet moment within the window.
    Drain,
    /// All end at once.
    Cut,
}

/// Which file of the mounted folder holds what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialKeys {
    pub username: String,
    pub password: String,
    pub certificate: String,
    pub private_key: String,
}

/// Who may use a route, and how many at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// User ids that may connect over a Unix socket; `None` allows all that the file mode lets in.
    pub allow_uids: Option<Vec<u32>>,
    pub max_sessions: usize,
    /// From the connection to the end of the client's first words.
    pub login_timeout: Duration,
}

/// Links that are logged in before they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// How many wait for each kind of client; 0 means that there is no pool.
    pub warm: usize,
    /// Whether a link serves another session when one is over.
    pub reuse: bool,
    /// How long one waits unused.
    pub max_idle: Duration,
    /// How long after its login one is still reused.
    pub max_age: Duration,
}

/// When a route counts as ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// As soon as it listens and holds a credential.
    Started,
    /// Only while its last probe succeeded.
    Upstream,
}

/// What a project file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub databases: Vec<ProjectDatabase>,
}

/// One database of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectDatabase {
    pub name: String,
    pub url: String,
    pub password_file: Option<PathBuf>,
    pub read_only: bool,
    pub listen: Option<ListenAddress>,
    /// What is verified of the server, where that is not left to the URL.
    pub tls: Option<TlsMode>,
    pub ca: Option<PathBuf>,
    pub server_name: Option<String>,
    pub allow_cleartext: bool,
}
