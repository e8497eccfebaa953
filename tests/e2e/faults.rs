//! A server that refuses, hangs, resets or stops in the middle: the client hears of it in its own protocol, in
//! time, and never inside another message.

use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use attache_kit::{Direction, Fault, House, Mounted, Relay, SECRET, SOON, Script, Signal, eventually, ports};

use crate::client::{Message, frame};
use crate::house::{Clients, postgres};
use crate::real::Real;
use crate::server;

/// What a route may take beyond its limits, on a machine that runs all tests at once.
const SLACK: Duration = Duration::from_secs(12);

fn credential(user: &str) -> Mounted {
    Mounted::new(&[("username", user), ("password", SECRET)])
}

/// The SQLSTATE of the refusal, and the session's log line.
fn refused(house: &House) -> (String, serde_json::Value) {
    let since = house.attache.lines();
    let mut client = house.connect();
    client.send(&crate::client::startup());
    (client.refusal(), house.ended_since(since))
}

#[test]
fn a_server_that_refuses_is_a_connection_failure_after_wait() {
    let nobody = ports::reserve();
    let secret = credential("app");
    let house = postgres(&[nobody.addr()]).folder(secret.path()).upstream("wait: 300ms").start();
    let start = Instant::now();
    let (code, line) = refused(&house);
    let took = start.elapsed();
    assert_eq!(code, "08006");
    assert_eq!(line["result"], "connect_refused", "{line}");
    assert!(took >= Duration::from_millis(300) && took < SLACK, "{took:?}");
    house.settles();
}

#[test]
fn a_server_that_hangs_is_given_up_after_connect_timeout_and_wait() {
    let hole = Relay::to(ports::reserve().addr());
    hole.set(Fault::Blackhole);
    let secret = credential("app");
    let limits = postgres(&[hole.addr()]).upstream("connect_timeout: 200ms").upstream("wait: 2s");
    let house = limits.folder(secret.path()).start();
    let start = Instant::now();
    let (code, line) = refused(&house);
    let took = start.elapsed();
    assert_eq!(code, "08006");
    assert_eq!((&line["result"], &line["ended_by"]), (&"timed_out".into(), &"upstream".into()), "{line}");
    assert!(took >= Duration::from_secs(2) && took < SLACK, "{took:?}");
    assert!(hole.connections() > 1, "one attempt is shorter than the wait");
    house.settles();
}

/// From the first octet of the login to its last, both ways, over verified TLS.
#[test]
fn a_login_that_is_cut_anywhere_is_a_connection_failure_and_leaves_nothing() {
    let Some(real) = Real::with_role("cut") else { return };
    let relay = Relay::to(real.postgres.addr());
    let secret = credential("cut");
    let plan = postgres(&[relay.addr()]).verified(&real.pki).folder(secret.path());
    let house = plan.upstream("wait: 0").start();
    drop(house.session());
    house.ended_since(0);
    house.settles();
    let ways = [Direction::ToServer, Direction::ToClient];
    let before = ways.map(|way| relay.sent(way).len());
    // The first handshake was longer: this one, and all that follow, resume it.
    let client = house.session();
    // Signatures and tickets differ by a few octets in length.
    let whole = ways.iter().zip(before).map(|(way, before)| (relay.sent(*way).len() - before) as u64 - 32);
    let lengths: Vec<_> = ways.into_iter().zip(whole).collect();
    let since = house.attache.lines();
    drop(client);
    house.ended_since(since);
    for (direction, whole) in lengths {
        let step = (whole / 24).max(1);
        for after in [0, 1, 2, 8, 9].into_iter().chain((step..whole).step_by(step as usize)) {
            for fault in [Fault::Reset { after, direction }, Fault::Close { after, direction }] {
                relay.set(fault);
                let (code, line) = refused(&house);
                let place = format!("{direction:?} {after} of {whole}: {line}");
                assert_eq!(code, "08006", "{place}");
                assert!(["reset", "closed"].contains(&line["result"].as_str().unwrap()), "{place}");
                assert_eq!(line["ended_by"], "upstream", "{place}");
            }
        }
    }
    relay.set(Fault::None);
    house.settles();
    assert_eq!(house.query("select current_user"), "cut");
}

#[test]
fn a_login_that_is_cut_once_is_tried_again_and_the_client_never_hears_of_it() {
    let server = Script::serve(|mut peer| {
        if peer.number() < 2 {
            peer.read_startup()?;
            peer.send(b"R\0")?;
            peer.reset();
            return Ok(());
        }
        server::welcome(&mut peer)?;
        server::answer(&mut peer)
    });
    let secret = credential("app");
    let house = postgres(&[server.addr()]).folder(secret.path()).start();
    let mut client = house.session();
    assert_eq!(client.query("select 1").0, "1");
    assert_eq!(house.metric("attache_login_retries_total", &[("route", "db")]), 2.0);
}

