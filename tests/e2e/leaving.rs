//! A client may vanish at any moment, in order or by reset. Everything that it held is given back.

use attache_kit::{
    Encryption, Fault, House, Mounted, Relay, SECRET, SOON, Script, Signal, eventually, ports,
};

use crate::client::{Client, SSL_REQUEST, startup};
use crate::house::{Clients, postgres};
use crate::real::Real;
use crate::server;

fn credential(user: &str) -> Mounted {
    Mounted::new(&[("username", user), ("password", SECRET)])
}

/// Leaves in every way, from the place that `come` has brought a client to.
fn vanishes(house: &House, come: impl Fn(&House) -> Client) {
    drop(come(house));
    come(house).reset();
    let many: Vec<_> = (0..20).map(|_| come(house)).collect();
    drop(many);
    house.settles();
}

fn connected_and_sent(bytes: &'static [u8]) -> impl Fn(&House) -> Client {
    move |house| {
        let mut client = house.connect();
        client.send(bytes);
        client
    }
}

#[test]
fn before_it_has_said_what_it_wants() {
    let secret = credential("app");
    let house = postgres(&[ports::reserve().addr()]).folder(secret.path()).start();
    vanishes(&house, House::connect);
    vanishes(&house, |house| {
        let mut client = house.connect();
        client.send(SSL_REQUEST);
        assert_eq!(client.read_exact(1), b"N");
        client
    });
    for part in [1, 4, 7, 8, 20] {
        let part: &'static [u8] = Vec::leak(startup()[..part].to_vec());
        vanishes(&house, connected_and_sent(part));
    }
}

/// A hole would hold the client for minutes.
#[test]
fn while_its_server_is_being_dialled() {
    let hole = Relay::to(ports::reserve().addr());
    hole.set(Fault::Blackhole);
    let secret = credential("app");
    let plan = postgres(&[hole.addr()]).folder(secret.path());
    let house = plan.upstream("connect_timeout: 5m").upstream("wait: 10m").start();
    vanishes(&house, |house| {
        let before = hole.connections();
        let mut client = house.connect();
        client.send(&startup());
        eventually("the dial", SOON, || (hole.connections() > before).then_some(()));
        client
    });
    let line = house.ended_since(0);
    assert_eq!((&line["result"], &line["ended_by"]), (&"client_left".into(), &"client".into()), "{line}");
}

#[test]
fn between_two_attempts_while_no_server_is_there() {
    let secret = credential("app");
    let plan = postgres(&[ports::reserve().addr()]).folder(secret.path()).upstream("wait: 10m");
    let house = plan.start();
    vanishes(&house, |house| {
        let mut client = house.connect();
        client.send(&startup());
        eventually("the session to be counted", SOON, || {
            (house.metric("attache_sessions_active", &[]) > 0.0).then_some(())
        });
        client
    });
}

#[test]
fn while_it_waits_for_a_rotation() {
    let Some(real) = Real::with_role("left_waiting") else { return };
    let secret = credential("left_waiting");
    let plan = postgres(&[real.postgres.addr()]).verified(&real.pki).folder(secret.path());
    let house = plan.upstream("wait: 10m").start();
    assert_eq!(house.query("select 1"), "1");
    real.postgres.password("left_waiting", "s3cret-of-tomorrow", Encryption::Scram);
    vanishes(&house, |house| {
        let since = house.attache.lines();
        let mut client = house.connect();
        client.send(&startup());
        house.attache.wait_for_since(since, "that the session waits", SOON, |line| {
            line["message"] == "waiting for the credential"
        });
        client
    });
    eventually("the server to be left", SOON, || {
        (real.postgres.sessions_of("left_waiting") == 0).then_some(())
    });
}

#[test]
fn while_the_server_is_logging_it_in() {
    let server = Script::serve(|mut peer| {
        peer.read_startup()?;
        peer.read_to_end().map(|_| ())
    });
    let secret = credential("app");
    let plan = postgres(&[server.addr()]).folder(secret.path()).upstream("connect_timeout: 5m");
    let house = plan.start();
    vanishes(&house, |house| {
        let before = server.accepted();
        let mut client = house.connect();
        client.send(&startup());
        eventually("the login", SOON, || (server.accepted() > before).then_some(()));
        client
    });
}

