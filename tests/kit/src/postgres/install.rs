//! Where the binaries of a version are, and a fresh cluster made by them.
//!
//! An initdb takes over a second, so its result is kept in the cache and copied.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use super::Version;
use crate::scratch::{self, Owner};
use crate::skip::{Missing, StartError};
use crate::{template, tools};

/// Counts the changes to `INITDB`, so that an older template is not taken for a newer one.
const TEMPLATE_FORMAT: u32 = 1;
const INITDB: [&str; 8] = [
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--no-locale",
    "--no-sync",
    "--no-instructions",
    "--wal-segsize=4",
    "-D",
];
const INITDB_DEADLINE: Duration = Duration::from_secs(120);

/// A usable set of binaries and the user they run as.
#[derive(Debug, Clone)]
pub(super) struct Install {
    binaries: PathBuf,
    owner: Owner,
    version: Version,
}

impl Install {
    pub(super) fn find(version: Version) -> Result<Install, StartError> {
        let owner = Owner::of("postgres");
        let binaries = match version {
            Version::V15 => PathBuf::from("/usr/lib/postgresql/15/bin"),
            Version::V18 => tools::cache().join("postgresql-18/bin"),
        };
        if !binaries.join("postgres").exists() {
            return Err(Missing(format!("PostgreSQL {}", version.number())).into());
        }
        let binaries = binaries.canonicalize().map_err(|error| StartError::Failed(error.to_string()))?;
        let binaries = if owner.reaches(&binaries) { binaries } else { reachable_copy(&binaries, owner)? };
        Ok(Install { binaries, owner, version })
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = self.owner.command(&self.binaries.join(program));
        command.env("LC_ALL", "C").env_remove("PGDATA");
        command
    }

    /// A cluster that has never run, at `data`.
    pub(super) fn fresh_cluster(&self, data: &Path) -> Result<(), String> {
        match self.template()? {
            Some(template) => scratch::copy_tree(&template, data)
                .map_err(|error| format!("could not copy {template:?}: {error}")),
            None => self.initdb(data),
        }
    }

    /// Nothing where the cache belongs to somebody else: then each server costs an initdb.
    fn template(&self) -> Result<Option<PathBuf>, String> {
        template::kept(&self.template_name(), |data| self.initdb(data))
    }

    /// By user, because a cluster can be read by nobody else.
    fn template_name(&self) -> String {
        let version = tools::run(self.command("postgres").arg("--version"), b"", INITDB_DEADLINE).ok();
        let number = version.split_whitespace().nth(2).unwrap_or("unknown");
        let user = rustix::process::getuid().as_raw();
        format!("postgresql-{number}-{TEMPLATE_FORMAT}-{user}")
    }

    fn initdb(&self, data: &Path) -> Result<(), String> {
        let made = fs::create_dir(data).and_then(|()| self.owner.give(data));
        made.map_err(|error| format!("{data:?}: {error}"))?;
        let mut initdb = self.command("initdb");
        let ran = tools::run(initdb.args(INITDB).arg(data).current_dir("/"), b"", INITDB_DEADLINE);
        if ran.status.success() {
            return Ok(());
        }
        Err(format!("initdb of PostgreSQL {}: {}{}", self.version.number(), ran.stderr, ran.stdout))
    }
}

/// A checkout under `/root` cannot be entered by the server's user: it gets a copy for this process.
fn reachable_copy(binaries: &Path, owner: Owner) -> Result<PathBuf, StartError> {
    static COPY: OnceLock<Result<TempDir, String>> = OnceLock::new();
    let native = binaries.parent().expect("binaries lie in a folder of the installation");
    let copy = COPY.get_or_init(|| template::reachable_copy(native, owner));
    match copy {
        Ok(folder) => Ok(folder.path().join("copy/bin")),
        Err(why) => Err(StartError::Failed(format!("could not copy {binaries:?}: {why}"))),
    }
}