/// How much of a reply arrives before the server goes, and what the client must then see: `None` for the bare end,
/// or the SQLSTATE of the words that are put behind the reply.
fn cut_reply(reply: &'static [u8], reset: bool, words: Option<&str>) {
    let server = Script::serve(move |mut peer| {
        server::welcome(&mut peer)?;
        peer.read_message()?;
        peer.send(reply)?;
        if reset {
            // A reset may overtake what was sent: only what has been read is sure to arrive.
            peer.read_some()?;
            peer.reset();
        }
        Ok(())
    });
    let secret = credential("app");
    let house = postgres(&[server.addr()]).folder(secret.path()).start();
    let mut client = house.session();
    client.ask("select 1");
    let arrived = client.read_exact(reply.len());
    assert_eq!(arrived, reply);
    if reset {
        client.send(b"go");
    }
    let ending = client.ending();
    let words_heard = match ending.bytes.as_slice() {
        [] => None,
        bytes => Some(code_of(bytes)),
    };
    assert_eq!(words_heard.as_deref(), words, "after {:?}", reply.escape_ascii().to_string());
    let line = house.ended_since(0);
    assert_eq!(line["ended_by"], "upstream", "{line}");
    assert_eq!(line["stage"], "relay", "{line}");
    house.settles();
}

fn code_of(bytes: &[u8]) -> String {
    let message = Message { tag: bytes[0], body: bytes[5..].to_vec() };
    message.code().unwrap_or_else(|| panic!("no words: {:?}", bytes.escape_ascii().to_string()))
}

const ROW: &[u8] = b"D\0\0\0\x0c\0\x01\0\0\0\x021";
const WHOLE_ROW: &[u8] = b"D\0\0\0\x0c\0\x01\0\0\0\x0212";

#[test]
fn a_server_that_closes_inside_a_message_is_never_completed_by_words_of_ours() {
    for cut in [1, 3, 5, 7, ROW.len()] {
        cut_reply(&ROW[..cut], false, None);
    }
    cut_reply(ROW, true, None);
}

#[test]
fn a_server_that_closes_between_messages_is_a_connection_failure_in_the_clients_protocol() {
    cut_reply(b"", false, Some("08006"));
    cut_reply(WHOLE_ROW, false, Some("08006"));
    cut_reply(WHOLE_ROW, true, Some("08006"));
}

#[test]
fn a_server_that_says_why_it_goes_has_the_last_word() {
    let goodbye = frame(b'E', b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0");
    cut_reply(Vec::leak(goodbye), false, None);
}

#[test]
fn a_backend_that_is_terminated_says_so_itself_and_the_session_ends() {
    let Some(real) = Real::with_role("terminated") else { return };
    let secret = credential("terminated");
    let house = postgres(&[real.postgres.addr()]).verified(&real.pki).folder(secret.path()).start();
    let mut client = house.session();
    let (pid, _) = client.query("select pg_backend_pid()");
    real.postgres.sql(&format!("select pg_terminate_backend({pid})"));
    assert_eq!(client.refusal(), "57P01");
    house.settles();
}

#[test]
fn a_connection_that_is_cut_while_a_session_is_idle_is_told_at_once() {
    let Some(real) = Real::with_role("idle_cut") else { return };
    let relay = Relay::to(real.postgres.addr());
    let secret = credential("idle_cut");
    let house = postgres(&[relay.addr()]).verified(&real.pki).folder(secret.path()).start();
    let clients: Vec<_> = (0..10).map(|_| house.session()).collect();
    relay.cut();
    for client in clients {
        assert_eq!(client.refusal(), "08006");
    }
    house.settles();
    assert_eq!(house.query("select 1"), "1");
}

/// A server that talks nonsense is one that nobody waits for.
#[test]
fn a_server_of_another_protocol_is_named_at_once() {
    for nonsense in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"\0\0\0\0\0\0\0\0\0", &[0xff; 70_000]] {
        let (said, heard) = mpsc::sync_channel(64);
        let server = Script::serve(move |mut peer| {
            let _ = said.try_send(());
            let _ = peer.send(nonsense);
            // Whatever the client makes of it.
            let _ = peer.read_to_end();
            Ok(())
        });
        let secret = credential("app");
        let house = postgres(&[server.addr()]).folder(secret.path()).start();
        let (code, line) = refused(&house);
        assert_eq!(code, "08P01", "{line}");
        assert_eq!(line["ended_by"], "upstream", "{line}");
        heard.recv_timeout(SOON).unwrap();
        house.settles();
        eventually("the server to be left", SOON, || (server.accepted() == 1).then_some(()));
    }
}

/// The client's next query is written into a connection that the server has reset: that, too, is told.
#[test]
fn a_server_that_goes_just_as_the_client_asks_is_a_connection_failure() {
    let (go, going) = mpsc::channel::<()>();
    let going = Mutex::new(going);
    let (gone, heard) = mpsc::channel::<()>();
    let server = Script::serve(move |mut peer| {
        server::welcome(&mut peer)?;
        let _ = going.lock().unwrap().recv_timeout(SOON);
        peer.reset();
        let _ = gone.send(());
        Ok(())
    });
    let secret = credential("app");
    let house = postgres(&[server.addr()]).folder(secret.path()).start();
    let mut client = house.session();
    // Both are there when Attaché looks next.
    house.attache.signal(Signal::STOP);
    client.ask("select 1");
    go.send(()).unwrap();
    heard.recv_timeout(SOON).unwrap();
    house.attache.signal(Signal::CONT);
    assert_eq!(client.refusal(), "08006");
    let line = house.ended_since(0);
    assert_eq!(line["ended_by"], "upstream", "{line}");
    house.settles();
}
