//! A test inside a network of its own, with a `/etc/resolv.conf` of its own.
//!
//! The test starts itself again inside fresh namespaces, where only loopback exists and every port is free, port 53
//! too. They end with the process: nothing has a name, so nothing can be left behind. A test that starts containers is
//! given process numbers of its own too (`machine`), so that no container outlives it.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::process::Command;
use std::time::Duration;

use crate::scratch;
use crate::skip::NotPermitted;
use crate::tools;

/// Tells the second process that it is inside, and of what the first one called it.
const INSIDE: &str = "ATTACHE_KIT_INSIDE";
/// Each wait inside has a deadline of its own, and says more when it has passed.
const DEADLINE: Duration = Duration::from_secs(600);
/// `$1` is the file to be seen as resolv.conf.
const ENTER: &str = "ip link set lo up && mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";

/// Runs `body` inside, as the test of this full name; `label` tells several such runs of one test apart.
///
/// # Errors
/// This machine does not permit namespaces.
///
/// # Panics
/// With everything that the run inside said, if it failed.
pub fn inside(test: &str, label: &str, resolv_conf: &str, body: impl FnOnce()) -> Result<(), NotPermitted> {
    enter(&[], test, label, resolv_conf, body)
}

/// The same with process numbers of its own: whatever the test has started ends with it.
///
/// # Errors
/// This machine does not permit namespaces.
pub fn machine(test: &str, body: impl FnOnce()) -> Result<(), NotPermitted> {
    const OWN_PROCESSES: [&str; 4] = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    enter(&OWN_PROCESSES, test, "machine", "nameserver 127.0.0.1\n", body)
}

fn enter(
    flags: &[&str],
    test: &str,
    label: &str,
    resolv_conf: &str,
    body: impl FnOnce(),
) -> Result<(), NotPermitted> {
    match env::var(INSIDE) {
        Ok(here) if here == label => {
            body();
            return Ok(());
        }
        Ok(_) => return Ok(()),
        Err(_) => permitted(flags)?,
    }
    let folder = scratch::folder("namespace");
    let file = folder.path().join("resolv.conf");
    fs::write(&file, resolv_conf).expect("our own folder takes a file");
    let test_binary = env::current_exe().expect("a process has a program");
    let mut command = unshare(flags);
    command.arg(ENTER).arg("sh").arg(&file).arg(test_binary);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(INSIDE, label);
    let ran = tools::run(&mut command, b"", DEADLINE);
    let served = ran.status.success() && ran.stdout.contains("1 passed");
    assert!(served, "inside {label}: {}\n{}\n{}", ran.status, ran.stdout, ran.stderr);
    pass_on(&ran.stderr);
    Ok(())
}

/// A skip inside must be heard outside.
fn pass_on(stderr: &str) {
    for line in stderr.lines().filter(|line| line.starts_with("SKIPPED: ")) {
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn permitted(flags: &[&str]) -> Result<(), NotPermitted> {
    let scratch = scratch::folder("namespace");
    let file = scratch.path().join("resolv.conf");
    fs::write(&file, "").expect("our own folder takes a file");
    let ran = unshare(flags).arg(ENTER).arg("sh").arg(&file).arg("true").output();
    match ran {
        Ok(ran) if ran.status.success() => Ok(()),
        Ok(ran) => {
            Err(NotPermitted(format!("a namespace ({})", String::from_utf8_lossy(&ran.stderr).trim())))
        }
        Err(error) => Err(NotPermitted(format!("unshare ({error})"))),
    }
}

fn unshare(flags: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]).args(flags);
    // In a chroot the root is no mount, and its propagation cannot be changed. Where nothing is shared it need not be.
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if !mounts.contains(" shared:") {
        command.args(["--propagation", "unchanged"]);
    }
    if !rustix::process::getuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["sh", "-c"]);
    command
}
