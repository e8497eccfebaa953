//! A password changes in two places that never change in the same instant. No statement fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use attache_kit::*;
use mysql_async::prelude::*;
use mysql_async::{ChangeUserOpts, Conn, OptsBuilder};

use crate::house::*;
use crate::servers::{self, Db};

fn password(number: usize) -> String {
    format!("{SECRET}-{number}")
}

/// What a client does all the time.
#[derive(Debug, Clone, Copy)]
enum Load {
    /// Connects for every statement.
    Reconnecting,
    /// Stays, with a prepared statement.
    Staying,
    /// Stays, and changes its user as pools do that reset sessions so.
    Changing,
}

/// After each statement: a few clients must not take the whole machine.
const BREATH: Duration = Duration::from_millis(2);

const LOADS: [Load; 3] = [Load::Reconnecting, Load::Staying, Load::Changing];

impl Load {
    /// Works until it is over; no statement may fail.
    async fn work(self, house: &House, over: &AtomicBool) -> usize {
        let connect = || async { Conn::new(options(house)).await.unwrap() };
        let mut done = 0;
        let mut session = connect().await;
        while !over.load(Ordering::Relaxed) {
            match self {
                Load::Reconnecting => {
                    session.disconnect().await.unwrap();
                    session = connect().await;
                }
                Load::Staying => {}
                Load::Changing => session.change_user(ChangeUserOpts::default()).await.unwrap(),
            }
            let answer: Option<i64> = session.exec_first("select ? + 1", (41,)).await.unwrap();
            assert_eq!(answer, Some(42));
            done += 1;
            tokio::time::sleep(BREATH).await;
        }
        session.disconnect().await.unwrap();
        done
    }

    fn run(self, house: &House, over: &AtomicBool) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let work = async { tokio::time::timeout(LONG, self.work(house, over)).await };
        runtime.block_on(work).unwrap_or_else(|_| panic!("{self:?} hangs"))
    }
}

/// Whoever it is, and with no password.
fn options(house: &House) -> OptsBuilder {
    let addr = house.addr();
    let options = OptsBuilder::default().ip_or_hostname(addr.ip().to_string()).tcp_port(addr.port());
    options.user(Some("nobody")).prefer_socket(false)
}

/// Every load at once, while `act` goes on.
fn loaded(house: &House, act: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let loads = LOADS.map(|load| {
            scope.spawn({
                let over = &over;
                move || load.run(house, over)
            })
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        over.store(true, Ordering::Relaxed);
        let done = loads.map(thread::ScopedJoinHandle::join);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        for (load, done) in LOADS.iter().zip(done) {
            assert!(done.unwrap() > 0, "{load:?}");
        }
    });
}

fn route(db: &Db, name: &str) -> (Route, Arc<Mounted>) {
    let secret = Arc::new(Mounted::new(&[("username", name), ("password", &password(1))]));
    (db.route(name).secret(&secret), secret)
}

#[test]
fn no_statement_fails_whichever_side_changes_first() {
    for db in servers::each() {
        let plugin = db.flavour().plugin();
        db.server.user("rotated", &password(1), plugin, Require::Nothing);
        let (route, secret) = route(db, "rotated");
        let house = route.start();
        let server = |number| db.server.password("rotated", &password(number), plugin);
        let folder = |number| assert!(secret.credential("rotated", &password(number)));
        let mut last = 0;
        loaded(&house, || {
            last = house.rotates_either_way(&[Duration::ZERO, Duration::from_millis(700)], server, folder);
        });
        house.no_session_failed();
        (1..last).for_each(|generation| house.left(generation));
    }
}

#[test]
fn no_statement_fails_when_two_users_take_turns_and_the_old_one_is_dropped() {
    for db in servers::each() {
        let create = |number: usize| {
            let user = format!("turn_{number}");
            db.server.user(&user, &password(number), db.flavour().plugin(), Require::Nothing);
            user
        };
        let mut user = create(1);
        let (route, secret) = route(db, &user);
        let house = route.start();
        loaded(&house, || {
            house.accepted(1);
            for number in 2..=3 {
                let old = std::mem::replace(&mut user, create(number));
                assert!(secret.credential(&user, &password(number)));
                house.accepted(number);
                db.server.sql(&format!("DROP USER '{old}'@'%'"));
            }
        });
        house.no_session_failed();
        house.left(1);
        assert_eq!(house.raw("information_schema").value("select current_user()"), "turn_3@%");
    }
}

