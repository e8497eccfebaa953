//! Links that are reset after a session, and serve another.

use attache_kit::*;

use crate::house::*;
use crate::raw::{self, Message, Raw};
use crate::servers;
use crate::warm::{leave, pooled, waits};

/// Everything that a session may leave behind on its link, as one line.
pub const TRACES: &str = "select concat_ws(' ',
    'token=' || coalesce(current_setting('mine.token', true), ''),
    'tables=' || (select count(*) from pg_class where relnamespace = pg_my_temp_schema()),
    'statements=' || (select count(*) from pg_prepared_statements),
    'cursors=' || (select count(*) from pg_cursors where name <> ''),
    'locks=' || (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
    'channels=' || (select count(*) from pg_listening_channels()),
    'changed=' || (select count(*) from pg_settings where source = 'session'),
    'role=' || (current_user = session_user))";
/// And what a session finds that has a link as new.
pub const CLEAN: &str = "token= tables=0 statements=0 cursors=0 locks=0 channels=0 changed=0 role=true";

/// Leaves all those traces.
fn live(session: &mut Raw) {
    for sql in [
        "set mine.token = 'mine'",
        "set work_mem = '1234kB'",
        "set application_name = 'mine'",
        "set timezone = 'Asia/Tokyo'",
        "set search_path = pg_catalog",
        "create temp table t as select 'mine' as token",
        "create temp sequence s",
        "select nextval('s')",
        "prepare p as select 'mine'",
        "declare c cursor with hold for select 'mine'",
        "select pg_advisory_lock(42)",
        "listen mine",
        "set role pg_monitor",
    ] {
        let answer = session.query(sql);
        assert!(answer.iter().all(|message| message.tag != b'E'), "{sql}: {answer:?}");
    }
    assert!(session.value(TRACES).contains("tables=2 statements=1 cursors=1 locks=1 channels=1"));
}

/// A session on the link of one that has just ended, and what `live` made of that. The keeper may have filled its place.
pub fn in_turn<T>(log_in: impl Fn() -> Raw, live: impl Fn(Raw) -> T) -> (T, Raw) {
    eventually("a link to come back", SOON, || {
        let session = log_in();
        let pid = session.pid();
        let lived = live(session);
        let next = log_in();
        (next.pid() == pid).then_some((lived, next))
    })
}

#[test]
fn a_link_serves_one_session_after_another_and_nothing_of_the_first_is_left() {
    for db in servers::each() {
        let account = db.account("reuse_clean");
        db.server.sql("grant pg_monitor to reuse_clean");
        let house = pooled(db, &account, "warm: 1, reuse: true").start();
        let ((key, greeting), mut next) = in_turn(
            || house.raw("reuse_clean"),
            |mut session| {
                assert_eq!(session.value(TRACES), CLEAN);
                live(&mut session);
                let told = (session.key(), session.greeting.clone());
                leave(session);
                told
            },
        );
        assert_eq!(next.value(TRACES), CLEAN);
        assert_eq!(next.value("select coalesce(to_regclass('t')::text, 'gone')"), "gone");
        let lastval = next.query("select lastval()");
        assert!(lastval.iter().any(|message| message.tag == b'E'), "{lastval:?}");
        assert_ne!(next.key(), key, "each has a key of its own");
        assert_eq!(next.key().len(), key.len());
        let told = |greeting: &[Message]| -> Vec<_> {
            greeting.iter().filter(|message| message.tag != b'K').cloned().collect()
        };
        assert_eq!(told(&next.greeting), told(&greeting), "the next client hears what the first one heard");
    }
}

/// What only a superuser may do, and what hides behind functions.
#[test]
fn a_session_that_became_another_user_leaves_nothing_of_that_either() {
    for db in servers::each() {
        let account = db.account("reuse_author");
        db.server.sql("alter role reuse_author superuser");
        let house = pooled(db, &account, "warm: 1, reuse: true").start();
        let (_, mut next) = in_turn(
            || house.raw("reuse_author"),
            |mut session| {
                for sql in [
                    "select set_config('mine.token', 'mine', false), set_config('role', 'pg_monitor', false)",
                    "select setseed(0.5), pg_advisory_lock_shared(43), pg_try_advisory_lock(1, 2)",
                    "select 1; set session authorization pg_monitor",
                    "set session characteristics as transaction read only",
                ] {
                    let answer = session.query(sql);
                    assert!(answer.iter().all(|message| message.tag != b'E'), "{sql}: {answer:?}");
                }
                assert_eq!(session.value("select session_user"), "pg_monitor");
                leave(session);
            },
        );
        assert_eq!(next.value(TRACES), CLEAN);
        assert_eq!(next.value("select session_user || ' ' || current_user"), "reuse_author reuse_author");
        assert_eq!(next.value("show transaction_read_only"), "off");
        assert_eq!(next.parameter("session_authorization").as_deref(), Some("reuse_author"));
        assert_eq!(next.parameter("is_superuser").as_deref(), Some("on"));
    }
}

#[test]
fn a_client_that_closes_without_a_word_leaves_a_good_link_too() {
    let Some(db) = servers::of(Version::V18) else { return };
    let account = db.account("reuse_eof");
    let house = pooled(db, &account, "warm: 1, reuse: true").start();
    in_turn(|| house.raw("reuse_eof"), |mut session| assert_eq!(session.value("select 1"), "1"));
}

