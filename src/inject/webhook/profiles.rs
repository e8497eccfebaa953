//! Configurations that the platform offers by name: the files of a folder.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

/// All annotations of an object together may have 256 KiB.
const LONGEST: u64 = 128 * 1024;
/// More than anybody can choose from.
const MOST: usize = 1000;

/// Reads every `NAME.yaml`. Other files are none of ours: a mounted ConfigMap has some.
///
/// # Errors
/// The folder or a file cannot be read.
pub(super) fn read(folder: &Path) -> Result<BTreeMap<String, String>, String> {
    let failed = |error: std::io::Error| format!("profiles {}: {error}", folder.display());
    let mut profiles = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(failed)?.take(MOST) {
        let path = entry.map_err(failed)?.path();
        let name =
            path.file_stem().and_then(OsStr::to_str).filter(|_| path.extension() == Some(OsStr::new("yaml")));
        let Some(name) = name else { continue };
        if std::fs::metadata(&path).map_err(failed)?.len() > LONGEST {
            return Err(format!("profile {}: longer than {LONGEST} octets", path.display()));
        }
        profiles.insert(name.to_owned(), std::fs::read_to_string(&path).map_err(failed)?);
    }
    Ok(profiles)
}
