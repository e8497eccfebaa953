//! A wire between the test's network and that of another process, with delay, loss and cuts of either direction.
//!
//! Kernels can do that too (netem), but many are built without it, and a module cannot be loaded in a container. Here a
//! program of a few lines carries the packets between two TUN devices. Only inside of [`namespace`](crate::namespace): its
//! devices end with it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::scratch;
use crate::skip::NotPermitted;
use crate::tools;

const PROGRAM: &str = include_str!("link.py");
const PYTHON: &str = "/usr/bin/python3";

/// What becomes of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    pub delay: Duration,
    /// So much may be added: packets overtake each other.
    pub jitter: Duration,
    pub loss_percent: u32,
    pub passes: Passes,
}

/// Which way packets pass at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passes {
    BothWays,
    /// From the test to the other process.
    ThereOnly,
    HereOnly,
    Neither,
}

impl Weather {
    pub const CLEAR: Weather =
        Weather { delay: Duration::ZERO, jitter: Duration::ZERO, loss_percent: 0, passes: Passes::BothWays };
}

/// Ends, with its devices, on drop.
#[derive(Debug)]
pub struct Link {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Link {
    /// The device `name` in both networks, with these addresses.
    ///
    /// # Errors
    /// This machine does not permit such devices.
    ///
    /// # Panics
    /// Where there is no such process.
    pub fn start(name: &str, pid: u32, here: &str, there: &str) -> Result<Link, NotPermitted> {
        let mut child = Command::new(PYTHON)
            .args(["-c", PROGRAM, name, &pid.to_string(), here, there])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| NotPermitted(format!("{PYTHON} ({error})")))?;
        let orders = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut link = Link { child, orders, answers };
        if link.answer() != "ready" {
            return Err(NotPermitted("a TUN device between two networks".to_owned()));
        }
        Ok(link)
    }

    /// Holds for all packets that are sent after this returns.
    pub fn set(&mut self, weather: Weather) {
        let Weather { delay, jitter, loss_percent, passes } = weather;
        let (there, here) = match passes {
            Passes::BothWays => (1, 1),
            Passes::ThereOnly => (1, 0),
            Passes::HereOnly => (0, 1),
            Passes::Neither => (0, 0),
        };
        writeln!(self.orders, "{} {} {loss_percent} {there} {here}", delay.as_millis(), jitter.as_millis())
            .expect("the link is up");
        assert_eq!(self.answer(), "ok", "the link has ended");
    }

    /// Nothing where it has ended.
    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_or_else(|_| String::new(), |_| line.trim_end().to_owned())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that starts another one in a network of its own, where only loopback is.
#[derive(Debug)]
pub struct Apart {
    program: PathBuf,
    _folder: tempfile::TempDir,
}

impl Apart {
    pub fn of(program: &str) -> Apart {
        let folder = scratch::folder("apart");
        let path = folder.path().join("apart");
        let inside = "ip link set lo up && exec \"$0\" \"$@\"";
        let script = format!("#!/bin/sh\nexec unshare --net sh -c '{inside}' '{program}' \"$@\"\n");
        tools::write_script(&path, &script);
        Apart { program: path, _folder: folder }
    }

    /// Takes the arguments of the other one, and becomes it: the process keeps its number.
    pub fn program(&self) -> &Path {
        &self.program
    }
}
