//! A private MariaDB or MySQL: own data, own port, own accounts, gone at the end.
//!
//! Both speak one protocol and are started, asked and stopped in the same way; what differs between them is in
//! `install` (where they come from), `setup` (settings) and `admin` (how an account is made).

mod admin;
mod install;
mod setup;

use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use admin::{Plugin, Require};
pub use setup::Setup;

use crate::keeper::Keeper;
use crate::pki::Pair;
use crate::ports::{self, Port};
use crate::scratch;
use crate::skip::StartError;
use crate::wait::within;
use install::Install;

/// A loaded machine of two cores may take seconds; a healthy one takes less than one.
const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// How often a port that somebody took in between is replaced by another.
const PORT_TRIES: usize = 5;
const LOG_TAIL_LINES: usize = 40;

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
    child: Option<Child>,
    _keeper: Keeper,
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
        let keeper = Keeper::of_server(&files.pid(), "KILL", folder.path());
        let mut server =
            Mysql { install, setup, port: ports::reserve(), child: None, _keeper: keeper, folder };
        server.own(&server.files().data());
        server.own(&server.files().run());
        server.write_certificates();
        server.run_on_a_free_port().map_err(StartError::Failed)?;
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
        let Some(mut child) = self.child.take() else { return };
        signal(&child, Signal::TERM);
        if within(STOP_DEADLINE, || child.try_wait().ok().flatten()).is_none() {
            end(child);
            panic!("{:?} did not stop within {STOP_DEADLINE:?}:\n{}", self.flavour(), self.log_tail());
        }
    }

    /// As a crash: clients see their connections end.
    pub fn crash(&mut self) {
        if let Some(child) = self.child.take() {
            end(child);
        }
    }

    /// Starts a stopped server on its old port with its old data.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "the server is still running");
        if let Err(why) = self.run() {
            panic!("{why}");
        }
    }

    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Everything the server has logged, over restarts too.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.files().log()).unwrap_or_default()).into_owned()
    }

    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    fn run_on_a_free_port(&mut self) -> Result<(), String> {
        for _ in 1..PORT_TRIES {
            match self.run() {
                Err(why) if why.contains("Address already in use") => self.port = ports::reserve(),
                outcome => return outcome,
            }
        }
        self.run()
    }

    fn run(&mut self) -> Result<(), String> {
        let child = self.spawn().map_err(|error| format!("could not start {:?}: {error}", self.flavour()))?;
        let socket = self.socket();
        let child = self.child.insert(child);
        let outcome = within(START_DEADLINE, || match child.try_wait() {
            Ok(None) => greets(&socket).then_some(Ok(())),
            Ok(Some(status)) => Some(Err(format!("it ended with {status}"))),
            Err(error) => Some(Err(error.to_string())),
        });
        let why = match outcome {
            Some(Ok(())) => return Ok(()),
            Some(Err(why)) => why,
            None => format!("it was not ready within {START_DEADLINE:?}"),
        };
        self.crash();
        Err(format!("{:?} did not start, {why}:\n{}", self.flavour(), self.log_tail()))
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let files = self.files();
        // What a crash left would be taken for a running server.
        let _ = fs::remove_file(files.socket());
        fs::write(files.settings(), self.setup.text(self.flavour(), &self.install, files, self.port()))?;
        let log = File::options().create(true).append(true).open(files.log())?;
        self.install
            .server()
            .arg(format!("--defaults-file={}", files.settings().display()))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal is for the tests, which then stop it in order.
            .process_group(0)
            .spawn()
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

impl Drop for Mysql {
    /// Without ceremony: the data goes too.
    fn drop(&mut self) {
        self.crash();
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

    fn log(self) -> PathBuf {
        self.0.join("log")
    }
}

fn signal(child: &Child, signal: Signal) {
    // The child is not waited for yet, so the number is still its own.
    let _ = kill_process(Pid::from_child(child), signal);
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
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
