//! Sessions of an old password end as the route says, and never where it would hurt.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use attache_kit::postgres::Encryption;
use attache_kit::*;
use serde_json::Value;

use crate::house::*;
use crate::raw::{self, Raw};
use crate::servers::{self, Account, Db};
use crate::warm::{pooled, waits};

fn rotate(db: &Db, account: &Account) {
    let new = format!("{SECRET}-2");
    db.server.password(&account.name, &new, Encryption::Scram);
    account.secret.credential(&account.name, &new);
}

fn ended_for_rotation(house: &House) -> usize {
    house.attache.count(|line| line["result"] == "credential_rotated")
}

/// Links of a generation, as the status page tells them.
fn links(house: &House, generation: &str) -> i64 {
    house.status()["links_by_generation"][generation].as_i64().unwrap_or_default()
}

/// What a client is told between two statements.
fn told_to_leave(session: &mut Raw) {
    let report = session.last_words();
    assert_eq!(report.code(), "57P01", "{report:?}");
    assert!(report.message().contains("the credential was rotated"), "{report:?}");
}

/// A client that works in transactions, and comes again where it is sent away before one. Anywhere else it must not be.
fn transactions(house: &House, account: &Account, over: &AtomicBool, sent_away: &AtomicUsize) -> usize {
    let mut done = 0;
    let mut session = house.raw(&account.name);
    while !over.load(Ordering::Relaxed) {
        session.send(&raw::query("begin"));
        let first = session.message().expect("an answer");
        if first.tag == b'E' {
            assert_eq!(first.report().code(), "57P01");
            sent_away.fetch_add(1, Ordering::Relaxed);
            session = house.raw(&account.name);
            continue;
        }
        session.until(b'Z');
        session.query("insert into t select 1");
        session.query("copy t to stdout");
        session.query("commit");
        done += 1;
    }
    done
}

#[test]
fn drain_ends_old_sessions_between_transactions_and_never_within() {
    for db in servers::each() {
        let account = db.account("drained");
        let house = db.route(&account).on_rotation("{ live: drain, within: 4s }").start();
        house.query(&account.name, "create table t (i int)");
        house.accepted(1);
        let (over, sent_away) = (AtomicBool::new(false), AtomicUsize::new(0));
        let done = std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..6).map(|_| scope.spawn(|| transactions(&house, &account, &over, &sent_away))).collect();
            eventually("all to work", SOON, || (links(&house, "1") >= 6).then_some(()));
            rotate(db, &account);
            eventually("all old sessions to leave", SOON, || {
                (sent_away.load(Ordering::Relaxed) >= 6 && links(&house, "1") == 0).then_some(())
            });
            over.store(true, Ordering::Relaxed);
            clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>()
        });
        assert_eq!(sent_away.load(Ordering::Relaxed), 6, "each left once");
        assert_eq!(house.query(&account.name, "select count(*) from t"), done.to_string());
        eventually("a line for each", SOON, || (ended_for_rotation(&house) == 6).then_some(()));
    }
}

#[test]
fn drain_waits_for_a_transaction_a_copy_and_half_a_request_and_keeps_who_listens() {
    for db in servers::each() {
        let account = db.account("held_back");
        let house = db.route(&account).on_rotation("{ live: drain, within: 1s }").start();
        house.query(&account.name, "create table t (i int)");
        house.accepted(1);
        let session = || house.raw(&account.name);
        let (mut idle, mut in_transaction, mut in_copy) = (session(), session(), session());
        let (mut halfway, mut listening, mut stopped) = (session(), session(), session());
        in_transaction.query("begin");
        in_copy.send(&raw::query("copy t from stdin"));
        in_copy.until(b'G');
        let request = raw::query("select 1");
        let (first, second) = request.split_at(3);
        halfway.send(first);
        listening.query("listen news");
        stopped.query("listen news");
        stopped.query("discard all");

        rotate(db, &account);
        told_to_leave(&mut idle);
        told_to_leave(&mut stopped);
        // Longer than the whole window.
        let window = Instant::now() + Duration::from_secs(2);
        while Instant::now() < window {
            assert!(in_transaction.is_silent() && in_copy.is_silent() && halfway.is_silent());
        }
        assert_eq!(links(&house, "1"), 4, "those who could not leave are shown");

        in_transaction.query("insert into t select 1");
        in_transaction.query("commit");
        told_to_leave(&mut in_transaction);
        in_copy.send(&[raw::message(b'd', b"2\n"), raw::message(b'c', b"")].concat());
        in_copy.until(b'Z');
        told_to_leave(&mut in_copy);
        halfway.send(second);
        halfway.until(b'Z');
        told_to_leave(&mut halfway);

        house.query(&account.name, "notify news");
        assert_eq!(listening.message().map(|message| message.tag), Some(b'A'));
        listening.query("select 1");
        assert_eq!(links(&house, "1"), 1);
        eventually("a line for each", SOON, || (ended_for_rotation(&house) == 5).then_some(()));
    }
}

