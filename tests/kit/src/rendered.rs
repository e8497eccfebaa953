//! Secrets that are plain files: rendered by an agent, written in place, or frozen by `subPath`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;

use tempfile::TempDir;

use crate::scratch;

/// A folder without `..data`, whose files change one at a time.
#[derive(Debug)]
pub struct Rendered(TempDir);

impl Rendered {
    pub fn new(entries: &[(&str, &str)]) -> Rendered {
        let rendered = Rendered(scratch::folder("rendered"));
        for (key, value) in entries {
            rendered.overwrite(key, value);
        }
        rendered
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A temporary file renamed onto the key, as Vault's agent does it.
    pub fn replace(&self, key: &str, value: &str) {
        let mut temporary =
            tempfile::NamedTempFile::new_in(self.path()).expect("our own folder takes a file");
        temporary.write_all(value.as_bytes()).expect("a file takes its content");
        temporary.persist(self.file(key)).expect("a rename within the folder");
    }

    /// Truncates and writes the same file, as a naive script does it.
    pub fn overwrite(&self, key: &str, value: &str) {
        fs::write(self.file(key), value).expect("our own folder takes a file");
    }

    /// The first half of a naive write: the file is there and empty.
    pub fn truncate(&self, key: &str) {
        File::create(self.file(key)).expect("our own folder takes a file");
    }

    /// Writes on at the end, so that a test can hold a file half written.
    pub fn append(&self, key: &str, part: &str) {
        let mut file = OpenOptions::new().append(true).open(self.file(key)).expect("the key was there");
        file.write_all(part.as_bytes()).expect("a file takes its content");
    }

    pub fn remove(&self, key: &str) {
        fs::remove_file(self.file(key)).expect("the key was there");
    }

    fn file(&self, key: &str) -> PathBuf {
        self.path().join(key)
    }
}

/// Files mounted one by one with `subPath`: after a rotation each still shows its old content, and its
/// link count is zero, because only the mount holds it.
///
/// A real one is a bind mount, which needs rights over the machine. Here each key is a link to an open
/// file of this process, which a reader follows to the same unlinked inode.
#[derive(Debug)]
pub struct SubPath {
    folder: TempDir,
    origin: TempDir,
    _held: Vec<File>,
}

impl SubPath {
    pub fn new(entries: &[(&str, &str)]) -> SubPath {
        let (folder, origin) = (scratch::folder("subpath"), scratch::folder("subpath-origin"));
        let mut held = Vec::new();
        for (key, value) in entries {
            let file = origin.path().join(key);
            fs::write(&file, value).expect("our own folder takes a file");
            let file = File::open(file).expect("it was just written");
            let open_file = format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd());
            symlink(open_file, folder.path().join(key)).expect("our own folder takes a link");
            held.push(file);
        }
        SubPath { folder, origin, _held: held }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The Secret changes, and nothing of it arrives.
    pub fn rotate(&self) {
        for entry in fs::read_dir(self.origin.path()).expect("our own folder can be listed") {
            fs::remove_file(entry.expect("an entry").path()).expect("our own file can go");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_replaced_file_is_another_file_and_an_overwritten_one_the_same() {
        let rendered = Rendered::new(&[("password", "one")]);
        let file = rendered.path().join("password");
        let inode = |file: &Path| fs::metadata(file).unwrap().ino();
        let first = inode(&file);

        rendered.overwrite("password", "two");
        assert_eq!((inode(&file), fs::read_to_string(&file).unwrap().as_str()), (first, "two"));
        rendered.replace("password", "three");
        assert_ne!(inode(&file), first);
        assert_eq!(fs::read_to_string(&file).unwrap(), "three");

        rendered.truncate("password");
        assert_eq!(fs::read_to_string(&file).unwrap(), "");
        rendered.append("password", "fo");
        rendered.append("password", "ur");
        assert_eq!(fs::read_to_string(&file).unwrap(), "four");
        assert_eq!(fs::read_dir(rendered.path()).unwrap().count(), 1, "a temporary file was left behind");
    }

    #[test]
    fn a_rotation_never_reaches_a_subpath_mount() {
        let frozen = SubPath::new(&[("password", "one")]);
        let file = frozen.path().join("password");
        assert_eq!(fs::metadata(&file).unwrap().nlink(), 1);
        frozen.rotate();
        assert_eq!(fs::read_to_string(&file).unwrap(), "one");
        assert_eq!(fs::metadata(&file).unwrap().nlink(), 0);
    }
}
