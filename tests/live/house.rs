//! Attaché between a client and a server: the usual arrangement of a test.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attache_kit::ports::{self, Port};
use attache_kit::process::{Launch, Process};
use attache_kit::tools::{self, Ran};
use attache_kit::{Direction, Metrics, Mounted, Relay, eventually};
use serde_json::Value;
use tempfile::TempDir;

use crate::raw::{Raw, Report};
use crate::servers::{Account, Db};

/// The one password of all tests. Nothing that Attaché logs and nothing that a client hears may contain it.
pub const SECRET: &str = "s3cret-that-nobody-sees";
pub const SOON: Duration = Duration::from_secs(20);
pub const LONG: Duration = Duration::from_secs(90);

/// The one route of a configuration, until it is started.
pub struct Route {
    endpoint: String,
    tls: String,
    secret: Arc<Mounted>,
    upstream: Vec<String>,
    keys: Vec<String>,
    workers: usize,
    sockets: Option<TempDir>,
}

impl Route {
    /// As an operator would write it: everything verified.
    pub fn to(db: &Db, account: &Account) -> Route {
        Route::at(db.server.addr(), account).tls(&format!("{{ ca: {} }}", db.pki.ca().display()))
    }

    /// By the name `localhost`, which the certificates of the tests carry.
    pub fn at(addr: SocketAddr, account: &Account) -> Route {
        Route {
            endpoint: format!("localhost:{}", addr.port()),
            tls: "verify-full".to_owned(),
            secret: Arc::clone(&account.secret),
            upstream: Vec::new(),
            keys: Vec::new(),
            workers: 1,
            sockets: None,
        }
    }

    /// Over something that stands between.
    pub fn over(mut self, addr: SocketAddr) -> Route {
        self.endpoint = format!("localhost:{}", addr.port());
        self
    }

    /// By the server's own Unix socket.
    pub fn by_socket(self, path: &Path) -> Route {
        Route { endpoint: format!("unix:{}", path.display()), tls: "{}".to_owned(), ..self }
    }

    pub fn tls(mut self, yaml: &str) -> Route {
        self.tls = yaml.to_owned();
        self
    }

    /// A further key of `upstream`.
    pub fn upstream(mut self, yaml: &str) -> Route {
        self.upstream.push(yaml.to_owned());
        self
    }

    /// A further key of the route.
    pub fn key(mut self, yaml: &str) -> Route {
        self.keys.push(yaml.to_owned());
        self
    }

    /// With so many workers.
    pub fn workers(self, workers: usize) -> Route {
        Route { workers, ..self }
    }

    /// Also under a Unix socket of the same number.
    pub fn on_unix_socket(self) -> Route {
        Route { sockets: Some(tempfile::tempdir().unwrap()), ..self }
    }

    /// No logins but those of sessions, for a test that counts them or reads what they sent.
    pub fn unprobed(self) -> Route {
        self.upstream("probe_interval: off")
    }

    pub fn start(self) -> House {
        let (listen, health, control) = (ports::reserve(), ports::reserve(), ports::reserve());
        let upstream: String = self.upstream.iter().map(|line| format!("      {line}\n")).collect();
        let unix = self.sockets.as_ref().map_or(String::new(), |folder| {
            format!(", \"unix:{}/.s.PGSQL.{}\"", folder.path().display(), listen.number())
        });
        let keys: String = self.keys.iter().map(|line| format!("    {line}\n")).collect();
        let config = format!(
            "health: {}\ncontrol: {}\nlog: {{ format: json, level: debug }}\nworkers: {}\nroutes:\n  db:\n    protocol: postgres\n    \
             listen: [\"{}\"{unix}]\n    credential: {{ path: {} }}\n{keys}    upstream:\n      endpoints: [\"{}\"]\n      tls: {}\n{upstream}",
            health.addr(),
            control.addr(),
            self.workers,
            listen.addr(),
            self.secret.path().display(),
            self.endpoint,
            self.tls,
        );
        let attache = Launch::binary(env!("CARGO_BIN_EXE_attache")).config(&config).start();
        attache.wait_for("listening", SOON, |line| line["message"] == "listening");
        House {
            attache,
            listen,
            said: Mutex::default(),
            sockets: self.sockets,
            _secret: self.secret,
            health,
            control,
        }
    }
}

