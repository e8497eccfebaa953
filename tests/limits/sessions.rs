//! `max_sessions`, and what an idle process costs.

use attache_kit::eventually;

use crate::house::{Measured, SOON, start};

#[test]
fn one_session_more_than_allowed_is_refused_in_the_protocols_words() {
    let Some(house) = start("{ max_sessions: 3 }") else { return };
    let mut sessions: Vec<_> = (0..3).map(|_| house.login().unwrap()).collect();
    let refused = house.login().err().unwrap();
    assert!(refused.contains("|C53300|") && refused.contains("too many sessions on this route"), "{refused}");
    house.attache.wait_for("the refusal", SOON, |line| line["result"] == "too_many_sessions");
    assert_eq!(house.metric("attache_sessions_total", &[("result", "too_many_sessions")]), 1.0);
    // Those who are in notice nothing, and whoever leaves makes room.
    assert!(sessions.iter_mut().all(|session| session.query("select 1").as_deref() == Ok("1")));
    drop(sessions.pop());
    eventually("room for another", SOON, || house.login().ok());
}

#[test]
fn a_process_with_idle_sessions_uses_no_cpu() {
    let Some(house) = start("{}") else { return };
    let _sessions: Vec<_> = (0..20).map(|_| house.login().unwrap()).collect();
    house.rests(0.02);
}
