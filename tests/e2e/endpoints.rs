//! Several servers of one database: the order in which they are tried, and what a client sees of that.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use attache_kit::ports::{self, Port};
use attache_kit::{Fault, House, Mounted, Relay, SECRET, SOON, Script, eventually};

use crate::client::startup;
use crate::house::{Clients, postgres};
use crate::server;

fn credential() -> Mounted {
    Mounted::new(&[("username", "app"), ("password", SECRET)])
}

fn healthy() -> Script {
    Script::serve(|mut peer| {
        server::welcome(&mut peer)?;
        server::answer(&mut peer)
    })
}

/// The endpoint that a new session ended on.
fn served_by(house: &House) -> String {
    let since = house.attache.lines();
    drop(house.session());
    house.ended_since(since)["endpoint"].as_str().unwrap().to_owned()
}

fn nobody() -> (Port, SocketAddr) {
    let port = ports::reserve();
    let address = port.addr();
    (port, address)
}

#[test]
fn the_first_is_used_while_it_answers() {
    let (first, second) = (healthy(), healthy());
    let secret = credential();
    let house = postgres(&[first.addr(), second.addr()]).folder(secret.path()).start();
    for _ in 0..5 {
        assert_eq!(served_by(&house), first.addr().to_string());
    }
    assert_eq!(second.accepted(), 0);
}

#[test]
fn the_second_is_used_at_once_when_the_first_refuses() {
    let ((_port, first), second) = (nobody(), healthy());
    let secret = credential();
    let house = postgres(&[first, second.addr()]).folder(secret.path()).start();
    let start = Instant::now();
    assert_eq!(served_by(&house), second.addr().to_string());
    assert!(start.elapsed() < Duration::from_secs(12), "no pause is due while another endpoint is left");
}

#[test]
fn the_second_is_used_after_connect_timeout_when_the_first_hangs() {
    let (first, second) = (Relay::to(ports::reserve().addr()), healthy());
    first.set(Fault::Blackhole);
    let secret = credential();
    let plan = postgres(&[first.addr(), second.addr()]).upstream("connect_timeout: 3s");
    let house = plan.folder(secret.path()).start();
    assert_eq!(served_by(&house), second.addr().to_string());
    assert_eq!(first.connections(), 1);
}

/// A server that says no to this login for a reason of its own is not the last one to be asked.
#[test]
fn the_second_is_used_when_the_first_is_starting_up() {
    let first = Script::serve(|mut peer| {
        peer.read_startup()?;
        server::error(&mut peer, "57P03", "the database system is starting up")
    });
    let second = healthy();
    let secret = credential();
    let house = postgres(&[first.addr(), second.addr()]).folder(secret.path()).start();
    assert_eq!(served_by(&house), second.addr().to_string());
}

/// What a server says of the database that a client asks for is the client's to hear, whatever else is down.
#[test]
fn what_one_refuses_is_told_at_once_although_another_is_down() {
    let refusing = Script::serve(|mut peer| {
        peer.read_startup()?;
        server::error(&mut peer, "3D000", "database \"order\" does not exist")
    });
    let (_port, down) = nobody();
    let secret = credential();
    for endpoints in [[down, refusing.addr()], [refusing.addr(), down]] {
        let house = postgres(&endpoints).folder(secret.path()).upstream("wait: 1m").start();
        let mut client = house.connect();
        client.send(&startup());
        assert_eq!(client.refusal(), "3D000");
        let line = house.ended_since(0);
        let told = (&line["result"], &line["endpoint"], &line["retries"]);
        assert_eq!(
            told,
            (&"server_refused".into(), &refusing.addr().to_string().into(), &0.into()),
            "{line}"
        );
    }
}

#[test]
fn one_that_fails_goes_to_the_end_until_a_probe_finds_it_again() {
    let (first, second) = (healthy(), healthy());
    let relay = Relay::to(first.addr());
    relay.set(Fault::Refuse);
    let secret = credential();
    let plan = postgres(&[relay.addr(), second.addr()]).folder(secret.path());
    let house = plan.upstream("probe_interval: 1s").start();
    house.attache.wait_for("the endpoint to be down", SOON, |line| line["message"] == "endpoint down");
    assert_eq!(served_by(&house), second.addr().to_string());
    assert_eq!(house.metric("attache_upstream_up", &[("endpoint", &relay.addr().to_string())]), 0.0);
    relay.set(Fault::None);
    eventually("the first to be used again", SOON, || {
        (served_by(&house) == relay.addr().to_string()).then_some(())
    });
    eventually("the metric to follow", SOON, || {
        (house.metric("attache_upstream_up", &[("endpoint", &relay.addr().to_string())]) == 1.0).then_some(())
    });
}

#[test]
fn all_of_them_down_is_an_error_once_wait_is_over() {
    let ((_one, first), (_two, second)) = (nobody(), nobody());
    let secret = credential();
    let house = postgres(&[first, second]).folder(secret.path()).upstream("wait: 3s").start();
    let start = Instant::now();
    let mut client = house.connect();
    client.send(&startup());
    assert_eq!(client.refusal(), "08006");
    assert!(start.elapsed() >= Duration::from_secs(3));
    let line = house.ended_since(0);
    // Pauses of 100, 200, 400, 800 ms and the rest of the three seconds, give or take a tenth: no storm.
    let rounds = line["retries"].as_u64().unwrap();
    assert!((2..=7).contains(&rounds), "{line}");
}

#[test]
fn one_that_comes_back_in_time_is_waited_for_without_an_error() {
    let server = healthy();
    let relay = Relay::to(server.addr());
    relay.set(Fault::Refuse);
    let (_port, other) = nobody();
    let secret = credential();
    let plan = postgres(&[other, relay.addr()]).folder(secret.path());
    let house = plan.upstream("wait: 1m").start();
    let mut clients: Vec<_> = (0..10).map(|_| house.connect()).collect();
    for client in &mut clients {
        client.send(&startup());
    }
    house.attache.wait_for("another round", SOON, |line| line["message"] == "trying again");
    relay.set(Fault::None);
    for client in &mut clients {
        client.until_ready();
        assert_eq!(client.query("select 1").0, "1");
    }
}

/// What a client pipelines behind its startup waits with it.
#[test]
fn what_was_sent_ahead_is_the_first_thing_that_the_server_gets() {
    let server = healthy();
    let relay = Relay::to(server.addr());
    relay.set(Fault::Refuse);
    let secret = credential();
    let house = postgres(&[relay.addr()]).folder(secret.path()).upstream("wait: 1m").start();
    let mut client = house.connect();
    client.send(&startup());
    client.ask("select 1");
    house.attache.wait_for("another round", SOON, |line| line["message"] == "trying again");
    client.ask("select 1");
    relay.set(Fault::None);
    client.until_ready();
    client.until_ready();
    client.until_ready();
}
