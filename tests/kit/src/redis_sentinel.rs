//! A private Redis Sentinel: with TLS only, and accounts of its own.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::pki::Pki;
use crate::ports::{self, Port};
use crate::redis::{ADMIN, ADMIN_PASSWORD, Redis, certify};
use crate::scratch;
use crate::server::Server;
use crate::skip::{Missing, StartError};
use crate::tools;
use crate::wait::eventually;

const PROGRAM: &str = "/usr/bin/redis-sentinel";
const MEETING_DEADLINE: Duration = Duration::from_secs(30);
const COMMAND_DEADLINE: Duration = Duration::from_secs(30);

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
    port: Port,
    server: Server,
    folder: TempDir,
    ca: std::path::PathBuf,
}

impl Sentinel {
    /// So many, with an account for clients, which agree with each other and have found the replicas.
    pub fn start(
        pki: &Pki,
        count: usize,
        watching: Watching<'_>,
        user: &str,
        password: &str,
        replicas: usize,
    ) -> Result<Vec<Sentinel>, StartError> {
        let one = |_| Sentinel::start_one(pki, watching, user, password);
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
        pki: &Pki,
        watching: Watching<'_>,
        user: &str,
        password: &str,
    ) -> Result<Sentinel, StartError> {
        if !std::path::Path::new(PROGRAM).exists() {
            return Err(Missing("redis-sentinel".to_owned()).into());
        }
        let (folder, port) = (scratch::folder("sentinel"), ports::reserve());
        let server = Server::new(PROGRAM, folder.path(), Signal::KILL);
        let mut sentinel = Sentinel { port, server, folder, ca: pki.ca().to_owned() };
        let prepared = certify(sentinel.folder.path(), pki)
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
        let mut cli = tools::redis_cli().expect("the client comes with the server");
        cli.args(["-e", "--tls", "--cacert"]).arg(&self.ca).args(["-p", &self.port().to_string()]);
        cli.args(["--user", ADMIN, "--no-auth-warning"]).env("REDISCLI_AUTH", ADMIN_PASSWORD).args(words);
        tools::run(&mut cli, b"", COMMAND_DEADLINE).ok()
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
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        format!(
            "port 0\ntls-port {}\nbind 127.0.0.1\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
             tls-auth-clients no\ntls-replication yes\ndir {}\nuser default off\nuser {ADMIN} on >{ADMIN_PASSWORD} ~* &* +@all\n\
             user {user} on >{password} {RIGHTS}\nsentinel sentinel-user {ADMIN}\nsentinel sentinel-pass {ADMIN_PASSWORD}\n\
             sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n\
             sentinel monitor {master} {host} {} {quorum}\nsentinel auth-user {master} {ADMIN}\n\
             sentinel auth-pass {master} {ADMIN_PASSWORD}\nsentinel down-after-milliseconds {master} {}\n\
             sentinel failover-timeout {master} 6000\n",
            self.port(),
            at("server.crt"),
            at("server.key"),
            at("ca.crt"),
            self.folder.path().display(),
            primary.tls_port(),
            down_after.as_millis(),
        )
    }

    fn run(&mut self) -> Result<(), String> {
        let addr = self.port.addr();
        let mut command = Command::new(PROGRAM);
        command.arg(self.config());
        self.server.run(command, |_| TcpStream::connect(addr).is_ok())
    }
}
