//! A configuration that changes while it is in use.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use attache_kit::ports::{self, Port};
use attache_kit::process::{Launch, Process};
use attache_kit::*;

use crate::house::*;
use crate::raw::{self, Raw};
use crate::servers::{self, Account, Db};

/// Four routes to one database, of which a configuration has some.
struct Plan<'a> {
    db: &'a Db,
    account: &'a Account,
    health: Port,
    control: Port,
    stays: Port,
    changes: Port,
    goes: Port,
    comes: Port,
}

impl<'a> Plan<'a> {
    fn new(db: &'a Db, account: &'a Account) -> Self {
        let [health, control, stays, changes, goes, comes] = std::array::from_fn(|_| ports::reserve());
        Self { db, account, health, control, stays, changes, goes, comes }
    }

    fn config(&self, routes: &[(&str, &Port, &str)]) -> String {
        let mut yaml = format!("health: {}\ncontrol: {}\nroutes:\n", self.health.addr(), self.control.addr());
        for (name, port, more) in routes {
            yaml += &format!(
                "  {name}:\n    protocol: postgres\n    listen: {}\n    credential: {{ path: {} }}\n    \
                 upstream: {{ endpoints: \"localhost:{}\", tls: {{ ca: {} }} }}\n    {more}\n",
                port.addr(),
                self.account.secret.path().display(),
                self.db.server.port(),
                self.db.pki.ca().display(),
            );
        }
        yaml
    }

    /// With seconds from a reload to the end of the sessions that it concerns.
    fn with_deadline(&self, seconds: u64, routes: &[(&str, &Port, &str)]) -> String {
        format!("drain: {{ deadline: {seconds}s }}\n{}", self.config(routes))
    }

    fn reload(&self, attache: &Process, config: &str) {
        attache.rewrite_config(config);
        let answer = http::post(self.control.addr(), "/reload", "").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    fn before(&self) -> String {
        self.config(&[("stays", &self.stays, ""), ("changes", &self.changes, ""), ("goes", &self.goes, "")])
    }

    fn after(&self) -> String {
        let changed = "client: { max_sessions: 1 }";
        self.config(&[
            ("stays", &self.stays, ""),
            ("changes", &self.changes, changed),
            ("comes", &self.comes, ""),
        ])
    }

    fn start(&self) -> Process {
        let attache = Launch::binary(env!("CARGO_BIN_EXE_attache")).config(&self.before()).start();
        attache.wait_for("started", SOON, |line| line["message"] == "started");
        attache
    }

    fn log_in(&self, port: &Port) -> Raw {
        let parameters = [("user", "nobody"), ("database", self.account.name.as_str())];
        Raw::log_in(port.addr(), &parameters)
    }

    fn last_reload_worked(&self) -> bool {
        Metrics::scrape(self.health.addr()).value("attache_config_last_reload_successful", &[]) == Some(1.0)
    }
}

fn refuses_connections(addr: SocketAddr) -> bool {
    std::net::TcpStream::connect(addr).is_err()
}

#[test]
fn a_reload_changes_what_it_names_and_nobody_else_notices() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("reloading");
    let plan = Plan::new(db, &account);
    let attache = plan.start();

    let mut load = tools::postgres_tool("pgbench").unwrap();
    load.args(["-h", "127.0.0.1", "-p", &plan.stays.number().to_string(), "-U", "nobody", "-n", "-T", "5"]);
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), "select 1;\n").unwrap();
    load.arg("-f").arg(script.path()).args(["-c", "2", &account.name]);
    let load = std::thread::spawn(move || tools::run(&mut load, b"", LONG));

    let mut on_changed = plan.log_in(&plan.changes);
    let mut on_gone = plan.log_in(&plan.goes);
    for round in 0..10 {
        attache.rewrite_config(&plan.after());
        let answer = http::post(plan.control.addr(), "/reload", "").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        let changes = answer.json();
        if round == 0 {
            assert_eq!(changes["added"][0], "comes", "{changes}");
            assert_eq!(changes["changed"][0], "changes", "{changes}");
            assert_eq!(changes["removed"][0], "goes", "{changes}");
            assert_eq!(changes["unchanged"], 1, "{changes}");
            eventually("the socket of the removed route closes", SOON, || {
                refuses_connections(plan.goes.addr()).then_some(())
            });
        }
        plan.log_in(&plan.comes).query("select 1");
        attache.rewrite_config(&plan.before());
        assert_eq!(http::post(plan.control.addr(), "/reload", "").unwrap().status, 200);
        plan.log_in(&plan.goes).query("select 1");
    }
    on_changed.query("select 1");
    on_gone.query("select 1");
    let said = load.join().unwrap().ok();
    assert!(said.contains("number of failed transactions: 0 "), "{said}");
}

