//! Each fault of the relay does what its name says, to new connections and to live ones.

#![allow(clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use attache_kit::{Direction, Fault, Relay, Script, eventually};

const DEADLINE: Duration = Duration::from_secs(30);
/// Long enough to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(200);

/// A server that says everything twice.
fn doubling() -> Script {
    Script::serve(|mut peer| {
        loop {
            let bytes = peer.read_some()?;
            if bytes.is_empty() {
                return Ok(());
            }
            peer.send(&bytes)?;
            peer.send(&bytes)?;
        }
    })
}

fn connect(relay: &Relay) -> TcpStream {
    let client = TcpStream::connect(relay.addr()).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client
}

fn read(client: &mut TcpStream, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    client.read_exact(&mut bytes).map(|()| bytes)
}

fn hears_nothing(client: &mut TcpStream) -> bool {
    client.set_read_timeout(Some(SILENCE)).unwrap();
    let silent = client.read(&mut [0; 1]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    silent
}

#[test]
fn without_a_fault_it_copies_and_remembers() {
    let server = doubling();
    let relay = Relay::to(server.addr());
    let mut client = connect(&relay);
    client.write_all(b"abc").unwrap();
    assert_eq!(read(&mut client, 6).unwrap(), b"abcabc");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "the half-close did not come through");
    assert_eq!(relay.sent(Direction::ToServer), b"abc");
    assert_eq!(relay.sent(Direction::ToClient), b"abcabc");
    eventually("the connection to end", DEADLINE, || (relay.live() == 0).then_some(()));
    assert_eq!(relay.connections(), 1);
}

#[test]
fn refuse_means_nobody_listens_and_it_can_be_lifted() {
    let server = doubling();
    let relay = Relay::to(server.addr());
    let mut live = connect(&relay);
    for _ in 0..3 {
        relay.set(Fault::Refuse);
        assert_eq!(TcpStream::connect(relay.addr()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        relay.set(Fault::None);
        drop(connect(&relay));
    }
    live.write_all(b"a").unwrap();
    assert_eq!(read(&mut live, 2).unwrap(), b"aa");
}

#[test]
fn a_blackhole_says_nothing_until_it_is_lifted() {
    let server = doubling();
    let relay = Relay::to(server.addr());
    let mut before = connect(&relay);
    before.write_all(b"a").unwrap();
    read(&mut before, 2).unwrap();

    relay.set(Fault::Blackhole);
    let mut during = connect(&relay);
    for client in [&mut before, &mut during] {
        client.write_all(b"b").unwrap();
        assert!(hears_nothing(client));
    }
    assert_eq!((server.accepted(), relay.sent(Direction::ToServer)), (1, b"a".to_vec()));

    relay.set(Fault::None);
    for client in [&mut before, &mut during] {
        assert_eq!(read(client, 2).unwrap(), b"bb");
    }
}

#[test]
fn hangup_closes_at_once() {
    let server = doubling();
    let relay = Relay::to(server.addr());
    relay.set(Fault::Hangup);
    assert_eq!(connect(&relay).read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(server.accepted(), 0);
}

#[test]
fn a_reset_comes_after_exactly_that_many_bytes() {
    let server = doubling();
    let relay = Relay::to(server.addr());
    relay.set(Fault::Reset { after: 3, direction: Direction::ToServer });
    let mut client = connect(&relay);
    client.write_all(b"abcdef").unwrap();
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(relay.sent(Direction::ToServer), b"abc");
}

#[test]
fn a_close_truncates_an_answer() {
    let server = doubling();
    let relay = Relay::to(server.addr());
    relay.set(Fault::Close { after: 4, direction: Direction::ToClient });
    let mut client = connect(&relay);
    client.write_all(b"abc").unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"abca");
}

#[test]
fn a_stall_keeps_the_connection_and_ends() {
    let server = doubling();
    let relay = Relay::to(server.addr());
    relay.set(Fault::Stall { after: 1, direction: Direction::ToClient });
    let mut client = connect(&relay);
    client.write_all(b"ab").unwrap();
    assert_eq!(read(&mut client, 1).unwrap(), b"a");
    assert!(hears_nothing(&mut client));
    relay.set(Fault::None);
    assert_eq!(read(&mut client, 3).unwrap(), b"bab");
}

#[test]
fn a_delay_delays() {
    let server = doubling();
    let relay = Relay::to(server.addr());
    relay.set(Fault::Delay(SILENCE));
    let mut client = connect(&relay);
    let start = Instant::now();
    client.write_all(b"a").unwrap();
    read(&mut client, 2).unwrap();
    assert!(start.elapsed() >= SILENCE * 2, "both ways wait");
}

#[test]
fn a_cut_resets_what_lives_even_if_nobody_reads() {
    let server = doubling();
    let relay = Relay::to(server.addr());
    let mut client = connect(&relay);
    // More than all buffers on the way hold: the relay is blocked while it writes.
    client.set_nonblocking(true).unwrap();
    while client.write(&[0; 65536]).is_ok() {}
    client.set_nonblocking(false).unwrap();
    eventually("the connection to be carried", DEADLINE, || (server.accepted() == 1).then_some(()));
    relay.cut();
    eventually("the connection to end", DEADLINE, || (relay.live() == 0).then_some(()));
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_trickle_brings_everything_in_small_pieces() {
    let server = doubling();
    let relay = Relay::to(server.addr());
    relay.set(Fault::Trickle { bytes: 2, pause: SILENCE / 10 });
    let mut client = connect(&relay);
    let start = Instant::now();
    client.write_all(b"abcdef").unwrap();
    let mut all = read(&mut client, 12).unwrap();
    assert!(start.elapsed() >= SILENCE / 10 * 6, "three pieces there and as many back, at least");
    all.sort_unstable();
    assert_eq!(all, b"aabbccddeeff");
}

#[test]
fn new_connections_go_where_the_address_leads_now() {
    let (old, new) = (doubling(), doubling());
    let relay = Relay::forgetful(old.addr());
    let mut before = connect(&relay);
    before.write_all(b"a").unwrap();
    read(&mut before, 2).unwrap();
    relay.lead_to(new.addr());
    let mut after = connect(&relay);
    for client in [&mut before, &mut after] {
        client.write_all(b"b").unwrap();
        assert_eq!(read(client, 2).unwrap(), b"bb");
    }
    assert_eq!((old.accepted(), new.accepted()), (1, 1));
    assert_eq!(relay.sent(Direction::ToServer), b"");
}
