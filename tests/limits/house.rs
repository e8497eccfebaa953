//! A server that anybody of the machine may log in to, Attaché before it, and a client of a few lines.
//!
//! The client speaks just enough of the protocol to log in and to ask: thousands of them cost nothing, and each can be
//! as rude as a test wants it to be.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use attache_kit::ports::{self, Port};
use attache_kit::{
    Encryption, Launch, Metrics, Mounted, Postgres, Process, Setup, Version, available, eventually,
};

pub(crate) const SOON: Duration = Duration::from_secs(30);
const SECRET: &str = "s3cret-that-nobody-sees";

fn server() -> Option<&'static Postgres> {
    static SERVER: LazyLock<Option<Postgres>> = LazyLock::new(|| {
        let server = available(Postgres::start(Version::V15, Setup::new()))?;
        server.role("app", SECRET, Encryption::Scram);
        Some(server)
    });
    SERVER.as_ref()
}

/// Attaché with one route.
pub(crate) struct House {
    pub(crate) attache: Process,
    pub(crate) listen: Port,
    health: Port,
    _secret: Mounted,
}

impl House {
    /// `None` where there is no server, which has been said. `client` is the YAML of the route's `client`.
    pub(crate) fn start(client: &str) -> Option<House> {
        Self::with(client, "")
    }

    /// Also listens on a Unix socket.
    pub(crate) fn on_socket(socket: &Path, client: &str) -> Option<House> {
        Self::with(client, &format!(", \"unix:{}\"", socket.display()))
    }

    fn with(client: &str, more: &str) -> Option<House> {
        let house = Self::launch(client, more)?;
        house.attache.wait_for("the start", SOON, |line| line["message"] == "started");
        Some(house)
    }

    /// Does not wait for the start, which may fail.
    pub(crate) fn launch(client: &str, more: &str) -> Option<House> {
        let server = server()?;
        let secret = Mounted::new(&[("username", "app"), ("password", SECRET)]);
        let (listen, health) = (ports::reserve(), ports::reserve());
        let config = format!(
            "health: {}
control: off
log: {{ format: json, level: info }}
workers: 2
routes:
  db:
    protocol: postgres
    listen: [\"{}\"{more}]
    upstream: {{ endpoints: \"{}\", tls: {{ mode: off }}, probe_interval: off }}
    credential: {{ path: {} }}
    client: {client}
",
            health.addr(),
            listen.addr(),
            server.addr(),
            secret.path().display(),
        );
        let attache = Launch::binary(env!("CARGO_BIN_EXE_attache")).config(&config).start();
        Some(House { attache, listen, health, _secret: secret })
    }

    pub(crate) fn login(&self) -> Result<Client<TcpStream>, String> {
        Client::login(self.connect())
    }

    /// A client that says nothing yet.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.listen.addr()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        Metrics::scrape(self.health.addr()).value(name, labels).unwrap_or(0.0)
    }

    /// What is open while nobody is served. One session has to have been there: only then is everything open that stays.
    pub(crate) fn open_at_rest(&self) -> usize {
        let before = self.attache.lines();
        drop(self.login().unwrap());
        self.attache.wait_for_since(before, "the end", SOON, |line| line["message"] == "session ended");
        self.attache.open_files()
    }

    /// Waits until nobody is served and no more than this is open.
    pub(crate) fn back_to(&self, open_files: usize) {
        eventually("everything to be given back", SOON, || {
            let open = self.attache.open_files();
            (open <= open_files && self.metric("attache_sessions_active", &[]) == 0.0).then_some(())
        });
    }

    /// The share of one core that the process uses, over an interval in which nothing happens.
    pub(crate) fn load(&self) -> f64 {
        const INTERVAL: Duration = Duration::from_secs(2);
        /// What Linux tells processes, whatever it counts in itself.
        const TICKS_PER_SECOND: f64 = 100.0;
        let before = self.ticks();
        // No condition to wait for: the interval is what is measured.
        thread::sleep(INTERVAL);
        (self.ticks() - before) / TICKS_PER_SECOND / INTERVAL.as_secs_f64()
    }

    /// User and system time; the name of the program, the second field, may hold blanks.
    fn ticks(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.attache.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11..=12].iter().map(|field| field.parse::<f64>().unwrap()).sum()
    }
}

/// A session, logged in without a password.
pub(crate) struct Client<S>(S);

impl Client<UnixStream> {
    pub(crate) fn by_socket(path: &Path) -> Result<Self, String> {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Client::login(stream)
    }
}

impl<S: Read + Write> Client<S> {
    /// The error is the server's message, field by field.
    pub(crate) fn login(mut stream: S) -> Result<Self, String> {
        let body = b"\0\x03\0\0user\0nobody\0database\0postgres\0\0";
        let length = u32::try_from(4 + body.len()).unwrap();
        stream.write_all(&[&length.to_be_bytes()[..], body].concat()).map_err(|error| error.to_string())?;
        let mut client = Client(stream);
        client.until_ready().map(|_| client)
    }

    /// The first column of the last row.
    pub(crate) fn query(&mut self, sql: &str) -> Result<String, String> {
        self.ask(sql);
        self.until_ready()
    }

    /// Sends a query and does not wait for the answer.
    pub(crate) fn ask(&mut self, sql: &str) {
        let length = u32::try_from(4 + sql.len() + 1).unwrap();
        self.0.write_all(&[b"Q", &length.to_be_bytes()[..], sql.as_bytes(), b"\0"].concat()).unwrap();
    }

    fn until_ready(&mut self) -> Result<String, String> {
        const COLUMN_HEAD: usize = 6;
        let mut value = String::new();
        loop {
            let (tag, body) = self.message().map_err(|error| error.to_string())?;
            match tag {
                b'Z' => return Ok(value),
                b'D' => value = String::from_utf8_lossy(&body[COLUMN_HEAD..]).into_owned(),
                b'E' => return Err(String::from_utf8_lossy(&body).replace('\0', "|")),
                _ => {}
            }
        }
    }

    fn message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        self.0.read_exact(&mut body)?;
        Ok((head[0], body))
    }
}
