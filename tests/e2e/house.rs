//! Attaché between a client and a server, as most tests here want it, and what must hold when a test is over.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use attache_kit::http;
use attache_kit::ports::{self, Port};
use attache_kit::process::{Launch, Process};
use attache_kit::tools::{self, Ran};
use attache_kit::{Metrics, Pki, eventually};
use serde_json::Value;

use crate::client::Client;

/// Every secret of these tests begins like this, so that one look finds any of them.
pub const SECRET: &str = "s3cret-that-nobody-sees";
pub const MARK: &str = "s3cret";
/// For what takes milliseconds on a machine that does nothing else.
pub const SOON: Duration = Duration::from_secs(20);

/// One route `db`, line by line.
pub struct Plan {
    protocol: &'static str,
    upstream: Vec<String>,
    route: Vec<String>,
    top: Vec<String>,
}

impl Plan {
    pub fn postgres(endpoints: &[SocketAddr]) -> Plan {
        Plan::new("postgres", endpoints)
    }

    pub fn tcp(endpoint: SocketAddr) -> Plan {
        Plan::new("tcp", &[endpoint])
    }

    /// Without TLS and without probes, which would be connections that the test did not make.
    pub fn new(protocol: &'static str, endpoints: &[SocketAddr]) -> Plan {
        let endpoints: Vec<_> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
        let upstream = vec![
            format!("endpoints: [{}]", endpoints.join(", ")),
            "probe_interval: off".to_owned(),
            "tls: off".to_owned(),
        ];
        let listen = Vec::new();
        Plan { protocol, upstream, route: listen, top: vec!["drain: { deadline: 20s }".to_owned()] }
    }

    pub fn secret(self, folder: &Path) -> Plan {
        self.route(&format!("credential: {{ path: {} }}", folder.display()))
    }

    /// Verified TLS to a server that calls itself `localhost`.
    pub fn tls(self, pki: &Pki) -> Plan {
        self.upstream(&format!("tls: {{ ca: {}, server_name: localhost }}", pki.ca().display()))
    }

    /// A key of the route's `upstream`; it replaces one of the same name.
    pub fn upstream(mut self, line: &str) -> Plan {
        put(&mut self.upstream, line);
        self
    }

    pub fn route(mut self, line: &str) -> Plan {
        put(&mut self.route, line);
        self
    }

    pub fn top(mut self, line: &str) -> Plan {
        put(&mut self.top, line);
        self
    }

    pub fn start(self) -> House {
        let (listen, health, control) = (ports::reserve(), ports::reserve(), ports::reserve());
        let lines = |lines: &[String], indent: &str| -> String {
            lines.iter().map(|line| format!("{indent}{line}\n")).collect()
        };
        let config = format!(
            "health: {}\ncontrol: {}\nlog: {{ format: json, level: debug }}\n{}routes:\n  db:\n    protocol: {}\n    listen: {}\n{}    upstream:\n{}",
            health.addr(),
            control.addr(),
            lines(&self.top, ""),
            self.protocol,
            listen.addr(),
            lines(&self.route, "    "),
            lines(&self.upstream, "      "),
        );
        let attache = Launch::binary(env!("CARGO_BIN_EXE_attache")).config(&config).start();
        attache.wait_for("that it has started", SOON, |line| line["message"] == "started");
        let sockets = attache.sockets();
        House { attache, listen, health, control, sockets }
    }
}

fn put(lines: &mut Vec<String>, line: &str) {
    let key = line.split_once(':').expect("a line of YAML has a key").0;
    lines.retain(|other| !other.starts_with(&format!("{key}:")));
    lines.push(line.to_owned());
}

/// Attaché with one route `db`. When it goes, its log is searched for secrets and panics.
pub struct House {
    pub attache: Process,
    pub listen: Port,
    health: Port,
    control: Port,
    /// Open sockets before the first client came.
    sockets: usize,
}

impl House {
    /// A client that speaks PostgreSQL by hand.
    pub fn connect(&self) -> Client {
        Client::connect(self.listen.addr())
    }

    /// One that is logged in.
    pub fn session(&self) -> Client {
        let mut client = self.connect();
        client.log_in();
        client
    }

    pub fn metrics(&self) -> Metrics {
        Metrics::scrape(self.health.addr())
    }

    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().value(name, labels).unwrap_or_default()
    }

    /// The route's part of `/status`.
    pub fn status(&self) -> Value {
        let page = http::get(self.control.addr(), "/status").expect("the control listener answers");
        page.json()["routes"][0].clone()
    }

    pub fn quit(&self) {
        http::post(self.control.addr(), "/quit", "").expect("the control listener answers");
    }

    /// A client that holds no password.
    pub fn tool(&self, name: &str) -> Command {
        let mut tool = tools::postgres_tool(name).expect("tools come with the server");
        let port = self.listen.number().to_string();
        tool.args(["-h", "127.0.0.1", "-p", &port, "-U", "nobody"]);
        tool
    }

    pub fn query(&self, sql: &str) -> String {
        self.psql(sql).ok().trim_end().to_owned()
    }

    pub fn psql(&self, sql: &str) -> Ran {
        let mut psql = self.tool("psql");
        psql.args(["-d", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-c", sql]);
        tools::run(&mut psql, b"", SOON * 3)
    }

    /// The line of a session that has ended, the first after `since` lines.
    pub fn ended(&self, since: usize) -> Value {
        self.attache.wait_for_since(since, "the end of a session", SOON, |line| line["kind"] == "session")
    }

    /// Waits until nothing of any session is left: no socket, no count.
    pub fn settles(&self) {
        eventually("all sockets of sessions to be closed", SOON, || {
            (self.attache.sockets() <= self.sockets).then_some(())
        });
        eventually("the gauges to come back to nothing", SOON, || {
            let metrics = self.metrics();
            let left = |name| metrics.value(name, &[]).unwrap_or_default();
            (left("attache_sessions_active") == 0.0 && left("attache_links") == 0.0).then_some(())
        });
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let log = self.attache.stderr();
            assert!(!log.contains(MARK), "a secret is in the log:\n{log}");
            assert!(!log.contains("panicked"), "something panicked:\n{log}");
        }
    }
}

/// A folder for files that a test makes up.
pub fn file_in(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("our own folder takes a file");
    path
}
