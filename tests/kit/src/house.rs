//! Attaché with one route between a client and a server: the usual arrangement of a test.
//!
//! What is said here holds for every protocol. The clients that a protocol has are the tests' own.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::ports::{self, Port};
use crate::tools::Ran;
use crate::wait::eventually;
use crate::{Launch, Metrics, Mounted, Pki, Process, http};

/// For what takes milliseconds on a machine that does nothing else.
pub const SOON: Duration = Duration::from_secs(20);
/// For what takes seconds there.
pub const LONG: Duration = Duration::from_secs(90);

/// The usual password of the tests. Nothing that Attaché logs and nothing that a client hears may contain it.
pub const SECRET: &str = "s3cret-that-nobody-sees";
/// Every secret of the tests begins like this, so that one look finds any of them.
pub const MARK: &str = "s3cret";

/// The one route `db` of a configuration, line by line, until it is started.
///
/// Each line is a key with its value. It replaces an earlier one of the same name.
#[derive(Debug, Clone)]
pub struct Route {
    binary: PathBuf,
    protocol: &'static str,
    endpoints: Vec<String>,
    /// Beside the usual port.
    listen: Vec<String>,
    secret: Option<Arc<Mounted>>,
    credential: Vec<String>,
    upstream: Vec<String>,
    keys: Vec<String>,
    top: Vec<String>,
}

impl Route {
    /// `binary` is `env!("CARGO_BIN_EXE_attache")`, which only tests of that package know.
    pub fn new(binary: &str, protocol: &'static str) -> Route {
        Route {
            binary: binary.into(),
            protocol,
            endpoints: Vec::new(),
            listen: Vec::new(),
            secret: None,
            credential: Vec::new(),
            upstream: Vec::new(),
            keys: Vec::new(),
            top: vec!["log: { format: json, level: debug }".to_owned()],
        }
    }

    /// In order.
    pub fn endpoints(self, endpoints: impl IntoIterator<Item = impl Display>) -> Route {
        let endpoints = endpoints.into_iter().map(|endpoint| endpoint.to_string()).collect();
        Route { endpoints, ..self }
    }

    /// To one server, by the name `localhost`, which the certificates of the tests carry.
    pub fn over(self, addr: SocketAddr) -> Route {
        self.across(&[addr.port()])
    }

    /// To several, by that name.
    pub fn across(self, ports: &[u16]) -> Route {
        self.endpoints(ports.iter().map(|port| format!("localhost:{port}")))
    }

    /// By the server's own Unix socket.
    pub fn by_socket(self, path: &Path) -> Route {
        self.endpoints([format!("unix:{}", path.display())]).tls("{}")
    }

    /// Also on this address.
    pub fn listen(mut self, address: impl Display) -> Route {
        self.listen.push(address.to_string());
        self
    }

    /// With this Secret, which the house keeps as long as it stands.
    pub fn secret(self, secret: &Arc<Mounted>) -> Route {
        Route { secret: Some(Arc::clone(secret)), ..self.folder(secret.path()) }
    }

    /// With a Secret that the test keeps.
    pub fn folder(self, folder: &Path) -> Route {
        self.credential(&format!("path: {}", folder.display()))
    }

    pub fn credential(mut self, line: &str) -> Route {
        put(&mut self.credential, line);
        self
    }

    /// What becomes of sessions that live when the credential changes.
    pub fn on_rotation(self, yaml: &str) -> Route {
        self.credential(&format!("on_rotation: {yaml}"))
    }

    pub fn upstream(mut self, line: &str) -> Route {
        put(&mut self.upstream, line);
        self
    }

    pub fn tls(self, yaml: &str) -> Route {
        self.upstream(&format!("tls: {yaml}"))
    }

    /// Everything verified, as an operator would write it.
    pub fn verified(self, pki: &Pki) -> Route {
        self.tls(&format!("{{ ca: {}, server_name: localhost }}", pki.ca().display()))
    }

    /// No logins but those of sessions, for a test that counts them or reads what they sent.
    pub fn unprobed(self) -> Route {
        self.upstream("probe_interval: off")
    }

    /// A further key of the route.
    pub fn key(mut self, line: &str) -> Route {
        put(&mut self.keys, line);
        self
    }

