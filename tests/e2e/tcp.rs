//! The null protocol: every byte, every end and every break passes as it is.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;

use attache_kit::{House, Pki, SOON, Script, ServerTls};

use crate::client::Client;
use crate::house::tcp;

/// The same route without and with TLS to the server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Plain,
    Tls,
}

const WAYS: [Way; 2] = [Way::Plain, Way::Tls];

/// A server that does `part` after the handshake, if there is one, behind Attaché.
fn arranged(
    way: Way,
    part: impl Fn(attache_kit::Peer) -> std::io::Result<()> + Send + Sync + 'static,
) -> (House, Script, Pki) {
    let pki = Pki::new();
    let tls = ServerTls::new(&pki.server());
    let server = Script::serve(move |peer| match way {
        Way::Plain => part(peer),
        Way::Tls => part(peer.start_tls(&tls)?),
    });
    let plan = tcp(server.addr());
    let plan = if way == Way::Tls { plan.verified(&pki) } else { plan };
    (plan.start(), server, pki)
}

fn client(house: &House) -> Client {
    Client::connect(house.addr())
}

#[test]
fn a_client_that_finishes_sending_still_gets_its_answer() {
    for way in WAYS {
        let (house, server, _pki) = arranged(way, |mut peer| {
            let all = peer.read_to_end()?;
            peer.send(&all)?;
            peer.finish();
            Ok(())
        });
        let mut client = client(&house);
        client.send(b"first and ");
        client.send(b"last");
        client.finish();
        let ending = client.ending();
        assert_eq!(ending.bytes, b"first and last", "{way:?} {:?}", server.errors());
        assert!(!ending.reset, "{way:?}");
        house.settles();
    }
}

#[test]
fn a_server_that_finishes_sending_still_hears_its_client() {
    for way in WAYS {
        let (said, heard) = mpsc::channel();
        let (house, _server, _pki) = arranged(way, move |mut peer| {
            peer.send(b"welcome")?;
            peer.finish();
            let _ = said.send(peer.read_to_end()?);
            Ok(())
        });
        let mut client = client(&house);
        let ending = client.read_to_the_end();
        assert_eq!((ending.bytes.as_slice(), ending.reset), (&b"welcome"[..], false), "{way:?}");
        client.send(b"and goodbye");
        client.finish();
        assert_eq!(heard.recv_timeout(SOON).unwrap(), b"and goodbye", "{way:?}");
        house.settles();
        let line = house.ended_since(0);
        assert_eq!((&line["result"], &line["to_upstream"]), (&"ok".into(), &11.into()), "{line}");
    }
}

/// Bytes that no compression or luck would repeat.
fn noise(length: usize, mut state: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn a_hundred_megabytes_pass_both_ways_at_once_and_are_the_same() {
    const LENGTH: usize = 100_000_000;
    for way in WAYS {
        // The server sends back what it gets, while it gets it.
        let (house, server, _pki) = arranged(way, |mut peer| {
            loop {
                let more = peer.read_some()?;
                if more.is_empty() {
                    peer.finish();
                    return Ok(());
                }
                peer.send(&more)?;
            }
        });
        let sent = noise(LENGTH, 0x5eed);
        let client = client(&house);
        let (mut reading, mut writing) =
            (client.stream().try_clone().unwrap(), client.stream().try_clone().unwrap());
        let got = thread::scope(|scope| {
            scope.spawn(|| {
                writing.write_all(&sent).unwrap();
                client.finish();
            });
            let mut got = Vec::with_capacity(LENGTH);
            reading.read_to_end(&mut got).map(|_| got)
        });
        assert!(got.unwrap() == sent, "{way:?} {:?}", server.errors());
        drop((client, reading, writing));
        house.settles();
        let line = house.ended_since(0);
        assert_eq!(line["to_upstream"], LENGTH, "{line}");
        assert_eq!(line["to_client"], LENGTH, "{line}");
        assert_eq!(house.metric("attache_relay_bytes_total", &[("direction", "to_client")]), LENGTH as f64);
        assert!(
            house.attache.resident_bytes() < 128 * 1024 * 1024,
            "memory follows the buffers, not the bytes"
        );
    }
}

/// A cut connection looks like the end of the data, unless TLS's own end is missing.
#[test]
fn data_that_is_cut_short_is_never_passed_as_a_clean_end() {
    let (house, _server, _pki) = arranged(Way::Tls, |mut peer| {
        peer.read_exact(2)?;
        peer.send(b"half of")
    });
    for finishes in [false, true] {
        let since = house.attache.lines();
        let mut client = client(&house);
        client.send(b"go");
        if finishes {
            client.finish();
        }
        let ending = client.ending();
        assert!(ending.reset, "the client takes half for the whole");
        let line = house.ended_since(since);
        assert_eq!(line["ended_by"], "upstream", "{line}");
        // What the client still sends may meet a server that has closed already: its system answers with a reset.
        assert!(["closed", "reset"].contains(&line["result"].as_str().unwrap()), "{line}");
    }
    house.settles();
}

#[test]
fn a_reset_by_the_server_reaches_the_client_as_a_reset() {
    for way in WAYS {
        let (house, _server, _pki) = arranged(way, |mut peer| {
            peer.read_exact(2)?;
            peer.reset();
            Ok(())
        });
        let mut client = client(&house);
        client.send(b"go");
        assert!(client.ending().reset, "{way:?}");
        let line = house.ended_since(0);
        assert_eq!((&line["result"], &line["ended_by"]), (&"reset".into(), &"upstream".into()), "{line}");
        house.settles();
    }
}

#[test]
fn a_reset_by_the_client_reaches_the_server_as_a_reset() {
    for way in WAYS {
        let (said, heard) = mpsc::channel();
        let (house, _server, _pki) = arranged(way, move |mut peer| {
            peer.read_exact(2)?;
            peer.send(b"ok")?;
            let _ = said.send(peer.read_exact(1).map_err(|error| error.kind()));
            Ok(())
        });
        let mut client = client(&house);
        client.send(b"go");
        assert_eq!(client.read_exact(2), b"ok");
        client.reset();
        let end = heard.recv_timeout(SOON).unwrap();
        assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset), "{way:?}");
        house.settles();
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_a_closed_connection_and_no_byte() {
    let nobody = attache_kit::ports::reserve();
    let house = tcp(nobody.addr()).upstream("wait: 200ms").start();
    assert_eq!(client(&house).ending().bytes, b"");
    assert_eq!(house.ended_since(0)["result"], "connect_refused");
    house.settles();
}

#[test]
fn a_server_whose_certificate_is_not_trusted_gets_no_byte() {
    let (pki, rogue) = (Pki::new(), Pki::new());
    let tls = ServerTls::new(&rogue.server());
    let server = Script::serve(move |peer| {
        let mut peer = peer.start_tls(&tls)?;
        let said = peer.read_some()?;
        panic!("the server was told {said:?}");
    });
    let house = tcp(server.addr()).verified(&pki).start();
    let mut client = client(&house);
    client.try_send(b"confidential");
    assert_eq!(client.ending().bytes, b"");
    assert_eq!(house.ended_since(0)["result"], "certificate_unknown_authority");
    house.settles();
    assert!(!server.errors().iter().any(|error| error.contains("was told")), "{:?}", server.errors());
}
