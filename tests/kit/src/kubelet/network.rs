//! A bridge between the pods and their node, and what a pod finds in `/etc`.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::tools;

pub(super) const NODE: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Network {
    next: AtomicU8,
}

impl Network {
    pub(super) fn start() -> Network {
        shell(&format!(
            "ip link add pods type bridge && ip addr add {NODE}/24 dev pods && ip link set pods up"
        ));
        Network { next: AtomicU8::new(NODE.octets()[3] + 1) }
    }

    /// Gives the network of a process an address of its own, with the node as its way to everywhere.
    pub(super) fn join(&self, process: &str) -> Ipv4Addr {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let [a, b, c, _] = NODE.octets();
        let address = Ipv4Addr::new(a, b, c, number);
        shell(&format!(
            "ip link add pod{number} type veth peer name eth0 netns {process} && \
             ip link set pod{number} master pods up && \
             nsenter --target {process} --net sh -c 'ip link set lo up && ip addr add {address}/24 dev eth0 && \
             ip link set eth0 up && ip route add default via {NODE}'"
        ));
        address
    }
}

/// What the kubelet writes for a pod of this namespace.
pub(super) fn write_etc(folder: &Path, namespace: &str, pod: &str, address: Ipv4Addr) {
    let resolv = format!(
        "search {namespace}.svc.cluster.local svc.cluster.local cluster.local\nnameserver {NODE}\noptions ndots:5\n"
    );
    let hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n{address}\t{pod}\n");
    for (name, content) in [("resolv.conf", resolv), ("hosts", hosts)] {
        fs::write(folder.join(name), content).expect("our own folder takes a file");
    }
}

fn shell(script: &str) {
    tools::run(Command::new("sh").args(["-c", script]), b"", DEADLINE).ok();
}
