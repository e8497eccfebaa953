//! A password changes in two places that never change in the same instant. No command fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use attache_kit::{House, Mounted, SECRET};

use crate::house::Clients;
use crate::servers;

const ROTATED: &str = "rotated";

fn password(number: usize) -> String {
    format!("{SECRET}-{number}")
}

/// After each command: a few clients must not take the whole machine.
const BREATH: Duration = Duration::from_millis(2);

/// What a client does all the time.
#[derive(Debug, Clone, Copy)]
enum Load {
    /// Connects for every command.
    Reconnecting,
    /// The same, and logs in first with a password that means nothing, as clients do that must have one.
    LoggingIn,
    Staying,
    /// Stays, and resets its session as pools do, which logs in again.
    Resetting,
}

impl Load {
    /// Works until it is over; no command may fail.
    fn work(self, house: &House, over: &AtomicBool) -> usize {
        let mut done = 0;
        let mut kept = None;
        while !over.load(Ordering::Relaxed) {
            let session = kept.get_or_insert_with(|| house.raw());
            if let Load::Resetting = self {
                assert_eq!(session.ask(&["RESET"]), "+RESET\r\n");
            }
            if let Load::LoggingIn = self {
                assert!(session.ask(&["HELLO", "3", "AUTH", "any", "thing"]).starts_with('%'));
                assert_eq!(session.ask(&["AUTH", "anything"]), "+OK\r\n");
            }
            assert_eq!(session.ask(&["PING"]), "+PONG\r\n", "{self:?}");
            if let Load::Reconnecting | Load::LoggingIn = self {
                kept = None;
            }
            done += 1;
            thread::sleep(BREATH);
        }
        done
    }
}

/// All of these at once, while `act` goes on.
fn loaded<const N: usize>(house: &House, loads: [Load; N], act: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = &over;
        let running = loads.map(|load| scope.spawn(move || load.work(house, over)));
        let outcome = catch_unwind(AssertUnwindSafe(act));
        over.store(true, Ordering::Relaxed);
        let done = running.map(thread::ScopedJoinHandle::join);
        for (load, done) in loads.iter().zip(done) {
            assert!(done.unwrap_or_else(|panic| resume_unwind(panic)) > 0, "{load:?}");
        }
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

#[test]
fn no_command_fails_whichever_side_changes_first() {
    let Some(db) = servers::shared() else { return };
    db.server.user(ROTATED, &password(1));
    let secret = Arc::new(Mounted::new(&[("username", ROTATED), ("password", &password(1))]));
    let house = db.route().secret(&secret).start();
    let mut idle = [house.raw(), house.raw()];
    let server = |number| db.server.user(ROTATED, &password(number));
    let folder = |number| assert!(secret.credential(ROTATED, &password(number)));
    loaded(&house, [Load::Reconnecting, Load::LoggingIn, Load::Staying, Load::Resetting], || {
        let last = house.rotates_either_way(&[Duration::ZERO, Duration::from_millis(700)], server, folder);
        // Nobody has to go for that.
        (1..last).for_each(|generation| house.left(generation));
    });
    for session in &mut idle {
        assert_eq!(session.ask(&["PING"]), "+PONG\r\n");
    }
    house.no_session_failed();
}

/// The server ends the sessions of a user that is deleted: who stays must have been renewed before.
#[test]
fn no_command_fails_when_two_users_take_turns_and_the_old_one_is_deleted() {
    let Some(db) = servers::shared() else { return };
    let create = |number: usize| {
        let user = format!("turn_{number}");
        db.server.user(&user, &password(number));
        user
    };
    let mut user = create(1);
    let secret = Arc::new(Mounted::new(&[("username", &user), ("password", &password(1))]));
    let house = db.route().secret(&secret).start();
    let mut idle = house.raw();
    loaded(&house, [Load::Reconnecting, Load::LoggingIn, Load::Staying, Load::Resetting], || {
        house.accepted(1);
        for number in 2..=3 {
            let old = std::mem::replace(&mut user, create(number));
            assert!(secret.credential(&user, &password(number)));
            house.accepted(number);
            house.left(number - 1);
            assert_eq!(db.server.command(&["ACL", "DELUSER", &old]).trim(), "1");
        }
    });
    assert_eq!(idle.ask(&["ACL", "WHOAMI"]), "$6\r\nturn_3\r\n");
    house.no_session_failed();
    assert_eq!(house.raw().ask(&["ACL", "WHOAMI"]), "$6\r\nturn_3\r\n");
}

#[test]
fn sessions_of_an_old_password_end_at_a_quiet_moment_or_at_once_where_that_is_the_policy() {
    let Some(db) = servers::shared() else { return };
    for (user, on_rotation, kept) in
        [("drained", "{ live: drain, within: 3s }", ":1\r\n"), ("cut", "{ live: cut }", ":0\r\n")]
    {
        db.server.user(user, &password(1));
        let secret = Arc::new(Mounted::new(&[("username", user), ("password", &password(1))]));
        let house = db.route().secret(&secret).on_rotation(on_rotation).start();
        let (mut idle, mut busy) = (house.raw(), house.raw());
        assert_eq!(idle.ask(&["PING"]), "+PONG\r\n");
        assert_eq!(busy.ask(&["MULTI"]), "+OK\r\n");
        assert_eq!(busy.ask(&["SET", user, "1"]), "+QUEUED\r\n");
        house.accepted(1);
        db.server.user(user, &password(2));
        assert!(secret.credential(user, &password(2)));

        let (said, line) = house.farewell(&mut idle);
        assert!(said.starts_with("-ERR attache: "), "{user}: {said}");
        assert_eq!(line["result"], "credential_rotated", "{user}: {line}");
        if user == "drained" {
            assert_eq!(busy.ask(&["EXEC"]), "*1\r\n+OK\r\n", "a transaction is finished");
        }
        let (_, line) = house.farewell(&mut busy);
        assert_eq!(line["result"], "credential_rotated", "{user}: {line}");
        assert_eq!(house.raw().ask(&["EXISTS", user]), kept);
        house.left(1);
    }
}
