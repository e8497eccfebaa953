//! The end of the process: sessions are served to their end, then ended where it hurts least, then cut.

use std::time::{Duration, Instant};

use attache_kit::{House, Mounted, SECRET, SOON, Signal};

use crate::house::{Clients, postgres};
use crate::real::Real;

fn house(role: &str, drain: &str) -> Option<(House, Mounted)> {
    let real = Real::with_role(role)?;
    let secret = Mounted::new(&[("username", role), ("password", SECRET)]);
    let plan = postgres(&[real.postgres.addr()]).verified(&real.pki).folder(secret.path());
    Some((plan.top(&format!("drain: {drain}")).start(), secret))
}

fn terminate(house: &House) {
    house.attache.signal(Signal::TERM);
    house.attache.wait_for("that it drains", SOON, |line| line["message"] == "draining");
}

#[test]
fn without_sessions_the_process_ends_at_once() {
    let Some((mut house, _secret)) = house("drain_none", "{ deadline: 1m }") else { return };
    house.attache.signal(Signal::TERM);
    assert_eq!(house.attache.wait_exit(SOON).code(), Some(0));
}

#[test]
fn a_transaction_that_is_open_is_finished_first() {
    let Some((mut house, _secret)) = house("drain_open", "{ deadline: 1m }") else { return };
    let mut client = house.session();
    assert_eq!(client.query("begin").1, b'T');
    terminate(&house);
    assert_eq!(client.query("select 41 + 1"), ("42".to_owned(), b'T'));
    assert_eq!(client.query("commit").1, b'I');
    assert!(house.attache.is_running());
    drop(client);
    assert_eq!(house.attache.wait_exit(SOON).code(), Some(0));
}

#[test]
fn new_sessions_are_served_while_the_process_drains() {
    let Some((mut house, _secret)) = house("drain_new", "{ deadline: 1m }") else { return };
    let client = house.session();
    terminate(&house);
    assert_eq!(house.metric("attache_draining", &[]), 1.0);
    for _ in 0..5 {
        assert_eq!(house.query("select 1"), "1");
    }
    drop(client);
    assert_eq!(house.attache.wait_exit(SOON).code(), Some(0));
}

#[test]
fn idle_sessions_are_told_before_the_deadline_and_busy_ones_at_their_next_quiet_point() {
    let Some((mut house, _secret)) = house("drain_quiet", "{ deadline: 20s }") else { return };
    let idle = house.session();
    let mut busy = house.session();
    assert_eq!(busy.query("begin").1, b'T');
    let start = Instant::now();
    terminate(&house);
    assert_eq!(idle.refusal(), "57P01");
    let told = start.elapsed();
    // The last fifth of the deadline.
    assert!(told >= Duration::from_millis(15_900) && told < Duration::from_millis(19_500), "{told:?}");
    assert_eq!(busy.query("select 1"), ("1".to_owned(), b'T'));
    busy.ask("commit");
    let (_, state) = busy.until_ready();
    assert_eq!(state, b'I');
    assert_eq!(busy.refusal(), "57P01");
    assert_eq!(house.attache.wait_exit(SOON).code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(20), "it ends with its last session");
    let told = house.attache.count(|line| line["kind"] == "session" && line["result"] == "shutting_down");
    assert_eq!(told, 2);
}

#[test]
fn the_deadline_ends_what_is_left() {
    let Some((mut house, _secret)) = house("drain_cut", "{ deadline: 1s }") else { return };
    let mut open = house.session();
    assert_eq!(open.query("begin").1, b'T');
    let mut asking = house.session();
    asking.ask("select pg_sleep(3600)");
    let start = Instant::now();
    terminate(&house);
    // Between messages there is room for a word even now.
    assert_eq!(open.refusal(), "57P01");
    assert_eq!(asking.refusal(), "57P01");
    assert_eq!(house.attache.wait_exit(SOON).code(), Some(0));
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(1) && took < SOON, "{took:?}");
}

/// One hangs up when it has heard the last words; one never does, and one has not said what it wants.
#[test]
fn every_session_that_the_deadline_cuts_has_its_line() {
    let Some((mut house, _secret)) = house("drain_lines", "{ deadline: 1s }") else { return };
    let (mut polite, mut deaf) = (house.session(), house.session());
    for session in [&mut polite, &mut deaf] {
        assert_eq!(session.query("begin").1, b'T');
    }
    let _mute = house.connect();
    terminate(&house);
    assert_eq!(polite.refusal(), "57P01");
    assert_eq!(house.attache.wait_exit(SOON).code(), Some(0));
    let ended = |stage: &str| {
        house.attache.count(|line| {
            line["kind"] == "session" && line["result"] == "shutting_down" && line["stage"] == stage
        })
    };
    assert_eq!((ended("relay"), ended("accept")), (2, 1), "{}", house.attache.stderr());
    let last = house.attache.stderr().lines().last().map(str::to_owned).unwrap_or_default();
    assert!(last.contains("\"ended\"") && last.contains("\"sessions_cut\":2"), "{last}");
    drop(deaf);
}

#[test]
fn each_session_has_its_line_also_where_its_client_never_hangs_up() {
    let Some((mut house, _secret)) = house("drain_unheard", "{ deadline: 1s }") else { return };
    let idle: Vec<_> = (0..3).map(|_| house.session()).collect();
    let mut open = house.session();
    assert_eq!(open.query("begin").1, b'T');
    terminate(&house);
    assert_eq!(house.attache.wait_exit(SOON).code(), Some(0));
    let told = house.attache.count(|line| line["kind"] == "session" && line["result"] == "shutting_down");
    assert_eq!(told, 4);
    drop((idle, open));
}

#[test]
fn a_second_signal_ends_at_once() {
    let Some((mut house, _secret)) = house("drain_twice", "{ deadline: 10m }") else { return };
    let mut client = house.session();
    assert_eq!(client.query("begin").1, b'T');
    terminate(&house);
    assert!(house.attache.is_running());
    house.attache.signal(Signal::INT);
    assert_eq!(house.attache.wait_exit(SOON).code(), Some(0));
    let told = house.attache.count(|line| line["kind"] == "session" && line["result"] == "shutting_down");
    assert_eq!(told, 1);
}

#[test]
fn quit_drains_like_a_signal() {
    let Some((mut house, _secret)) = house("drain_quit", "{ deadline: 1m }") else { return };
    let mut client = house.session();
    house.act("/quit");
    house.attache.wait_for("that it drains", SOON, |line| line["message"] == "draining");
    assert_eq!(client.query("select 1").0, "1");
    drop(client);
    assert_eq!(house.attache.wait_exit(SOON).code(), Some(0));
}

#[test]
fn it_lingers_for_sessions_that_may_still_come() {
    let Some((mut house, _secret)) = house("drain_linger", "{ deadline: 1m, linger: 4s }") else { return };
    let start = Instant::now();
    terminate(&house);
    // By hand: a program might not have started by then.
    assert_eq!(house.session().query("select 1").0, "1");
    assert_eq!(house.attache.wait_exit(SOON).code(), Some(0));
    assert!(start.elapsed() >= Duration::from_secs(4));
}
