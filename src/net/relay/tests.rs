//! Pauses and held bytes, over real sockets, with a watch of one rule each.

use std::future::poll_fn;

use attache_wire::{Fault, Passage, Watch};
use bytes::Bytes;
use futures_util::FutureExt;
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
    makes_room: bool,
}

impl Watch for Lines {
    fn from_client(&mut self, bytes: &[u8]) -> Result<Passage, Fault> {
        for (at, byte) in bytes.iter().enumerate() {
            match (self.client_midway, byte, bytes.get(at + 1)) {
                (false, ..) if self.makes_room => return Ok(Passage::Until(at)),
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

    fn takes_a_login(&self) -> bool {
        self.answered()
    }

    fn make_room(&mut self, wanted: bool) {
        self.makes_room = wanted;
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
        self.until(Until::End).await
    }

    async fn until(&mut self, until: Until) -> Event {
        poll_fn(|cx| self.copier.poll(cx, until)).await
    }

    /// What the client is told before there is a moment for a login.
    async fn told_meanwhile(&mut self, octets: usize) -> String {
        let mut told = vec![0; octets];
        tokio::select! {
            event = poll_fn(|cx| self.copier.poll(cx, Until::Login)) => panic!("{event:?} too early"),
            read = self.client.read_exact(&mut told) => read.expect("the client reads"),
        };
        let event = self.until(Until::Login).now_or_never();
        assert!(event.is_none(), "{event:?} too early");
        String::from_utf8(told).expect("the words are text")
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

#[tokio::test]
async fn a_login_is_put_in_between_once_everything_is_answered_and_nothing_is_lost_around_it() {
    let mut session = session();
    session.client.write_all(b"one\ntwo\nth").await.expect("the client writes");
    assert_eq!(session.heard(8).await, "one\ntwo\n");
    session.server.write_all(b"1\n").await.expect("the server writes");
    assert_eq!(session.told_meanwhile(2).await, "1\n", "not everything is answered");
    session.server.write_all(b"2\n").await.expect("the server writes");
    assert_eq!(session.told_meanwhile(2).await, "2\n", "half a word was passed on");
    session.client.write_all(b"ree\n").await.expect("the client writes");
    assert_eq!(session.heard(6).await, "three\n");
    session.client.write_all(b"f").await.expect("the client writes");
    session.server.write_all(b"3\n").await.expect("the server writes");
    assert!(matches!(session.until(Until::Login).await, Event::Moment));

    let (mut client, mut server, _) = session.copier.pause();
    assert_eq!(&client.input[..], b"f", "what is held is kept");
    client.input.extend_from_slice(b"our\n");
    server.input.extend_from_slice(b"!\n");
    session.copier.watch.as_mut().expect("it is watched").outstanding += 1;
    session.copier.resume(client, server);
    assert_eq!(session.heard(5).await, "four\n");
    let mut heard = [0; 4];
    session.client.read_exact(&mut heard).await.expect("the client hears everything");
    assert_eq!(&heard, b"3\n!\n");
}

#[tokio::test]
async fn whoever_is_never_quiet_is_kept_from_saying_more_and_then_goes_on() {
    let mut session = session();
    session.client.write_all(b"one\ntwo\nth").await.expect("the client writes");
    assert_eq!(session.heard(10).await, "one\ntwo\nth");
    session.copier.make_room(true);
    session.client.write_all(b"ree\nfour\nfi").await.expect("the client writes");
    assert_eq!(session.heard(4).await, "ree\n", "what has begun is finished, and no more is said");
    session.server.write_all(b"1\n2\n").await.expect("the server writes");
    assert_eq!(session.told_meanwhile(4).await, "1\n2\n");
    session.server.write_all(b"3\n").await.expect("the server writes");
    assert!(matches!(session.until(Until::Login).await, Event::Moment));
    let (client, server, _) = session.copier.pause();
    assert_eq!(&client.input[..], b"four\nfi");
    session.copier.resume(client, server);
    session.copier.make_room(false);
    assert_eq!(session.heard(7).await, "four\nfi");
}

#[tokio::test]
async fn whoever_has_waited_long_enough_goes_on_without_a_login() {
    let mut session = session();
    session.client.write_all(b"one\n").await.expect("the client writes");
    assert_eq!(session.heard(4).await, "one\n");
    session.copier.make_room(true);
    session.client.write_all(b"two\n!x\n").await.expect("the client writes");
    while session.copier.up.state != State::Paused {
        let event = session.until(Until::Login).now_or_never();
        assert!(event.is_none(), "{event:?} before anything is answered");
        tokio::task::yield_now().await;
    }
    session.copier.make_room(false);
    assert_eq!(session.heard(4).await, "two\n");
    session.server.write_all(b"1\n2\n").await.expect("the server writes");
    assert!(matches!(session.event().await, Event::Paused), "this one waits for its own reason");
}

#[tokio::test]
async fn nobody_who_has_finished_is_logged_in_again() {
    let mut session = session();
    session.client.shutdown().await.expect("the client ends");
    assert!(matches!(session.until(Until::End).await, Event::ClientEnded));
    let event = session.until(Until::Login).now_or_never();
    assert!(event.is_none(), "{event:?}");
}
