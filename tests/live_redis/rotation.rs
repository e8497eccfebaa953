//! A password changes in two places that never change in the same instant. No command fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use attache_kit::{Mounted, eventually};

use crate::house::{House, SOON};
use crate::servers::{self, SECRET};

const ROTATED: &str = "rotated";

fn password(number: usize) -> String {
    format!("{SECRET}-{number}")
}

/// What a client does all the time.
#[derive(Debug, Clone, Copy)]
enum Load {
    /// Connects for every command.
    Reconnecting,
    Staying,
    /// Stays, and resets its session as pools do, which logs in again.
    Resetting,
}

const LOADS: [Load; 3] = [Load::Reconnecting, Load::Staying, Load::Resetting];

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
            assert_eq!(session.ask(&["ACL", "WHOAMI"]), "$7\r\nrotated\r\n", "{self:?}");
            if let Load::Reconnecting = self {
                kept = None;
            }
            done += 1;
            thread::sleep(Duration::from_millis(2));
        }
        done
    }
}

/// Every load at once, while `act` goes on.
fn loaded(house: &House, act: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = &over;
        let loads = LOADS.map(|load| scope.spawn(move || load.work(house, over)));
        let outcome = catch_unwind(AssertUnwindSafe(act));
        over.store(true, Ordering::Relaxed);
        let done = loads.map(thread::ScopedJoinHandle::join);
        for (load, done) in LOADS.iter().zip(done) {
            assert!(done.unwrap_or_else(|panic| resume_unwind(panic)) > 0, "{load:?}");
        }
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

fn accepted(house: &House, generation: usize) {
    house.attache.wait_for("the new generation to be accepted", SOON, |line| {
        line["message"] == "credential accepted" && line["generation"] == generation
    });
}

/// "No session is left on generation N": the operator may revoke it.
fn forgotten(house: &House, generation: usize) {
    let generation = generation.to_string();
    let links = || house.metric("attache_links", &[("generation", &generation)]).unwrap_or_default();
    eventually("the old generation to be left", SOON, || (links() == 0.0).then_some(()));
}

#[derive(Debug, Clone, Copy)]
enum First {
    Server,
    Folder,
}

#[test]
fn no_command_fails_whichever_side_changes_first() {
    let Some(db) = servers::shared() else { return };
    db.server.user(ROTATED, &password(1));
    let secret = Arc::new(Mounted::new(&[("username", ROTATED), ("password", &password(1))]));
    let house = House::with(db, &secret, "{}");
    let mut number = 1;
    loaded(&house, || {
        for between in [Duration::ZERO, Duration::from_millis(700)] {
            for first in [First::Server, First::Folder] {
                accepted(&house, number);
                number += 1;
                let server = || db.server.user(ROTATED, &password(number));
                let folder = || assert!(secret.credential(ROTATED, &password(number)));
                match first {
                    First::Server => server(),
                    First::Folder => folder(),
                }
                thread::sleep(between);
                match first {
                    First::Server => folder(),
                    First::Folder => server(),
                }
            }
        }
        accepted(&house, number);
    });
    let failed = |line: &serde_json::Value| line["kind"] == "session" && line["result"] != "ok";
    let lines: Vec<_> = house.attache.log().into_iter().filter(failed).collect();
    assert!(lines.is_empty(), "{lines:#?}");
    (1..number).for_each(|generation| forgotten(&house, generation));
    let status = house.status();
    assert_eq!(status["credential"]["generation"], number, "{status}");
    assert_eq!(status["credential"]["rejected"], false, "{status}");
}
