//! The signals that ask the process to end.

use std::io;

use rustix::process::{Signal, getpgrp};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{self, SignalKind};

use super::super::Failed;

/// The signals that ask us to end, and are meant for the command where there is one.
pub(super) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failed> {
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

    /// The next one that comes.
    pub(super) async fn next(&mut self) -> Asked {
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
pub(super) struct Asked(Signal);

impl Asked {
    pub(super) fn signal(self) -> Signal {
        self.0
    }

    /// Whether a key was pressed, and the terminal has told the command already: it tells everyone in the foreground,
    /// and the command is in our group.
    pub(super) fn is_from_terminal(self) -> bool {
        let has_key = self.0 == Signal::INT || self.0 == Signal::QUIT;
        has_key && in_foreground()
    }
}

fn in_foreground() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}
