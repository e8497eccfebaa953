//! A private PostgreSQL: own data, own port, own rules, gone at the end.
//!
//! The first server of a version costs an initdb, whose result is kept in the cache; each further one
//! starts in a fraction of a second. Nothing is synced to disk: what a crash of the machine would lose is
//! of no interest here.

mod admin;
mod install;
mod setup;
mod standby;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

pub use admin::Encryption;
pub use setup::Setup;

use crate::ports::{self, Port};
use crate::scratch::{self, Owner};
use crate::server::{Server, on_free_ports};
use crate::skip::StartError;
use install::Install;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    V15,
    V18,
}

impl Version {
    pub const ALL: [Version; 2] = [Version::V15, Version::V18];

    pub fn number(self) -> u32 {
        match self {
            Version::V15 => 15,
            Version::V18 => 18,
        }
    }
}

/// How a server is told to stop, in the words of its manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Waits until the clients have gone.
    Smart,
    /// Ends the clients' sessions with a message.
    Fast,
    /// As a crash: clients hear a short word at best.
    Immediate,
}

impl Stop {
    fn signal(self) -> Signal {
        match self {
            Stop::Smart => Signal::TERM,
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        }
    }
}

#[derive(Debug)]
pub struct Postgres {
    version: Version,
    install: Install,
    setup: Setup,
    port: Port,
    server: Server,
    folder: TempDir,
}

impl Postgres {
    /// A fresh cluster, running and ready.
    pub fn start(version: Version, setup: Setup) -> Result<Postgres, StartError> {
        let install = Install::find(version)?;
        let folder = scratch::folder("postgres");
        install.fresh_cluster(&data_of(&folder)).map_err(StartError::Failed)?;
        Postgres::launch(version, install, setup, folder)
    }

    fn launch(
        version: Version,
        install: Install,
        setup: Setup,
        folder: TempDir,
    ) -> Result<Postgres, StartError> {
        let (data, sockets) = (data_of(&folder), folder.path().join("s"));
        fs::create_dir(&sockets)
            .map_err(|error| StartError::Failed(format!("could not make {sockets:?}: {error}")))?;
        let name = format!("PostgreSQL {}", version.number());
        let server = Server::new(name, folder.path(), Stop::Immediate.signal());
        let mut server = Postgres { version, install, setup, port: ports::reserve(), server, folder };
        server
            .setup
            .write(&data, version)
            .map_err(|error| StartError::Failed(format!("{data:?}: {error}")))?;
        server.own(&[&data, &sockets]);
        let move_on = |server: &mut Postgres| server.port = ports::reserve();
        on_free_ports(&mut server, Postgres::run, move_on).map_err(StartError::Failed)?;
        Ok(server)
    }

    pub fn version(&self) -> Version {
        self.version
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// For libpq's `host=`.
    pub fn socket_dir(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub fn socket(&self) -> PathBuf {
        self.socket_dir().join(format!(".s.PGSQL.{}", self.port()))
    }

    pub fn stop(&mut self, how: Stop) {
        self.server.stop(how.signal());
    }

    /// Starts a stopped server on its old port with its old data.
    pub fn start_again(&mut self) {
        self.run().unwrap_or_else(|why| panic!("{why}"));
    }

    pub fn restart(&mut self) {
        self.stop(Stop::Fast);
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
        let status_file = self.data().join("postmaster.pid");
        let command = self.command();
        self.server.run(command, |pid| is_ready(&status_file, pid))
    }

    fn command(&self) -> Command {
        let mut command = self.install.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port().to_string()]);
        command.arg("-k").arg(self.socket_dir());
        command
    }

    fn own(&self, paths: &[&Path]) {
        for path in paths {
            self.owner().give(path).expect("root may give its files away");
        }
    }

    fn owner(&self) -> Owner {
        self.install.owner()
    }

    fn data(&self) -> PathBuf {
        data_of(&self.folder)
    }
}

fn data_of(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

/// The server's own status line, as `pg_ctl` reads it.
fn is_ready(status_file: &Path, pid: u32) -> bool {
    const STATUS_LINE: usize = 7;
    let Ok(status) = fs::read_to_string(status_file) else { return false };
    let mut lines = status.lines().map(str::trim);
    lines.next() == Some(pid.to_string().as_str())
        && matches!(lines.nth(STATUS_LINE - 1), Some("ready" | "standby"))
}
