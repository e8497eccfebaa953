//! Attaché between a client and a server: the usual arrangement of a test.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use attache_kit::ports::{self, Port};
use attache_kit::process::{Launch, Process};
use attache_kit::tools::Ran;
use attache_kit::{Direction, Metrics, Mounted, Relay, eventually, http};
use serde_json::Value;

use crate::clients::SOON;
use crate::raw::{Raw, Report};
use crate::servers::{Db, SECRET};

/// The one route of a configuration, until it is started.
pub struct Route {
    endpoints: Vec<String>,
    tls: String,
    secret: Arc<Mounted>,
    credential: String,
    upstream: Vec<String>,
    keys: Vec<String>,
    top: Vec<String>,
}

impl Route {
    /// As an operator would write it: everything verified. The account's password is the one of all tests.
    pub fn to(db: &Db, account: &str) -> Route {
        Route::at(db.server.addr(), account).tls(&format!("{{ ca: {} }}", db.pki.ca().display()))
    }

    /// By the name `localhost`, which the certificates of the tests carry.
    pub fn at(addr: SocketAddr, account: &str) -> Route {
        let secret = Arc::new(Mounted::new(&[("username", account), ("password", SECRET)]));
        Route {
            endpoints: vec![format!("localhost:{}", addr.port())],
            tls: "verify-full".to_owned(),
            credential: String::new(),
            secret,
            upstream: Vec::new(),
            keys: Vec::new(),
            top: Vec::new(),
        }
    }

    /// Over something that stands between.
    pub fn over(mut self, addr: SocketAddr) -> Route {
        self.endpoints = vec![format!("localhost:{}", addr.port())];
        self
    }

    /// To several servers.
    pub fn across(mut self, ports: &[u16]) -> Route {
        self.endpoints = ports.iter().map(|port| format!("localhost:{port}")).collect();
        self
    }

    /// By the server's own Unix socket.
    pub fn by_socket(self, path: &Path) -> Route {
        Route { endpoints: vec![format!("unix:{}", path.display())], tls: "{}".to_owned(), ..self }
    }

    pub fn tls(mut self, yaml: &str) -> Route {
        self.tls = yaml.to_owned();
        self
    }

    /// With a Secret that the test changes, or that holds something else.
    pub fn secret(self, secret: &Arc<Mounted>) -> Route {
        Route { secret: Arc::clone(secret), ..self }
    }

    /// What becomes of sessions whose generation is not the newest any more.
    pub fn on_rotation(self, yaml: &str) -> Route {
        Route { credential: format!(", on_rotation: {yaml}"), ..self }
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

    /// A further key beside the routes.
    pub fn top(mut self, yaml: &str) -> Route {
        self.top.push(yaml.to_owned());
        self
    }

    /// No logins but those of sessions, for a test that counts them or reads what they sent.
    pub fn unprobed(self) -> Route {
        self.upstream("probe_interval: off")
    }

    pub fn start(self) -> House {
        let (listen, health, control) = (ports::reserve(), ports::reserve(), ports::reserve());
        let lines = |lines: &[String], indent: &str| -> String {
            lines.iter().map(|line| format!("{indent}{line}\n")).collect()
        };
        let config = format!(
            "health: {}\ncontrol: {}\nlog: {{ format: json, level: debug }}\n{}routes:\n  db:\n    protocol: mysql\n    \
             listen: {}\n    credential: {{ path: {}{} }}\n{}    upstream:\n      endpoints: {:?}\n      tls: {}\n{}",
            health.addr(),
            control.addr(),
            lines(&self.top, ""),
            listen.addr(),
            self.secret.path().display(),
            self.credential,
            lines(&self.keys, "    "),
            self.endpoints,
            self.tls,
            lines(&self.upstream, "      "),
        );
        let attache = Launch::binary(env!("CARGO_BIN_EXE_attache")).config(&config).start();
        attache.wait_for("the start", SOON, |line| line["message"] == "started");
        House { attache, listen, health, control, said: Mutex::default(), _secret: self.secret }
    }
}

/// Attaché with one route, and what its clients printed.
pub struct House {
    pub attache: Process,
    listen: Port,
    health: Port,
    control: Port,
    said: Mutex<String>,
    _secret: Arc<Mounted>,
}

impl House {
    pub fn addr(&self) -> SocketAddr {
        self.listen.addr()
    }

    /// What a program printed, kept for the end.
    pub fn heard_of(&self, ran: Ran) -> Ran {
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
        Raw::log_in(self.addr(), database).unwrap_or_else(|report| panic!("refused: {report:?}"))
    }

    /// A session that does not come about: what the client is told.
    pub fn refusal(&self, database: &str) -> Report {
        let report = Raw::log_in(self.addr(), database).err().expect("a refusal");
        self.heard(&format!("{report:?}"));
        report
    }

    /// A session that Attaché refuses: the client hears this number and SQLSTATE and the session's name, under which
    /// the log tells this cause.
    pub fn refuses(&self, database: &str, code: (u16, &str), cause: &str) -> Value {
        let report = self.refusal(database);
        assert_eq!((report.number, report.sqlstate.as_str()), code, "{report:?}");
        let line = self.ended(report.session());
        assert_eq!(line["result"], cause, "{line}");
        line
    }

    /// The line that the log has for a session that is over.
    pub fn ended(&self, session: &str) -> Value {
        self.attache.wait_for(session, SOON, |line| line["session"] == session && line["result"].is_string())
    }

    /// The one route.
    pub fn status(&self) -> Value {
        http::get(self.control.addr(), "/status").unwrap().json()["routes"][0].clone()
    }

    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        Metrics::scrape(self.health.addr()).value(name, labels)
    }

    pub fn is_ready(&self) -> bool {
        http::get(self.health.addr(), "/readyz").unwrap().status == 200
    }
}

/// Everything that was sent to the server, once all connections are over: a recording may lag behind an answer.
pub fn sent_over(relay: &Relay) -> Vec<u8> {
    eventually("the connections to end", SOON, || (relay.live() == 0).then_some(()));
    relay.sent(Direction::ToServer)
}

pub fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
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
    let route = Route::at(nobody.addr(), "app").tls("insecure-no-verify").unprobed();
    route.start().heard(&format!("Access denied: {SECRET}"));
}
