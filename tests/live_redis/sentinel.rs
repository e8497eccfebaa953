//! Servers that Sentinels name: two of them, three Sentinels, and whatever happens to either. Of Redis, over TLS, and of
//! Valkey.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use attache_kit::{
    Brand, LONG, Mounted, Pki, Redis, SECRET, SOON, Sentinel, Watching, available, eventually,
};
use serde_json::Value;

use crate::upstream::{Route, accounts, check, once};

const MASTER: &str = "orders";
/// The Sentinels' own account, and its password: another one than that of the servers.
const WATCHER: &str = "watcher";
const WORD: &str = "s3cret-of-the-sentinels";
/// The `wait` of routes through a failover. Sentinels that have not agreed on one of theirs try again after twelve seconds.
const PATIENT: Duration = Duration::from_secs(60);
/// After each command: a few clients must not take the whole machine.
const BREATH: Duration = Duration::from_millis(3);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Redis,
    Valkey,
}

/// Each of these tests with the servers and Sentinels of both.
macro_rules! of_both {
    ($($test:ident)+) => {
        mod redis {
            $(#[test] fn $test() { super::$test(super::Kind::Redis); })+
        }

        mod valkey {
            $(#[test] fn $test() { super::$test(super::Kind::Valkey); })+
        }
    };
}

of_both! {
    clients_find_the_new_primary_when_an_operator_asks_for_another_one
    clients_find_the_new_primary_when_the_old_one_crashes
    an_old_primary_that_comes_back_is_used_no_more_and_its_sessions_are_told
    replicas_are_for_those_who_want_them
    what_is_wrong_with_sentinels_has_a_name_in_check_status_log_and_metrics
    the_sentinels_password_is_followed
}

struct Constellation {
    /// `None` without TLS.
    pki: Option<Pki>,
    primary: Redis,
    replica: Redis,
    sentinels: Vec<Sentinel>,
    secret: Mounted,
}

impl Constellation {
    fn start(kind: Kind, sentinels: usize, host: &str) -> Option<Constellation> {
        let pki = match kind {
            Kind::Redis => Some(Pki::new()),
            Kind::Valkey => None,
        };
        let brand = pki.as_ref().map_or(Brand::Valkey, Brand::Redis);
        let primary = available(Redis::replicating(brand, None))?;
        let replica = available(Redis::replicating(brand, Some(&primary)))?;
        accounts(&[&primary, &replica]);
        // Above the two seconds after which a Sentinel whose machine had no time for it does not trust itself: else a
        // machine that stands still for a moment is a failover that nobody wanted.
        let down_after = Duration::from_millis(2500);
        let quorum = sentinels / 2 + 1;
        let watching = Watching { master: MASTER, primary: &primary, quorum, down_after, host };
        let sentinels = available(Sentinel::start(brand, sentinels, watching, WATCHER, WORD, 1))?;
        let secret = Mounted::new(&[("username", WATCHER), ("password", WORD)]);
        Some(Constellation { pki, primary, replica, sentinels, secret })
    }

    /// A route by these Sentinels; `more` further keys of `upstream`.
    fn upstream(&self, master: &str, more: &str) -> String {
        let endpoints: Vec<_> =
            self.sentinels.iter().map(|sentinel| format!("\"localhost:{}\"", sentinel.port())).collect();
        let (tls, clear) = match &self.pki {
            Some(pki) => (format!("{{ ca: {} }}", pki.ca().display()), ""),
            None => ("off".to_owned(), "\n    allow_cleartext: true"),
        };
        format!(
            "{{ sentinel: {{ endpoints: [{}], master: {master}, credential: {{ path: {} }} }}, tls: {tls}{more} }}{clear}",
            endpoints.join(", "),
            self.secret.path().display(),
        )
    }

    fn route(&self, more: &str) -> Route {
        Route::start(&self.upstream(MASTER, more), "")
    }

    /// A route that lets its links wait for sessions.
    fn warm_route(&self, more: &str) -> Route {
        Route::start(&self.upstream(MASTER, more), "    pool: { warm: 2 }\n")
    }
}

fn port(server: &Redis) -> String {
    server.port().to_string()
}

/// Three clients that connect for every command, and keep trying as real ones do, while `act` goes on. Once it is over,
/// each of them works again.
fn loaded(route: &Route, act: impl FnOnce()) {
    let over = AtomicBool::new(false);
    let client = |number: usize| {
        let (mut done, mut slowest) = (0, Duration::ZERO);
        while !over.load(Ordering::Relaxed) {
            let (said, took) = once(route.addr(), &format!("SET load:{number} {done}"));
            slowest = slowest.max(took);
            done += usize::from(said.as_deref() == Some("+OK\r\n"));
            thread::sleep(BREATH);
        }
        let (said, _) = once(route.addr(), "PING");
        assert_eq!(said.as_deref(), Some("+PONG\r\n"), "{number}: after {done}");
        (done, slowest)
    };
    thread::scope(|scope| {
        let client = &client;
        let running = [0, 1, 2].map(|number| scope.spawn(move || client(number)));
        let outcome = catch_unwind(AssertUnwindSafe(act));
        over.store(true, Ordering::Relaxed);
        for client in running {
            let (done, slowest) = client.join().unwrap_or_else(|panic| resume_unwind(panic));
            assert!(done > 0);
            assert!(slowest < PATIENT, "within the route's `wait`: {slowest:?}");
        }
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

fn moved_to(route: &Route, server: &Redis) {
    eventually("the new primary to be used", LONG, || (route.port() == port(server)).then_some(()));
}

fn clients_find_the_new_primary_when_an_operator_asks_for_another_one(kind: Kind) {
    let Some(all) = Constellation::start(kind, 3, "127.0.0.1") else { return };
    let route = all.route(", wait: 1m");
    assert_eq!(route.port(), port(&all.primary));
    let mut staying = route.raw();
    assert_eq!(staying.ask(&["SET", "before", "1"]), "+OK\r\n");
    loaded(&route, || {
        assert_eq!(all.sentinels[0].command(&["SENTINEL", "FAILOVER", MASTER]).trim(), "OK");
        moved_to(&route, &all.replica);
    });
    // The old primary does not know of it for another ten seconds.
    let said = staying.last_words();
    assert!(
        said.starts_with("-ERR attache: the server is not the primary any more: connect again (session "),
        "{said}"
    );
    assert_eq!(said.matches("\r\n").count(), 1, "{said}");
    assert_eq!(route.raw().ask(&["GET", "before"]), "$1\r\n1\r\n");
    no_session_lacked_a_server(&route);
    assert_eq!(route.status()["sentinels"]["epoch"], 1, "{}", route.status()["sentinels"]);
}

fn clients_find_the_new_primary_when_the_old_one_crashes(kind: Kind) {
    let Some(mut all) = Constellation::start(kind, 3, "127.0.0.1") else { return };
    let route = all.route(", wait: 1m");
    assert_eq!(route.port(), port(&all.primary));
    let mut blocked = route.raw();
    blocked.send(&["BLPOP", "nothing", "0"]);
    let is_waiting = || all.primary.command(&["INFO", "clients"]).contains("blocked_clients:1").then_some(());
    eventually("the blocked client", SOON, is_waiting);
    loaded(&route, || {
        all.primary.crash();
        moved_to(&route, &all.replica);
    });
    let said = blocked.last_words();
    assert!(said.starts_with("-LOADING attache: the database closed the connection"), "{said}");
    assert_eq!(said.matches("\r\n").count(), 1, "in the place of the reply: {said}");
    no_session_lacked_a_server(&route);
}

fn no_session_lacked_a_server(route: &Route) {
    assert_eq!(route.turned_away(), [Value::Null; 0]);
    let named = |line: &Value| line["message"] == "servers named by Sentinels";
    assert_eq!(route.attache.count(named), 2, "once per change");
}

/// It never hears that it was deposed, and goes on to call itself a primary.
fn an_old_primary_that_comes_back_is_used_no_more_and_its_sessions_are_told(kind: Kind) {
    let Some(all) = Constellation::start(kind, 1, "localhost") else { return };
    let route = all.warm_route(", wait: 1m");
    let endpoint = || route.status()["endpoints"][0].clone();
    assert_eq!(route.port(), port(&all.primary));
    assert_eq!(
        endpoint()["server"],
        format!("localhost:{}", all.primary.announced_port()),
        "by the name that is announced"
    );
    let mut idle = route.raw();
    assert_eq!(idle.ask(&["PING"]), "+PONG\r\n");
    let waiting = || route.metric("attache_links", &[("state", "warm")]);
    eventually("links that wait", SOON, || (waiting() == Some(2.0)).then_some(()));
    all.primary.freeze();
    let said = idle.last_words();
    assert!(said.starts_with("-ERR attache: the server is not the primary any more"), "{said}");
    assert_eq!(route.port(), port(&all.replica));
    all.primary.thaw();
    for _ in 0..20 {
        assert_eq!(route.port(), port(&all.replica));
    }
    assert_eq!(route.turned_away(), [Value::Null; 0]);
}

/// Of Redis alone: what a frozen Sentinel of Valkey has missed it reads from its sockets before it answers anybody.
#[test]
fn a_sentinel_that_has_lost_touch_does_not_lead_back_to_the_old_primary() {
    let Some(mut all) = Constellation::start(Kind::Redis, 3, "127.0.0.1") else { return };
    let route = all.route(", connect_timeout: 1s, wait: 1m");
    assert_eq!(route.port(), port(&all.primary));
    all.sentinels[2].freeze();
    all.primary.crash();
    moved_to(&route, &all.replica);
    all.sentinels[..2].iter_mut().for_each(Sentinel::crash);
    all.primary.start_again();
    accounts(&[&all.primary]);
    all.sentinels[2].thaw();
    let last = || route.status()["sentinels"]["endpoints"][2].clone();
    eventually("its report", LONG, || (last()["cause"] == "sentinel_outdated").then_some(()));
    assert_eq!(
        last()["primary"],
        format!("127.0.0.1:{}", all.primary.announced_port()),
        "it believes in the old one"
    );
    for _ in 0..10 {
        assert_eq!(route.port(), port(&all.replica));
    }
    let out = route.status_command();
    assert!(out.contains("sentinel_outdated") && out.contains("DOWN"), "{out}");
}

fn replicas_are_for_those_who_want_them(kind: Kind) {
    let Some(mut all) = Constellation::start(kind, 1, "127.0.0.1") else { return };
    let (replica, prefer) =
        (all.route(", role: replica, wait: 4s"), all.route(", role: prefer-replica, probe_interval: 1s"));
    for route in [&replica, &prefer] {
        assert_eq!(route.port(), port(&all.replica));
    }
    assert_eq!(replica.status()["endpoints"].as_array().unwrap().len(), 1);
    assert_eq!(prefer.status()["endpoints"].as_array().unwrap().len(), 2);
    // Somebody makes a primary of it behind the Sentinels' back: then it is neither.
    all.replica.command(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(prefer.port(), port(&all.primary));
    all.replica.command(&["REPLICAOF", "127.0.0.1", &all.primary.announced_port().to_string()]);
    moved_to(&prefer, &all.replica);
    all.replica.crash();
    moved_to(&prefer, &all.primary);
    let down = || replica.status()["endpoints"].as_array().unwrap().is_empty().then_some(());
    eventually("the Sentinel's word that it is down", LONG, down);
    let (said, _) = once(replica.addr(), "PING");
    assert!(said.unwrap().starts_with("-LOADING attache: no server of the required role"));
}

fn what_is_wrong_with_sentinels_has_a_name_in_check_status_log_and_metrics(kind: Kind) {
    let Some(mut all) = Constellation::start(kind, 1, "127.0.0.1") else { return };
    let sentinel = format!("localhost:{}", all.sentinels[0].port());
    let step = |upstream: &str, name: &str| {
        let (steps, _) = check(upstream);
        steps.iter().find(|step| step["step"] == name).cloned().unwrap_or_else(|| panic!("{steps:#?}"))
    };
    let good = step(&all.upstream(MASTER, ""), "sentinel");
    let told =
        format!("primary 127.0.0.1:{}, 1 replica that can be reached, epoch 0", all.primary.announced_port());
    assert_eq!((&good["ok"], &good["detail"]), (&true.into(), &told.into()), "{good}");
    assert_eq!(step(&all.upstream(MASTER, ""), "role")["detail"], "primary");
    let cause = |upstream: &str| step(upstream, "sentinel")["cause"].clone();
    assert_eq!(cause(&all.upstream("stock", "")), "sentinel_master_unknown");
    let without = format!(", credential: {{ path: {} }}", all.secret.path().display());
    assert_eq!(cause(&all.upstream(MASTER, "").replace(&without, "")), "sentinel_login_rejected", "NOAUTH");
    let no_sentinel =
        all.upstream(MASTER, "").replace(&sentinel, &format!("localhost:{}", all.primary.announced_port()));
    let refused = step(&no_sentinel, "sentinel");
    // It lets nobody in who does not log in, before it looks at the command.
    assert_eq!(refused["cause"], "sentinel_login_rejected", "{refused}");

    let route = all.route(", wait: 5s");
    assert_eq!(once(route.addr(), "PING").0.as_deref(), Some("+PONG\r\n"));
    let up = || route.metric("attache_sentinel_up", &[("route", "cache"), ("endpoint", &sentinel)]);
    assert_eq!(up(), Some(1.0));
    let seen = || route.status()["sentinels"]["endpoints"][0].clone();
    assert_eq!(seen()["replicas"], 1, "{}", seen());
    for age in ["state_age_seconds", "last_asked_age_seconds"] {
        assert!(seen()[age].is_number(), "{age}: {}", seen());
    }
    let not_after = seen()["certificate_not_after"].as_f64();
    assert_eq!(not_after.is_some(), all.pki.is_some());
    let expiry = "attache_sentinel_tls_certificate_expiry_timestamp_seconds";
    assert_eq!(route.metric(expiry, &[("route", "cache"), ("endpoint", &sentinel)]), not_after);
    let rejected = || route.metric("attache_sentinel_credential_rejected", &[("route", "cache")]);
    assert_eq!(rejected(), Some(0.0));
    all.secret.credential(WATCHER, "another-password");
    let named = |cause: &str| {
        eventually(cause, SOON, || {
            (route.status()["sentinels"]["endpoints"][0]["cause"] == cause).then_some(())
        });
        route
            .attache
            .wait_for(cause, SOON, |line| line["sentinel"] == sentinel.as_str() && line["cause"] == cause);
    };
    // The password before still works.
    route.attache.wait_for("a rejection", SOON, |line| {
        line["route"] == "cache/sentinel" && line["state"] == "degraded"
    });
    assert_eq!((up(), rejected()), (Some(1.0), Some(1.0)));
    all.sentinels[0].user(WATCHER, "yet-another-password");
    all.sentinels[0].command(&["CLIENT", "KILL", "USER", WATCHER]);
    named("sentinel_login_rejected");
    assert_eq!(up(), Some(0.0));
    assert_eq!(once(route.addr(), "PING").0.as_deref(), Some("+PONG\r\n"), "the last report still counts");

    all.sentinels[0].crash();
    named("connect_refused");
    let told = route.status_command();
    let of_it = told.lines().find(|line| line.contains(&sentinel)).unwrap();
    assert!(of_it.contains("DOWN for ") && of_it.contains("connect_refused"), "{told}");
    assert_eq!(of_it.contains(" d left"), all.pki.is_some(), "{told}");
    let (steps, ran) = check(&all.upstream(MASTER, ""));
    assert_eq!(
        steps.iter().find(|step| step["endpoint"] == Value::Null && step["step"] == "sentinel").unwrap()["cause"],
        "sentinel_unreachable",
        "{steps:#?}"
    );
    assert_eq!(ran.status.code(), Some(1));
    let lost = all.route(", wait: 0s");
    let (said, _) = once(lost.addr(), "PING");
    assert!(said.unwrap().starts_with("-LOADING attache: where the database is cannot be found out"));
    let line = lost.attache.wait_for("the session", SOON, |line| line["kind"] == "session");
    assert_eq!(line["result"], "sentinel_unreachable", "{line}");
    for text in [route.attache.stderr(), lost.attache.stderr(), ran.stdout] {
        assert!(
            !text.contains(WORD) && !text.contains(SECRET) && !text.contains("another-password"),
            "{text}"
        );
    }
}

/// A password that is changed on both sides, and a Sentinel that ends the links of before.
fn the_sentinels_password_is_followed(kind: Kind) {
    let Some(mut all) = Constellation::start(kind, 1, "127.0.0.1") else { return };
    let route = all.route("");
    assert_eq!(route.port(), port(&all.primary));
    let up = || route.status()["sentinels"]["endpoints"][0]["up"] == true;
    for (number, folder_first) in [(1, true), (2, false)] {
        let word = format!("{WORD}-{number}");
        if folder_first {
            assert!(all.secret.credential(WATCHER, &word));
        }
        all.sentinels[0].user(WATCHER, &word);
        if !folder_first {
            all.sentinels[0].command(&["CLIENT", "KILL", "USER", WATCHER]);
            eventually("the rejection", SOON, || (!up()).then_some(()));
            assert!(all.secret.credential(WATCHER, &word));
        }
        route.attache.wait_for("the new password to be used", LONG, |line| {
            line["message"] == "credential accepted"
                && line["route"] == "cache/sentinel"
                && line["generation"] == number + 1
        });
        eventually("its answer", LONG, || up().then_some(()));
    }
    all.sentinels[0].crash();
    eventually("the end to be noticed", SOON, || (!up()).then_some(()));
    all.sentinels[0].start_again();
    all.sentinels[0].user(WATCHER, &format!("{WORD}-2"));
    eventually("it to be asked again", LONG, || up().then_some(()));
}
