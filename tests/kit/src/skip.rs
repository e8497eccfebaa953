//! What happens to a test whose server is not installed: it is skipped aloud, and in CI it fails. What a machine does
//! not permit, or what `make setup` tried to get and could not, is skipped aloud everywhere.

use std::env;
use std::fmt;
use std::io::{self, Write};

/// Something that `make setup` installs is not there.
#[derive(Debug, Clone)]
pub struct Missing(pub String);

/// Something that this machine does not let us do.
#[derive(Debug, Clone)]
pub struct NotPermitted(pub String);

/// Something that `make setup` could not get on this machine, and why.
#[derive(Debug, Clone)]
pub struct Unavailable(pub String);

/// Why a server of the kit could not be had.
#[derive(Debug)]
pub enum StartError {
    Missing(Missing),
    NotPermitted(NotPermitted),
    Unavailable(Unavailable),
    Failed(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} is not installed: run make setup", self.0)
    }
}

impl From<NotPermitted> for StartError {
    fn from(refused: NotPermitted) -> Self {
        StartError::NotPermitted(refused)
    }
}

impl From<Unavailable> for StartError {
    fn from(unavailable: Unavailable) -> Self {
        StartError::Unavailable(unavailable)
    }
}

impl From<Missing> for StartError {
    fn from(missing: Missing) -> Self {
        StartError::Missing(missing)
    }
}

/// The value, or `None` for a test that must return early because something is not installed.
///
/// ```no_run
/// use attache_kit::{Postgres, Setup, Version, available};
/// let Some(server) = available(Postgres::start(Version::V15, Setup::new())) else { return };
/// ```
pub fn available<T>(result: Result<T, impl Into<StartError>>) -> Option<T> {
    match result.map_err(Into::into) {
        Ok(value) => Some(value),
        Err(StartError::Failed(why)) => panic!("{why}"),
        Err(StartError::Missing(missing)) if required() => panic!("{missing}"),
        Err(StartError::Missing(missing)) => skip(&missing.to_string()),
        Err(StartError::NotPermitted(refused)) => skip(&format!("{} is not permitted here", refused.0)),
        Err(StartError::Unavailable(nowhere)) => skip(&format!("{} cannot be had here", nowhere.0)),
    }
}

fn skip<T>(why: &str) -> Option<T> {
    // Not eprintln: the test runner would swallow it, and a skip must be heard.
    let _ = writeln!(io::stderr(), "SKIPPED: {why}");
    None
}

fn required() -> bool {
    env::var_os("CI").is_some_and(|ci| ci == "true") || env::var_os("ATTACHE_REQUIRE_SERVERS").is_some()
}