    /// A further key beside the routes.
    pub fn top(mut self, line: &str) -> Route {
        put(&mut self.top, line);
        self
    }

    pub fn start(self) -> House {
        let mut house = self.launch();
        house.attache.wait_for("the start", SOON, |line| line["message"] == "started");
        house.sockets = house.attache.sockets();
        house
    }

    /// Does not wait for the start, which may fail.
    pub fn launch(self) -> House {
        let doors = Doors::reserved();
        let attache = Launch::binary(&self.binary).config(&self.config(&doors)).start();
        House { attache, doors, said: Mutex::default(), sockets: 0, _secret: self.secret }
    }

    /// Another command to its end. This configuration stands where the arguments say `{config}`.
    pub fn command(&self, arguments: &[&str]) -> Ran {
        let config = self.config(&Doors::reserved());
        Launch::binary(&self.binary).config(&config).command(arguments)
    }

    fn config(&self, doors: &Doors) -> String {
        let mut top =
            vec![format!("health: {}", doors.health.addr()), format!("control: {}", doors.control.addr())];
        self.top.iter().for_each(|line| put(&mut top, line));
        let listen: Vec<_> =
            [doors.listen.addr().to_string()].into_iter().chain(self.listen.clone()).collect();
        let mut keys = vec![format!("protocol: {}", self.protocol), format!("listen: {listen:?}")];
        if !self.credential.is_empty() {
            keys.push(format!("credential: {{ {} }}", self.credential.join(", ")));
        }
        keys.extend(self.keys.iter().cloned());
        let mut upstream = vec![format!("endpoints: {:?}", self.endpoints)];
        upstream.extend(self.upstream.iter().cloned());
        format!(
            "{}routes:\n  db:\n{}    upstream:\n{}",
            lines("", &top),
            lines("    ", &keys),
            lines("      ", &upstream)
        )
    }
}

fn put(lines: &mut Vec<String>, line: &str) {
    let (key, _) = line.split_once(':').unwrap_or_else(|| panic!("no line of YAML: {line}"));
    lines.retain(|other| other.split_once(':').is_none_or(|(name, _)| name != key));
    lines.push(line.to_owned());
}

fn lines(indent: &str, lines: &[String]) -> String {
    lines.iter().map(|line| format!("{indent}{line}\n")).collect()
}

/// Where a house is spoken to.
#[derive(Debug)]
struct Doors {
    listen: Port,
    health: Port,
    control: Port,
}

impl Doors {
    fn reserved() -> Doors {
        Doors { listen: ports::reserve(), health: ports::reserve(), control: ports::reserve() }
    }
}

/// Attaché with one route, and what its clients were told. When it goes, all that is searched for secrets.
#[derive(Debug)]
pub struct House {
    pub attache: Process,
    doors: Doors,
    said: Mutex<String>,
    /// Open sockets before the first client came.
    sockets: usize,
    _secret: Option<Arc<Mounted>>,
}

impl House {
    /// Of the route.
    pub fn addr(&self) -> SocketAddr {
        self.doors.listen.addr()
    }

    pub fn port(&self) -> String {
        self.doors.listen.number().to_string()
    }

    /// Where metrics and readiness are told.
    pub fn health(&self) -> SocketAddr {
        self.doors.health.addr()
    }

    /// Where `/status` and the actions answer.
    pub fn control(&self) -> SocketAddr {
        self.doors.control.addr()
    }

    pub fn metrics(&self) -> Metrics {
        Metrics::scrape(self.health())
    }

