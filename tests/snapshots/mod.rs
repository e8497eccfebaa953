//! Texts of the program that are kept in files, so that a change of them is seen in review.

use std::fs;
use std::path::PathBuf;

/// Compares a text with the file of the project that keeps it. `ATTACHE_WRITE_SNAPSHOTS=1` writes the file.
pub(crate) fn compare(file: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("ATTACHE_WRITE_SNAPSHOTS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        return fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, kept, "{file} is out of date; ATTACHE_WRITE_SNAPSHOTS=1 writes it anew");
}
