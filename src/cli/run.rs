//! `attache run`: serve until a signal or `attache quit`.

use std::panic::PanicHookInfo;

use clap::Args;

use super::files::Files;
use super::{Failed, Outcome, block_on};
use crate::{app, log};

/// Serve the routes of a configuration.
///
/// SIGTERM, SIGINT and `attache quit` drain and end the process with 0; a second signal ends it at once. SIGHUP
/// and `attache reload` read the configuration again.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    files: Files,
}

impl Run {
    pub(super) fn run(self) -> Outcome {
        let config = self.files.load()?;
        let logging = log::start(&config.log);
        std::panic::set_hook(Box::new(note_panic));
        block_on(app::run(config, || self.files.read(), logging))?
            .map_err(|error| Failed::Because(error.to_string()))
    }
}

/// One line in the log. A message that was put together at run time could quote bytes of a session, so only a
/// fixed one is told.
pub(super) fn note_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    let message = panic.payload().downcast_ref::<&'static str>().copied();
    tracing::error!(location, thread = thread.name(), message, "panic: this is a bug in attache");
}
