//! Servers that do not report their role, as those before version 14: they are asked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use attache_kit::*;

use super::{Pair, WHERE};
use crate::house::Clients;
use crate::servers::Account;

/// A server that says nothing of its role at login, as those before version 14, and answers the question.
fn old_server(in_recovery: &'static str) -> Script {
    Script::serve(move |mut peer| {
        let startup = peer.read_startup()?;
        // A cancel request or a TLS request would be something else.
        assert_eq!(&startup[4..8], &[0, 3, 0, 0]);
        peer.send_message(b'R', &[0, 0, 0, 0])?;
        peer.send_message(b'S', b"server_version\x0013.14\0")?;
        peer.send_message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2])?;
        peer.send_message(b'Z', b"I")?;
        let mut queries = 0;
        loop {
            let (tag, body) = match peer.read_message() {
                Ok(message) => message,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            };
            match tag {
                b'X' => return Ok(()),
                b'Q' if queries == 0 => {
                    assert_eq!(body, b"select pg_catalog.pg_is_in_recovery()\0");
                    answer(&mut peer, in_recovery)?;
                }
                b'Q' => answer(&mut peer, &format!("{in_recovery} to {}", queries))?,
                other => panic!("unexpected message {other}"),
            }
            queries += 1;
        }
    })
}

/// A probe that the end of its process cuts is no error of the script.
fn assert_no_panic(scripts: &[&Script]) {
    let errors: Vec<_> = scripts.iter().flat_map(|script| script.errors()).collect();
    assert!(!errors.iter().any(|error| error.contains("panicked")), "{errors:?}");
}

fn answer(peer: &mut Peer, value: &str) -> io::Result<()> {
    peer.send_message(b'T', b"\0\x01x\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0")?;
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    peer.send_message(b'D', &[&[0, 1][..], &length, value.as_bytes()].concat())?;
    peer.send_message(b'C', b"SELECT 1\0")?;
    peer.send_message(b'Z', b"I")
}

fn without_tls(order: [SocketAddr; 2], role: &str) -> House {
    let route = Account::somebody().route_to(order[0]).endpoints(order).tls("off");
    route.upstream(&format!("role: {role}")).start()
}

#[test]
fn servers_before_version_14_are_asked() {
    let (primary, standby) = (old_server("f"), old_server("t"));
    if available(tools::postgres_tool("psql")).is_none() {
        return;
    }
    for order in [[primary.addr(), standby.addr()], [standby.addr(), primary.addr()]] {
        for (role, first) in [("primary", "f to 1"), ("replica", "t to 1"), ("prefer-replica", "t to 1")] {
            let house = without_tls(order, role);
            assert_eq!(
                house.query("postgres", "select 1"),
                first,
                "{role}: the client's query is the server's second"
            );
        }
    }
    assert_no_panic(&[&primary, &standby]);
}

#[test]
fn a_server_whose_report_is_taken_away_on_the_path_is_asked() {
    let Some(pair) = Pair::start(Version::V15) else { return };
    pair.primary.rewrite_hba(&["host all all all trust"]);
    pair.standby.rewrite_hba(&["host all all all trust"]);
    let relays = [&pair.primary, &pair.standby].map(|server| {
        let to = server.addr();
        Script::serve(move |peer| without_report(peer, to))
    });
    let addresses = relays.each_ref().map(Script::addr);
    for (role, in_recovery) in [("primary", "f"), ("replica", "t")] {
        let house = without_tls(addresses, role);
        assert_eq!(house.query("postgres", WHERE), in_recovery);
    }
    assert_no_panic(&relays.each_ref());
}

/// Passes a session on, message by message, and leaves `in_hot_standby` out.
fn without_report(mut client: Peer, to: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(to)?;
    server.write_all(&client.read_startup()?)?;
    loop {
        loop {
            let mut head = [0; 5];
            server.read_exact(&mut head)?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let mut body = vec![0; usize::try_from(length).unwrap() - 4];
            server.read_exact(&mut body)?;
            if !(head[0] == b'S' && body.starts_with(b"in_hot_standby")) {
                client.send_message(head[0], &body)?;
            }
            if head[0] == b'Z' {
                break;
            }
        }
        let (tag, body) = match client.read_message() {
            Ok((b'X', _)) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            message => message?,
        };
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        server.write_all(&[&[tag][..], &length, &body].concat())?;
    }
}
