//! A mounted Secret as the kubelet writes it.
//!
//! The keys are links to `..data/KEY`, `..data` is a link to a folder named after the time, and an update
//! is one rename of that link. The order of steps is the kubelet's own, so that a reader that resolves the
//! link twice gets into the same trouble here as in a pod.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tempfile::TempDir;
use time::OffsetDateTime;

use crate::scratch::{self, set_mode};

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";
/// The kubelet's default for the files of a Secret.
const FILE_MODE: u32 = 0o644;

type Entries = BTreeMap<String, Vec<u8>>;

/// A Secret volume. Dropping it removes the folder.
#[derive(Debug)]
pub struct Mounted {
    _home: TempDir,
    folder: PathBuf,
    /// What was written last, to put back after `break_`.
    entries: Mutex<Entries>,
}

impl Mounted {
    pub fn new(entries: &[(&str, &str)]) -> Mounted {
        let home = scratch::folder("secret");
        let folder = home.path().join("mounted");
        let mounted = Mounted { _home: home, folder, entries: Mutex::default() };
        mounted.write(entries);
        mounted
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Replaces the whole content; keys that are not named are removed. False if nothing has changed,
    /// in which case nothing was touched, not even for a watcher.
    pub fn write(&self, entries: &[(&str, &str)]) -> bool {
        self.write_bytes(
            entries.iter().map(|(key, value)| (key.to_string(), value.as_bytes().to_vec())).collect(),
        )
    }

    /// The two keys that a database credential consists of.
    pub fn credential(&self, username: &str, password: &str) -> bool {
        self.write(&[("username", username), ("password", password)])
    }

    /// The folder vanishes with everything in it, as when a volume is lost.
    pub fn break_(&self) {
        fs::remove_dir_all(&self.folder).expect("the folder was there");
    }

    /// Puts the folder back with what was written last.
    pub fn heal(&self) {
        update(&self.folder, &self.entries());
    }

    /// The link to the current content is gone, and every key with it: an update that was interrupted.
    pub fn unlink(&self) {
        fs::remove_file(self.folder.join(DATA)).expect("the link was there");
    }

    /// Makes one key impossible to open for anybody, root included: a link that leads to itself.
    pub fn unreadable(&self, key: &str) {
        let file = self.folder.join(DATA).join(key);
        fs::remove_file(&file).expect("the key was there");
        symlink(key, &file).expect("our own folder takes a link");
    }

    /// Gives the key back its content.
    pub fn readable(&self, key: &str) {
        let file = self.folder.join(DATA).join(key);
        fs::remove_file(&file).expect("the key was there");
        let content = self.entries().remove(key).expect("the key was written");
        write_file(&file, &content);
    }

    fn write_bytes(&self, entries: Entries) -> bool {
        let mut last = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == entries && self.folder.join(DATA).exists() {
            return false;
        }
        update(&self.folder, &entries);
        *last = entries;
        true
    }

    fn entries(&self) -> Entries {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The kubelet's order: new folder complete, then the one rename, then new links, stale links, old folder.
fn update(folder: &Path, entries: &Entries) {
    fs::create_dir_all(folder).expect("the volume's folder can be made");
    let old = fs::read_link(folder.join(DATA)).ok();

    let new = timestamped_folder(folder);
    for (key, content) in entries {
        write_file(&new.join(key), content);
    }
    symlink(new.file_name().expect("a fresh folder has a name"), folder.join(DATA_NEW)).expect("a link");
    fs::rename(folder.join(DATA_NEW), folder.join(DATA)).expect("a rename within the folder");

    for key in entries.keys().filter(|key| folder.join(key).symlink_metadata().is_err()) {
        symlink(Path::new(DATA).join(key), folder.join(key)).expect("a link");
    }
    for name in visible_names(folder).filter(|name| !entries.contains_key(name)) {
        fs::remove_file(folder.join(name)).expect("a stale link can go");
    }
    if let Some(old) = old {
        fs::remove_dir_all(folder.join(old)).expect("the old folder can go");
    }
}

fn timestamped_folder(parent: &Path) -> PathBuf {
    let now = OffsetDateTime::from(SystemTime::now());
    let prefix = format!(
        "..{}_{:02}_{:02}_{:02}_{:02}_{:02}.",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second()
    );
    let folder =
        tempfile::Builder::new().prefix(&prefix).rand_bytes(10).tempdir_in(parent).expect("a folder").keep();
    set_mode(&folder, 0o755);
    folder
}

fn write_file(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("our own folder takes a file");
    set_mode(path, FILE_MODE);
}

fn visible_names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).expect("the volume can be listed");
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with(".."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(mounted: &Mounted, key: &str) -> String {
        fs::read_to_string(mounted.path().join(key)).unwrap()
    }

    #[test]
    fn an_update_swaps_one_link_and_removes_the_old_folder() {
        let mounted = Mounted::new(&[("username", "app"), ("password", "one")]);
        let before = fs::read_link(mounted.path().join(DATA)).unwrap();
        assert!(before.to_str().unwrap().starts_with("..2"));
        assert_eq!(fs::read_link(mounted.path().join("password")).unwrap(), Path::new("..data/password"));

        assert!(mounted.credential("app2", "two"));
        assert_eq!(
            (read(&mounted, "username").as_str(), read(&mounted, "password").as_str()),
            ("app2", "two")
        );
        assert_ne!(fs::read_link(mounted.path().join(DATA)).unwrap(), before);
        assert!(!mounted.path().join(before).exists());
    }

    #[test]
    fn equal_content_touches_nothing() {
        let mounted = Mounted::new(&[("username", "app"), ("password", "one")]);
        let before = fs::read_link(mounted.path().join(DATA)).unwrap();
        assert!(!mounted.credential("app", "one"));
        assert_eq!(fs::read_link(mounted.path().join(DATA)).unwrap(), before);
    }

    #[test]
    fn keys_come_and_go() {
        let mounted = Mounted::new(&[("a", "1"), ("b", "2")]);
        mounted.write(&[("b", "3"), ("c", "4")]);
        let mut names: Vec<String> = visible_names(mounted.path()).collect();
        names.sort();
        assert_eq!(names, ["b", "c"]);
        assert_eq!((read(&mounted, "b").as_str(), read(&mounted, "c").as_str()), ("3", "4"));
    }

    #[test]
    fn a_broken_mount_heals_with_what_it_had() {
        let mounted = Mounted::new(&[("username", "app"), ("password", "one")]);
        mounted.break_();
        assert!(!mounted.path().exists());
        mounted.heal();
        assert_eq!(read(&mounted, "password"), "one");
        assert!(mounted.credential("app", "two"));

        mounted.unlink();
        assert!(fs::read(mounted.path().join("password")).is_err());
        mounted.heal();
        assert_eq!(read(&mounted, "password"), "two");

        mounted.unreadable("password");
        assert!(fs::read(mounted.path().join("password")).is_err());
        mounted.readable("password");
        assert_eq!(read(&mounted, "password"), "two");
    }
}
