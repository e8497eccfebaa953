//! The primary changes, and somebody may not have noticed.

use attache_kit::postgres::Stop;
use attache_kit::*;

use super::{Pair, WHERE};
use crate::house::Clients;
use crate::raw::Raw;

fn endpoint(house: &House, index: usize) -> serde_json::Value {
    house.status()["endpoints"][index].clone()
}

#[test]
fn an_old_primary_that_does_not_know_is_left_and_used_no_more() {
    let Some(pair) = Pair::start(Version::V18) else { return };
    let house = pair.house(pair.orders()[0], "primary", &["probe_interval: 1s"]);
    eventually("both roles", SOON, || {
        let roles = [0, 1].map(|index| endpoint(&house, index)["role"].clone());
        (roles == ["primary", "replica"]).then_some(())
    });
    let mut staying = Raw::log_in(house.addr(), &[("user", "nobody"), ("database", "postgres")]);
    let port = format!("show port -- {}", pair.primary.port());
    assert_eq!(house.query("postgres", &port), pair.primary.port().to_string());

    // From here on both take writes.
    pair.standby.promote();
    let report = staying.last_words();
    assert_eq!(report.code(), "57P01", "{report:?}");
    assert!(report.message().contains("not the primary any more"), "{report:?}");
    for _ in 0..3 {
        assert_eq!(house.query("postgres", "show port"), pair.standby.port().to_string());
    }
    assert_eq!(endpoint(&house, 0)["superseded"], true);
    house.attache.wait_for("the promotion", SOON, |line| line["message"] == "endpoint is a primary now");
}

#[test]
fn a_lost_session_wakes_the_probes() {
    let Some(mut pair) = Pair::start(Version::V15) else { return };
    let house = pair.house(pair.orders()[0], "primary", &["probe_interval: 1h"]);
    eventually("the first probes", SOON, || (endpoint(&house, 1)["up"] == true).then_some(()));
    let mut session = Raw::log_in(house.addr(), &[("user", "nobody"), ("database", "postgres")]);
    session.query(WHERE);
    pair.primary.stop(Stop::Immediate);
    eventually("the loss to be noticed", SOON, || (endpoint(&house, 0)["up"] == false).then_some(()));
}
