//! A new password is tried before it is trusted, and a wrong one does not lock the account.

use std::thread;
use std::time::{Duration, Instant};

use attache_kit::postgres::Encryption;
use attache_kit::*;
use serde_json::Value;

use crate::house::*;
use crate::servers::{self, Db};

/// Longer than anything that would be saved by chance.
const GAP: Duration = Duration::from_secs(4);

fn password(number: usize) -> String {
    format!("{SECRET}-{number}")
}

fn credential(house: &House) -> Value {
    house.status()["credential"].clone()
}

fn is_in_state(house: &House, state: &str) {
    eventually(&format!("the state {state}"), SOON, || (credential(house)["state"] == state).then_some(()));
}

/// Rejected logins of a user, by the server's log.
fn rejections(db: &Db, user: &str) -> usize {
    let wanted = format!("password authentication failed for user \"{user}\"");
    db.server.log().lines().filter(|line| line.contains(&wanted)).count()
}

#[test]
fn a_secret_that_comes_long_before_the_database_is_kept_aside_until_it_works() {
    for db in servers::each() {
        let account = db.account("secret_first");
        let house = db.route(&account).start();
        is_in_state(&house, "ok");
        account.secret.credential(&account.name, &password(2));
        is_in_state(&house, "degraded");
        let degraded = credential(&house);
        assert_eq!((&degraded["generation"], &degraded["generation_in_use"]), (&2.into(), &1.into()));
        assert_eq!(house.metric("attache_credential_degraded", &[]), 1.0);
        assert_eq!(house.metric("attache_credential_generation_in_use", &[]), 1.0);

        let start = Instant::now();
        while start.elapsed() < GAP {
            assert_eq!(house.query(&account.name, "select 1"), "1");
        }
        let spent = rejections(db, &account.name);
        assert!(
            (1..=4).contains(&spent),
            "the trial alone was rejected, with longer and longer pauses: {spent}"
        );

        db.server.password(&account.name, &password(2), Encryption::Scram);
        assert_eq!(house.query(&account.name, "select 1"), "1");
        is_in_state(&house, "ok");
        assert_eq!(house.metric("attache_credential_degraded", &[]), 0.0);
        house.no_session_failed();
        let told = |message: &str, state: &str| {
            house
                .attache
                .count(|line| line["message"] == message && line["generation"] == 2 && line["state"] == state)
        };
        assert_eq!((told("credential rejected", "degraded"), told("credential accepted", "ok")), (1, 1));
    }
}

#[test]
fn sessions_wait_for_a_secret_that_comes_long_after_the_database() {
    for db in servers::each() {
        let account = db.account("database_first");
        let house = db.route(&account).upstream("wait: 30s").start();
        is_in_state(&house, "ok");
        db.server.password(&account.name, &password(2), Encryption::Scram);
        thread::scope(|scope| {
            let waiting: Vec<_> =
                (0..4).map(|_| scope.spawn(|| house.query(&account.name, "select 1"))).collect();
            stays("waiting", GAP, || waiting.iter().all(|session| !session.is_finished()));
            account.secret.credential(&account.name, &password(2));
            let start = Instant::now();
            for session in waiting {
                assert_eq!(session.join().unwrap(), "1");
            }
            assert!(start.elapsed() < GAP * 3, "the new generation is tried at once");
        });
        house.no_session_failed();
    }
}

#[test]
fn a_new_generation_that_is_wrong_costs_no_session_anything() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("mistyped");
    let house = db.route(&account).start();
    is_in_state(&house, "ok");
    for number in 2..5 {
        account.secret.credential(&account.name, &password(number));
        eventually("the next one", SOON, || {
            let standing = credential(&house);
            (standing["generation"] == number && standing["state"] == "degraded").then_some(())
        });
        assert_eq!(house.query(&account.name, "select 1"), "1");
        assert_eq!(credential(&house)["generation_in_use"], 1, "the one that works is never let go");
    }
    account.secret.credential(&account.name, SECRET);
    is_in_state(&house, "ok");
    house.no_session_failed();
}

/// However many sessions ask, the server sees a handful of rejected logins: accounts are locked after a few.
#[test]
fn no_more_than_ten_rejected_logins_a_minute_reach_the_server() {
    const SESSIONS: usize = 30;
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("nearly_locked");
    let house = db.route(&account).upstream("wait: 200ms").unprobed().start();
    assert_eq!(house.query(&account.name, "select 1"), "1");
    db.server.password(&account.name, &password(2), Encryption::Scram);
    for _ in 0..SESSIONS {
        let report = house.refusal(&account.name);
        assert_eq!(report.code(), "28P01");
    }
    let sent = rejections(db, &account.name);
    assert!((2..=10).contains(&sent), "{sent} sent for {SESSIONS} sessions");
    let withheld = house.attache.count(|line| {
        line["result"] == "credential_rejected"
            && line["detail"].as_str().is_some_and(|text| text.contains("not sent"))
    });
    assert!(withheld > 0 && house.metric("attache_logins_withheld_total", &[]) >= withheld as f64);
    account.secret.credential(&account.name, &password(2));
    is_in_state(&house, "untried");
    assert_eq!(house.query(&account.name, "select 1"), "1", "a new generation is tried at once");
}
