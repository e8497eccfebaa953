//! Attaché between a client and a server: the usual arrangement of a test.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attache_kit::ports::{self, Port};
use attache_kit::process::{Launch, Process};
use attache_kit::tools::{self, Ran};
use attache_kit::{Metrics, Mounted, eventually, http};
use serde_json::Value;

use crate::raw::Raw;
use crate::servers::{Db, SECRET, USER};

pub const SOON: Duration = Duration::from_secs(20);
pub const LONG: Duration = Duration::from_secs(90);

/// What a test sets in its route, as YAML.
pub struct Keys {
    pub options: &'static str,
    pub on_rotation: &'static str,
    pub drain: &'static str,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys { options: "{}", on_rotation: "{}", drain: "{}" }
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
    /// As an operator would write it: everything verified, and the account of all tests.
    pub fn to(db: &Db) -> House {
        House::with(db, &Arc::new(Mounted::new(&[("username", USER), ("password", SECRET)])), Keys::default())
    }

    /// With a Secret that the test changes, or that holds something else.
    pub fn with(db: &Db, secret: &Arc<Mounted>, keys: Keys) -> House {
        House::on(&db.upstream, secret, keys)
    }

    /// To a server that follows a script, without TLS.
    pub fn to_script(addr: SocketAddr, secret: &Arc<Mounted>, keys: Keys) -> House {
        let upstream = format!("{{ endpoints: [\"{addr}\"], tls: off }}\n    allow_cleartext: true");
        House::on(&upstream, secret, keys)
    }

    /// By the server's Unix socket, which needs no TLS to be private.
    pub fn by_socket(db: &Db) -> House {
        let secret = Arc::new(Mounted::new(&[("username", USER), ("password", SECRET)]));
        let upstream = format!("{{ endpoints: [\"unix:{}\"] }}", db.server.socket().display());
        House::on(&upstream, &secret, Keys::default())
    }

    fn on(upstream: &str, secret: &Arc<Mounted>, keys: Keys) -> House {
        let Keys { options, on_rotation, drain } = keys;
        let (listen, health, control) = (ports::reserve(), ports::reserve(), ports::reserve());
        let config = format!(
            "health: {}\ncontrol: {}\nlog: {{ format: json, level: debug }}\ndrain: {drain}\nroutes:\n  cache:\n    protocol: redis\n    \
             listen: {}\n    credential: {{ path: {}, on_rotation: {on_rotation} }}\n    options: {options}\n    upstream: {upstream}\n",
            health.addr(),
            control.addr(),
            listen.addr(),
            secret.path().display(),
        );
        let attache = Launch::binary(env!("CARGO_BIN_EXE_attache")).config(&config).start();
        attache.wait_for("the start", SOON, |line| line["message"] == "started");
        House { attache, listen, health, control, said: Mutex::default(), _secret: Arc::clone(secret) }
    }

    pub fn addr(&self) -> SocketAddr {
        self.listen.addr()
    }

    /// A session by hand.
    pub fn raw(&self) -> Raw {
        Raw::connect(self.addr())
    }

    /// What `redis-cli` prints for these arguments and this input. It knows no password unless they name one.
    pub fn cli(&self, arguments: &[&str], input: &str) -> String {
        self.run(self.tool("redis-cli").arg("--no-auth-warning").args(arguments), input)
    }

    /// One of the programs that come with Redis, led to us.
    pub fn tool(&self, name: &str) -> Command {
        let mut tool = tools::redis_tool(name).unwrap();
        tool.args(["-h", "127.0.0.1", "-p", &self.addr().port().to_string()]);
        tool
    }

    /// What a program prints, which ends well.
    pub fn run(&self, program: &mut Command, input: &str) -> String {
        let ran = tools::run(program, input.as_bytes(), LONG);
        let Ran { stdout, stderr, .. } = &ran;
        self.heard(stdout);
        self.heard(stderr);
        ran.ok()
    }

    /// What a client hears when its session is ended by Attaché, and the line that the log has for it.
    pub fn farewell(&self, session: &mut Raw) -> (String, Value) {
        let said = session.last_words();
        self.heard(&said);
        let (_, rest) = said.split_once("(session ").unwrap_or_else(|| panic!("no session: {said:?}"));
        let line = self.ended(rest.split_once(')').unwrap().0);
        (said, line)
    }

    /// Something that a client was told.
    pub fn heard(&self, text: &str) {
        self.said.lock().unwrap().push_str(text);
    }

    /// The line that the log has for a session that is over.
    pub fn ended(&self, session: &str) -> Value {
        self.attache.wait_for(session, SOON, |line| line["session"] == session && line["result"].is_string())
    }

    /// No session is left on this generation: the operator may revoke it.
    pub fn left(&self, generation: usize) {
        let generation = generation.to_string();
        let links = || self.metric("attache_links", &[("generation", &generation)]).unwrap_or_default();
        eventually("the old generation to be left", SOON, || (links() == 0.0).then_some(()));
    }

    /// The one route.
    pub fn status(&self) -> Value {
        http::get(self.control.addr(), "/status").unwrap().json()["routes"][0].clone()
    }

    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        Metrics::scrape(self.health.addr()).value(name, labels)
    }
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
    let Some(db) = crate::servers::shared() else {
        panic!("a client tells the secret, if there is a server")
    };
    House::to(db).heard(&format!("WRONGPASS {SECRET}"));
}
