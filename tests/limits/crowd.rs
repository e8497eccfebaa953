//! Thousands of clients that connect and say nothing.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use attache_kit::eventually;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::house::{Measured, SOON, start};

const CROWD: usize = 5_000;
/// For everything else that this process and the one under test have open.
const RESERVE: usize = 500;
/// Long enough for all of them to be there at once, also on a busy machine; short enough to wait for.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn thousands_who_say_nothing_keep_nobody_out_and_go_at_the_deadline() {
    let crowd = CROWD.min(descriptors().saturating_sub(RESERVE));
    let client = format!("{{ login_timeout: {}s }}", LOGIN_TIMEOUT.as_secs());
    let Some(house) = start(&client) else { return };
    let baseline = house.open_at_rest();
    let resident = house.attache.resident_bytes();

    let start = Instant::now();
    let silent: Vec<_> = (0..crowd).map(|_| house.connect()).collect();
    let all_in = || (house.attache.open_files() >= baseline + crowd).then_some(());
    eventually("all of them to be taken in", SOON, all_in);
    let each = (house.attache.resident_bytes() - resident) / crowd as u64;
    say(&format!("{crowd} silent clients after {:?}, {each} octets each", start.elapsed()));

    for _ in 0..20 {
        let start = Instant::now();
        let mut neighbour = house.login().unwrap();
        assert_eq!(neighbour.query("select 1").as_deref(), Ok("1"));
        assert!(start.elapsed() < LOGIN_TIMEOUT / 2, "{:?}", start.elapsed());
    }
    assert!(start.elapsed() < LOGIN_TIMEOUT, "too slow to say anything: {:?}", start.elapsed());
    house.back_to(baseline);
    assert!(start.elapsed() >= LOGIN_TIMEOUT, "{:?}", start.elapsed());
    for mut client in silent {
        // Told why, or simply closed, but never left alone.
        let _ = client.read_to_end(&mut Vec::new()).unwrap();
    }
    let timed_out = || house.metric("attache_sessions_total", &[("result", "timed_out")]);
    eventually("all of them to be counted", SOON, || (timed_out() == crowd as f64).then_some(()));
    assert!(house.login().is_ok());
}

/// Raises this process's own limit as far as it goes.
fn descriptors() -> usize {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).unwrap();
    files.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap())
}

/// Not println: the test runner would swallow it, and a crowd that was cut short must be heard of.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
