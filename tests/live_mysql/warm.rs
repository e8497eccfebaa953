//! Links that are logged in before a session needs them.

use attache_kit::*;

use crate::house::*;
use crate::raw::Raw;
use crate::servers::{self, Db};

/// A route that keeps links warm as `pool` says, and makes no login that no session or pool asks for.
pub fn pooled(db: &Db, account: &str, pool: &str) -> Route {
    db.route(account).unprobed().key(&format!("pool: {{ {pool} }}"))
}

pub fn links(house: &House, labels: &[(&str, &str)]) -> f64 {
    house.metric("attache_links", labels)
}

pub fn warm(house: &House) -> f64 {
    links(house, &[("state", "warm")])
}

/// Waits until so many links wait.
pub fn waits(house: &House, count: usize) {
    eventually("the links to wait", SOON, || (warm(house) == count as f64).then_some(()));
}

pub fn takes(house: &House, result: &str) -> f64 {
    house.metric("attache_pool_takes_total", &[("result", result)])
}

/// Sessions of the account that the server has.
pub fn sessions_of(db: &Db, account: &str) -> usize {
    db.server.sessions_of(account)
}

#[test]
fn the_first_session_of_a_kind_logs_in_and_others_find_a_link() {
    for db in servers::each() {
        db.account("warm_hit");
        let house = pooled(db, "warm_hit", "warm: 2").start();
        let mut first = house.raw("warm_hit");
        assert_eq!((takes(&house, "hit"), takes(&house, "miss")), (0.0, 1.0));
        waits(&house, 2);
        let mut other = house.raw("warm_hit");
        assert_eq!((takes(&house, "hit"), takes(&house, "miss")), (1.0, 1.0));
        assert_eq!(other.version, first.version);
        for session in [&mut first, &mut other] {
            assert_eq!(session.value("select current_user()"), "warm_hit@%");
            assert_eq!(session.value("select database()"), "warm_hit");
            assert!(session.value("show session status like 'Ssl_cipher'").starts_with("Ssl_cipher"));
        }
        waits(&house, 2);
        other.leave();
        let line = house.attache.wait_for("the end", SOON, |line| line["result"] == "ok");
        assert_eq!((&line["warm"], &line["generation"]), (&true.into(), &1.into()), "{line}");
    }
}

#[test]
fn a_link_serves_only_sessions_that_ask_for_the_same() {
    const FOUND_ROWS: u32 = 2;
    const LATIN1: u8 = 8;
    for db in servers::each() {
        db.account("warm_kind");
        let house = pooled(db, "warm_kind", "warm: 1").start();
        let collation = |session: &mut Raw| session.value("select @@collation_connection");
        house.raw("warm_kind");
        waits(&house, 1);
        let mut latin = Raw::log_in_as(house.addr(), "warm_kind", 0, LATIN1).unwrap();
        assert_eq!(collation(&mut latin), "latin1_swedish_ci");
        waits(&house, 2);
        let mut nowhere = house.raw("");
        assert_eq!(nowhere.value("select database()"), "NULL");
        waits(&house, 3);
        let counting = || Raw::log_in_as(house.addr(), "warm_kind", FOUND_ROWS, 45).unwrap();
        let matched = |session: &mut Raw| {
            session.value("create temporary table t select 1 as one");
            session.value("update t set one = 1");
            session.value("select row_count()")
        };
        assert_eq!(matched(&mut counting()), "1");
        waits(&house, 4);
        assert_eq!((takes(&house, "hit"), takes(&house, "miss")), (0.0, 4.0));
        let mut latin = Raw::log_in_as(house.addr(), "warm_kind", 0, LATIN1).unwrap();
        assert_eq!(collation(&mut latin), "latin1_swedish_ci");
        assert_eq!(matched(&mut counting()), "1");
        assert_eq!(matched(&mut house.raw("warm_kind")), "0", "without the flag, it counts what has changed");
        assert_eq!(house.raw("").value("select database()"), "NULL");
        assert_eq!((takes(&house, "hit"), takes(&house, "miss")), (4.0, 4.0));
    }
}

