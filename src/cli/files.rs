//! The configuration that a command is about.

use std::path::PathBuf;

use clap::Args;

use super::Failed;
use crate::config::domain::{Config, Listeners};
use crate::config::{self, Complaints, Sources};
use crate::registry;

#[derive(Debug, Clone, Args)]
pub(super) struct Files {
    /// Configuration file (YAML, TOML or JSON); later files are laid over earlier ones.
    #[arg(short = 'c', long = "config", value_name = "FILE", env = "ATTACHE_CONFIG", num_args = 1..)]
    files: Vec<PathBuf>,

    /// One setting, laid over files and environment, such as `log.level=debug`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl Files {
    /// Whether a configuration was named, or a part of one.
    pub(super) fn any(&self) -> bool {
        !self.files.is_empty() || !self.overrides.is_empty()
    }

    /// Where the process of this configuration answers.
    pub(super) fn listeners(&self) -> Result<Listeners, Failed> {
        config::listeners(&self.sources()).map_err(Failed::Configuration)
    }

    pub(super) fn load(&self) -> Result<Config, Failed> {
        self.read().map_err(Failed::Configuration)
    }

    /// Reads the configuration, for the first time or again.
    pub(super) fn read(&self) -> Result<Config, Complaints> {
        config::load(&self.sources(), &registry::facts())
    }

    fn sources(&self) -> Sources {
        Sources { files: self.files.clone(), env: environment(), overrides: self.overrides.clone() }
    }
}

/// What is not text cannot be a setting of ours.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