/// The old one works until it is discarded: nobody has to be quick.
#[test]
fn mysql_keeps_two_passwords_while_the_secret_changes() {
    let Some(db) = servers::of(Flavour::MySql) else { return };
    db.server.user("retained", &password(1), Plugin::CachingSha2, Require::Nothing);
    let (route, secret) = route(db, "retained");
    let house = route.upstream("wait: 0s").start();
    loaded(&house, || {
        house.accepted(1);
        let new = password(2);
        db.server.sql(&format!("ALTER USER 'retained'@'%' IDENTIFIED BY '{new}' RETAIN CURRENT PASSWORD"));
        assert!(secret.credential("retained", &new));
        house.accepted(2);
        db.server.sql("ALTER USER 'retained'@'%' DISCARD OLD PASSWORD");
    });
    house.no_session_failed();
    house.left(1);
    let retries = house.metric("attache_login_retries_total", &[]);
    assert_eq!(retries, 0.0, "nothing had to be tried twice");
}

#[test]
fn sessions_of_an_old_password_end_at_a_quiet_moment_or_at_once() {
    for db in servers::each() {
        for (live, name) in [("drain, within: 3s", "rotated_drain"), ("cut", "rotated_cut")] {
            db.account(name);
            db.server.password(name, &password(1), db.flavour().plugin());
            let (route, secret) = route(db, name);
            let house = route.on_rotation(&format!("{{ live: {live} }}")).start();
            let mut idle = house.raw(name);
            idle.value("create table line (n int)");
            let mut busy = house.raw(name);
            busy.query("begin");
            assert!(busy.query("insert into line values (1)").1);
            house.accepted(1);
            db.server.password(name, &password(2), db.flavour().plugin());
            assert!(secret.credential(name, &password(2)));

            let report = idle.last_words();
            assert_eq!(report.code(), (1053, "08S01"), "{live}: {report:?}");
            assert_eq!(house.ended(report.session())["result"], "credential_rotated", "{live}");
            if live != "cut" {
                assert!(!busy.query("commit").1, "a transaction is finished");
            }
            assert_eq!(busy.last_words().code(), (1053, "08S01"), "{live}");
            let kept = if live == "cut" { "0" } else { "1" };
            assert_eq!(house.raw(name).value("select count(*) from line"), kept);
            house.left(1);
        }
    }
}

/// What first words of statements tell is kept: a lock, a temporary table, a variable.
#[test]
fn drain_spares_sessions_that_hold_what_their_clients_would_miss() {
    for db in servers::each() {
        let name = "rotated_holding";
        db.account(name);
        db.server.password(name, &password(1), db.flavour().plugin());
        let (route, secret) = route(db, name);
        let house = route.on_rotation("{ live: drain, within: 1s }").start();
        let holding = |sql: &str| {
            let mut session = house.raw(name);
            session.value(sql);
            session
        };
        let mut temporary = holding("create temporary table mine (i int)");
        let mut variable = holding("set @mine = 'x'");
        let mut locked = holding("select get_lock('mine', 0)");
        let (mut idle, mut server_variable) = (house.raw(name), holding("set @@session.wait_timeout = 99"));
        house.accepted(1);
        db.server.password(name, &password(2), db.flavour().plugin());
        assert!(secret.credential(name, &password(2)));
        for session in [&mut idle, &mut server_variable] {
            assert_eq!(session.last_words().code(), (1053, "08S01"));
        }
        // Longer than the whole window.
        let window = std::time::Instant::now() + std::time::Duration::from_secs(2);
        while std::time::Instant::now() < window {
            assert!(temporary.is_silent() && variable.is_silent() && locked.is_silent());
        }
        assert_eq!(temporary.value("select count(*) from mine"), "0");
        assert_eq!(variable.value("select @mine"), "x");
        assert_eq!(locked.value("select release_lock('mine')"), "1");
        assert_eq!(locked.last_words().code(), (1053, "08S01"), "it holds nothing any more");
    }
}

#[test]
fn links_that_wait_are_cut_with_the_others() {
    let Some(db) = servers::of(Flavour::MariaDb) else { return };
    let name = "rotated_warm";
    db.account(name);
    db.server.password(name, &password(1), db.flavour().plugin());
    let (route, secret) = route(db, name);
    let house = route.on_rotation("{ live: cut }").key("pool: { warm: 3 }").start();
    house.raw(name).leave();
    crate::warm::waits(&house, 3);
    assert_eq!(db.server.sessions_of(name), 3);
    db.server.password(name, &password(2), db.flavour().plugin());
    assert!(secret.credential(name, &password(2)));
    eventually("them to be gone, and others in their place", SOON, || {
        let of = |generation| crate::warm::links(&house, &[("state", "warm"), ("generation", generation)]);
        (of("1") == 0.0 && of("2") == 3.0).then_some(())
    });
    assert_eq!(house.raw(name).value("select 1"), "1");
}
