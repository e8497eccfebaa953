//! A private server's process: started until it is ready, stopped, frozen, crashed, and its log.
//!
//! What makes it ready, and which signal ends it in what order, each kind of server says itself.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::keeper::Keeper;
use crate::wait::within;

/// A loaded machine of two cores may take seconds; a healthy one takes less than one.
const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// How often a port that somebody took in between is replaced by another.
const PORT_TRIES: usize = 5;
const LOG_TAIL_LINES: usize = 40;

#[derive(Debug)]
pub(crate) struct Server {
    /// For messages.
    name: String,
    /// Everything that it says is in the file `log` there.
    folder: PathBuf,
    /// What ends it when nobody asks for more.
    quits_by: Signal,
    running: Option<(Child, Keeper)>,
}

impl Server {
    pub(crate) fn new(name: impl Into<String>, folder: &Path, quits_by: Signal) -> Server {
        Server { name: name.into(), folder: folder.to_owned(), quits_by, running: None }
    }

    /// Comes back when it is ready; `is_ready` is told its number.
    pub(crate) fn run(&mut self, command: Command, is_ready: impl Fn(u32) -> bool) -> Result<(), String> {
        assert!(self.running.is_none(), "{} is still running", self.name);
        let child = self.spawn(command).map_err(|error| format!("could not start {}: {error}", self.name))?;
        let keeper = Keeper::of_server(child.id(), self.quits_by);
        let (child, _) = self.running.insert((child, keeper));
        let outcome = within(START_DEADLINE, || match child.try_wait() {
            Ok(None) => is_ready(child.id()).then_some(Ok(())),
            Ok(Some(status)) => Some(Err(format!("it ended with {status}"))),
            Err(error) => Some(Err(error.to_string())),
        });
        let why = match outcome {
            Some(Ok(())) => return Ok(()),
            Some(Err(why)) => why,
            None => format!("it was not ready within {START_DEADLINE:?}"),
        };
        self.quit();
        Err(format!("{} did not start, {why}:\n{}", self.name, self.log_tail()))
    }

    fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let log = File::options().create(true).append(true).open(self.log_file())?;
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal is for the tests, which then stop it in order.
            .process_group(0)
            .spawn()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let (child, _) = self.running.as_ref().expect("the server is running");
        tell(child, signal);
    }

    /// Comes back when it has ended; one that has done so already is left alone.
    ///
    /// # Panics
    /// If it does not obey.
    pub(crate) fn stop(&mut self, signal: Signal) {
        if !self.ends(signal) {
            self.quit();
            panic!("{} did not stop by {signal:?} within {STOP_DEADLINE:?}:\n{}", self.name, self.log_tail());
        }
    }

    /// As quickly as can be without a loss to others.
    pub(crate) fn quit(&mut self) {
        if !self.ends(self.quits_by) {
            self.ends(Signal::KILL);
        }
    }

    fn ends(&mut self, signal: Signal) -> bool {
        let Some((child, _)) = &mut self.running else { return true };
        if matches!(child.try_wait(), Ok(None)) {
            tell(child, signal);
        }
        let has_ended = within(STOP_DEADLINE, || child.try_wait().ok().flatten()).is_some();
        if has_ended {
            self.running = None;
        }
        has_ended
    }

    /// Everything that it has logged, over restarts too.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Drop for Server {
    /// Without ceremony: the data goes too.
    fn drop(&mut self) {
        self.quit();
    }
}

fn tell(child: &Child, signal: Signal) {
    // The child is not waited for yet, so the number is still its own.
    let _ = kill_process(Pid::from_child(child), signal);
}

/// Runs a server whose ports are tried anew, by `move_on`, while somebody else has taken one.
pub(crate) fn on_free_ports<S>(
    server: &mut S,
    run: impl Fn(&mut S) -> Result<(), String>,
    move_on: impl Fn(&mut S),
) -> Result<(), String> {
    for _ in 1..PORT_TRIES {
        match run(server) {
            Err(why) if why.contains("Address already in use") => move_on(server),
            outcome => return outcome,
        }
    }
    run(server)
}
