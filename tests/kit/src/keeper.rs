//! A tiny shell beside each server that ends it when the test process is gone.
//!
//! Drop does not run for statics, nor after SIGKILL; a closed pipe is noticed always. The keeper waits for
//! the end of its input, stops the process it was told about, and removes its folder.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

/// `$1` the process, or nothing; `$2` the signal; `$3` a folder to remove, or nothing.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
if [ -n "$1" ]; then
  kill "-$2" "$1" 2>/dev/null
  for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" 2>/dev/null || break; sleep 0.2; done
  kill -KILL "$1" 2>/dev/null
fi
[ -n "$3" ] || exit
# Again, while others are still ending who write into it.
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$3" && break; sleep 0.5; done 2>/dev/null
"#;

#[derive(Debug)]
pub(crate) struct Keeper(Child);

impl Keeper {
    pub(crate) fn of_process(pid: u32) -> Keeper {
        Keeper::of_server(pid, Signal::KILL)
    }

    /// Of one that has children of its own, and ends them when it is told in this way.
    pub(crate) fn of_server(pid: u32, signal: Signal) -> Keeper {
        Keeper::watch(pid.to_string().as_ref(), signal, OsStr::new(""))
    }

    pub(crate) fn of_folder(folder: &Path) -> Keeper {
        Keeper::watch(OsStr::new(""), Signal::KILL, folder.as_os_str())
    }

    fn watch(process: &OsStr, signal: Signal, folder: &OsStr) -> Keeper {
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "keeper"])
            .args([process, signal.as_raw().to_string().as_ref(), folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        Keeper(child)
    }
}

impl Drop for Keeper {
    /// The owner has cleaned up by itself: the keeper goes without doing anything.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
