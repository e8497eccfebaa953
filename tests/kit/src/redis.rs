//! A private Redis or Valkey: own ports, own accounts, gone at the end.
//!
//! Redis listens with TLS and without; the Valkey that can be had has no TLS. Both let nobody in but by name: the account
//! `default` is off. Nothing is written to disk but the accounts, and those only by `ACL SAVE`.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::pki::Pki;
use crate::ports::{self, Port};
use crate::scratch;
use crate::server::{Server, on_free_ports};
use crate::skip::{Missing, StartError};
use crate::tools;
use crate::wait::eventually;

const PROGRAM: &str = "/usr/bin/redis-server";
const REPLICATION_DEADLINE: Duration = Duration::from_secs(90);
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// Whom the tests administer the server as. Only they know it, and only on loopback.
pub(crate) const ADMIN: &str = "admin";
pub(crate) const ADMIN_PASSWORD: &str = "of-the-tests-alone";

/// Whose servers: those with certificates of this authority, or those without TLS.
#[derive(Debug, Clone, Copy)]
pub enum Brand<'a> {
    Redis(&'a Pki),
    Valkey,
}

impl<'a> Brand<'a> {
    pub(crate) fn pki(self) -> Option<&'a Pki> {
        match self {
            Brand::Redis(pki) => Some(pki),
            Brand::Valkey => None,
        }
    }

    fn program(self) -> Result<PathBuf, StartError> {
        match self {
            Brand::Redis(_) if Path::new(PROGRAM).exists() => Ok(PROGRAM.into()),
            Brand::Redis(_) => Err(Missing("redis-server".to_owned()).into()),
            Brand::Valkey => tools::valkey_server(),
        }
    }
}

#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    plain: Port,
    tls: Option<Port>,
    server: Server,
    folder: TempDir,
    /// Lines of its configuration beside the usual ones.
    more: String,
}

impl Redis {
    /// A fresh server, running and ready, with a certificate of this authority.
    pub fn start(pki: &Pki) -> Result<Redis, StartError> {
        Redis::of(Brand::Redis(pki), String::new())
    }

    /// One that other servers may replicate, or that replicates this one: over TLS, where it has that.
    pub fn replicating(brand: Brand<'_>, primary: Option<&Redis>) -> Result<Redis, StartError> {
        let tls = brand.pki().map_or("", |_| "tls-replication yes\n");
        let more =
            format!("{tls}masteruser {ADMIN}\nmasterauth {ADMIN_PASSWORD}\nrepl-diskless-sync-delay 0\n");
        let of = |primary: &Redis| format!("replicaof 127.0.0.1 {}\n", primary.announced_port());
        let server = Redis::of(brand, more + &primary.map(of).unwrap_or_default())?;
        if primary.is_some() {
            let is_connected =
                || server.command(&["INFO", "replication"]).contains("master_link_status:up").then_some(());
            eventually("the replica to follow", REPLICATION_DEADLINE, is_connected);
        }
        Ok(server)
    }

    /// A node that is a cluster by itself, without slots.
    pub fn cluster(pki: &Pki) -> Result<Redis, StartError> {
        let bus = ports::reserve();
        Redis::of(Brand::Redis(pki), format!("cluster-enabled yes\ncluster-port {}\n", bus.number()))
    }

    /// A fresh Valkey, running and ready.
    pub fn start_valkey() -> Result<Redis, StartError> {
        Redis::of(Brand::Valkey, String::new())
    }

    fn of(brand: Brand<'_>, more: String) -> Result<Redis, StartError> {
        let (program, pki) = (brand.program()?, brand.pki());
        let folder = scratch::folder("redis");
        prepare(folder.path(), pki).map_err(|error| StartError::Failed(format!("{folder:?}: {error}")))?;
        let tls = pki.map(|_| ports::reserve());
        let server = Server::new(program.display().to_string(), folder.path(), Signal::KILL);
        let mut server = Redis { program, plain: ports::reserve(), tls, server, folder, more };
        let move_on = |server: &mut Redis| {
            (server.plain, server.tls) = (ports::reserve(), server.tls.as_ref().map(|_| ports::reserve()));
        };
        on_free_ports(&mut server, Redis::run, move_on).map_err(StartError::Failed)?;
        Ok(server)
    }

