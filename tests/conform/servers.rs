//! Whatever the server does, its client hears an end within the limits of the route.

use std::time::{Duration, Instant};

use attache_kit::{Fault, Relay, Script, ports};

use crate::house::{House, is_refusal};
use crate::speech::{Speech, all};

/// `connect_timeout` and `wait` of these routes together, and what a busy machine adds.
const LIMIT: Duration = Duration::from_secs(6);

fn is_turned_away(speech: Speech, house: &House, result: &[&str]) {
    let (since, start) = (house.attache.lines(), Instant::now());
    let words = house.hello().ending();
    let name = speech.protocol;
    assert!(start.elapsed() < LIMIT, "{name}: {:?}", start.elapsed());
    assert!(is_refusal(&speech, &words), "{name}: {:?}", words.escape_ascii().to_string());
    let line = house.ended(since);
    assert_eq!(line["ended_by"], "upstream", "{line}");
    assert!(result.contains(&line["result"].as_str().unwrap()), "{line}");
    house.settles();
}

#[test]
fn one_that_refuses_is_told() {
    for speech in all() {
        let nobody = ports::reserve();
        is_turned_away(speech, &House::start(speech, nobody.addr(), ""), &["connect_refused"]);
    }
}

#[test]
fn one_that_hangs_up_resets_or_says_nothing_is_told() {
    for speech in all() {
        // A protocol without a login of its own has its session by then, and sees the end of it.
        if speech.welcomed.is_empty() {
            continue;
        }
        let server = crate::house::echo(speech);
        let relay = Relay::to(server.addr());
        let house = House::start(speech, relay.addr(), "");
        for (fault, result) in [
            (Fault::Hangup, ["closed", "reset"]),
            (Fault::Blackhole, ["timed_out", "timed_out"]),
            (Fault::Reset { after: 3, direction: attache_kit::Direction::ToClient }, ["reset", "reset"]),
            (Fault::Close { after: 3, direction: attache_kit::Direction::ToClient }, ["closed", "closed"]),
        ] {
            relay.set(fault);
            is_turned_away(speech, &house, &result);
        }
        relay.set(Fault::None);
        house.session();
    }
}

#[test]
fn one_that_talks_nonsense_hurts_nobody() {
    for speech in all() {
        for length in [0, 1, 7, 64, 100_000] {
            let server = Script::serve(move |mut peer| {
                let nonsense: Vec<u8> = (0..length).map(|index| (index * 131 + 7) as u8).collect();
                peer.send(&nonsense)
            });
            let mut house = House::start(speech, server.addr(), "");
            let start = Instant::now();
            let words = house.hello().ending();
            assert!(start.elapsed() < LIMIT, "{}: {:?}", speech.protocol, start.elapsed());
            let told = speech.refused.is_none() || is_refusal(&speech, &words);
            assert!(told, "{}: {:?}", speech.protocol, words.escape_ascii().to_string());
            house.settles();
            assert!(house.attache.is_running());
        }
    }
}

/// Once a session has begun, a server that is cut off ends it at once, and never silently.
#[test]
fn one_that_is_cut_off_ends_its_sessions() {
    for speech in all() {
        let server = crate::house::echo(speech);
        let relay = Relay::to(server.addr());
        let house = House::start(speech, relay.addr(), "");
        let (client, since) = (house.session(), house.attache.lines());
        relay.cut();
        let words = client.ending();
        assert!(is_refusal(&speech, &words), "{}: {:?}", speech.protocol, words.escape_ascii().to_string());
        let line = house.ended(since);
        assert_eq!((&line["stage"], &line["ended_by"]), (&"relay".into(), &"upstream".into()), "{line}");
        house.settles();
    }
}
