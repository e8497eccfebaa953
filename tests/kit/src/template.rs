//! What is slow to make and quick to copy: a fresh cluster in the cache, programs where a server's user reaches them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use crate::scratch::{self, Owner};
use crate::tools;

/// The kept folder of this name, made now by `make` if there is none. Test processes that come at the same time may each
/// make one; the first to rename it into place wins. Nothing where the cache belongs to somebody else.
pub(crate) fn kept(
    name: &str,
    make: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<Option<PathBuf>, String> {
    // One at a time: the tests of a process all start at once.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);

    let template = tools::cache().join("templates").join(name);
    if template.exists() {
        return Ok(Some(template));
    }
    let workshop = scratch::folder("template");
    let data = workshop.path().join("data");
    make(&data)?;
    Ok(keep(&data, &template).is_ok().then_some(template))
}

fn keep(data: &Path, template: &Path) -> io::Result<()> {
    let shelf = template.parent().expect("a template lies in the folder of templates");
    fs::create_dir_all(shelf)?;
    let staging = tempfile::tempdir_in(shelf)?;
    let copy = staging.path().join("data");
    scratch::copy_tree(data, &copy)?;
    match fs::rename(&copy, template) {
        Err(_) if template.exists() => Ok(()),
        outcome => outcome,
    }
}

/// A copy of `programs` under the folder's `copy`: a checkout under `/root` cannot be entered by a server's user.
pub(crate) fn reachable_copy(programs: &Path, owner: Owner) -> Result<TempDir, String> {
    let folder = scratch::folder("programs");
    let copied = scratch::copy_tree(programs, &folder.path().join("copy"));
    copied.and_then(|()| owner.give(folder.path())).map_err(|error| error.to_string())?;
    Ok(folder)
}