#[test]
fn a_broken_file_changes_nothing_and_is_said_everywhere() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("broken_file");
    let plan = Plan::new(db, &account);
    let attache = plan.start();
    assert!(plan.last_reload_worked());

    attache.rewrite_config(&plan.after().replace("max_sessions: 1", "max_sessions: many"));
    let answer = http::post(plan.control.addr(), "/reload", "").unwrap();
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("routes.changes.client.max_sessions"), "{}", answer.body);
    assert!(!plan.last_reload_worked());
    let told = |line: &serde_json::Value| line["message"] == "configuration not reloaded: the old one stays";
    attache.wait_for("the log says so", SOON, told);
    plan.log_in(&plan.goes).query("select 1");

    let taken = ports::reserve();
    let _holder = std::net::TcpListener::bind(taken.addr()).unwrap();
    attache.rewrite_config(&plan.config(&[("stays", &plan.stays, ""), ("comes", &taken, "")]));
    assert_eq!(http::post(plan.control.addr(), "/reload", "").unwrap().status, 422);
    plan.log_in(&plan.goes).query("select 1");

    attache.rewrite_config(&plan.after());
    attache.signal(Signal::HUP);
    attache.wait_for("SIGHUP reloads", SOON, |line| line["message"] == "configuration reloaded");
    eventually("the metric says so", SOON, || plan.last_reload_worked().then_some(()));
    plan.log_in(&plan.comes).query("select 1");
}

#[test]
fn a_changed_route_takes_over_the_credential_and_the_cancel_keys() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("taken_over");
    let plan = Plan::new(db, &account);
    let attache = plan.start();
    let mut session = plan.log_in(&plan.changes);
    account.secret.credential(&account.name, &format!("{SECRET}\n"));
    attache.rewrite_config(&plan.after());
    assert_eq!(http::post(plan.control.addr(), "/reload", "").unwrap().status, 200);

    session.send(&raw::query("select pg_sleep(60)"));
    let running = || {
        db.server.sql("select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active' and usename = 'taken_over'")
    };
    eventually("the statement runs", SOON, || (running() == "1").then_some(()));
    Raw::connect(plan.changes.addr()).send(&raw::cancel(&session.key()));
    eventually("the statement was cancelled", SOON, || (running() == "0").then_some(()));
    let log = attache.log();
    let loads =
        log.iter().filter(|line| line["message"] == "credential loaded" && line["route"] == "changes");
    assert_eq!(loads.count(), 1, "a reload is no rotation");
}

