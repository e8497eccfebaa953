//! The certificate authorities by which servers are verified, as they were read last.
//!
//! Their file is looked at again where links are made: one that was renewed is followed without a reload, and while one
//! cannot be used, those that were read before it go on. All routes share what was read, also across reloads. What is
//! verified by them is not decided here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::time::Instant;

use crate::failure::{Cause, Trouble};
use crate::secret::{Stamp, Warning, file_warnings, has_snapshots};

/// A file is looked at again after so long: for that, its name is asked for and nothing is read.
const FILE_LOOKED_AT: Duration = Duration::from_secs(5);
/// The system's are read again after so long: they may be hundreds of files.
const SYSTEM_READ: Duration = Duration::from_secs(60);

/// What was read of each file, and of the system. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Authorities(Arc<Mutex<HashMap<Option<PathBuf>, Known>>>);

#[derive(Debug, Default)]
struct Known {
    roots: Option<Arc<RootCertStore>>,
    /// The file that they are from; `None` if it was being written to.
    stamp: Option<Stamp>,
    looked_at: Option<Instant>,
    /// Why what is there now is not in use.
    problem: Option<String>,
    warnings: Vec<Warning>,
}

impl Authorities {
    /// Those of a PEM file, or of the system, as they are trusted now. While nothing changes it is the same store.
    ///
    /// # Errors
    /// [`Cause::TlsSetup`] with the file that cannot be used, where none were read before it.
    pub fn of(&self, file: Option<&Path>) -> Result<Arc<RootCertStore>, Trouble> {
        let mut all = self.lock();
        let known = all.entry(file.map(Path::to_owned)).or_default();
        if known.is_due(file) {
            known.look(file);
        }
        let problem = || Trouble::new(Cause::TlsSetup, known.problem.clone().unwrap_or_default());
        known.roots.clone().ok_or_else(problem)
    }

    /// Why that file could not be used when it was looked at last, while those that were read before go on.
    pub fn problem(&self, file: Option<&Path>) -> Option<String> {
        let all = self.lock();
        let known = all.get(&file.map(Path::to_owned))?;
        known.problem.clone().filter(|_| known.roots.is_some())
    }

    /// Whether that file could not be used when it was looked at last, be there others to go on with or not.
    pub fn is_broken(&self, file: Option<&Path>) -> bool {
        let all = self.lock();
        all.get(&file.map(Path::to_owned)).is_some_and(|known| known.problem.is_some())
    }

    /// What is wrong with that file although it can be read.
    pub fn warnings(&self, file: Option<&Path>) -> Vec<Warning> {
        let all = self.lock();
        all.get(&file.map(Path::to_owned)).map(|known| known.warnings.clone()).unwrap_or_default()
    }

    /// Nothing that panics runs under this lock, and what is known is put in its place at once.
    fn lock(&self) -> MutexGuard<'_, HashMap<Option<PathBuf>, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_due(&self, file: Option<&Path>) -> bool {
        let pause = if file.is_some() { FILE_LOOKED_AT } else { SYSTEM_READ };
        self.roots.is_none() || self.looked_at.is_none_or(|at| at.elapsed() >= pause)
    }

    /// Reads what may have changed, unless it is being written to and there is something to go on with.
    fn look(&mut self, file: Option<&Path>) {
        let before = file.and_then(Stamp::at);
        let settled = file.is_some_and(is_swapped) || before.as_ref().is_none_or(Stamp::has_settled);
        if before.is_some() && before == self.stamp && self.problem.is_none() {
            self.looked_at = Some(Instant::now());
            return;
        }
        if self.roots.is_some() && !settled {
            return;
        }
        let read = read(file);
        let is_whole = settled && before == file.and_then(Stamp::at);
        if self.roots.is_some() && !is_whole {
            return;
        }
        self.looked_at = Some(Instant::now());
        self.stamp = before.filter(|_| is_whole);
        self.doubt(file, file.map(file_warnings).unwrap_or_default());
        match read {
            Ok(roots) => self.take_over(file, roots),
            Err(problem) => self.complain(file, problem),
        }
    }

    fn take_over(&mut self, file: Option<&Path>, roots: RootCertStore) {
        let (file, certificates) = (name(file), roots.len());
        if self.problem.take().is_some() {
            tracing::info!(file, certificates, "authorities are in order again");
        }
        match &self.roots {
            Some(before) if before.roots == roots.roots => return,
            Some(_) => tracing::info!(file, certificates, "authorities changed"),
            None => {}
        }
        self.roots = Some(Arc::new(roots));
    }

    fn doubt(&mut self, file: Option<&Path>, warnings: Vec<Warning>) {
        for warning in warnings.iter().filter(|warning| !self.warnings.contains(warning)) {
            tracing::warn!(file = name(file), warning = warning.name(), "authorities: {warning}");
        }
        self.warnings = warnings;
    }

    fn complain(&mut self, file: Option<&Path>, problem: String) {
        if self.problem.as_ref() != Some(&problem) {
            let advice = match self.roots {
                Some(_) => "those that were read before go on",
                None => "no server can be verified: check tls.ca",
            };
            tracing::warn!(file = name(file), advice, "authorities not read: {problem}");
        }
        self.problem = Some(problem);
    }
}

/// Whether the file is replaced as a whole, with its folder: then there is nothing to wait for.
fn is_swapped(file: &Path) -> bool {
    file.parent().is_some_and(has_snapshots)
}

fn name(file: Option<&Path>) -> String {
    file.map_or_else(|| "the system's".to_owned(), |file| file.display().to_string())
}

/// All that are in a PEM file, or that the system has.
fn read(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let certificates = match file {
        Some(path) => read_certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    store.add_parsable_certificates(certificates);
    match (store.is_empty(), file) {
        (false, _) => Ok(store),
        (true, Some(path)) => Err(format!("{}: no certificate in it", path.display())),
        (true, None) => Err("this system has no certificate authorities: set tls.ca".to_owned()),
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
