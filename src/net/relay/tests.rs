//! Pauses and held bytes, over real sockets, with a watch of one rule each.

use std::future::poll_fn;

use attache_wire::{Fault, Passage, Watch};
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::super::stream::Stream;
use super::*;

/// Lines, each answered by one line. One that begins with `!` is not for the server, and what a line begins with is
/// only told by its second octet. In place of a question goes something else.
#[derive(Default)]
struct Lines {
    outstanding: usize,
    client_midway: bool,
}

impl Watch for Lines {
    fn from_client(&mut self, bytes: &[u8]) -> Result<Passage, Fault> {
        for (at, byte) in bytes.iter().enumerate() {
            match (self.client_midway, byte, bytes.get(at + 1)) {
                (false, b'!', Some(_)) => return Ok(Passage::Until(at)),
                (false, b'?', Some(_)) => {
                    let Some(end) = bytes[at..].iter().position(|byte| *byte == b'\n') else {
                        return Ok(Passage::Hold(at));
                    };
                    self.outstanding += 1;
                    return Ok(Passage::Instead { passed: at, dropped: end + 1 });
                }
                (false, _, None) => return Ok(Passage::Hold(at)),
                (false, b'#', _) => return Err(Fault::Malformed("no comments")),
                (_, b'\n', _) => {
                    self.outstanding += 1;
                    self.client_midway = false;
                }
                _ => self.client_midway = true,
            }
        }
        Ok(Passage::All)
    }

    fn in_place(&mut self) -> Bytes {
        Bytes::from_static(b"no\n")
    }

    fn from_server(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.outstanding -= bytes.iter().filter(|byte| **byte == b'\n').count();
        Ok(())
    }

    fn may_speak(&self) -> bool {
        true
    }

    fn quiet(&self) -> bool {
        self.answered()
    }

    fn answered(&self) -> bool {
        self.outstanding == 0 && !self.client_midway
    }

    fn client_left(&self) -> bool {
        false
    }
}

struct Session {
    client: UnixStream,
    server: UnixStream,
    copier: Copier<Lines>,
}

fn session() -> Session {
    let (client, near) = UnixStream::pair().expect("a pair of sockets");
    let (server, far) = UnixStream::pair().expect("a pair of sockets");
    let links = [near, far].map(|stream| Link::new(Stream::Unix(stream)));
    let [near, far] = links;
    let watch = Some(Box::<Lines>::default());
    Session {
        client,
        server,
        copier: Copier::new(near, far, watch, [Counter::default(), Counter::default()]),
    }
}

impl Session {
    async fn event(&mut self) -> Event {
        poll_fn(|cx| self.copier.poll(cx, Until::End)).await
    }

    /// What the server hears while the session is being copied.
    async fn heard(&mut self, octets: usize) -> String {
        let mut heard = vec![0; octets];
        tokio::select! {
            event = poll_fn(|cx| self.copier.poll(cx, Until::End)) => panic!("{event:?} instead of words"),
            read = self.server.read_exact(&mut heard) => read.expect("the server reads"),
        };
        String::from_utf8(heard).expect("the words are text")
    }
}

#[tokio::test]
async fn a_pause_waits_for_the_answers_and_the_rest_comes_after_it() {
    let mut session = session();
    session.client.write_all(b"one\n!two\nthree\n").await.expect("the client writes");
    assert_eq!(session.heard(4).await, "one\n");
    session.server.write_all(b"1\n").await.expect("the server writes");
    assert!(matches!(session.event().await, Event::Paused));
    let (mut client, server, watch) = session.copier.pause();
    assert!(watch.is_some_and(|watch| watch.answered()));
    assert_eq!(&client.input[..], b"!two\nthree\n");
    let _ = client.input.split_to(5);
    session.copier.resume(client, server);
    assert_eq!(session.heard(6).await, "three\n");
    let mut answer = [0; 2];
    session.client.read_exact(&mut answer).await.expect("the answer of before has come");
    assert_eq!(&answer, b"1\n");
}

#[tokio::test]
async fn what_is_held_goes_on_with_what_comes_behind_it() {
    let mut session = session();
    session.client.write_all(b"o").await.expect("the client writes");
    tokio::select! {
        event = poll_fn(|cx| session.copier.poll(cx, Until::End)) => panic!("{event:?}"),
        ready = session.server.readable() => panic!("it was not to be passed on: {ready:?}"),
        () = tokio::task::yield_now() => {}
    }
    session.client.write_all(b"ne\nt").await.expect("the client writes");
    assert_eq!(session.heard(4).await, "one\n");
    session.client.shutdown().await.expect("the client ends");
    let mut rest = Vec::new();
    tokio::select! {
        event = poll_fn(|cx| session.copier.poll(cx, Until::Quiet)) => assert!(matches!(event, Event::ClientEnded), "{event:?}"),
        read = session.server.read_to_end(&mut rest) => { read.expect("the server reads"); }
    }
    assert!(rest.is_empty(), "half a head is nobody's");
}

#[tokio::test]
async fn something_else_may_go_in_the_place_of_what_is_dropped() {
    let mut session = session();
    session.client.write_all(b"one\n?two\n?three\nfour\n?fi").await.expect("the client writes");
    assert_eq!(session.heard(15).await, "one\nno\nno\nfour\n");
    session.client.write_all(b"ve\n").await.expect("the client writes");
    assert_eq!(session.heard(3).await, "no\n");
    session.client.write_all(b"?six\n!seven\n").await.expect("the client writes");
    assert_eq!(session.heard(3).await, "no\n");
    session.server.write_all(b"1\n2\n3\n4\n5\n6\n").await.expect("the server writes");
    assert!(matches!(session.event().await, Event::Paused));
}

#[tokio::test]
async fn what_breaks_a_rule_is_not_passed_on() {
    let mut session = session();
    session.client.write_all(b"#one\n").await.expect("the client writes");
    let event = session.event().await;
    assert!(matches!(event, Event::ClientFault(Fault::Malformed(_))), "{event:?}");
    drop(session.copier);
    let mut heard = Vec::new();
    session.server.read_to_end(&mut heard).await.expect("the server reads");
    assert!(heard.is_empty());
}

#[tokio::test]
async fn what_is_left_of_a_pause_can_pause_again() {
    let mut session = session();
    session.client.write_all(b"!a\n!b\nc\n").await.expect("the client writes");
    for left in [&b"!b\nc\n"[..], b"c\n"] {
        assert!(matches!(session.event().await, Event::Paused));
        let (mut client, server, _) = session.copier.pause();
        let _ = client.input.split_to(3);
        assert_eq!(&client.input[..], left);
        session.copier.resume(client, server);
    }
    assert_eq!(session.heard(2).await, "c\n");
}
