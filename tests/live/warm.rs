//! Links that are logged in before a session needs them.

use std::time::Duration;

use attache_kit::*;

use crate::house::*;
use crate::raw::{self, Raw};
use crate::servers::{self, Account, Db};

/// A route that keeps links warm as `pool` says, and makes no login that no session or pool asks for.
pub fn pooled(db: &Db, account: &Account, pool: &str) -> Route {
    db.route(account).unprobed().key(&format!("pool: {{ {pool} }}"))
}

pub fn warm(house: &House) -> f64 {
    house.metric("attache_links", &[("state", "warm")])
}

/// Waits until so many links wait.
pub fn waits(house: &House, count: usize) {
    eventually("the links to wait", SOON, || (warm(house) == count as f64).then_some(()));
}

pub fn takes(house: &House, result: &str) -> f64 {
    house.metric("attache_pool_takes_total", &[("result", result)])
}

/// Says goodbye, and hears the end.
pub fn leave(mut session: Raw) {
    session.send(&raw::message(b'X', b""));
    assert_eq!(session.rest(), b"");
}

#[test]
fn the_first_session_of_a_kind_logs_in_and_others_find_a_link() {
    for db in servers::each() {
        let account = db.account("warm_hit");
        let house = pooled(db, &account, "warm: 2").start();
        let mut first = house.raw("warm_hit");
        assert_eq!((takes(&house, "hit"), takes(&house, "miss")), (0.0, 1.0));
        waits(&house, 2);
        let mut other = house.raw("warm_hit");
        assert_eq!((takes(&house, "hit"), takes(&house, "miss")), (1.0, 1.0));
        for session in [&mut first, &mut other] {
            assert_eq!(session.value("select current_user"), "warm_hit");
            assert_eq!(session.value("select ssl from pg_stat_ssl where pid = pg_backend_pid()"), "t");
            let pid = session.pid().to_string();
            assert_eq!(session.value("select pg_backend_pid()"), pid, "the key is that of its own server");
        }
        assert_eq!(other.greeting.len(), first.greeting.len());
        waits(&house, 2);
        leave(other);
        let line = house.attache.wait_for("the end", SOON, |line| line["result"] == "ok");
        assert_eq!((&line["warm"], &line["generation"]), (&true.into(), &1.into()), "{line}");
        assert!(line["endpoint"].is_string(), "{line}");
    }
}

#[test]
fn a_link_serves_only_sessions_that_ask_for_the_same() {
    let Some(db) = servers::of(Version::V18) else { return };
    let account = db.account("warm_kind");
    let house = pooled(db, &account, "warm: 1").start();
    let log_in = |version, more: &[(&str, &str)]| {
        let parameters = [&[("user", "nobody"), ("database", "warm_kind")], more].concat();
        Raw::log_in_as(house.addr(), version, &parameters)
    };
    log_in(raw::PROTOCOL_3_0, &[]);
    waits(&house, 1);
    let named = log_in(raw::PROTOCOL_3_0, &[("application_name", "shop")]);
    assert_eq!(named.parameter("application_name").as_deref(), Some("shop"));
    waits(&house, 2);
    let mut optioned = log_in(raw::PROTOCOL_3_0, &[("options", "-c work_mem=1234kB")]);
    assert_eq!(optioned.value("show work_mem"), "1234kB");
    waits(&house, 3);
    assert!(log_in(raw::PROTOCOL_3_2, &[]).key().len() > 8, "keys are longer there");
    waits(&house, 4);
    assert_eq!((takes(&house, "hit"), takes(&house, "miss")), (0.0, 4.0));
    let named = log_in(raw::PROTOCOL_3_0, &[("application_name", "shop")]);
    assert_eq!(named.parameter("application_name").as_deref(), Some("shop"));
    // The user is the route's: it makes no difference which one the client names.
    Raw::log_in(house.addr(), &[("user", "somebody"), ("database", "warm_kind")]);
    assert_eq!((takes(&house, "hit"), takes(&house, "miss")), (2.0, 4.0));
}

#[test]
fn replication_has_no_pool() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("warm_replication");
    db.server.sql("ALTER ROLE warm_replication REPLICATION");
    let house = pooled(db, &account, "warm: 1").start();
    for _ in 0..2 {
        let parameters = [("user", "nobody"), ("database", "warm_replication"), ("replication", "database")];
        let mut session = Raw::log_in(house.addr(), &parameters);
        assert!(session.query("IDENTIFY_SYSTEM").iter().any(|message| message.tag == b'D'));
    }
    assert_eq!((takes(&house, "hit"), takes(&house, "miss"), warm(&house)), (0.0, 0.0, 0.0));
}