#[test]
fn sessions_of_a_route_that_is_gone_or_leads_elsewhere_have_the_time_of_a_drain_to_end() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("route_changed");
    let plan = Plan::new(db, &account);
    let attache = plan.start();
    let sessions = || [plan.log_in(&plan.goes), plan.log_in(&plan.changes)];
    let (mut idle, mut in_transaction) = (sessions(), sessions());
    for session in &mut in_transaction {
        session.query("begin");
    }
    let mut untouched = plan.log_in(&plan.stays);

    let start = Instant::now();
    let routes = [("stays", &plan.stays, ""), ("changes", &plan.changes, "database: postgres")];
    plan.reload(&attache, &plan.with_deadline(5, &routes));
    for session in &mut idle {
        session.query("select 1");
    }
    for session in &mut idle {
        let report = session.last_words();
        assert_eq!(report.code(), "57P01", "{report:?}");
        assert!(start.elapsed() >= Duration::from_secs(4), "served on until the last fifth");
    }
    for session in &mut in_transaction {
        let report = session.last_words();
        assert_eq!(report.code(), "57P01", "{report:?}");
        assert!(start.elapsed() >= Duration::from_secs(5), "cut at the deadline");
    }
    assert_eq!(untouched.value("select 1"), "1");
    assert_eq!(plan.log_in(&plan.changes).value("select current_database()"), "postgres");
    let told = |line: &serde_json::Value| line["result"] == "route_changed" && line["ended_by"] == "attache";
    eventually("a line for each", SOON, || (attache.count(told) == 4).then_some(()));
}

#[test]
fn sessions_live_on_where_a_change_does_not_concern_them_and_follow_the_new_policy() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("not_concerned");
    let plan = Plan::new(db, &account);
    let attache = plan.start();
    let mut session = plan.log_in(&plan.changes);
    let changed = [("changes", &plan.changes, "client: { max_sessions: 7 }\n    ready: upstream")];
    plan.reload(&attache, &plan.with_deadline(1, &changed));
    let over = Instant::now() + Duration::from_secs(2);
    while Instant::now() < over {
        assert!(session.is_silent());
    }
    assert_eq!(session.value("select 1"), "1");

    let cut = plan
        .with_deadline(1, &changed)
        .replace(" }\n    upstream", ", on_rotation: { live: cut } }\n    upstream");
    plan.reload(&attache, &cut);
    db.server.password(&account.name, "s3cret-of-tomorrow", postgres::Encryption::Scram);
    account.secret.credential(&account.name, "s3cret-of-tomorrow");
    assert_eq!(session.last_words().code(), "57P01");
}

/// Secrets of one user side by side, as whoever moves from one to another has them.
fn secret(user: &str, password: &str) -> Mounted {
    Mounted::new(&[("username", user), ("password", password)])
}

fn links(house: &House, generation: &str) -> i64 {
    house.status()["links_by_generation"][generation].as_i64().unwrap_or_default()
}

/// They are asked one after the other, and may be of two moments.
fn is_settled(house: &House) -> bool {
    eventually("status and metrics to agree", SOON, || {
        let settled = house.metric("attache_credential_settled", &[]) == 1.0;
        (house.status()["credential"]["settled"] == settled).then_some(settled)
    })
}

/// Another folder is a rotation: the numbers go on, and the policy says what becomes of sessions that live.
#[test]
fn another_path_of_the_credential_is_a_rotation_with_its_policy() {
    for (db, live) in servers::each().flat_map(|db| ["keep", "drain", "cut"].map(|live| (db, live))) {
        let account = db.account(&format!("moved_{live}"));
        let route = db.route(&account).on_rotation(&format!("{{ live: {live}, within: 1s }}")).top(
            // Were it told to end for the reload, a session would be within this time.
            "drain: { deadline: 2s }",
        );
        let house = route.clone().start();
        house.accepted(1);
        let mut session = house.raw(&account.name);
        let mut in_transaction = house.raw(&account.name);
        in_transaction.query("begin");

        let other = secret(&account.name, "s3cret-elsewhere");
        db.server.password(&account.name, "s3cret-elsewhere", postgres::Encryption::Scram);
        let changes = house.reload(&route.clone().folder(other.path()));
        assert_eq!(changes["changed"][0], "db", "{changes}");
        house.accepted(2);
        assert_eq!(house.query(&account.name, "select 1"), "1", "{live}");
        match live {
            "keep" => {
                stays("alive", Duration::from_secs(3), || session.is_silent());
                assert_eq!((links(&house, "1"), is_settled(&house)), (2, false));
                session.query("select 1");
                in_transaction.query("commit");
                drop((session, in_transaction));
            }
            "drain" => {
                assert_eq!(session.last_words().code(), "57P01");
                assert_eq!((links(&house, "1"), is_settled(&house)), (1, false), "it is not quiet");
                in_transaction.query("commit");
                assert_eq!(in_transaction.last_words().code(), "57P01");
            }
            _ => {
                assert_eq!(session.last_words().code(), "57P01");
                assert_eq!(in_transaction.last_words().code(), "57P01");
            }
        }
        house.left(1);
        eventually("the old password may go", SOON, || is_settled(&house).then_some(()));
        let told = |line: &serde_json::Value| line["result"] == "credential_rotated";
        let ended = if live == "keep" { 0 } else { 2 };
        eventually("their lines", SOON, || (house.attache.count(told) == ended).then_some(()));
    }
}

