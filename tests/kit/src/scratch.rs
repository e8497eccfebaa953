//! Temporary folders that a server's own user can reach, and the user that servers run as.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::keeper::Keeper;

/// Whom a server runs as: databases refuse root, so root lends them an ordinary user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner(Option<(u32, u32)>);

/// Debian's number for nobody.
const NOBODY: (u32, u32) = (65534, 65534);

impl Owner {
    /// `preferred` when we are root and it exists, else nobody; ourselves when we are not root.
    pub(crate) fn of(preferred: &str) -> Owner {
        if !rustix::process::getuid().is_root() {
            return Owner(None);
        }
        Owner(Some(ids(preferred).unwrap_or(NOBODY)))
    }

    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Hands over a folder with everything in it.
    pub(crate) fn give(self, path: &Path) -> io::Result<()> {
        let Some((uid, gid)) = self.0 else { return Ok(()) };
        chown_tree(path, uid, gid)
    }

    /// Whether this user can walk down to `path`: every folder above it must let strangers pass.
    pub(crate) fn reaches(self, path: &Path) -> bool {
        self.0.is_none() || path.ancestors().skip(1).all(lets_strangers_pass)
    }
}

/// A fresh folder that anybody may enter, gone with its value or with the process.
pub(crate) fn folder(purpose: &str) -> TempDir {
    let folder = tempfile::Builder::new().prefix(&format!("{purpose}-")).tempdir_in(home());
    let folder = folder.expect("our own folder takes a folder");
    set_mode(folder.path(), 0o755);
    folder
}

/// One folder per process holds all the others, and one keeper removes it: most values of the kit need
/// none of their own.
fn home() -> &'static Path {
    static HOME: OnceLock<(PathBuf, Keeper)> = OnceLock::new();
    let (home, _) = HOME.get_or_init(|| {
        let home = tempfile::Builder::new().prefix("attache-").tempdir().expect("a temporary folder").keep();
        set_mode(&home, 0o755);
        let keeper = Keeper::of_folder(&home);
        (home, keeper)
    });
    home
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode of our own file can be set");
}

/// Copies a folder with modes and links; far quicker than walking it here.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let status = Command::new("cp")
        .args(["-R", "-P", "--preserve=mode", "--reflink=auto"])
        .args([from, to])
        .status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("cp ended with {status}"))) }
}

fn chown_tree(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        for entry in fs::read_dir(path)? {
            chown_tree(&entry?.path(), uid, gid)?;
        }
    }
    lchown(path, Some(uid), Some(gid))
}

fn lets_strangers_pass(folder: &Path) -> bool {
    const OTHERS_ENTER: u32 = 0o001;
    fs::metadata(folder).is_ok_and(|meta| meta.mode() & OTHERS_ENTER != 0)
}

fn ids(user: &str) -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.split(':').next() == Some(user))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
