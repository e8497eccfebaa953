//! A server that anybody of the machine may log in to, Attaché before it, and a client of a few lines.
//!
//! The client speaks just enough of the protocol to log in and to ask: thousands of them cost nothing, and each can be
//! as rude as a test wants it to be.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use attache_kit::{
    Encryption, House, Mounted, Postgres, Route, SECRET, Setup, Version, available, eventually,
};

/// Crowds take their time.
pub(crate) const SOON: Duration = Duration::from_secs(60);

fn server() -> Option<&'static Postgres> {
    static SERVER: LazyLock<Option<Postgres>> = LazyLock::new(|| {
        let server = available(Postgres::start(Version::V15, Setup::new()))?;
        server.role("app", SECRET, Encryption::Scram);
        Some(server)
    });
    SERVER.as_ref()
}

/// `None` where there is no server, which has been said. `client` is the YAML of the route's `client`.
pub(crate) fn route(client: &str) -> Option<Route> {
    let secret = Arc::new(Mounted::new(&[("username", "app"), ("password", SECRET)]));
    let route = Route::new(env!("CARGO_BIN_EXE_attache"), "postgres").endpoints([server()?.addr()]);
    let route = route.secret(&secret).tls("off").unprobed().key(&format!("client: {client}"));
    Some(route.top("workers: 2").top("log: { format: json, level: info }"))
}

pub(crate) fn start(client: &str) -> Option<House> {
    Some(route(client)?.start())
}

/// What a house is asked and measured by.
pub(crate) trait Measured {
    fn login(&self) -> Result<Client<TcpStream>, String>;
    /// A client that says nothing yet.
    fn connect(&self) -> TcpStream;
    /// What is open while nobody is served. One session has to have been there: only then is everything open that stays.
    fn open_at_rest(&self) -> usize;
    /// Waits until nobody is served and no more than this is open.
    fn back_to(&self, open_files: usize);
    /// The share of one core that the process uses, over an interval in which nothing happens.
    fn load(&self) -> f64;
    /// Waits until it uses no more than this: what was under way may go on for a moment, not for ever.
    fn rests(&self, load: f64);
}

impl Measured for House {
    fn login(&self) -> Result<Client<TcpStream>, String> {
        Client::login(self.connect())
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    fn open_at_rest(&self) -> usize {
        let before = self.attache.lines();
        drop(self.login().unwrap());
        self.attache.wait_for_since(before, "the end", SOON, |line| line["message"] == "session ended");
        self.attache.open_files()
    }

    fn back_to(&self, open_files: usize) {
        eventually("everything to be given back", SOON, || {
            let open = self.attache.open_files();
            (open <= open_files && self.metric("attache_sessions_active", &[]) == 0.0).then_some(())
        });
    }

    fn load(&self) -> f64 {
        const INTERVAL: Duration = Duration::from_secs(2);
        /// What Linux tells processes, whatever it counts in itself.
        const TICKS_PER_SECOND: f64 = 100.0;
        let before = ticks(self.attache.pid());
        // No condition to wait for: the interval is what is measured.
        thread::sleep(INTERVAL);
        (ticks(self.attache.pid()) - before) / TICKS_PER_SECOND / INTERVAL.as_secs_f64()
    }

    fn rests(&self, load: f64) {
        eventually("the process to rest", SOON, || (self.load() < load).then_some(()));
    }
}

/// User and system time; the name of the program, the second field, may hold blanks.
fn ticks(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..=12].iter().map(|field| field.parse::<f64>().unwrap()).sum()
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