/// Data that are none, and Syncs amid them: what servers ignore is no reason to wait for anything.
#[test]
fn drain_ends_clients_whose_copy_has_failed_or_that_send_data_for_none() {
    for db in servers::each() {
        let account = db.account("copied_badly");
        let house = db.route(&account).on_rotation("{ live: drain, within: 1s }").start();
        house.query(&account.name, "create table t (i int)");
        house.accepted(1);
        let (data, done) = (raw::message(b'd', b"no number\n"), raw::message(b'c', b""));
        let (sync, fail) = (raw::message(b'S', b""), raw::message(b'f', b"enough\0"));
        let begin_copy = |begun: Vec<u8>| {
            let mut session = house.raw(&account.name);
            session.send(&begun);
            session.until(b'G');
            session
        };
        let copy = "copy t from stdin";
        let (simple, executed) = (raw::query(copy), [extended(copy), sync.clone()].concat());
        let mut clients = [
            (begin_copy(executed.clone()), [&data[..], &done, &sync].concat()),
            (begin_copy(executed), [&fail[..], &sync].concat()),
            (begin_copy(simple.clone()), [&sync[..], &data, &done].concat()),
            (house.raw(&account.name), [&raw::query("select 1")[..], &done, &fail].concat()),
        ];
        for (session, rest) in &mut clients {
            session.send(rest);
            session.until(b'Z');
        }
        let mut stray = house.raw(&account.name);
        stray.send(&[data, done, fail].concat());
        let mut amid = begin_copy(simple);
        amid.send(&raw::query("select 1"));
        let refused = amid.until(b'E').pop().expect("an error").report();
        let ended = amid.last_words();
        assert_eq!(
            (refused.code(), ended.code()),
            ("08P01", "08P01"),
            "a command amid data ends the session"
        );

        rotate(db, &account);
        clients.iter_mut().for_each(|(session, _)| told_to_leave(session));
        told_to_leave(&mut stray);
    }
}

/// Commands of the extended protocol, without the Sync behind them.
fn extended(sql: &str) -> Vec<u8> {
    let parse = raw::message(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"].concat());
    [parse, raw::message(b'B', &[0; 8]), raw::message(b'E', &[0; 5])].concat()
}

fn tags(messages: &[raw::Message]) -> String {
    messages.iter().map(|message| message.tag as char).collect()
}

/// A server that takes data ignores Syncs, and once that COPY has failed it answers them.
#[test]
fn drain_waits_for_all_that_comes_behind_a_copy_that_failed_while_data_was_sent() {
    let sync = || raw::message(b'S', b"");
    let data = || raw::message(b'd', b"1\n200\n3\n");
    let done = || raw::message(b'c', b"");
    for db in servers::each() {
        let account = db.account("failed_copy");
        let house = db.route(&account).on_rotation("{ live: drain, within: 1s }").start();
        house.query(&account.name, "create table t (i int check (i < 100))");
        house.accepted(1);
        let session = || house.raw(&account.name);
        let (mut holder, mut ahead, mut usual) = (session(), session(), session());
        holder.query("begin");
        holder.query("select pg_advisory_xact_lock(1)");

        ahead.send(&extended("copy t from stdin"));
        ahead.until(b'G');
        let wait = raw::query("select pg_advisory_xact_lock(1)");
        ahead.send(&[data(), sync(), sync(), data(), done(), sync(), wait].concat());
        assert_eq!(ahead.until(b'E')[0].report().code(), "23514");
        assert_eq!(tags(&[ahead.until(b'Z'), ahead.until(b'Z'), ahead.until(b'Z')].concat()), "ZZZ");
        // As libpq does it: a Sync behind the command, and one behind the data.
        usual.send(&[extended("copy t from stdin"), sync()].concat());
        usual.until(b'G');
        usual.send(&[data(), done(), sync()].concat());
        assert_eq!(tags(&usual.until(b'Z')), "EZ");

        rotate(db, &account);
        house.accepted(2);
        told_to_leave(&mut usual);
        // Longer than the whole window.
        let window = Instant::now() + Duration::from_secs(2);
        while Instant::now() < window {
            assert!(ahead.is_silent(), "its query waits for a lock");
        }
        holder.query("commit");
        assert_eq!(tags(&ahead.until(b'Z')), "TDCZ");
        told_to_leave(&mut ahead);
    }
}

#[test]
fn cut_ends_every_old_session_at_once() {
    for db in servers::each() {
        let account = db.account("cut_off");
        let house = db.route(&account).on_rotation("{ live: cut, within: 1h }").start();
        house.accepted(1);
        let mut idle = house.raw(&account.name);
        let mut in_transaction = house.raw(&account.name);
        in_transaction.query("begin");
        let mut busy = house.raw(&account.name);
        busy.send(&raw::query("select pg_sleep(600)"));
        rotate(db, &account);
        for session in [&mut idle, &mut in_transaction, &mut busy] {
            told_to_leave(session);
        }
        eventually("the server to be left", SOON, || (links(&house, "1") == 0).then_some(()));
        assert_eq!(house.query(&account.name, "select 1"), "1");
    }
}

#[test]
fn keep_lets_them_live() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("kept");
    let house = db.route(&account).on_rotation("{ live: keep, within: 0s }").start();
    let mut session = house.raw(&account.name);
    rotate(db, &account);
    house.accepted(2);
    assert!(session.is_silent());
    assert_eq!(session.value("select 1"), "1");
    assert_eq!(links(&house, "1"), 1);
}