/// What is outstanding when a client goes: its link is closed, and the server hears of it at once.
#[test]
fn a_link_on_which_anything_is_outstanding_is_closed() {
    for db in servers::each() {
        let account = db.account("reuse_dirty");
        // A link for each case: none comes back.
        let house = pooled(db, &account, "warm: 7, reuse: true").start();
        house.raw("reuse_dirty");
        waits(&house, 7);
        let goodbye = raw::message(b'X', b"");
        let parse = raw::message(b'P', b"\0select 1\0\0\0");
        let copy = raw::query("copy (select) from stdin");
        let cases: [(&str, Vec<Vec<u8>>); 7] = [
            ("a transaction", vec![raw::query("begin"), goodbye.clone()]),
            ("a failed transaction", vec![raw::query("begin"), raw::query("nonsense"), goodbye.clone()]),
            ("a transaction, and no goodbye", vec![raw::query("begin")]),
            ("a query", vec![raw::query("select pg_sleep(0.3)"), goodbye.clone()]),
            ("half a query", vec![raw::query("select 1")[..8].to_vec()]),
            ("no Sync", vec![parse, goodbye.clone()]),
            ("a COPY", vec![copy, goodbye]),
        ];
        for (what, steps) in cases {
            let mut session = house.raw("reuse_dirty");
            let pid = session.pid();
            for step in &steps {
                session.send(step);
                // A transaction has to have begun.
                if step.starts_with(b"Q") && what.contains("transaction") {
                    session.until(b'Z');
                }
            }
            drop(session);
            let count = format!("select count(*) from pg_stat_activity where pid = {pid}");
            eventually(what, SOON, || (db.server.sql(&count) == "0").then_some(()));
        }
    }
}

#[test]
fn keys_are_of_one_session_alone() {
    for db in servers::each() {
        let account = db.account("reuse_key");
        let house = pooled(db, &account, "warm: 1, reuse: true").start();
        for version in [raw::PROTOCOL_3_0, raw::PROTOCOL_3_2] {
            let log_in =
                || Raw::log_in_as(house.addr(), version, &[("user", "nobody"), ("database", "reuse_key")]);
            let end = |session: Raw| {
                let key = session.key();
                leave(session);
                key
            };
            let (old, mut third) = in_turn(log_in, end);
            third.send(&raw::query("select pg_sleep(60)"));
            let sleeping = format!(
                "select count(*) from pg_stat_activity where pid = {} and wait_event = 'PgSleep'",
                third.pid()
            );
            eventually("it to sleep", SOON, || (db.server.sql(&sleeping) == "1").then_some(()));
            send_cancel(&house, &old);
            assert!(third.is_silent(), "a key of the session before");
            send_cancel(&house, &third.key());
            let answer = third.until(b'Z');
            assert!(
                answer.iter().any(|message| message.tag == b'E' && message.report().code() == "57014"),
                "{answer:?}"
            );
            assert_eq!(third.value("select 1"), "1");
            leave(third);
        }
    }
}

#[test]
fn a_cancel_request_that_has_arrived_is_no_reason_to_close_the_link() {
    let Some(db) = servers::of(Version::V18) else { return };
    let account = db.account("reuse_cancel");
    let house = pooled(db, &account, "warm: 1, reuse: true").start();
    let (_, mut next) = in_turn(
        || house.raw("reuse_cancel"),
        |session| {
            // Of a session that does nothing, it cancels nothing.
            send_cancel(&house, &session.key());
            leave(session);
        },
    );
    assert_eq!(next.value("select 1 from pg_sleep(0.1)"), "1");
}

fn send_cancel(house: &House, key: &[u8]) {
    let mut errand = Raw::connect(house.addr());
    errand.send(&raw::cancel(key));
    assert_eq!(errand.rest(), b"");
}

/// The server's settings change while a session is on the link: `RESET ALL` does not bring them back.
#[test]
fn the_next_client_hears_the_parameters_as_they_are_now() {
    for version in Version::ALL {
        let Some(db) = crate::servers::Db::own(version) else { continue };
        let account = db.account("reuse_told");
        let house = pooled(&db, &account, "warm: 1, reuse: true").start();
        let change = |mut session: Raw| {
            let was = session.parameter("DateStyle").expect("it is reported");
            let is = if was.starts_with("German") { "SQL, DMY" } else { "German, DMY" };
            db.server.sql(&format!("alter system set datestyle = '{is}'"));
            db.server.reload();
            eventually("the server to report it", SOON, || {
                let answer = session.query("select 1");
                answer.iter().any(|message| message.strings()[0] == "DateStyle").then_some(())
            });
            leave(session);
            is
        };
        let (style, mut next) = in_turn(|| house.raw("reuse_told"), change);
        assert_eq!(next.parameter("DateStyle").as_deref(), Some(style));
        assert_eq!(next.value("show datestyle"), style);
    }
}

#[test]
fn a_link_that_is_too_old_is_not_used_again() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("reuse_age");
    let house = pooled(db, &account, "warm: 1, reuse: true, max_age: 1s").start();
    let mut session = house.raw("reuse_age");
    let pid = session.pid();
    session.query("select pg_sleep(1.1)");
    leave(session);
    let count = format!("select count(*) from pg_stat_activity where pid = {pid}");
    eventually("it to be closed", SOON, || (db.server.sql(&count) == "0").then_some(()));
}

#[test]
fn a_link_of_a_generation_that_is_over_is_not_used_again() {
    let Some(db) = servers::of(Version::V18) else { return };
    let account = db.account("reuse_rotated");
    let house = pooled(db, &account, "warm: 2, reuse: true").start();
    let session = house.raw("reuse_rotated");
    let pid = session.pid();
    let new = format!("{SECRET}-2");
    db.server.password("reuse_rotated", &new, Encryption::Scram);
    assert!(account.secret.credential("reuse_rotated", &new));
    house.accepted(2);
    leave(session);
    let count = format!("select count(*) from pg_stat_activity where pid = {pid}");
    eventually("it to be closed", SOON, || (db.server.sql(&count) == "0").then_some(()));
    house.left(1);
    waits(&house, 2);
}
