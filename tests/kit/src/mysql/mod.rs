//! A private MariaDB or MySQL: own data, own port, own accounts, gone at the end.
//!
//! Both speak one protocol and are started, asked and stopped in the same way; what differs between them is in
//! `install` (where they come from), `setup` (settings) and `admin` (how an account is made).

mod admin;
mod install;
mod setup;

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

pub use admin::{Plugin, Require};
pub use setup::Setup;

use crate::pki::Pair;
use crate::ports::{self, Port};
use crate::scratch;
use crate::server::{Server, on_free_ports};
use crate::skip::StartError;
use install::Install;

/// Which of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flavour {
    /// Debian's MariaDB, 10.11.
    MariaDb,
    /// Oracle's MySQL, 9.7 or what Debian's unstable suite has by now.
    MySql,
}

impl Flavour {
    pub const ALL: [Flavour; 2] = [Flavour::MariaDb, Flavour::MySql];
}

#[derive(Debug)]
pub struct Mysql {
    install: Install,
    setup: Setup,
    port: Port,
    server: Server,
    folder: TempDir,
}

impl Mysql {
    /// A fresh server, running and ready, whose only account is the administrator's.
    pub fn start(flavour: Flavour, setup: Setup) -> Result<Mysql, StartError> {
        let install = Install::find(flavour)?;
        let folder = scratch::folder("mysql");
        let files = Files(folder.path());
        install.fresh_data(&files.data()).map_err(StartError::Failed)?;
        let made = fs::create_dir(files.run()).and_then(|()| fs::create_dir(files.tls()));
        made.map_err(|error| StartError::Failed(format!("{folder:?}: {error}")))?;
        let server = Server::new(format!("{flavour:?}"), folder.path(), Signal::KILL);
        let mut server = Mysql { install, setup, port: ports::reserve(), server, folder };
        server.own(&server.files().data());
        server.own(&server.files().run());
        server.write_certificates();
        let move_on = |server: &mut Mysql| server.port = ports::reserve();
        on_free_ports(&mut server, Mysql::run, move_on).map_err(StartError::Failed)?;
        Ok(server)
    }

    pub fn flavour(&self) -> Flavour {
        self.install.flavour()
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    pub fn socket(&self) -> PathBuf {
        self.files().socket()
    }

    /// The public half of the RSA key with which MySQL takes passwords over connections without TLS. Each server has
    /// a key of its own, MariaDB none.
    pub fn public_key(&self) -> PathBuf {
        self.files().data().join("public_key.pem")
    }

    /// In order: clients hear that the server goes.
    pub fn stop(&mut self) {
        self.server.stop(Signal::TERM);
    }

    /// As a crash: clients see their connections end.
    pub fn crash(&mut self) {
        self.server.quit();
    }

    /// Starts a stopped server on its old port with its old data.
    pub fn start_again(&mut self) {
        self.run().unwrap_or_else(|why| panic!("{why}"));
    }

    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Everything the server has logged, over restarts too.
    pub fn log(&self) -> String {
        self.server.log()
    }

    pub fn log_tail(&self) -> String {
        self.server.log_tail()
    }

    fn run(&mut self) -> Result<(), String> {
        let socket = self.socket();
        // What a crash left would be taken for a running server.
        let _ = fs::remove_file(&socket);
        let command = self.command().map_err(|error| format!("{}: {error}", self.folder.path().display()))?;
        self.server.run(command, |_| greets(&socket))
    }

    fn command(&self) -> std::io::Result<Command> {
        let files = self.files();
        fs::write(files.settings(), self.setup.text(self.flavour(), &self.install, files, self.port()))?;
        let mut command = self.install.server();
        command.arg(format!("--defaults-file={}", files.settings().display()));
        Ok(command)
    }

    fn write_certificates(&self) {
        let tls = self.files().tls();
        self.setup.write_certificates(&tls).expect("the certificates can be copied");
        self.own(&tls);
    }

    fn write_pair(&self, pair: &Pair) {
        let tls = self.files().tls();
        setup::write_pair(&tls, pair).expect("a pair of files can be written");
        self.own(&tls);
    }

    fn own(&self, path: &Path) {
        self.install.owner().give(path).expect("root may give its files away");
    }

    fn files(&self) -> Files<'_> {
        Files(self.folder.path())
    }
}

/// Where a server's things are.
#[derive(Debug, Clone, Copy)]
struct Files<'a>(&'a Path);

impl Files<'_> {
    fn data(self) -> PathBuf {
        self.0.join("data")
    }

    fn run(self) -> PathBuf {
        self.0.join("run")
    }

    fn socket(self) -> PathBuf {
        self.run().join("mysql.sock")
    }

    fn pid(self) -> PathBuf {
        self.run().join("pid")
    }

    fn tls(self) -> PathBuf {
        self.0.join("tls")
    }

    fn settings(self) -> PathBuf {
        self.0.join("my.cnf")
    }
}

/// Whether somebody says hello on the socket: protocol 10 in the first byte behind the header.
fn greets(socket: &Path) -> bool {
    const PATIENCE: Duration = Duration::from_secs(5);
    const PROTOCOL: u8 = 10;
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    let mut start = [0; 5];
    stream.set_read_timeout(Some(PATIENCE)).is_ok()
        && stream.read_exact(&mut start).is_ok()
        && start[4] == PROTOCOL
}
