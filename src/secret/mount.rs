//! Facts about how a folder is mounted that decide whether it can be trusted, and can ever change.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Mount;
use super::problem::Warning;
use super::snapshot::{files, has_snapshots};

/// The permission to write of everyone. Read permissions say nothing: 0644 is the default of a
/// Secret volume, and `fsGroup` makes files readable for the group.
const OTHERS_WRITE: u32 = 0o002;

/// What is wrong with this mount although it can be read.
pub(super) fn warnings(mount: &Mount) -> Vec<Warning> {
    warnings_of(&mount.path, &files(&mount.path, mount))
}

/// What is wrong with the way in which a file is mounted that is no credential, and decides who is trusted.
pub fn file_warnings(file: &Path) -> Vec<Warning> {
    warnings_of(file.parent().unwrap_or(file), &[file.to_owned()])
}

fn warnings_of(folder: &Path, files: &[PathBuf]) -> Vec<Warning> {
    let mut found = Vec::new();
    if never_updates(folder, files) {
        found.push(Warning::NeverUpdates);
    }
    if files.iter().any(|file| world_writable(file)) {
        found.push(Warning::WorldWritable);
    }
    found
}

/// A file that is mounted by itself stays the file that it was, and loses its last name once the
/// snapshot that it belonged to is removed.
fn never_updates(folder: &Path, files: &[PathBuf]) -> bool {
    if has_snapshots(folder) {
        return false;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    files.iter().any(|file| has_no_name(file) || is_mount_point(file, &mounts))
}

fn has_no_name(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.nlink() == 0)
}

fn world_writable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| found.mode() & OTHERS_WRITE != 0)
}

fn is_mount_point(file: &Path, mounts: &str) -> bool {
    fs::canonicalize(file).is_ok_and(|real| mount_points(mounts).any(|point| point == real))
}

/// The fifth field of each line; a space, tab, line end or backslash is written as three octal
/// digits behind a backslash (proc(5)).
fn mount_points(mounts: &str) -> impl Iterator<Item = PathBuf> {
    mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| PathBuf::from(unescape(point)))
}

fn unescape(point: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(point.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 0:20 / / rw - overlay overlay rw
31 22 0:44 /..2026/password /var/run/secrets/db/password ro,relatime - tmpfs tmpfs rw
32 22 0:45 / /mnt/with\\040space ro - tmpfs tmpfs rw
";

    #[test]
    fn mount_points_are_the_fifth_field_unescaped() {
        let points: Vec<_> = mount_points(MOUNTS).collect();
        assert_eq!(points, ["/", "/var/run/secrets/db/password", "/mnt/with space"].map(PathBuf::from));
    }

    #[test]
    fn a_file_is_a_mount_point_only_by_its_own_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let real = fs::canonicalize(folder.path()).expect("its path").join("password");
        fs::write(&real, "x").expect("written");
        let line = format!("31 22 0:44 /x {} ro - tmpfs tmpfs rw\n", real.display());
        assert!(is_mount_point(&real, &line));
        assert!(!is_mount_point(&real, MOUNTS));
    }
}