/// What the status page says of the credential.
fn credential(house: &House) -> Value {
    house.status()["credential"].clone()
}

fn is_back_on_the_first(house: &House) {
    eventually("the first generation again", SOON, || {
        let credential = credential(house);
        let is_first = credential["generation"] == 1 && credential["generation_in_use"] == 1;
        (is_first && credential["state"] == "ok").then_some(())
    });
}

/// Nobody's password has changed: sessions stay, and so does the link that waits.
#[test]
fn a_wrong_secret_that_is_put_right_again_ends_nobody() {
    for (db, live) in servers::each().flat_map(|db| [(db, "cut"), (db, "drain")]) {
        let account = db.account(&format!("put_right_{live}"));
        let house =
            pooled(db, &account, "warm: 1").on_rotation(&format!("{{ live: {live}, within: 0s }}")).start();
        let mut idle = house.raw(&account.name);
        let mut in_transaction = house.raw(&account.name);
        in_transaction.query("begin");
        waits(&house, 1);
        let backends = "select pid from pg_stat_activity where usename = current_user and state = 'idle' \
                        and pid <> pg_backend_pid() order by backend_start desc limit 1";
        let waiting = idle.value(backends);

        account.secret.credential(&account.name, &format!("{SECRET}-wrong"));
        eventually("the wrong one to be refused", SOON, || {
            (credential(&house)["state"] == "degraded").then_some(())
        });
        account.secret.credential(&account.name, SECRET);
        is_back_on_the_first(&house);
        assert_eq!(credential(&house)["settled"], true, "{live}");
        assert!(idle.is_silent() && in_transaction.is_silent(), "{live}: somebody was told to leave");
        assert_eq!(in_transaction.value("select 1"), "1");
        let mut next = house.raw(&account.name);
        assert_eq!(
            next.value("select pg_backend_pid()"),
            waiting,
            "{live}: the link that was good was thrown away"
        );
        assert_eq!(ended_for_rotation(&house), 0);
    }
}

/// The password is changed, and changed back: two rotations, for the server may have forgotten the first.
#[test]
fn a_rotation_that_is_taken_back_is_another_one() {
    let Some(db) = servers::of(Version::V18) else { return };
    let account = db.account("taken_back");
    let house = db.route(&account).on_rotation("{ live: drain, within: 0s }").start();
    house.accepted(1);
    rotate(db, &account);
    house.accepted(2);
    let mut between = house.raw(&account.name);

    db.server.password(&account.name, SECRET, Encryption::Scram);
    account.secret.credential(&account.name, SECRET);
    house.accepted(3);
    told_to_leave(&mut between);
    assert_eq!(house.query(&account.name, "select 1"), "1");
}
