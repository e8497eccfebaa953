//! Never noticed, for minutes: clients work through Attaché while everything around it changes and breaks, in an order that
//! is drawn from a printed seed.
//!
//! Each protocol has a process of its own, real servers behind relays that break on command, clients that come back and
//! clients that stay, and two scripts that run beside each other: one changes the credential, one upsets servers, network and
//! configuration. No operation may fail but those that the script makes impossible (`judge`), and no answer may be
//! another's. At the end nothing is left: no session, no old generation, no file.
//!
//! `ATTACHE_SOAK_SECONDS` for longer, `ATTACHE_SOAK_SEED` for the same script again, `ATTACHE_SOAK_ONLY=redis` for one protocol,
//! `ATTACHE_SOAK_BINARY=/path/to/attache` for another build.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(clippy::print_stdout, reason = "it tells its seed, and what it has counted")]
#![allow(unreachable_pub, reason = "a test binary has no callers outside")]

mod changes;
mod ending;
mod faults;
mod ground;
mod house;
mod judge;
mod link;
mod load;
mod mysql;
mod page;
mod postgres;
mod redis;
mod report;
mod resp;
mod run;
mod runbook;
mod script;
mod tcp;
mod timeline;
mod upheavals;

use std::env;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use attache_kit::Flavour;

use report::Report;

const SECONDS: &str = "ATTACHE_SOAK_SECONDS";
const SEED: &str = "ATTACHE_SOAK_SEED";
const ONLY: &str = "ATTACHE_SOAK_ONLY";
const USUAL_SECONDS: u64 = 120;

type Soak = fn(&run::Plan) -> Option<Report>;

/// Each is one row of the report; where its servers are not installed it is skipped aloud.
const SOAKS: [(&str, Soak); 5] = [
    ("postgres", |plan| run::soak(plan, postgres::Cluster::start)),
    ("mariadb", |plan| run::soak(plan, || mysql::Servers::start(Flavour::MariaDb))),
    ("mysql", |plan| run::soak(plan, || mysql::Servers::start(Flavour::MySql))),
    ("redis", |plan| run::soak(plan, redis::Servers::start)),
    ("tcp", |plan| run::soak(plan, tcp::Server::start)),
];

/// The longest by far, so its name is the first: the other tests of this program run meanwhile.
#[test]
fn an_operation_fails_only_where_it_cannot_be_saved() {
    let time = Duration::from_secs(number(SECONDS).unwrap_or(USUAL_SECONDS));
    let seed = number(SEED).unwrap_or_else(now);
    let only = env::var(ONLY).ok();
    println!("{SEED}={seed} {SECONDS}={}", time.as_secs());
    let chosen = SOAKS.iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name));
    let reports: Vec<Report> = thread::scope(|scope| {
        let running: Vec<_> = chosen
            .map(|(name, soak)| {
                let plan = run::Plan { name, seed, time };
                scope.spawn(move || soak(&plan))
            })
            .collect();
        running
            .into_iter()
            .filter_map(|soak| soak.join().expect("a soak says itself what is wrong"))
            .collect()
    });
    for report in &reports {
        print!("{report}");
    }
    let failed: Vec<&str> =
        reports.iter().filter(|report| report.has_failed()).map(|report| report.name).collect();
    assert!(failed.is_empty(), "{failed:?} with {SEED}={seed}");
}

/// The other tests of this program start as many servers as the long one: one of them at a time goes beside it.
fn beside_the_long_one() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
