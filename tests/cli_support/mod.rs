//! The program under test: started with free ports, which its log tells.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::time::Duration;

use attache_kit::tools::Ran;
use attache_kit::{Launch, Process, Script};

/// For what takes milliseconds on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A running `attache run`, and where it answers.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) health: SocketAddr,
    pub(crate) control: SocketAddr,
    /// The listener of the first route.
    pub(crate) route: SocketAddr,
}

pub(crate) fn launch() -> Launch {
    Launch::binary(env!("CARGO_BIN_EXE_attache"))
}

/// Any command to its end.
pub(crate) fn attache(arguments: &[&str]) -> Ran {
    launch().command(arguments)
}

/// Any command about a configuration, which stands where an argument says `{config}`.
pub(crate) fn attache_with(config: &str, arguments: &[&str]) -> Ran {
    launch().config(config).command(arguments)
}

pub(crate) fn code(ran: &Ran) -> Option<i32> {
    ran.status.code()
}

/// Runs a configuration with health and control on free ports.
pub(crate) fn run(rest: &str) -> Running {
    let process = launch().config(&format!("health: 127.0.0.1:0\ncontrol: 127.0.0.1:0\n{rest}")).start();
    let route = address(&process, "listening");
    let (health, control) = (address(&process, "health listening"), address(&process, "control listening"));
    process.wait_for("the start", SOON, |line| line["message"] == "started");
    Running { process, health, control, route }
}

fn address(process: &Process, message: &str) -> SocketAddr {
    let line = process.wait_for(message, SOON, |line| line["message"] == message);
    line["address"].as_str().unwrap().parse().unwrap()
}

/// A route of plain TCP to a server, probed never.
pub(crate) fn tcp_route(server: SocketAddr) -> String {
    format!(
        "routes:
  echo:
    protocol: tcp
    listen: 127.0.0.1:0
    upstream: {{ endpoints: \"{server}\", tls: {{ mode: off }}, probe_interval: off, connect_timeout: 10s }}
"
    )
}

/// The same with a credential, which the route is not started without.
pub(crate) fn tcp_route_with_credential(server: SocketAddr, folder: &std::path::Path) -> String {
    format!("{}    credential: {{ path: {}, poll: 1s }}\n", tcp_route(server), folder.display())
}

/// Sends everything back.
pub(crate) fn echo() -> Script {
    Script::serve(|mut peer| {
        loop {
            let bytes = peer.read_some()?;
            if bytes.is_empty() {
                return Ok(());
            }
            peer.send(&bytes)?;
        }
    })
}
