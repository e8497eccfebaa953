//! A private PostgreSQL: own data, own port, own rules, gone at the end.
//!
//! The first server of a version costs an initdb, whose result is kept in the cache; each further one
//! starts in a fraction of a second. Nothing is synced to disk: what a crash of the machine would lose is
//! of no interest here.

mod admin;
mod install;
mod setup;
mod standby;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use admin::Encryption;
pub use setup::Setup;

use crate::keeper::Keeper;
use crate::ports::{self, Port};
use crate::scratch::{self, Owner};
use crate::skip::StartError;
use crate::wait::within;
use install::Install;

/// A loaded machine of two cores may take seconds; a healthy one takes 100 ms.
const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// How often a port that somebody took in between is replaced by another.
const PORT_TRIES: usize = 5;
const LOG_TAIL_LINES: usize = 40;

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
    child: Option<Child>,
    _keeper: Keeper,
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
        let keeper = Keeper::of_server(&data.join("postmaster.pid"), "QUIT", folder.path());
        let port = ports::reserve();
        let mut server = Postgres { version, install, setup, port, child: None, _keeper: keeper, folder };
        server
            .setup
            .write(&data, version)
            .map_err(|error| StartError::Failed(format!("{data:?}: {error}")))?;
        server.own(&[&data, &sockets]);
        server.run_on_a_free_port().map_err(StartError::Failed)?;
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
        let Some(mut child) = self.child.take() else { return };
        signal(&child, how.signal());
        if within(STOP_DEADLINE, || child.try_wait().ok().flatten()).is_none() {
            signal(&child, Signal::QUIT);
            let _ = child.wait();
            panic!("PostgreSQL did not stop {how:?} within {STOP_DEADLINE:?}:\n{}", self.log_tail());
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
        self.stop(Stop::Fast);
        self.start_again();
    }

    /// Everything the server has logged, over restarts too.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
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
        let child = self.spawn().map_err(|error| format!("could not start PostgreSQL: {error}"))?;
        let child = self.child.insert(child);
        let status_file = data_of(&self.folder).join("postmaster.pid");
        let outcome = within(START_DEADLINE, || match child.try_wait() {
            Ok(None) => is_ready(&status_file, child.id()).then_some(Ok(())),
            Ok(Some(status)) => Some(Err(format!("it ended with {status}"))),
            Err(error) => Some(Err(error.to_string())),
        });
        let why = match outcome {
            Some(Ok(())) => return Ok(()),
            Some(Err(why)) => why,
            None => format!("it was not ready within {START_DEADLINE:?}"),
        };
        self.kill();
        Err(format!("PostgreSQL {} did not start, {why}:\n{}", self.version.number(), self.log_tail()))
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let log = File::options().create(true).append(true).open(self.log_file())?;
        self.install
            .command("postgres")
            .arg("-D")
            .arg(data_of(&self.folder))
            .args(["-p", &self.port().to_string()])
            .arg("-k")
            .arg(self.socket_dir())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal is for the tests, which then stop it in order.
            .process_group(0)
            .spawn()
    }

    fn own(&self, paths: &[&Path]) {
        for path in paths {
            self.owner().give(path).expect("root may give its files away");
        }
    }

    fn owner(&self) -> Owner {
        self.install.owner()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn data(&self) -> PathBuf {
        data_of(&self.folder)
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(&child, Signal::QUIT);
            if within(STOP_DEADLINE, || child.try_wait().ok().flatten()).is_none() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn data_of(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

fn signal(child: &Child, signal: Signal) {
    // The child is not waited for yet, so the number is still its own.
    let _ = kill_process(Pid::from_child(child), signal);
}

/// The server's own status line, as `pg_ctl` reads it.
fn is_ready(status_file: &Path, pid: u32) -> bool {
    const STATUS_LINE: usize = 7;
    let Ok(status) = fs::read_to_string(status_file) else { return false };
    let mut lines = status.lines().map(str::trim);
    lines.next() == Some(pid.to_string().as_str())
        && matches!(lines.nth(STATUS_LINE - 1), Some("ready" | "standby"))
}