/// Attaché with one route, and what its clients printed.
pub struct House {
    pub attache: Process,
    listen: Port,
    said: Mutex<String>,
    sockets: Option<TempDir>,
    _secret: Arc<Mounted>,
    health: Port,
    control: Port,
}

impl House {
    pub fn addr(&self) -> SocketAddr {
        self.listen.addr()
    }

    pub fn port(&self) -> String {
        self.listen.number().to_string()
    }

    /// The sum of the samples with these labels; nothing is 0.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        Metrics::scrape(self.health.addr()).value(name, labels).unwrap_or_default()
    }

    /// Where `/status` and the actions answer.
    pub fn control(&self) -> SocketAddr {
        self.control.addr()
    }

    pub fn socket_dir(&self) -> &Path {
        self.sockets.as_ref().expect("a route on a Unix socket").path()
    }

    /// One of PostgreSQL's own programs, without a password, for a database.
    pub fn tool(&self, name: &str, database: &str) -> Command {
        let mut tool = tools::postgres_tool(name).unwrap();
        tool.env("PGHOST", "127.0.0.1").env("PGPORT", self.port());
        tool.env("PGUSER", "nobody").env("PGDATABASE", database);
        tool
    }

    pub fn psql(&self, database: &str) -> Command {
        let mut psql = self.tool("psql", database);
        psql.args(["-w", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]);
        psql
    }

    /// What a statement returns, to a `psql` that is no friend of errors.
    pub fn query(&self, database: &str, sql: &str) -> String {
        self.run(self.psql(database).args(["-c", sql])).ok().trim_end().to_owned()
    }

    pub fn run(&self, command: &mut Command) -> Ran {
        self.run_with(command, b"", LONG)
    }

    pub fn run_with(&self, command: &mut Command, input: &[u8], deadline: Duration) -> Ran {
        let ran = tools::run(command, input, deadline);
        self.heard(&ran.stdout);
        self.heard(&ran.stderr);
        ran
    }

    /// Something that a client was told.
    pub fn heard(&self, text: &str) {
        self.said.lock().unwrap().push_str(text);
    }

    /// A session by hand.
    pub fn raw(&self, database: &str) -> Raw {
        Raw::log_in(self.addr(), &[("user", "nobody"), ("database", database)])
    }

    /// A session that does not come about: what the client is told.
    pub fn refusal(&self, database: &str) -> Report {
        let report = Raw::refused(self.addr(), &[("user", "nobody"), ("database", database)]);
        self.heard(&format!("{report:?}"));
        report
    }

    /// A session that Attaché refuses: the client hears this SQLSTATE and the session's name, under which the log tells
    /// this cause.
    pub fn refuses(&self, database: &str, sqlstate: &str, cause: &str) -> Value {
        let report = self.refusal(database);
        assert_eq!(report.code(), sqlstate, "{report:?}");
        let line = self.ended(report.session());
        assert_eq!(line["result"], cause, "{line}");
        line
    }

    /// The line that the log has for a session that is over.
    pub fn ended(&self, session: &str) -> Value {
        self.attache.wait_for(session, SOON, |line| line["session"] == session && line["result"].is_string())
    }
}

/// Everything that was sent to the server, once all connections are over: a recording may lag behind an answer.
pub fn sent_over(relay: &Relay) -> Vec<u8> {
    eventually("the connections to end", SOON, || (relay.live() == 0).then_some(()));
    relay.sent(Direction::ToServer)
}

/// Every test ends with this.
impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for (who, text) in [
            ("the log", self.attache.stderr()),
            ("standard output", self.attache.stdout()),
            ("a client", self.said.lock().unwrap().clone()),
        ] {
            assert!(!text.contains(SECRET), "{who} tells the secret");
        }
    }
}

#[test]
#[should_panic(expected = "a client tells the secret")]
fn a_house_notices_when_the_secret_is_told() {
    let nobody = ports::reserve();
    let route = Route::at(nobody.addr(), &Account::somebody()).tls("insecure-no-verify").unprobed();
    route.start().heard(&format!("FATAL: password {SECRET} is wrong"));
}