#[test]
fn while_it_is_idle_in_a_query_or_in_a_copy() {
    let Some(real) = Real::with_role("left_busy") else { return };
    let secret = credential("left_busy");
    let house = postgres(&[real.postgres.addr()]).verified(&real.pki).folder(secret.path()).start();
    let at = |sql: &'static str, answer: u8| {
        move |house: &House| {
            let mut client = house.session();
            client.ask(sql);
            while answer != 0 && client.message().tag != answer {}
            client
        }
    };
    vanishes(&house, House::session);
    // A reply that fills every buffer on the way.
    vanishes(&house, at("select repeat('x', 1000) from generate_series(1, 1000000)", b'D'));
    vanishes(&house, at("copy (select repeat('x', 1000) from generate_series(1, 1000000)) to stdout", b'd'));
    real.postgres
        .sql_in("postgres", "create table left_busy (line text); grant all on left_busy to left_busy");
    vanishes(&house, |house| {
        let mut client = at("copy left_busy from stdin", b'G')(house);
        // Half a CopyData message.
        client.send(b"d\0\0\x10\0half");
        client
    });
    assert_eq!(real.postgres.sql("select count(*) from left_busy"), "0");
    eventually("the server to be left", SOON, || (real.postgres.sessions_of("left_busy") == 0).then_some(()));
}

/// An orderly end may be a half-close, after which an answer is still wanted: it is waited for, but not for ever.
#[test]
fn in_a_query_that_says_nothing_for_long() {
    let server = Script::serve(|mut peer| {
        server::welcome(&mut peer)?;
        peer.read_to_end().map(|_| ())
    });
    let secret = credential("app");
    let house = postgres(&[server.addr()]).folder(secret.path()).start();
    vanishes(&house, |house| {
        let mut client = house.session();
        client.ask("select pg_sleep(3600)");
        client
    });
}

#[test]
fn and_a_client_that_has_only_finished_sending_gets_its_whole_answer() {
    let Some(real) = Real::with_role("half_closed") else { return };
    let secret = credential("half_closed");
    let house = postgres(&[real.postgres.addr()]).verified(&real.pki).folder(secret.path()).start();
    let mut client = house.session();
    client.ask("select pg_sleep(0.3), repeat('x', 1000) from generate_series(1, 1) union all select null, repeat('x', 1000) from generate_series(1, 5000)");
    client.finish();
    let (messages, state) = client.until_ready();
    assert_eq!(messages.iter().filter(|message| message.tag == b'D').count(), 5001);
    assert_eq!(state, b'I');
    let ending = client.ending();
    assert!(!ending.reset);
    house.settles();
}

/// As a laptop that is closed: no packet says so. What is written stays unread, and the session goes on with the
/// next one who reads.
#[test]
fn and_a_stopped_process_costs_its_neighbours_nothing() {
    let Some(real) = Real::with_role("stuck_neighbour") else { return };
    let secret = credential("stuck_neighbour");
    let plan = postgres(&[real.postgres.addr()]).verified(&real.pki).folder(secret.path());
    let house = plan.top("workers: 1").start();
    let mut stuck: Vec<_> = (0..4).map(|_| house.session()).collect();
    for client in &mut stuck {
        client.ask("select repeat('x', 1000) from generate_series(1, 100000)");
    }
    for _ in 0..20 {
        assert_eq!(house.session().query("select 1").0, "1");
    }
    drop(stuck);
    house.settles();
    assert!(house.attache.resident_bytes() < 256 * 1024 * 1024);
    house.attache.signal(Signal::STOP);
    house.attache.signal(Signal::CONT);
    assert_eq!(house.query("select 1"), "1");
}

#[test]
fn a_client_that_never_says_what_it_wants_is_sent_away() {
    let secret = credential("app");
    let plan = postgres(&[ports::reserve().addr()]).folder(secret.path());
    let house = plan.key("client: { login_timeout: 2s }").start();
    let silent = house.connect();
    let mut slow = house.connect();
    slow.send(&startup()[..10]);
    for client in [silent, slow] {
        assert_eq!(client.refusal(), "08006");
    }
    let line = house.ended_since(0);
    assert_eq!((&line["result"], &line["stage"]), (&"timed_out".into(), &"accept".into()), "{line}");
    house.settles();
}
