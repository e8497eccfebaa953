//! The command that is run while the database is served: its environment, its signals, its end.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Pid, kill_process};
use tokio::process::{Child, Command};

use super::super::{Failed, Outcome};
use super::signals::{Asked, Signals};
use super::surroundings::Surroundings;

/// What a shell adds to the number of the signal that ended a command.
const BY_SIGNAL: i32 = 128;
/// As env(1) and shells end where a command is not found, or cannot be started.
const NOT_FOUND: u8 = 127;
const NOT_STARTED: u8 = 126;

/// Runs a command to its end, whose status is ours.
pub(super) async fn run(program: &OsStr, arguments: &[OsString], surroundings: &Surroundings) -> Outcome {
    // Before the command is there: a signal that comes while it starts is not lost.
    let mut signals = Signals::listen()?;
    let mut command = Command::new(program);
    command.args(arguments);
    surroundings.clear.iter().for_each(|name| _ = command.env_remove(name));
    command.envs(surroundings.set.iter().map(|(name, value)| (name, value)));
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

fn hand_on(child: &Child, signal: Asked) {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended this very moment.
        let _ = kill_process(pid, signal.signal());
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