/// At three in the morning: the new path is wrong in every way there is. Nobody is to notice but the operator.
#[test]
fn a_wrong_path_of_the_credential_ends_nobody_and_is_put_right_by_another_reload() {
    let Some(db) = servers::of(Version::V18) else { return };
    let account = db.account("mistyped_path");
    let route = db.route(&account).on_rotation("{ live: cut, within: 0s }").top("drain: { deadline: 1s }");
    let house = route.clone().start();
    house.accepted(1);
    let mut session = house.raw(&account.name);
    let credential = || house.status()["credential"].clone();

    house.reload(&route.clone().folder(&account.secret.path().join("mistyped")));
    eventually("it to be said", SOON, || (credential()["problem"]["name"] == "folder_missing").then_some(()));
    assert_eq!(house.query(&account.name, "select 1"), "1");

    let wrong = secret(&account.name, "s3cret-of-another");
    house.reload(&route.clone().folder(wrong.path()));
    eventually("the trial", SOON, || (credential()["state"] == "degraded").then_some(()));
    assert_eq!(credential()["generation_in_use"], 1);
    assert_eq!(house.query(&account.name, "select 1"), "1");

    let same = secret(&account.name, SECRET);
    for path in [account.secret.path(), same.path()] {
        house.reload(&route.clone().folder(path));
        eventually("the first again", SOON, || (credential()["generation"] == 1).then_some(()));
        assert_eq!((credential()["state"].as_str(), is_settled(&house)), (Some("ok"), true));
    }
    assert!(session.is_silent());
    assert_eq!(session.value("select 1"), "1");
    house.no_session_failed();
}

/// Where the servers change too, the old password is not for the new ones. Sessions have the time of a drain, and are told
/// apart from those that come as long as they live.
#[test]
fn another_credential_for_another_server_has_numbers_of_its_own() {
    let (Some(db), Some(other)) = (servers::of(Version::V15), servers::of(Version::V18)) else { return };
    let account = db.account("leads_elsewhere");
    let there = other.account("leads_elsewhere");
    other.server.password(&there.name, "s3cret-elsewhere", postgres::Encryption::Scram);
    there.secret.credential(&there.name, "s3cret-elsewhere");
    let [before, after] = [db.route(&account), other.route(&there)]
        .map(|route| route.top("drain: { deadline: 10s }").unprobed());
    let house = before.start();
    let mut session = house.raw(&account.name);
    session.query("begin");
    house.reload(&after);
    assert_eq!(house.query(&account.name, "show server_version_num").get(..2), Some("18"));
    let credential = house.status()["credential"].clone();
    assert_eq!(
        (&credential["generation"], &credential["previous_generation"]),
        (&2.into(), &serde_json::Value::Null)
    );
    assert_eq!((links(&house, "1"), is_settled(&house)), (1, false), "the old session is still known");
    session.query("commit");
    assert_eq!(session.last_words().code(), "57P01");
    house.left(1);
    assert!(is_settled(&house));
    assert!(house.status()["links_by_generation"].get("1").is_none(), "it is forgotten with its last link");
    let rejected = format!("password authentication failed for user \"{}\"", there.name);
    assert!(!other.server.log().contains(&rejected), "the old password was tried on the new server");
}
