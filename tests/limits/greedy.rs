//! A client that asks for more than it ever reads.

use std::time::{Duration, Instant};

use attache_kit::eventually;

use crate::house::{Measured, SOON, start};

/// Some ten gigabytes.
const TOO_MUCH: &str = "select repeat('x', 1000) from generate_series(1, 10000000)";
/// What one session may keep for a client that does not read, with room for what an allocator does.
const KEPT: u64 = 4 * 1024 * 1024;

#[test]
fn a_client_that_never_reads_costs_little_and_harms_nobody() {
    let Some(house) = start("{}") else { return };
    let baseline = house.open_at_rest();
    let resident = house.attache.resident_bytes();

    let mut greedy = house.login().unwrap();
    greedy.ask(TOO_MUCH);
    let carried = || house.metric("attache_relay_bytes_total", &[("direction", "to_client")]);
    let mut before = 0.0;
    eventually("the client's buffers to be full", SOON, || {
        let load = house.load();
        let now = carried();
        (now > 0.0 && std::mem::replace(&mut before, now) == now && load < 0.02).then_some(())
    });
    let grown = house.attache.resident_bytes().saturating_sub(resident);
    assert!(grown < KEPT, "{grown} octets for {before} carried");

    for _ in 0..20 {
        let start = Instant::now();
        let mut neighbour = house.login().unwrap();
        assert_eq!(neighbour.query("select 1").as_deref(), Ok("1"));
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
    drop(greedy);
    house.back_to(baseline);
    house.rests(0.02);
}
