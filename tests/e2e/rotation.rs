//! A password changes in two places that never change in the same instant. No client notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use attache_kit::postgres::Encryption;
use attache_kit::{House, Mounted, Postgres, Route, SECRET, SOON, eventually, stays, tools};

use crate::client::startup;
use crate::house::{Clients, file_in, postgres};
use crate::real::Real;

fn route(real: &Real, secret: &Mounted) -> Route {
    postgres(&[real.postgres.addr()]).verified(&real.pki).folder(secret.path())
}

fn credential(user: &str) -> Mounted {
    Mounted::new(&[("username", user), ("password", SECRET)])
}

fn password(number: usize) -> String {
    format!("{SECRET}-{number}")
}

/// Runs pgbench through the house until `meanwhile` is over; no transaction of it may fail.
fn under_load(house: &House, options: &[&str], meanwhile: &AtomicBool) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let script = file_in(folder.path(), "one", "select 1;\n");
    let mut transactions = 0;
    while !meanwhile.load(Ordering::Relaxed) {
        let mut pgbench = house.tool("pgbench");
        pgbench.args(["-n", "-c", "2", "-T", "2", "-f"]).arg(&script).args(options).arg("postgres");
        let ran = tools::run(&mut pgbench, b"", SOON * 3);
        assert!(ran.status.success() && !ran.stderr.contains("error"), "{}", ran.stderr);
        assert!(ran.stdout.contains("number of failed transactions: 0 "), "{}", ran.stdout);
        let processed = ran.stdout.lines().find_map(|line| {
            line.strip_prefix("number of transactions actually processed: ")?.parse::<usize>().ok()
        });
        transactions += processed.expect("pgbench counts");
    }
    transactions
}

/// The reconnecting load and the staying one, while `act` goes on.
fn loaded<T>(house: &House, act: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let reconnecting = scope.spawn(|| under_load(house, &["-C"], &over));
        let staying = scope.spawn(|| under_load(house, &["-M", "prepared"], &over));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        over.store(true, Ordering::Relaxed);
        let loads = [reconnecting.join(), staying.join()];
        let outcome = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        for load in loads {
            assert!(load.unwrap() > 0);
        }
        outcome
    })
}

#[test]
fn no_transaction_fails_whichever_side_changes_first() {
    let Some(real) = Real::with_role("rotated") else { return };
    let secret = credential("rotated");
    let house = route(real, &secret).start();
    let server = |number| real.postgres.password("rotated", &password(number), Encryption::Scram);
    let folder = |number| assert!(secret.credential("rotated", &password(number)));
    let pauses = [0.0, 0.7, 3.0].map(Duration::from_secs_f64);
    loaded(&house, || assert_eq!(house.rotates_either_way(&pauses, server, folder), 7));
    house.no_session_failed();
    house.settles();
}

#[test]
fn no_transaction_fails_when_two_users_take_turns_and_the_old_one_is_dropped() {
    let Some(real) = Real::shared() else { return };
    let create = |number: usize| {
        let user = format!("turn_{number}");
        real.postgres.role(&user, &password(number), Encryption::Scram);
        user
    };
    let mut user = create(1);
    let secret = Mounted::new(&[("username", user.as_str()), ("password", &password(1))]);
    let house = route(real, &secret).start();
    loaded(&house, || {
        house.accepted(1);
        for number in 2..=5 {
            let old = std::mem::replace(&mut user, create(number));
            assert!(secret.credential(&user, &password(number)));
            house.accepted(number);
            real.postgres.sql(&format!("drop role {old}"));
        }
    });
    house.no_session_failed();
    assert_eq!(house.query("select current_user"), "turn_5");
}

/// Such as a user that was made without its rights, or a password that a login cannot bear: nobody would learn of it before
/// the old one is revoked.
#[test]
fn why_a_generation_cannot_be_tried_is_told_once_and_it_is_used_when_it_can() {
    let Some(real) = Real::with_role("admitted") else { return };
    real.postgres.role("kept_out", SECRET, Encryption::Scram);
    real.postgres.sql("alter role kept_out connection limit 0");
    let secret = credential("admitted");
    let house = route(real, &secret).start();
    assert_eq!(house.query("select current_user"), "admitted");
    assert!(secret.credential("kept_out", SECRET));
    let told = |line: &serde_json::Value| line["message"] == "credential could not be tried";
    let line = house.attache.wait_for("the reason", SOON, told);
    assert_eq!((&line["level"], &line["generation"]), (&"WARN".into(), &2.into()), "{line}");
    assert_eq!((&line["cause"], &line["stage"]), (&"server_refused".into(), &"login".into()), "{line}");
    let refused = [("route", "db"), ("result", "server_refused")];
    eventually("further trials", SOON, || {
        (house.metric("attache_login_attempts_total", &refused) >= 3.0).then_some(())
    });
    assert_eq!(house.attache.count(told), 1);
    assert_eq!(house.query("select current_user"), "admitted");
    real.postgres.sql("alter role kept_out connection limit -1");
    house.accepted(2);
    assert_eq!(house.query("select current_user"), "kept_out");
}