/// The id is one of ours: KILL finds the server's by it.
#[test]
fn kill_by_the_id_of_the_greeting_hits_its_session() {
    for db in servers::each() {
        db.account("warm_kill");
        let house = pooled(db, "warm_kill", "warm: 1").start();
        for _ in 0..3 {
            let mut victim = house.raw("warm_kill");
            let real = victim.value("select connection_id()");
            assert_ne!(victim.id.to_string(), real);
            victim.ask("select sleep(60) as sleeping from dual where 1 = 1");
            let running = format!(
                "select count(*) from information_schema.processlist where id = {real} and info like 'select sleep(60)%'"
            );
            // MySQL cannot tell while somebody else runs a statement that is no text.
            eventually("it to sleep", SOON, || {
                (db.server.try_sql(&running).as_deref() == Ok("1")).then_some(())
            });
            let mut other = house.raw("warm_kill");
            assert_eq!(other.value(&format!("KILL QUERY {}", victim.id)), "");
            // MariaDB ends the statement with an error, MySQL the sleep alone.
            let _ = victim.reply();
            assert_eq!(victim.value("select 'still here'"), "still here");
            // By the server's own id it works too.
            assert_eq!(other.value(&format!("kill {real}")), "");
            victim.last_words();
            other.ask(&format!("kill query {}", victim.id));
            eventually("the session to be over", SOON, || match other.reply() {
                Err(report) => {
                    assert_eq!((report.sequence, report.number), (1, 1094), "{report:?}");
                    Some(())
                }
                Ok(_) => {
                    other.ask(&format!("kill query {}", victim.id));
                    None
                }
            });
        }
    }
}

#[test]
fn without_reuse_a_link_ends_with_its_session() {
    for db in servers::each() {
        db.account("warm_once");
        let house = pooled(db, "warm_once", "warm: 3").start();
        let mut ids = Vec::new();
        for _ in 0..20 {
            let mut session = house.raw("warm_once");
            let id = session.value("select connection_id()");
            assert!(!ids.contains(&id), "{ids:?}");
            ids.push(id);
            session.leave();
        }
        waits(&house, 3);
        eventually("the others to be gone", SOON, || (sessions_of(db, "warm_once") == 3).then_some(()));
    }
}

#[test]
fn a_link_that_the_server_has_closed_is_never_handed_out() {
    for db in servers::each() {
        db.account("warm_closed");
        let house = pooled(db, "warm_closed", "warm: 3").start();
        house.raw("warm_closed").leave();
        for _ in 0..5 {
            waits(&house, 3);
            let ids = db.server.ids_of("warm_closed");
            for id in &ids {
                db.server.sql(&format!("kill {id}"));
            }
            eventually("them to be gone", SOON, || (!db.server.has_any_of(&ids)).then_some(()));
            assert_eq!(house.raw("warm_closed").value("select 1"), "1");
        }
    }
}

#[test]
fn a_server_that_restarts_takes_its_links_along_and_gets_new_ones() {
    for flavour in Flavour::ALL {
        let Some(mut db) = Db::own(flavour) else { continue };
        db.account("warm_restart");
        let house = pooled(&db, "warm_restart", "warm: 2").start();
        house.raw("warm_restart");
        waits(&house, 2);
        db.server.stop();
        eventually("the dead links to be noticed", SOON, || (warm(&house) == 0.0).then_some(()));
        db.server.start_again();
        for _ in 0..3 {
            assert_eq!(house.raw("warm_restart").value("select 1"), "1");
        }
        waits(&house, 2);
    }
}

#[test]
fn a_rotation_replaces_the_links_that_wait() {
    for db in servers::each() {
        db.account("warm_rotated");
        let secret = std::sync::Arc::new(Mounted::new(&[("username", "warm_rotated"), ("password", SECRET)]));
        let house = pooled(db, "warm_rotated", "warm: 3").secret(&secret).start();
        house.raw("warm_rotated");
        waits(&house, 3);
        let new = format!("{SECRET}-2");
        db.server.password("warm_rotated", &new, db.flavour().plugin());
        assert!(secret.credential("warm_rotated", &new));
        eventually("the links of the new generation", SOON, || {
            let of = |generation| links(&house, &[("state", "warm"), ("generation", generation)]);
            (of("1") == 0.0 && of("2") == 3.0).then_some(())
        });
        assert_eq!(house.raw("warm_rotated").value("select 1"), "1");
    }
}
