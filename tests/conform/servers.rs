//! Whatever the server does, its client hears an end within the limits of the route.

use std::time::{Duration, Instant};

use attache_kit::{Fault, House, Relay, Script, ports};

use crate::house::{echo, is_refusal};
use crate::speech::{Speech, each};

/// The longest of the limits of these routes, and what a busy machine adds.
const LIMIT: Duration = Duration::from_secs(15);

fn is_turned_away(speech: Speech, house: &House, result: &[&str]) {
    let (since, start) = (house.attache.lines(), Instant::now());
    let words = speech.greet(house).ending();
    let name = speech.protocol;
    assert!(start.elapsed() < LIMIT, "{name}: {:?}", start.elapsed());
    assert!(is_refusal(&speech, &words), "{name}: {:?}", words.escape_ascii().to_string());
    let line = house.ended_since(since);
    assert_eq!(line["ended_by"], "upstream", "{line}");
    assert!(result.contains(&line["result"].as_str().unwrap()), "{line}");
    house.settles();
}

impl Speech {
    /// A protocol without one has its session before its server says a word, and sees the end of it.
    fn has_a_login(&self) -> bool {
        !self.welcomed.is_empty()
    }
}

#[test]
fn one_that_refuses_is_told() {
    each(|speech| {
        let nobody = ports::reserve();
        is_turned_away(speech, &speech.route(nobody.addr()).start(), &["connect_refused"]);
    });
}

#[test]
fn one_that_hangs_up_or_resets_is_told() {
    each(|speech| {
        if !speech.has_a_login() {
            return;
        }
        let server = echo(speech);
        let relay = Relay::to(server.addr());
        let house = speech.route(relay.addr()).start();
        for (fault, result) in [
            (Fault::Hangup, ["closed", "reset"]),
            (Fault::Reset { after: 3, direction: attache_kit::Direction::ToClient }, ["reset", "reset"]),
            (Fault::Close { after: 3, direction: attache_kit::Direction::ToClient }, ["closed", "closed"]),
        ] {
            relay.set(fault);
            is_turned_away(speech, &house, &result);
        }
        relay.set(Fault::None);
        speech.session(&house);
    });
}

#[test]
fn one_that_says_nothing_is_told() {
    each(|speech| {
        if !speech.has_a_login() {
            return;
        }
        let nobody = ports::reserve();
        let relay = Relay::to(nobody.addr());
        relay.set(Fault::Blackhole);
        let house = speech.route(relay.addr()).upstream("connect_timeout: 400ms").start();
        is_turned_away(speech, &house, &["timed_out"]);
    });
}

#[test]
fn one_that_talks_nonsense_hurts_nobody() {
    each(|speech| {
        for length in [0, 1, 7, 64, 100_000] {
            let server = Script::serve(move |mut peer| {
                let nonsense: Vec<u8> = (0..length).map(|index| (index * 131 + 7) as u8).collect();
                peer.send(&nonsense)
            });
            let mut house = speech.route(server.addr()).start();
            let start = Instant::now();
            let words = speech.greet(&house).ending();
            assert!(start.elapsed() < LIMIT, "{}: {:?}", speech.protocol, start.elapsed());
            let told = speech.refused.is_none() || is_refusal(&speech, &words);
            assert!(told, "{}: {:?}", speech.protocol, words.escape_ascii().to_string());
            house.settles();
            assert!(house.attache.is_running());
        }
    });
}

/// Once a session has begun, a server that is cut off ends it at once, and never silently.
#[test]
fn one_that_is_cut_off_ends_its_sessions() {
    each(|speech| {
        let server = echo(speech);
        let relay = Relay::to(server.addr());
        let house = speech.route(relay.addr()).start();
        let (client, since) = (speech.session(&house), house.attache.lines());
        relay.cut();
        let words = client.ending();
        assert!(is_refusal(&speech, &words), "{}: {:?}", speech.protocol, words.escape_ascii().to_string());
        let line = house.ended_since(since);
        assert_eq!((&line["stage"], &line["ended_by"]), (&"relay".into(), &"upstream".into()), "{line}");
        house.settles();
    });
}
