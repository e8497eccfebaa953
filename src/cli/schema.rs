//! `attache schema`: what editors and CI need to check a configuration.

use clap::Args;

use super::{Outcome, print};
use crate::{config, registry};

/// Print the JSON Schema of the configuration.
#[derive(Debug, Args)]
pub(super) struct Schema {}

impl Schema {
    pub(super) fn run(self) -> Outcome {
        print(&format!("{:#}\n", config::schema(&registry::facts())));
        Ok(())
    }
}
