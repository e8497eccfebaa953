//! `attache schema`: what editors and CI need to check a configuration.

use clap::Args;

use super::{Outcome, print};
use crate::{config, registry};

/// Print the JSON Schema of the configuration.
#[derive(Debug, Args)]
pub(super) struct Schema {
    /// That of a project file (`attache.dev.yaml`) instead.
    #[arg(long)]
    dev: bool,
}

impl Schema {
    pub(super) fn run(self) -> Outcome {
        let schema = if self.dev { config::project_schema() } else { config::schema(&registry::facts()) };
        print(&format!("{schema:#}\n"))
    }
}
