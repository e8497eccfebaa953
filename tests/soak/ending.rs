//! What must be left when the clients have gone: nothing.

use std::time::Duration;

use attache_kit::Signal;
use attache_kit::wait::within;
use serde_json::Value;

use crate::ground::{Ground, SECRET};
use crate::house::{House, SOON};
use crate::judge::Excuse;
use crate::load::World;
use crate::report::{Report, Size};

/// What the process may have grown by, whatever happened: sessions and generations come and go, nothing stays.
const GROWTH: u64 = 48 * 1024 * 1024;
/// Longer than a probe takes, shorter than the pause between two.
const STEADY: Duration = Duration::from_secs(20);
/// What the report tells.
const COUNTED: [&str; 3] =
    ["attache_credential_generation", "attache_login_retries_total", "attache_logins_withheld_total"];
const ROUTE: (&str, &str) = ("route", "soak");

/// The process's size while nothing goes on, which it must come back to.
pub fn settled<G: Ground>(house: &House, world: &World, ground: &G) -> Size {
    let quiet = || (house.credential()["state"] == "ok" && ground.sessions() == 0).then(|| house.size());
    within(SOON, quiet).unwrap_or_else(|| {
        world.complain(format!("not settled: {}, {} sessions", house.credential(), ground.sessions()));
        house.size()
    })
}

pub fn check<G: Ground>(report: &mut Report, house: &House, world: &World, ground: &G) {
    report.at_last = settled(house, world, ground);
    files_are_closed(report, house, world);
    let grown = report.at_last.resident.saturating_sub(report.at_first.resident);
    if grown > GROWTH {
        world.complain(format!("grew by {grown} octets"));
    }
    nothing_is_counted_any_more(house, world);
    what_ended_is_counted_once(house, world);
    whoever_was_retired_was_told(house, world);
    for name in COUNTED {
        let value = house.metrics().value(name, &[ROUTE]).unwrap_or_default();
        report.metrics.insert(name.trim_start_matches("attache_"), value);
    }
    ends_well(house, world);
    if house.attache().stderr().contains(SECRET) {
        world.complain("the log tells a password".to_owned());
    }
}

fn ends_well(house: &House, world: &World) {
    let mut attache = house.attache();
    attache.signal(Signal::TERM);
    let status = attache.wait_exit(SOON);
    if !status.success() {
        world.complain(format!("ended with {status}"));
    }
}

/// A probe may be under way at any single look.
fn files_are_closed(report: &mut Report, house: &House, world: &World) {
    let first = report.at_first.files;
    let back = within(STEADY, || {
        report.at_last.files = house.size().files;
        (report.at_last.files <= first).then_some(())
    });
    if back.is_none() {
        world.complain(format!("{} files are open, at first {first} were", report.at_last.files));
    }
}

fn nothing_is_counted_any_more(house: &House, world: &World) {
    let counted = || {
        let metrics = house.metrics();
        let names = ["attache_sessions_active", "attache_links"];
        names.map(|name| metrics.value(name, &[ROUTE]).unwrap_or_default())
    };
    if within(SOON, || (counted() == [0.0, 0.0]).then_some(())).is_none() {
        world.complain(format!("sessions and links that are still counted: {:?}", counted()));
    }
    let credential = house.credential();
    let metrics = house.metrics();
    let told = ["generation", "generation_in_use", "settled"]
        .map(|name| metrics.value(&format!("attache_credential_{name}"), &[ROUTE]));
    let known = [credential["generation"].as_f64(), credential["generation_in_use"].as_f64(), Some(1.0)];
    if known != told || credential["settled"] != true {
        world.complain(format!("status and metrics differ, or not settled: {credential} and {told:?}"));
    }
}

/// Clients, log and metrics have seen the same sessions.
fn what_ended_is_counted_once(house: &House, world: &World) {
    let seen = world.tally.lock().unwrap().sessions as f64;
    let told = || {
        let logged = house.attache().count(is_the_end_of_a_session) as f64;
        [logged, house.metrics().value("attache_sessions_total", &[ROUTE]).unwrap_or_default()]
    };
    if within(SOON, || (told() == [seen, seen]).then_some(())).is_none() {
        world.complain(format!("{seen} sessions were begun, so many logged and counted: {:?}", told()));
    }
}

/// Some drivers do not hear it.
fn whoever_was_retired_was_told(house: &House, world: &World) {
    let excused = world.tally.lock().unwrap().count(Excuse::Retired);
    let told = house.attache().count(|line| line["result"] == "credential_rotated") as u64;
    if excused > told {
        world.complain(format!("{excused} sessions say that they were retired, but {told} were"));
    }
}

fn is_the_end_of_a_session(line: &Value) -> bool {
    line["kind"] == "session" && line["route"] == "soak" && line["result"].is_string()
}
