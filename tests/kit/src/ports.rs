//! Loopback ports that nobody else takes while a test needs them.
//!
//! Asking the kernel for port 0 and closing it again races with every other test. These ports lie below
//! the kernel's own range, so no outgoing connection gets one by chance, and a locked file per port keeps
//! other test processes away. The lock ends with the process, however it ends.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};

const LOWEST: u16 = 10_240;
/// Where Linux starts to hand out ports by itself when nobody has changed it.
const USUAL_EPHEMERAL: u16 = 32_768;

/// One reserved port of 127.0.0.1.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    pub fn number(&self) -> u16 {
        self.number
    }

    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

/// A port on which nobody listens, reserved until the value is dropped.
pub fn reserve() -> Port {
    let span = ephemeral_start() - LOWEST;
    (0..span).find_map(|_| claim(LOWEST + next() % span)).expect("a machine has one free port in thousands")
}

/// Each process starts elsewhere, so that parallel test binaries rarely ask for the same port.
fn next() -> u16 {
    static STEP: AtomicU16 = AtomicU16::new(0);
    const STRIDE: u32 = 977;
    let start = process::id().wrapping_mul(STRIDE) as u16;
    start.wrapping_add(STEP.fetch_add(1, Ordering::Relaxed))
}

fn claim(number: u16) -> Option<Port> {
    let lock = File::create(folder().join(number.to_string())).ok()?;
    lock.try_lock().ok()?;
    nobody_listens(number).then_some(Port { number, _lock: lock })
}

/// Bound and never listening: a program that another thread starts has a copy of every socket until it
/// runs its own image, and the copy of a listener would keep the port from whoever reserved it.
fn nobody_listens(number: u16) -> bool {
    let bind = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, number)).into())
    };
    bind().is_ok()
}

/// One folder per user: a file of somebody else's could not be opened.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("attache-ports-{}", rustix::process::getuid().as_raw()));
    fs::create_dir_all(&folder).expect("the temporary folder takes a folder");
    folder
}

fn ephemeral_start() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let start = range.split_whitespace().next().and_then(|first| first.parse().ok());
    start.filter(|start| *start > LOWEST + 1_000).unwrap_or(USUAL_EPHEMERAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::eventually;
    use std::collections::BTreeSet;
    use std::net::TcpListener;
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn reserved_ports_differ_and_come_back() {
        let ports: Vec<Port> = (0..50).map(|_| reserve()).collect();
        let numbers: BTreeSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());

        assert!(claim(ports[0].number()).is_none(), "a reserved port was given out twice");
        let number = ports[0].number();
        drop(ports);
        // A program that another thread starts shares the lock until it runs its own image.
        eventually("a port that was given back can be taken", LIMIT, || claim(number));
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_given_out() {
        let port = reserve();
        let number = port.number();
        let listener = TcpListener::bind(port.addr()).expect("a reserved port can be bound");
        drop(port);
        assert!(claim(number).is_none());
        drop(listener);
    }
}