#[test]
fn without_reuse_a_link_ends_with_its_session() {
    for db in servers::each() {
        let account = db.account("warm_once");
        let house = pooled(db, &account, "warm: 3").start();
        let mut pids = Vec::new();
        for _ in 0..20 {
            let session = house.raw("warm_once");
            assert!(!pids.contains(&session.pid()), "{pids:?}");
            pids.push(session.pid());
            leave(session);
        }
        waits(&house, 3);
        eventually("the others to be gone", SOON, || (db.server.sessions_of("warm_once") == 3).then_some(()));
    }
}

#[test]
fn a_link_that_the_server_has_closed_is_never_handed_out() {
    for db in servers::each() {
        let account = db.account("warm_closed");
        let house = pooled(db, &account, "warm: 3").start();
        house.raw("warm_closed");
        for _ in 0..10 {
            waits(&house, 3);
            // Comes back when they are gone. One that died as it came may be among the three, until somebody looks at it.
            let ended = db.server.sql(
                "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where usename = 'warm_closed'",
            );
            assert_ne!(ended, "0");
            assert_eq!(house.raw("warm_closed").value("select 1"), "1");
        }
    }
}

#[test]
fn a_server_that_restarts_takes_its_links_along_and_gets_new_ones() {
    for version in Version::ALL {
        let Some(mut db) = Db::own(version) else { continue };
        let account = db.account("warm_restart");
        let house = pooled(&db, &account, "warm: 2").start();
        house.raw("warm_restart");
        waits(&house, 2);
        db.server.stop(Stop::Fast);
        eventually("the dead links to be noticed", SOON, || (warm(&house) == 0.0).then_some(()));
        db.server.start_again();
        for _ in 0..5 {
            assert_eq!(house.raw("warm_restart").value("select 1"), "1");
        }
        waits(&house, 2);
        db.server.restart();
        assert_eq!(house.raw("warm_restart").value("select 1"), "1", "before anybody could have noticed");
    }
}

#[test]
fn a_rotation_replaces_the_links_that_wait() {
    for db in servers::each() {
        let account = db.account("warm_rotated");
        let house = pooled(db, &account, "warm: 3").start();
        house.raw("warm_rotated");
        waits(&house, 3);
        let new = format!("{SECRET}-2");
        db.server.password("warm_rotated", &new, Encryption::Scram);
        assert!(account.secret.credential("warm_rotated", &new));
        eventually("the links of the new generation", SOON, || {
            let of =
                |generation| house.metric("attache_links", &[("state", "warm"), ("generation", generation)]);
            (of("1") == 0.0 && of("2") == 3.0).then_some(())
        });
        leave(house.raw("warm_rotated"));
        let line = house
            .attache
            .wait_for("the end", SOON, |line| line["generation"] == 2 && line["kind"] == "session");
        assert_eq!(line["warm"], true, "{line}");
        let status = house.status();
        assert_eq!(status["warm_links_by_generation"]["1"], 0, "{status}");
    }
}

/// The Secret comes first, and the database does not follow yet.
#[test]
fn links_of_the_generation_before_serve_while_the_new_one_is_rejected() {
    let Some(db) = servers::of(Version::V18) else { return };
    let account = db.account("warm_half");
    let house = pooled(db, &account, "warm: 2").start();
    house.raw("warm_half");
    waits(&house, 2);
    let new = format!("{SECRET}-2");
    assert!(account.secret.credential("warm_half", &new));
    let rejected = || house.metric("attache_login_attempts_total", &[("result", "credential_rejected")]);
    eventually("the new generation to be tried", SOON, || (rejected() > 0.0).then_some(()));
    for _ in 0..5 {
        assert_eq!(house.raw("warm_half").value("select 1"), "1");
    }
    db.server.password("warm_half", &new, Encryption::Scram);
    eventually("the new generation to be found good", SOON, || {
        assert_eq!(house.raw("warm_half").value("select 1"), "1");
        let of = |generation| house.metric("attache_links", &[("state", "warm"), ("generation", generation)]);
        (of("1") == 0.0 && of("2") > 0.0).then_some(())
    });
}

