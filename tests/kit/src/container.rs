//! Containers by podman and buildah, in a storage of their own.
//!
//! To be used inside [`namespace::machine`](crate::namespace::machine): mounts, networks and processes of all that is
//! started here end with that test, and the storage is a folder of it. Images are made from files of this machine;
//! nothing is pulled.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tempfile::TempDir;

use crate::scratch;
use crate::skip::{Missing, NotPermitted, StartError};
use crate::tools::{self, Ran};

/// A container starts in a third of a second; an image of some ten MiB takes two. Not so where other tests run beside it.
const DEADLINE: Duration = Duration::from_secs(180);
/// What podman asks for by itself is more than some machines permit.
const MOST_FILES: u64 = 20_000;
const MOST_PROCESSES: u64 = 32_768;

/// One storage of images and containers.
#[derive(Debug)]
pub struct Engine {
    folder: TempDir,
}

impl Engine {
    /// # Errors
    /// podman or buildah is not installed, or this machine permits no containers.
    pub fn start() -> Result<Engine, StartError> {
        for program in ["podman", "buildah", "runc", "catatonit"] {
            if !is_installed(program) {
                return Err(Missing(program.to_owned()).into());
            }
        }
        if !rustix::process::getuid().is_root() {
            return Err(NotPermitted("to run containers as an ordinary user".to_owned()).into());
        }
        let engine = Engine { folder: scratch::folder("containers") };
        fs::write(engine.settings(), settings()).expect("our own folder takes a file");
        engine.try_out()?;
        Ok(engine)
    }

    /// An image of a folder's files. `settings` are further lines of a Containerfile.
    pub fn image(&self, name: &str, root: &Path, settings: &str) {
        let file = self.folder.path().join("Containerfile");
        fs::write(&file, format!("FROM scratch\nCOPY . /\n{settings}\n"))
            .expect("our own folder takes a file");
        let mut command = self.command("buildah");
        command.args(["bud", "--quiet", "--isolation", "chroot", "--layers=false", "--timestamp", "0"]);
        command.arg("--file").arg(&file).args(["--tag", name]).arg(root);
        tools::run(&mut command, b"", DEADLINE).ok();
    }

    /// Takes an image over from the storage of the user.
    pub fn take_over(&self, name: &str) {
        let archive = self.folder.path().join("image.tar");
        let mut save = Command::new("podman");
        save.args(["save", "--quiet", "--output"]).arg(&archive).arg(name);
        tools::run(&mut save, b"", DEADLINE).ok();
        let mut load = self.command("podman");
        load.args(["load", "--quiet", "--input"]).arg(&archive);
        tools::run(&mut load, b"", DEADLINE).ok();
    }

    /// podman with these arguments, to its end.
    pub fn podman(&self, arguments: &[&str]) -> Ran {
        tools::run(self.command("podman").args(arguments), b"", DEADLINE)
    }

    /// Ends a pod at once. Control groups are the one thing of it that would outlive the test; podman leaves some behind.
    pub fn remove_pod(&self, name: &str) {
        let id = self.podman(&["pod", "inspect", name, "--format", "{{.ID}}"]).stdout;
        let _ = self.podman(&["pod", "rm", "--force", "--time", "0", name]);
        let group = Path::new("libpod_parent").join(id.trim());
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().filter_map(Result::ok);
        for hierarchy in hierarchies.map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]) {
            let _ = fs::remove_dir(hierarchy.join(&group));
        }
    }

    /// podman or buildah on this storage, yet to be told what to do.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let folder = self.folder.path();
        command.env("CONTAINERS_CONF", self.settings()).current_dir(folder);
        command.arg("--root").arg(folder.join("root")).arg("--runroot").arg(folder.join("run"));
        if program == "podman" {
            command.arg("--tmpdir").arg(folder.join("tmp"));
        }
        command
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("containers.conf")
    }

    /// What is forbidden in a container that holds us shows with the first one.
    fn try_out(&self) -> Result<(), StartError> {
        for step in
            [&["pod", "create", "--network", "none", "--name", "tried"][..], &["pod", "start", "tried"]]
        {
            let ran = self.podman(step);
            if !ran.status.success() {
                return Err(refusal(&ran.stderr));
            }
        }
        self.remove_pod("tried");
        Ok(())
    }
}

/// What a kernel or a sandbox does not let us do is no defect of the tests; everything else is.
fn refusal(stderr: &str) -> StartError {
    // The last one is a root that is no mount, as in a chroot.
    let words = ["not permitted", "ermission denied", "cgroup", "overlay", "remount /"];
    let why = stderr.lines().last().unwrap_or_default();
    if words.iter().any(|word| stderr.contains(word)) {
        return NotPermitted(format!("to run containers ({why})")).into();
    }
    StartError::Failed(format!("podman: {stderr}"))
}

/// `runc`, because older releases of `crun` refuse machines with both generations of control groups.
fn settings() -> String {
    let limit = |resource, most: u64| getrlimit(resource).maximum.map_or(most, |hard| hard.min(most));
    let (files, processes) = (limit(Resource::Nofile, MOST_FILES), limit(Resource::Nproc, MOST_PROCESSES));
    format!(
        "[containers]\ndefault_ulimits = [\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"]\n\
         [network]\nnetwork_backend = \"netavark\"\n[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n"
    )
}

fn is_installed(program: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
}

/// A folder that can be an image: programs of this machine at the given paths, with the libraries that they load.
///
/// # Errors
/// A program is not there, or no folder can be made of it.
pub fn root_of(programs: &[(&Path, &str)]) -> io::Result<TempDir> {
    let root = scratch::folder("root");
    for (program, path) in programs {
        copy(program, &root.path().join(path.trim_start_matches('/')))?;
        for library in libraries(program)? {
            copy(&library, &root.path().join(library.strip_prefix("/").map_err(io::Error::other)?))?;
        }
    }
    Ok(root)
}

/// Links are followed: an image has no use for the names that a distribution gives its libraries.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to.parent().expect("a file is in a folder"))?;
    fs::copy(from, to).map(drop)
}

/// What the dynamic linker would load; nothing for a static program.
fn libraries(program: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let output = Command::new("ldd").arg(program).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}
