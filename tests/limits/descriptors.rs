//! File descriptors: those for clients are used up, what the process needs itself is left, and running out of them is survived.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use attache_kit::{eventually, http, ports};

use crate::house::{Measured, SOON, start};

/// How many more the process may open once it runs.
const SPARE: usize = 40;

#[test]
fn running_out_of_descriptors_pauses_is_said_once_and_passes() {
    let Some(house) = start("{ login_timeout: 5m }") else { return };
    let at_rest = house.open_at_rest();
    let mut neighbour = house.login().unwrap();
    let before = house.attache.open_files();
    limit(house.attache.pid(), before + SPARE);

    let silent: Vec<_> = (0..3 * SPARE).map(|_| house.connect()).collect();
    let exhausted =
        |line: &serde_json::Value| line["message"] == "cannot take clients in: waiting for sessions to end";
    house.attache.wait_for("what is the matter", SOON, exhausted);
    assert!(house.attache.open_files() < before + 2 * SPARE);
    house.rests(0.05);
    assert_eq!(neighbour.query("select 1").as_deref(), Ok("1"));

    // Some go: others of the queue come in, and it is exhausted again. That is no news.
    let mut silent = silent;
    for _ in 0..3 {
        silent.drain(..SPARE / 2);
        eventually("their places to be taken", SOON, || {
            (house.attache.open_files() >= before + SPARE - 1).then_some(())
        });
    }
    drop(silent);
    let mut late = eventually("a place", SOON, || house.login().ok());
    assert_eq!(late.query("select 2").as_deref(), Ok("2"));
    assert_eq!(house.attache.count(exhausted), 1);
    drop((late, neighbour));
    house.back_to(at_rest);
}

/// Takes effect at once, in the running process.
fn limit(pid: u32, descriptors: usize) {
    let limit = format!("--nofile={descriptors}:{descriptors}");
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().unwrap();
    assert!(status.success());
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn at_the_start_the_soft_limit_is_raised_to_the_hard_one() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("attache.yaml");
    fs::write(
        &config,
        "{ health: off, control: off, routes: { a: { protocol: tcp, listen: 127.0.0.1:0, upstream: { endpoints: 127.0.0.1:9, tls: off, probe_interval: off } } } }",
    )
    .unwrap();
    let line = "ulimit -S -n 200 && ulimit -H -n 1000 && exec \"$0\" run -c \"$1\"";
    let child = Command::new("sh")
        .args(["-c", line, env!("CARGO_BIN_EXE_attache")])
        .arg(&config)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let child = Killed(child);
    let limits = format!("/proc/{}/limits", child.0.id());
    eventually("the limit to be raised", SOON, || {
        let limits = fs::read_to_string(&limits).unwrap();
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        files.split_whitespace().take(2).eq(["1000", "1000"]).then_some(())
    });
}

/// More clients than descriptors: those that are taken in are served, and probes are answered. The kubelet would end everybody's
/// sessions if they were not.
#[test]
fn clients_leave_descriptors_for_their_servers_and_for_probes() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = server.local_addr().unwrap();
    thread::spawn(move || server.incoming().flatten().for_each(|peer| drop(thread::spawn(|| echo(peer)))));
    let [health, route] = [ports::reserve(), ports::reserve()];
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("attache.yaml");
    let upstream = format!("{{ endpoints: \"{endpoint}\", tls: off, wait: 0s, probe_interval: off }}");
    let routes = format!("{{ a: {{ protocol: tcp, listen: \"{}\", upstream: {upstream} }} }}", route.addr());
    fs::write(&config, format!("{{ health: \"{}\", control: off, routes: {routes} }}", health.addr()))
        .unwrap();
    let line = "ulimit -n 200 && exec \"$0\" run -c \"$1\"";
    let mut shell = Command::new("sh");
    let child = shell.args(["-c", line, env!("CARGO_BIN_EXE_attache")]).arg(&config).stderr(Stdio::null());
    let _process = Killed(child.spawn().unwrap());
    let is_alive = || http::get(health.addr(), "/livez").ok().filter(|answer| answer.status == 200);
    eventually("the start", SOON, is_alive);

    let mut waiting: Vec<_> = (0..300).map(|_| TcpStream::connect(route.addr()).unwrap()).collect();
    for client in &mut waiting {
        client.write_all(b"x").unwrap();
        client.set_nonblocking(true).unwrap();
    }
    let mut served = Vec::new();
    eventually("all to be served for whom there is room", SOON, || {
        served.extend(waiting.extract_if(.., has_answer));
        (served.len() == 50).then_some(())
    });
    assert!(is_alive().is_some(), "a probe is answered");
    drop(served);
    // Nobody was turned away: each comes in once another has left.
    eventually("all others to be served", SOON, || {
        waiting.retain_mut(|client| !has_answer(client));
        waiting.is_empty().then_some(())
    });
}

fn has_answer(client: &mut TcpStream) -> bool {
    client.read(&mut [0; 1]).is_ok_and(|octets| octets == 1)
}

fn echo(mut peer: TcpStream) {
    let mut octet = [0; 1];
    while peer.read(&mut octet).is_ok_and(|octets| octets == 1) && peer.write_all(&octet).is_ok() {}
}
