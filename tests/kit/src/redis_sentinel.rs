//! A private Sentinel, of Redis with TLS only or of Valkey without, and accounts of its own.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::ports::{self, Port};
use crate::redis::{self, ADMIN, ADMIN_PASSWORD, Brand, Redis, certify};
use crate::scratch;
use crate::server::Server;
use crate::skip::{Missing, StartError};
use crate::tools;
use crate::wait::eventually;

const PROGRAM: &str = "/usr/bin/redis-sentinel";
const MEETING_DEADLINE: Duration = Duration::from_secs(90);

/// What a client of Sentinels needs ("High availability with Redis Sentinel", section "Sentinel Access Control List
/// authentication"), and to listen.
const RIGHTS: &str = "&+switch-master -@all +auth +subscribe +unsubscribe +sentinel|get-master-addr-by-name \
                      +sentinel|master +sentinel|replicas";

/// What Sentinels watch over.
#[derive(Debug, Clone, Copy)]
pub struct Watching<'a> {
    pub master: &'a str,
    pub primary: &'a Redis,
    /// How many of them have to agree that it is gone.
    pub quorum: usize,
    /// After so long without an answer a server counts as gone.
    pub down_after: Duration,
    /// The host by which they know the primary: a name, or 127.0.0.1.
    pub host: &'a str,
}

#[derive(Debug)]
pub struct Sentinel {
    program: PathBuf,
    port: Port,
    server: Server,
    folder: TempDir,
    /// `None` without TLS.
    ca: Option<PathBuf>,
}

impl Sentinel {
    /// So many, with an account for clients, which agree with each other and have found the replicas.
    pub fn start(
        brand: Brand<'_>,
        count: usize,
        watching: Watching<'_>,
        user: &str,
        password: &str,
        replicas: usize,
    ) -> Result<Vec<Sentinel>, StartError> {
        let one = |_| Sentinel::start_one(brand, watching, user, password);
        let all: Vec<_> = (0..count).map(one).collect::<Result<_, _>>()?;
        for sentinel in &all {
            let knows = |what: &str, wanted: usize| {
                let listed = sentinel.command(&["SENTINEL", what, watching.master]);
                (listed.lines().filter(|line| *line == "flags").count() == wanted)
                    && !listed.contains("disconnected")
                    && !listed.contains("master-link-status\nerr")
            };
            let ready = || (knows("SENTINELS", count - 1) && knows("REPLICAS", replicas)).then_some(());
            eventually("the Sentinels to know each other and the replicas", MEETING_DEADLINE, ready);
        }
        Ok(all)
    }

    fn start_one(
        brand: Brand<'_>,
        watching: Watching<'_>,
        user: &str,
        password: &str,
    ) -> Result<Sentinel, StartError> {
        let (folder, port, program) = (scratch::folder("sentinel"), ports::reserve(), program(brand)?);
        let server = Server::new(program.display().to_string(), folder.path(), Signal::KILL);
        let ca = brand.pki().map(|pki| pki.ca().to_owned());
        let mut sentinel = Sentinel { program, port, server, folder, ca };
        let certified = brand.pki().map_or(Ok(()), |pki| certify(sentinel.folder.path(), pki));
        let prepared = certified
            .and_then(|()| fs::write(sentinel.config(), sentinel.settings(watching, user, password)));
        prepared.map_err(|error| StartError::Failed(error.to_string()))?;
        sentinel.run().map_err(StartError::Failed)?;
        Ok(sentinel)
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// What the administrator is answered, as `redis-cli` prints it.
    pub fn command(&self, words: &[&str]) -> String {
        redis::ask(self.port(), self.ca.as_deref(), words)
    }

    /// The account for clients gets this password. Who is logged in stays so.
    pub fn user(&self, name: &str, password: &str) {
        let password = format!(">{password}");
        let rights = RIGHTS.split(' ').collect::<Vec<_>>();
        self.command(&[&["ACL", "SETUSER", name, "reset", "on", &password][..], &rights].concat());
    }

    /// As a crash.
    pub fn crash(&mut self) {
        self.server.quit();
    }

    /// It hears and says nothing, and forgets nothing, until it is thawed.
    pub fn freeze(&self) {
        self.server.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.server.signal(Signal::CONT);
    }

    /// Starts a crashed one with what it knew.
    pub fn start_again(&mut self) {
        self.run().unwrap_or_else(|why| panic!("{why}"));
    }

    fn config(&self) -> std::path::PathBuf {
        self.folder.path().join("sentinel.conf")
    }

    fn settings(&self, watching: Watching<'_>, user: &str, password: &str) -> String {
        let Watching { master, primary, quorum, down_after, host } = watching;
        let folder = self.folder.path().display();
        let port = match &self.ca {
            None => format!("port {}", self.port()),
            Some(_) => format!(
                "port 0\ntls-port {}\ntls-cert-file {folder}/server.crt\ntls-key-file {folder}/server.key\n\
                 tls-ca-cert-file {folder}/ca.crt\ntls-auth-clients no\ntls-replication yes",
                self.port()
            ),
        };
        format!(
            "{port}\nbind 127.0.0.1\ndir {folder}\nuser default off\nuser {ADMIN} on >{ADMIN_PASSWORD} ~* &* +@all\n\
             user {user} on >{password} {RIGHTS}\nsentinel sentinel-user {ADMIN}\nsentinel sentinel-pass {ADMIN_PASSWORD}\n\
             sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n\
             sentinel monitor {master} {host} {} {quorum}\nsentinel auth-user {master} {ADMIN}\n\
             sentinel auth-pass {master} {ADMIN_PASSWORD}\nsentinel down-after-milliseconds {master} {}\n\
             sentinel failover-timeout {master} 6000\n",
            primary.announced_port(),
            down_after.as_millis(),
        )
    }

    fn run(&mut self) -> Result<(), String> {
        let addr = self.port.addr();
        let mut command = Command::new(&self.program);
        command.arg(self.config()).arg("--sentinel");
        self.server.run(command, |_| TcpStream::connect(addr).is_ok())
    }
}

/// Redis has a name of its own for what Valkey's server is by a switch alone.
fn program(brand: Brand<'_>) -> Result<PathBuf, StartError> {
    match brand {
        Brand::Redis(_) if Path::new(PROGRAM).exists() => Ok(PROGRAM.into()),
        Brand::Redis(_) => Err(Missing("redis-sentinel".to_owned()).into()),
        Brand::Valkey => tools::valkey_server(),
    }
}