    /// Without TLS.
    pub fn port(&self) -> u16 {
        self.plain.number()
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub fn tls_port(&self) -> u16 {
        self.tls.as_ref().expect("a server with TLS").number()
    }

    /// By which other servers and Sentinels know it: that of TLS, where it has that.
    pub fn announced_port(&self) -> u16 {
        self.tls.as_ref().unwrap_or(&self.plain).number()
    }

    /// Without TLS.
    pub fn addr(&self) -> SocketAddr {
        self.plain.addr()
    }

    /// What the administrator is answered, as `redis-cli` prints it.
    pub fn command(&self, words: &[&str]) -> String {
        ask(self.port(), None, words)
    }

    /// An account that may do everything, with this password alone. Who is logged in stays so.
    pub fn user(&self, name: &str, password: &str) {
        let password = format!(">{password}");
        self.command(&["ACL", "SETUSER", name, "on", "resetpass", &password, "~*", "&*", "+@all"]);
    }

    /// In order.
    pub fn stop(&mut self) {
        self.server.stop(Signal::TERM);
    }

    /// As a crash: clients see their connections end.
    pub fn crash(&mut self) {
        self.server.quit();
    }

    /// It neither answers nor ends its connections, as a machine that has stopped, until it is thawed.
    pub fn freeze(&self) {
        self.server.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.server.signal(Signal::CONT);
    }

    /// Starts a stopped server on its old ports, with the accounts that were saved and no data.
    pub fn start_again(&mut self) {
        self.run().unwrap_or_else(|why| panic!("{why}"));
    }

    /// With the accounts as they are now, and no data.
    pub fn restart(&mut self) {
        self.command(&["ACL", "SAVE"]);
        self.stop();
        self.start_again();
    }

    fn run(&mut self) -> Result<(), String> {
        let config = self.folder.path().join("redis.conf");
        fs::write(&config, self.settings()).map_err(|error| format!("{}: {error}", config.display()))?;
        let (plain, tls) = (self.plain.addr(), self.tls.as_ref().map(Port::addr));
        let mut command = Command::new(&self.program);
        command.arg(config);
        self.server.run(command, |_| answers(plain) && tls.is_none_or(|tls| TcpStream::connect(tls).is_ok()))
    }

    fn settings(&self) -> String {
        let at = |name: &str| -> PathBuf { self.folder.path().join(name) };
        let tls = self.tls.as_ref().map(|tls| {
            format!(
                "tls-port {}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\ntls-auth-clients no\n",
                tls.number(),
                at("server.crt").display(),
                at("server.key").display(),
                at("ca.crt").display(),
            )
        });
        format!(
            "bind 127.0.0.1\nport {}\n{}unixsocket {}\ndir {}\naclfile {}\nsave \"\"\nappendonly no\ndaemonize no\n{}",
            self.port(),
            tls.unwrap_or_default(),
            self.socket().display(),
            self.folder.path().display(),
            at("users.acl").display(),
            self.more,
        )
    }
}

/// What every server of this family is given.
pub(crate) fn certify(folder: &Path, pki: &Pki) -> std::io::Result<()> {
    let pair = pki.server();
    fs::write(folder.join("server.crt"), &pair.cert_pem)?;
    fs::write(folder.join("server.key"), &pair.key_pem)?;
    scratch::set_mode(&folder.join("server.key"), 0o600);
    fs::write(folder.join("ca.crt"), pki.ca_pem())
}

fn prepare(folder: &Path, pki: Option<&Pki>) -> std::io::Result<()> {
    pki.map_or(Ok(()), |pki| certify(folder, pki))?;
    let users = format!("user default off\nuser {ADMIN} on >{ADMIN_PASSWORD} ~* &* +@all\n");
    fs::write(folder.join("users.acl"), users)
}

/// Whether somebody there speaks the protocol: a stranger is told that he has to log in.
fn answers(addr: SocketAddr) -> bool {
    const PATIENCE: Duration = Duration::from_secs(5);
    const TOLD: &[u8] = b"-NOAUTH";
    let Ok(mut stream) = TcpStream::connect(addr) else { return false };
    let mut start = [0; TOLD.len()];
    stream.set_read_timeout(Some(PATIENCE)).is_ok()
        && stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut start).is_ok()
        && start == TOLD
}

/// What the administrator of whatever listens there is answered, as `redis-cli` prints it; over TLS where there is an
/// authority to trust.
pub(crate) fn ask(port: u16, ca: Option<&Path>, words: &[&str]) -> String {
    let mut cli = tools::redis_cli().expect("the client comes with the server");
    if let Some(ca) = ca {
        cli.args(["--tls", "--cacert"]).arg(ca);
    }
    cli.args(["-e", "-p", &port.to_string(), "--user", ADMIN, "--no-auth-warning"]);
    cli.env("REDISCLI_AUTH", ADMIN_PASSWORD).args(words);
    tools::run(&mut cli, b"", COMMAND_DEADLINE).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip::available;

    #[test]
    fn a_server_knows_its_accounts_over_a_restart() {
        let Some(mut server) = available(Redis::start(&Pki::new())) else { return };
        server.user("app", "first-password");
        server.restart();
        let users = server.command(&["ACL", "USERS"]);
        assert_eq!(users.lines().collect::<Vec<_>>(), [ADMIN, "app", "default"]);
        assert_eq!(server.command(&["ACL", "WHOAMI"]).trim(), ADMIN);
    }
}