    /// The sum of the samples with these labels; none is 0.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().value(name, labels).unwrap_or_default()
    }

    pub fn is_ready(&self) -> bool {
        http::get(self.health(), "/readyz").expect("the health listener answers").status == 200
    }

    /// The route's part of `/status`.
    pub fn status(&self) -> Value {
        let page = http::get(self.control(), "/status").expect("the control listener answers");
        page.json()["routes"][0].clone()
    }

    /// An action, which is taken.
    pub fn act(&self, path: &str) {
        let answer = http::post(self.control(), path, "").expect("the control listener answers");
        assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.body);
    }

    /// Takes this configuration over, with the addresses that the house has. What the answer says has changed.
    pub fn reload(&self, route: &Route) -> Value {
        self.attache.rewrite_config(&route.config(&self.doors));
        let answer = http::post(self.control(), "/reload", "").expect("the control listener answers");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Something that a client was told.
    pub fn heard(&self, text: &str) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
    }

    /// What a program printed.
    pub fn heard_of(&self, ran: Ran) -> Ran {
        self.heard(&ran.stdout);
        self.heard(&ran.stderr);
        ran
    }

    /// The line that the log has for a session that is over.
    pub fn ended(&self, session: &str) -> Value {
        self.attache.wait_for(session, SOON, |line| line["session"] == session && line["result"].is_string())
    }

    /// The line of the first session to end after so many lines.
    pub fn ended_since(&self, lines: usize) -> Value {
        self.attache.wait_for_since(lines, "the end of a session", SOON, |line| line["kind"] == "session")
    }

    /// Waits until the server has accepted this version of the Secret.
    pub fn accepted(&self, generation: usize) {
        self.attache.wait_for("the new generation to be accepted", SOON, |line| {
            line["message"] == "credential accepted" && line["generation"] == generation
        });
    }

    /// Rotates in either order for each of these pauses: the server's half and the folder's never happen in the same
    /// instant. Returns the version that is accepted in the end; the first was 1.
    pub fn rotates_either_way(
        &self,
        pauses: &[Duration],
        server: impl Fn(usize),
        folder: impl Fn(usize),
    ) -> usize {
        let orders: [[&dyn Fn(usize); 2]; 2] = [[&server, &folder], [&folder, &server]];
        let mut number = 1;
        for (pause, [first, second]) in pauses.iter().flat_map(|pause| orders.map(|order| (pause, order))) {
            self.accepted(number);
            number += 1;
            first(number);
            // The time between is what such a test is about: nothing is waited for in it.
            thread::sleep(*pause);
            second(number);
        }
        self.accepted(number);
        let credential = &self.status()["credential"];
        assert_eq!((&credential["generation"], &credential["rejected"]), (&number.into(), &false.into()));
        number
    }

    /// Waits until no link is left on this version: the operator may revoke it.
    pub fn left(&self, generation: usize) {
        let generation = generation.to_string();
        eventually("the old generation to be left", SOON, || {
            (self.metric("attache_links", &[("generation", &generation)]) == 0.0).then_some(())
        });
    }

    pub fn no_session_failed(&self) {
        let failed = |line: &Value| line["kind"] == "session" && line["result"] != "ok";
        let lines: Vec<_> = self.attache.log().into_iter().filter(failed).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }

    /// Waits until nothing of any session is left: no socket, no count.
    pub fn settles(&self) {
        eventually("all sockets of sessions to be closed", SOON, || {
            (self.attache.sockets() <= self.sockets).then_some(())
        });
        eventually("the gauges to come back to nothing", SOON, || {
            let left = |name| self.metric(name, &[]);
            (left("attache_sessions_active") == 0.0 && left("attache_links") == 0.0).then_some(())
        });
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        let said = std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner));
        let (log, output) = (self.attache.stderr(), self.attache.stdout());
        for (who, text) in [("the log", &log), ("standard output", &output), ("a client", &said)] {
            assert!(!text.contains(MARK), "{who} tells a secret:\n{text}");
        }
        assert!(!log.contains("panicked"), "something panicked:\n{log}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_the_place_of_an_earlier_one_of_its_name() {
        let route = Route::new("attache", "postgres").across(&[5432]).folder(Path::new("/secret"));
        let route = route.tls("off").upstream("wait: 1s").tls("verify-full").on_rotation("{ live: cut }");
        let doors = Doors::reserved();
        let (listen, health) = (doors.listen.addr(), doors.health.addr());
        let expected = format!(
            "health: {health}\nlog: {{ format: json, level: debug }}\ncontrol: off\nroutes:\n  db:\n    protocol: postgres\n    \
             listen: [\"{listen}\"]\n    credential: {{ path: /secret, on_rotation: {{ live: cut }} }}\n    upstream:\n      \
             endpoints: [\"localhost:5432\"]\n      wait: 1s\n      tls: verify-full\n"
        );
        assert_eq!(route.top("control: off").config(&doors), expected);
    }
}
