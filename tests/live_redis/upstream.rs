//! Attaché with one route to whatever a test names, and a client that does not mind when its session ends.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use attache_kit::ports::{self, Port};
use attache_kit::tools::Ran;
use attache_kit::{LONG, Launch, Metrics, Mounted, Process, Redis, SECRET, SOON, http};
use serde_json::Value;

use crate::raw::Raw;
use crate::servers::USER;

pub struct Route {
    pub attache: Process,
    listen: Port,
    health: Port,
    control: Port,
    _secret: Mounted,
}

/// The whole configuration, with `upstream` and `more` keys of the route as YAML.
fn config(ports: [&Port; 3], secret: PathBuf, upstream: &str, more: &str) -> String {
    let [listen, health, control] = ports.map(Port::addr);
    let secret = secret.display();
    format!(
        "health: {health}\ncontrol: {control}\nlog: {{ format: json, level: debug }}\nroutes:\n  cache:\n    protocol: redis\n    \
         listen: {listen}\n    credential: {{ path: {secret} }}\n    upstream: {upstream}\n{more}"
    )
}

impl Route {
    /// `upstream` in flow style; `more` further lines of the route.
    pub fn start(upstream: &str, more: &str) -> Route {
        let secret = Mounted::new(&[("username", USER), ("password", SECRET)]);
        let (listen, health, control) = (ports::reserve(), ports::reserve(), ports::reserve());
        let config = config([&listen, &health, &control], secret.path().to_owned(), upstream, more);
        let attache = Launch::binary(env!("CARGO_BIN_EXE_attache")).config(&config).start();
        attache.wait_for("the start", SOON, |line| line["message"] == "started");
        Route { attache, listen, health, control, _secret: secret }
    }

    pub fn addr(&self) -> SocketAddr {
        self.listen.addr()
    }

    pub fn raw(&self) -> Raw {
        Raw::connect(self.addr())
    }

    /// The port without TLS of the server that a new session is on.
    pub fn port(&self) -> String {
        self.raw().ask(&["CONFIG", "GET", "port"]).lines().nth(4).unwrap_or_default().to_owned()
    }

    pub fn status(&self) -> Value {
        http::get(self.control.addr(), "/status").unwrap().json()["routes"][0].clone()
    }

    /// What `attache status` prints.
    pub fn status_command(&self) -> String {
        let control = self.control.addr().to_string();
        Launch::binary(env!("CARGO_BIN_EXE_attache")).command(&["status", "--control", &control]).ok()
    }

    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        Metrics::scrape(self.health.addr()).value(name, labels)
    }

    /// Sessions that ended before they had a server.
    pub fn turned_away(&self) -> Vec<Value> {
        let is_one = |line: &Value| {
            line["kind"] == "session" && !matches!(line["stage"].as_str(), None | Some("relay" | "welcome"))
        };
        self.attache.log().into_iter().filter(is_one).collect()
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for text in [self.attache.stderr(), self.attache.stdout()] {
                assert!(!text.contains(SECRET), "the log tells the secret");
            }
        }
    }
}

/// What `attache check` says of such a route.
pub fn check(upstream: &str) -> (Vec<Value>, Ran) {
    let secret = Mounted::new(&[("username", USER), ("password", SECRET)]);
    let (listen, health, control) = (ports::reserve(), ports::reserve(), ports::reserve());
    let config = config([&listen, &health, &control], secret.path().to_owned(), upstream, "");
    let ran = Launch::binary(env!("CARGO_BIN_EXE_attache"))
        .config(&config)
        .command(&["check", "-c", "{config}", "--json"]);
    let steps = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}{}", ran.stdout, ran.stderr));
    (steps, ran)
}

/// One command on a session of its own: what came, and how long it took. An end without a reply is none.
pub fn once(addr: SocketAddr, command: &str) -> (Option<String>, Duration) {
    let start = Instant::now();
    let mut said = String::new();
    let asked = TcpStream::connect(addr).and_then(|mut stream| {
        stream.set_read_timeout(Some(LONG))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        BufReader::new(stream).read_line(&mut said)
    });
    (asked.ok().filter(|octets| *octets > 0).map(|_| said), start.elapsed())
}

/// An account for the tests' clients on each of these servers.
pub fn accounts(servers: &[&Redis]) {
    servers.iter().for_each(|server| server.user(USER, SECRET));
}
