//! The process under test, with one route that a reload varies.

use std::env;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use attache_kit::ports::{self, Port};
use attache_kit::process::{Launch, Process, Signal};
use attache_kit::{Chance, Metrics, Mounted, http};
use serde_json::Value;

use crate::ground::{Ground, USERS, password};
use crate::judge::WAIT;
use crate::report::Size;

pub const SOON: Duration = Duration::from_secs(30);
const BINARY: &str = "ATTACHE_SOAK_BINARY";
/// How long sessions of an old password have where the route ends them.
const WITHIN: &str = "3s";

/// What a reload may change without ending a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pool: &'static str,
    pub retires: bool,
    /// The endpoints stand in the other order.
    turned: bool,
    connect_timeout: &'static str,
    max_sessions: usize,
    /// A second route, which comes and goes.
    spare: bool,
}

impl Settings {
    /// As little as can be: nothing waits, nothing is kept.
    pub fn plain() -> Settings {
        let (pool, connect_timeout) = ("{}", "5s");
        Settings { pool, retires: false, turned: false, connect_timeout, max_sessions: 100, spare: false }
    }

    /// Sessions of an old password are ended within seconds.
    pub fn retiring() -> Settings {
        Settings { retires: true, ..Settings::plain() }
    }

    pub fn drawn<G: Ground>(chance: &mut Chance) -> Settings {
        Settings {
            pool: chance.pick(G::POOLS),
            retires: G::RETIRES && chance.below(2) == 0,
            turned: chance.below(2) == 0,
            connect_timeout: chance.pick(&["3s", "5s"]),
            max_sessions: 100 + chance.below(100),
            spare: chance.below(2) == 0,
        }
    }
}

/// What stays the same in every configuration.
struct Plot {
    protocol: &'static str,
    role: &'static str,
    endpoints: Vec<SocketAddr>,
    ca: String,
    listen: Port,
    spare: Port,
    health: Port,
    control: Port,
}

pub struct House {
    attache: Mutex<Process>,
    pub secret: Mounted,
    plot: Plot,
}

impl House {
    pub fn start<G: Ground>(ground: &G, settings: &Settings) -> House {
        let secret = Mounted::new(&borrowed(&ground.secret(USERS[0], &password(0))));
        let [listen, spare, health, control] = [(); 4].map(|()| ports::reserve());
        let role = if G::FAILOVERS.is_empty() { "any" } else { "primary" };
        let (endpoints, ca) = (ground.endpoints(), ground.ca().display().to_string());
        let plot = Plot { protocol: G::PROTOCOL, role, endpoints, ca, listen, spare, health, control };
        let config = plot.config(&secret, settings);
        let attache = Launch::binary(binary()).config(&config).start();
        attache.wait_for("the start", SOON, |line| line["message"] == "started");
        House { attache: Mutex::new(attache), secret, plot }
    }

    pub fn addr(&self) -> SocketAddr {
        self.plot.listen.addr()
    }

    pub fn attache(&self) -> MutexGuard<'_, Process> {
        self.attache.lock().unwrap()
    }

    /// Takes over another configuration, and says whether the process did.
    pub fn reload(&self, settings: &Settings) {
        self.take_over(&self.plot.config(&self.secret, settings), "configuration reloaded");
    }

    /// Something that it cannot take over.
    pub fn reload_nonsense(&self) {
        let config = self.plot.config(&self.secret, &Settings::plain());
        self.take_over(&config.replace("routes:", "roots:"), "configuration not reloaded");
    }

    fn take_over(&self, config: &str, told: &str) {
        let attache = self.attache();
        let since = attache.lines();
        attache.rewrite_config(config);
        attache.signal(Signal::HUP);
        attache.wait_for_since(since, told, SOON, |line| {
            line["message"].as_str().is_some_and(|text| text.starts_with(told))
        });
    }

    pub fn put(&self, entries: &[(&'static str, String)]) {
        self.secret.write(&borrowed(entries));
    }

    pub fn credential(&self) -> Value {
        let status = http::get(self.plot.control.addr(), "/status").unwrap().json();
        let routes = status["routes"].as_array().unwrap();
        routes.iter().find(|route| route["name"] == "soak").unwrap()["credential"].clone()
    }

    pub fn metrics(&self) -> Metrics {
        Metrics::scrape(self.plot.health.addr())
    }

    pub fn size(&self) -> Size {
        let attache = self.attache();
        Size { resident: attache.resident_bytes(), files: attache.open_files() }
    }
}

impl Plot {
    fn config(&self, secret: &Mounted, settings: &Settings) -> String {
        let mut endpoints: Vec<_> =
            self.endpoints.iter().map(|addr| format!("\"localhost:{}\"", addr.port())).collect();
        if settings.turned {
            endpoints.reverse();
        }
        let live = if settings.retires { "drain" } else { "keep" };
        let mut config = format!(
            "health: {}\ncontrol: {}\nlog: {{ format: json, level: info }}\nworkers: 2\nroutes:\n",
            self.health.addr(),
            self.control.addr()
        );
        let routes = [("soak", &self.listen), ("spare", &self.spare)];
        for (name, listen) in routes.into_iter().take(1 + usize::from(settings.spare)) {
            write!(
                config,
                "  {name}:\n    protocol: {}\n    listen: {}\n    pool: {}\n    client: {{ max_sessions: {} }}\n    \
                 credential: {{ path: {}, on_rotation: {{ live: {live}, within: {WITHIN} }} }}\n    \
                 upstream: {{ endpoints: [{}], role: {}, tls: {{ ca: {} }}, wait: {}s, connect_timeout: {}, probe_interval: 2s }}\n",
                self.protocol,
                listen.addr(),
                settings.pool,
                settings.max_sessions,
                secret.path().display(),
                endpoints.join(", "),
                self.role,
                self.ca,
                WAIT.as_secs(),
                settings.connect_timeout,
            )
            .unwrap();
        }
        config
    }
}

/// That of this build, or another one that somebody names: one that is optimised, say.
pub fn binary() -> String {
    env::var(BINARY).unwrap_or_else(|_| env!("CARGO_BIN_EXE_attache").to_owned())
}

pub fn borrowed<'a>(entries: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    entries.iter().map(|(key, value)| (*key, value.as_str())).collect()
}