#[test]
fn a_password_that_never_worked_fails_at_once() {
    let Some(real) = Real::with_role("never_worked") else { return };
    let secret = Mounted::new(&[("username", "never_worked"), ("password", "s3cret-of-another")]);
    let house = route(real, &secret).upstream("wait: 5m").start();
    let start = Instant::now();
    for _ in 0..3 {
        let mut client = house.connect();
        client.send(&startup());
        assert_eq!(client.refusal(), "28P01");
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    let line = house.ended_since(0);
    assert_eq!((&line["result"], &line["stage"]), (&"credential_rejected".into(), &"login".into()), "{line}");
    assert_eq!(house.status()["credential"]["rejected"], true);
    assert_eq!(house.metric("attache_credential_rejected", &[("route", "db")]), 1.0);
    house.settles();
}

#[test]
fn a_password_that_has_worked_is_waited_for_and_fails_once_wait_is_over() {
    let Some(real) = Real::with_role("stopped_working") else { return };
    let secret = credential("stopped_working");
    let house = route(real, &secret).upstream("wait: 2s").start();
    assert_eq!(house.query("select 1"), "1");
    real.postgres.password("stopped_working", &password(2), Encryption::Scram);
    let start = Instant::now();
    let mut client = house.connect();
    client.send(&startup());
    assert_eq!(client.refusal(), "28P01");
    let took = start.elapsed();
    // Without the route's own word it would be 15 s.
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(12), "{took:?}");
    house.settles();
}

/// A hundred sessions that wait do not become a hundred rejected logins a second: account locks count those.
#[test]
fn sessions_that_wait_are_let_in_together_and_try_one_at_a_time() {
    let Some(real) = Real::with_role("crowd") else { return };
    let secret = credential("crowd");
    let house = route(real, &secret).upstream("wait: 1m").start();
    assert_eq!(house.query("select 1"), "1");
    real.postgres.password("crowd", &password(2), Encryption::Scram);
    let mut clients: Vec<_> = (0..50).map(|_| house.connect()).collect();
    for client in &mut clients {
        client.send(&startup());
    }
    let rejected = || {
        let labels = [("route", "db"), ("result", "credential_rejected")];
        house.metric("attache_login_attempts_total", &labels)
    };
    eventually("each to be rejected once", SOON, || (rejected() >= 50.0).then_some(()));
    let (start, before) = (Instant::now(), rejected());
    stays("one attempt a second", Duration::from_secs(3), || {
        rejected() - before <= start.elapsed().as_secs_f64() + 3.0
    });
    secret.credential("crowd", &password(2));
    for client in &mut clients {
        client.until_ready();
    }
    drop(clients);
    house.no_session_failed();
    house.settles();
}

/// Each user's name is accepted with the user's own password only: a mixed pair would be a rejected login.
#[test]
fn a_user_is_never_tried_with_another_versions_password() {
    const SWAPS: usize = 3000;
    /// A folder that never rests is read about once a second.
    const READINGS: usize = 6;
    let Some(real) = Real::shared() else { return };
    let users = ["pair_odd", "pair_even"];
    for (number, user) in users.iter().enumerate() {
        real.postgres.role(user, &password(number), Encryption::Scram);
    }
    let secret = Mounted::new(&[("username", users[0]), ("password", &password(0))]);
    let house = route(real, &secret).start();
    let done = AtomicBool::new(false);
    let (swaps, logins) = thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let mut swaps = 0;
            while swaps < SWAPS || !done.load(Ordering::Relaxed) {
                swaps += 1;
                secret.credential(users[swaps % 2], &password(swaps % 2));
            }
            swaps
        });
        let mut logins = 0;
        while readings(&house) < READINGS || logins < 100 {
            let (user, _) = house.session().query("select current_user");
            assert!(users.contains(&user.as_str()), "{user}");
            logins += 1;
        }
        done.store(true, Ordering::Relaxed);
        (swapping.join().unwrap(), logins)
    });
    assert!(swaps >= SWAPS);
    let attempts = |result| house.metric("attache_login_attempts_total", &[("result", result)]);
    // The rest are trials.
    assert!(attempts("ok") >= f64::from(logins));
    assert_eq!(attempts("credential_rejected"), 0.0);
    assert_eq!(rejections(&real.postgres, "pair_"), [""; 0]);
}

/// How often another content was read. One that comes back before it was missed has its old number, so numbers do not tell.
fn readings(house: &House) -> usize {
    house.attache.count(|line| line["message"] == "credential loaded")
}

/// What the server's log says of rejected logins of these users.
fn rejections(postgres: &Postgres, user: &str) -> Vec<String> {
    let log = postgres.log();
    let wanted = format!("password authentication failed for user \"{user}");
    log.lines().filter(|line| line.contains(&wanted)).map(str::to_owned).collect()
}
