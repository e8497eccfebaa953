//! `attache completions`: for the shells of people.

use clap::Args;
use clap_complete::Shell;

use super::{Outcome, print};

/// Print a completion script.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell that is meant.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, command: &mut clap::Command) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "attache", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
