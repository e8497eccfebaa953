//! Probes and lifecycle hooks: both ask over HTTP at the pod's address, or run a program inside.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::manifest::{list, text, written};
use super::pod::Pod;
use crate::http;

/// Kubernetes' own defaults.
const PERIOD: u64 = 10;
const FAILURES: u64 = 3;

/// Whether a probe passes now.
pub(super) fn passes(pod: &Pod<'_>, container: &Value, probe: &Value) -> bool {
    asked(pod, container, probe).unwrap_or_else(|| panic!("no emulation of the probe {probe}"))
}

/// For how long a startup probe may fail.
pub(super) fn patience(probe: &Value) -> Duration {
    let number = |key: &str, default| probe[key].as_u64().unwrap_or(default);
    Duration::from_secs(
        number("initialDelaySeconds", 0)
            + number("periodSeconds", PERIOD) * number("failureThreshold", FAILURES),
    )
}

/// Runs a hook to its end. A hook that fails is told in an event of a real kubelet; here it is a panic.
pub(super) fn run(pod: &Pod<'_>, container: &Value, hook: &Value) {
    if let Some(seconds) = hook["sleep"]["seconds"].as_u64() {
        std::thread::sleep(Duration::from_secs(seconds));
        return;
    }
    let went_well = asked(pod, container, hook).unwrap_or_else(|| panic!("no emulation of the hook {hook}"));
    assert!(went_well, "the hook {hook} of {} failed", container["name"]);
}

fn asked(pod: &Pod<'_>, container: &Value, handler: &Value) -> Option<bool> {
    if handler["exec"].is_object() {
        let command: Vec<String> = list(&handler["exec"], "command").map(written).collect();
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        return Some(pod.exec(text(&container["name"]), &command).status.success());
    }
    if handler["httpGet"].is_object() {
        let at = (pod.address(), port(container, &handler["httpGet"]["port"]));
        let answer = http::get(at, text(&handler["httpGet"]["path"]));
        return Some(answer.is_ok_and(|answer| (200..400).contains(&answer.status)));
    }
    if handler["tcpSocket"].is_object() {
        let at = (pod.address(), port(container, &handler["tcpSocket"]["port"]));
        return Some(TcpStream::connect(at).is_ok());
    }
    None
}

/// A port by its number, or by its name in the container.
fn port(container: &Value, port: &Value) -> u16 {
    let number = port.as_u64().or_else(|| {
        list(container, "ports").find(|it| it["name"] == *port).and_then(|it| it["containerPort"].as_u64())
    });
    let number = number.unwrap_or_else(|| panic!("{} has no port {port}", container["name"]));
    u16::try_from(number).expect("a port number")
}