#[test]
fn a_link_is_replaced_before_it_has_waited_too_long() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("warm_idle");
    let house = pooled(db, &account, "warm: 1, max_idle: 8s").start();
    leave(house.raw("warm_idle"));
    waits(&house, 1);
    let pids = || {
        db.server.sql("select string_agg(pid::text, ' ') from pg_stat_activity where usename = 'warm_idle'")
    };
    let first = eventually("one link alone", SOON, || {
        Some(pids()).filter(|pids| !pids.contains(' ') && !pids.is_empty())
    });
    eventually("another in its place", SOON, || {
        assert!(warm(&house) >= 1.0, "the successor comes first");
        (!pids().contains(&first)).then_some(())
    });
    assert_eq!(takes(&house, "miss"), 1.0);
}

#[test]
fn a_drain_closes_the_links_that_wait_and_serves_on() {
    let Some(db) = Db::own(Version::V18) else { return };
    let account = db.account("warm_drain");
    let house = pooled(&db, &account, "warm: 3").start();
    let mut session = house.raw("warm_drain");
    waits(&house, 3);
    house.act("/drain");
    eventually("the links to be closed", SOON, || (db.server.sessions_of("warm_drain") == 1).then_some(()));
    waits(&house, 0);
    assert_eq!(session.value("select 1"), "1");
    assert_eq!(house.raw("warm_drain").value("select 1"), "1");
}

#[test]
fn a_server_that_is_down_is_not_asked_again_and_again() {
    /// Two logins that were under way, and then one after each pause, of which each is longer.
    const FEW: f64 = 6.0;
    let Some(mut db) = Db::own(Version::V15) else { return };
    let account = db.account("warm_down");
    let house = pooled(&db, &account, "warm: 2").start();
    house.raw("warm_down");
    waits(&house, 2);
    let before = house.metric("attache_login_attempts_total", &[]);
    db.server.stop(Stop::Immediate);
    let attempts = || house.metric("attache_login_attempts_total", &[]) - before;
    eventually("it to be tried twice", SOON, || (attempts() >= 3.0).then_some(()));
    assert!(attempts() <= FEW, "{}", attempts());
    db.server.start_again();
    waits(&house, 2);
    assert!(attempts() <= FEW + 2.0 + Duration::from_secs(15).as_secs_f64(), "{}", attempts());
}

/// What is known of two endpoints decides, also for links that were opened when it was otherwise.
#[test]
fn links_to_a_fallback_are_left_when_the_first_endpoint_is_back() {
    let (Some(mut first), Some(other)) = (Db::own(Version::V15), Db::own(Version::V18)) else { return };
    let account = first.account("warm_order");
    other.account("warm_order");
    let house = account
        .route_to(first.server.addr())
        .tls("insecure-no-verify")
        .across(&[first.server.port(), other.server.port()])
        .upstream("probe_interval: 1s")
        .key("pool: { warm: 2 }")
        .start();
    let version = || house.raw("warm_order").parameter("server_version").unwrap_or_default();
    assert!(version().starts_with("15"));
    waits(&house, 2);
    first.server.stop(Stop::Fast);
    eventually("the fallback's links", SOON, || {
        (version().starts_with("18") && other.server.sessions_of("warm_order") >= 2).then_some(())
    });
    first.server.start_again();
    eventually("the first one to be used again", SOON, || version().starts_with("15").then_some(()));
    eventually("its links", SOON, || {
        let fallback = other.server.sql(
            "select count(*) from pg_stat_activity where usename = 'warm_order' and application_name <> 'attache-probe'",
        );
        (warm(&house) == 2.0 && fallback == "0").then_some(())
    });
}

#[test]
fn a_replica_that_was_promoted_gives_no_link_to_a_route_for_replicas() {
    for version in Version::ALL {
        let Some(primary) = Db::own(version) else { continue };
        let Some(standby) = available(Postgres::standby_of(&primary.server)) else { continue };
        let account = primary.account("warm_promoted");
        eventually("the account to be copied", SOON, || {
            let found = standby.try_sql("select count(*) from pg_database where datname = 'warm_promoted'");
            (found.as_deref().map(str::trim) == Ok("1")).then_some(())
        });
        let house = account
            .route_to(standby.addr())
            .tls("insecure-no-verify")
            .upstream("probe_interval: 1s")
            .upstream("role: replica")
            .upstream("wait: 1s")
            .key("pool: { warm: 2 }")
            .start();
        house.raw("warm_promoted");
        waits(&house, 2);
        standby.promote();
        assert!(!standby.in_recovery());
        // The server says nothing to links that wait: a probe finds out.
        eventually("the links to be left", SOON, || (warm(&house) == 0.0).then_some(()));
        house.refuses("warm_promoted", "08006", "wrong_role");
    }
}
