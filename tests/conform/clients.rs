//! No client can hurt the process, whatever it says and however it leaves.

use std::time::{Duration, Instant};

use attache_kit::{SOON, eventually};
use attache_wire::testing::contains;

use crate::house::{connect, echo, is_refusal};
use crate::speech::each;

/// Bytes that are different for every seed and the same in every run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let octet = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(octet).take(length).collect()
}

#[test]
fn random_bytes_hurt_nobody() {
    each(|speech| {
        let server = echo(speech);
        let mut house = speech.route(server.addr()).key("client: { login_timeout: 300ms }").start();
        for seed in 0..150 {
            let mut client = connect(&house);
            let length = [1, 3, 8, 40, 700, 20_000][seed as usize % 6];
            // Some begin as they should.
            let start = if seed % 3 == 0 { seed as usize % (speech.hello.len() + 1) } else { 0 };
            client.send(&speech.hello[..start]);
            client.send(&noise(seed, length));
            if seed % 4 == 0 {
                client.reset();
            }
        }
        house.settles();
        speech.session(&house);
        assert!(house.attache.is_running());
    });
}

#[test]
fn a_hello_that_stops_anywhere_leaves_nothing() {
    each(|speech| {
        let server = echo(speech);
        let house = speech.route(server.addr()).start();
        for end in 0..=speech.hello.len() {
            for leaves_in_order in [true, false] {
                let mut client = connect(&house);
                client.send(&speech.hello[..end]);
                if !leaves_in_order {
                    client.reset();
                }
            }
        }
        house.settles();
        speech.session(&house);
    });
}

/// Either it has a session or it is sent away in time; nobody stays in between.
#[test]
fn a_client_that_says_nothing_more_is_not_kept_waiting_for() {
    const LIMIT: Duration = Duration::from_secs(1);
    each(|speech| {
        for end in [0, speech.hello.len().min(1), speech.hello.len().saturating_sub(1)] {
            let server = echo(speech);
            let house = speech.route(server.addr()).key("client: { login_timeout: 1s }").start();
            let start = Instant::now();
            let mut client = connect(&house);
            client.send(&speech.hello[..end]);
            if end == speech.hello.len() {
                eventually("the session", SOON, || (server.accepted() == 1).then_some(()));
                client.speak(speech.word);
                continue;
            }
            let words = client.ending();
            assert!(start.elapsed() >= LIMIT && start.elapsed() < LIMIT + Duration::from_secs(10));
            assert!(
                is_refusal(&speech, &words),
                "{}: {:?}",
                speech.protocol,
                words.escape_ascii().to_string()
            );
            let met = usize::from(speech.server_first);
            assert_eq!(server.accepted(), met, "{}: half a hello reached the server", speech.protocol);
            house.settles();
        }
    });
}

#[test]
fn more_than_max_sessions_are_refused_and_the_others_served() {
    each(|speech| {
        let server = echo(speech);
        let house = speech.route(server.addr()).key("client: { max_sessions: 2 }").start();
        let (mut first, second) = (speech.session(&house), speech.session(&house));
        for _ in 0..3 {
            let since = house.attache.lines();
            let words = speech.greet(&house).ending();
            match speech.refused {
                Some((_, too_many)) => assert!(contains(&words, too_many), "{}: {words:?}", speech.protocol),
                None => assert_eq!(words, b"", "{}", speech.protocol),
            }
            assert_eq!(house.ended_since(since)["result"], "too_many_sessions");
        }
        first.speak(speech.word);
        let since = house.attache.lines();
        drop(second);
        house.ended_since(since);
        speech.session(&house);
        assert_eq!(server.accepted(), 3, "a session that is refused costs the server nothing");
    });
}

#[test]
fn two_hundred_sessions_at_once_leave_nothing_behind() {
    each(|speech| {
        let server = echo(speech);
        let house = speech.route(server.addr()).start();
        let threads = house.attache.threads();
        let mut clients: Vec<_> = (0..200).map(|_| speech.session(&house)).collect();
        for client in &mut clients {
            client.speak(speech.word);
        }
        // One may come and go that reads files for all of them.
        assert!(house.attache.threads() < threads + 10, "a session is no thread");
        for (number, client) in clients.into_iter().enumerate() {
            if number % 2 == 0 {
                client.reset();
            }
        }
        house.settles();
    });
}
