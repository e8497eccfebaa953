//! The command that is run while the database is served: its environment, its signals, its end.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use attache_wire::Directions;
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};

use super::super::{Failed, Outcome};

/// What a shell adds to the number of the signal that ended a command.
const BY_SIGNAL: i32 = 128;
/// As env(1) and shells end where a command is not found, or cannot be started.
const NOT_FOUND: u8 = 127;
const NOT_STARTED: u8 = 126;

/// Runs a command to its end, whose status is ours.
pub(super) async fn run(program: &OsStr, arguments: &[OsString], directions: &Directions) -> Outcome {
    // Before the command is there: a signal that comes while it starts is not lost.
    let mut signals = Signals::listen()?;
    let mut command = Command::new(program);
    command.args(arguments);
    directions.clear.iter().for_each(|name| _ = command.env_remove(name));
    command.envs(directions.env.iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn().map_err(|error| not_started(program, &error))?;
    loop {
        let signal = tokio::select! {
            status = child.wait() => return as_ours(status),
            signal = signals.next() => signal,
        };
        if !signal.is_from_terminal() {
            hand_on(&child, signal);
        }
    }
}

/// Comes back when somebody wants the process to end.
pub(super) async fn interrupted() -> Outcome {
    Signals::listen()?.next().await;
    Ok(())
}

fn hand_on(child: &Child, signal: Asked) {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended this very moment.
        let _ = kill_process(pid, signal.0);
    }
}

fn as_ours(status: io::Result<ExitStatus>) -> Outcome {
    let status = status.map_err(|error| Failed::Because(format!("cannot wait for the command: {error}")))?;
    let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
    match code.and_then(|code| u8::try_from(code).ok()) {
        Some(0) => Ok(()),
        Some(code) => Err(Failed::Status(code)),
        None => Err(Failed::Because(format!("the command ended with {status}"))),
    }
}

fn not_started(program: &OsStr, error: &io::Error) -> Failed {
    super::super::complain(&format!("cannot start {}: {error}", program.display()));
    Failed::Status(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_STARTED })
}

/// The signals that ask us to end, and are meant for the command where there is one.
struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failed> {
        let listen = || -> io::Result<Self> {
            Ok(Self {
                terminate: unix::signal(SignalKind::terminate())?,
                interrupt: unix::signal(SignalKind::interrupt())?,
                quit: unix::signal(SignalKind::quit())?,
                hang_up: unix::signal(SignalKind::hangup())?,
            })
        };
        listen().map_err(|error| Failed::Because(format!("cannot listen for signals: {error}")))
    }

    async fn next(&mut self) -> Asked {
        Asked(tokio::select! {
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.quit.recv() => Signal::QUIT,
            _ = self.hang_up.recv() => Signal::HUP,
        })
    }
}

/// A signal that came.
#[derive(Clone, Copy)]
struct Asked(Signal);

impl Asked {
    /// Whether a key was pressed, and the terminal has told the command already: it tells everyone in the foreground,
    /// and the command is in our group.
    fn is_from_terminal(self) -> bool {
        let has_key = self.0 == Signal::INT || self.0 == Signal::QUIT;
        has_key && in_foreground()
    }
}

fn in_foreground() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}
