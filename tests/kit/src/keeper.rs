//! A tiny shell beside each server that ends it when the test process is gone.
//!
//! Drop does not run for statics, nor after SIGKILL; a closed pipe is noticed always. The keeper waits for
//! the end of its input, stops the process it was told about, and removes its folder.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use std::os::unix::process::CommandExt;

/// `$1` the process, or a file whose first line names it; `$2` the signal; `$3` a folder to remove, or nothing.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
target=$1
case $target in /*) target=$(head -n 1 "$target" 2>/dev/null) ;; esac
if [ -n "$target" ]; then
  kill -s "$2" "$target" 2>/dev/null
  for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$target" 2>/dev/null || break; sleep 0.2; done
  kill -s KILL "$target" 2>/dev/null
fi
[ -n "$3" ] || exit
# Again, while others are still ending who write into it.
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$3" && break; sleep 0.5; done 2>/dev/null
"#;

#[derive(Debug)]
pub(crate) struct Keeper(Child);

impl Keeper {
    /// Ends the process whose number stands in the first line of `pid_file`, then removes `folder`.
    pub(crate) fn of_server(pid_file: &Path, signal: &str, folder: &Path) -> Keeper {
        Keeper::watch(pid_file.as_os_str().as_ref(), signal, folder)
    }

    pub(crate) fn of_process(pid: u32) -> Keeper {
        Keeper::watch(pid.to_string().as_ref(), "KILL", Path::new(""))
    }

    pub(crate) fn of_folder(folder: &Path) -> Keeper {
        Keeper::watch(Path::new(""), "KILL", folder)
    }

    fn watch(target: &Path, signal: &str, folder: &Path) -> Keeper {
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "keeper"])
            .args([target, signal.as_ref(), folder])
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
