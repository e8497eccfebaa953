//! Authorities and client certificates that are renewed while Attaché runs.

use std::fs;

use attache_kit::*;

use crate::house::*;
use crate::raw::{self, Raw};
use crate::servers::{self, Account, Db, Login};

const SERIAL: &str = "select client_serial from pg_stat_ssl where pid = pg_backend_pid()";

/// How a file of authorities is brought up to date.
type Write<'a> = &'a dyn Fn(&str);

impl Db {
    /// The links of which nobody but the probes makes: sessions are not needed for a file to be noticed.
    fn route_with_authorities(&self, account: &Account, file: &std::path::Path) -> Route {
        let route = account.route_to(self.server.addr()).upstream("probe_interval: 1s");
        route.tls(&format!("{{ ca: {}, server_name: localhost }}", file.display()))
    }
}

fn changes(house: &House, certificates: u64) {
    house.attache.wait_for("the authorities to be read", SOON, |line| {
        line["message"] == "authorities changed" && line["certificates"] == certificates
    });
}

/// Another authority signs for the server: first it is trusted beside the old one, then the server shows its certificate,
/// then the old one is trusted no more.
fn authorities_are_renewed(db: &Db, account: &Account, file: &std::path::Path, write: Write<'_>) {
    let house = db.route_with_authorities(account, file).start();
    let mut staying = house.raw(&account.name);
    assert_eq!(house.query(&account.name, "select 1"), "1");

    let new = Pki::new();
    write(&[db.pki.ca_pem(), new.ca_pem()].concat());
    changes(&house, 2);
    db.server.install_certificate(&new.server());
    assert_eq!(house.query(&account.name, "select 1"), "1");
    write(new.ca_pem());
    changes(&house, 1);
    assert_eq!(house.query(&account.name, "select 1"), "1");

    assert_eq!(staying.value("select 1"), "1", "nobody is disturbed");
    cancels(db, &house, &mut staying);
    house.no_session_failed();
    db.server.install_certificate(&db.pki.server());
    house.refuses(&account.name, "08004", "certificate_unknown_authority");
}

/// The link of the session is older than the server's certificate; the request is made on a new one.
fn cancels(db: &Db, house: &House, session: &mut Raw) {
    let running =
        "select count(*) from pg_stat_activity where query = 'select pg_sleep(61)' and state = 'active'";
    session.send(&raw::query("select pg_sleep(61)"));
    eventually("the statement to run", SOON, || (db.server.sql(running) == "1").then_some(()));
    Raw::connect(house.addr()).send(&raw::cancel(&session.key()));
    eventually("the statement to be cancelled", SOON, || (db.server.sql(running) == "0").then_some(()));
}

#[test]
fn authorities_of_a_mounted_folder_are_followed_and_sessions_are_not_disturbed() {
    let Some(db) = Db::own(Version::V18) else { return };
    let account = db.account("ca_swapped");
    let mounted = Mounted::new(&[("ca.pem", db.pki.ca_pem())]);
    let write = |pem: &str| assert!(mounted.write(&[("ca.pem", pem)]));
    authorities_are_renewed(&db, &account, &mounted.path().join("ca.pem"), &write);
}

#[test]
fn authorities_that_are_written_in_place_are_followed_and_sessions_are_not_disturbed() {
    let Some(db) = Db::own(Version::V15) else { return };
    let account = db.account("ca_in_place");
    let rendered = Rendered::new(&[("ca.pem", db.pki.ca_pem())]);
    let write = |pem: &str| rendered.overwrite("ca.pem", pem);
    authorities_are_renewed(&db, &account, &rendered.path().join("ca.pem"), &write);
}

#[test]
fn a_file_of_authorities_that_is_broken_keeps_those_before_and_is_said_everywhere() {
    let Some(db) = servers::of(Version::V18) else { return };
    let account = db.account("ca_broken");
    let rendered = Rendered::new(&[("ca.pem", db.pki.ca_pem())]);
    let file = rendered.path().join("ca.pem");
    let route = db.route_with_authorities(&account, &file);
    let house = route.clone().start();
    let mut staying = house.raw(&account.name);
    let problem = || house.status()["authorities_problem"].as_str().map(str::to_owned);
    let counted = || house.metric("attache_authorities_problem", &[]);
    assert_eq!((problem(), counted()), (None, 0.0));

    rendered.overwrite("ca.pem", &db.pki.ca_pem()[..100]);
    let said = |line: &serde_json::Value| {
        line["message"].as_str().is_some_and(|text| text.starts_with("authorities not read: "))
    };
    let line = house.attache.wait_for("the complaint", SOON, said);
    assert_eq!((&line["level"], &line["file"]), (&"WARN".into(), &file.display().to_string().into()));
    assert!(problem().is_some_and(|text| text.contains("ca.pem")), "{:?}", problem());
    assert_eq!(counted(), 1.0);
    assert_eq!(house.query(&account.name, "select 1"), "1");
    house.reload(&route.key("client: { max_sessions: 9 }"));
    assert_eq!(house.query(&account.name, "select 1"), "1", "the route is made anew, and they are kept");
    assert_eq!(house.attache.count(said), 1, "once is enough");

    rendered.overwrite("ca.pem", db.pki.ca_pem());
    house.attache.wait_for("the end of it", SOON, |line| line["message"] == "authorities are in order again");
    assert_eq!((problem(), counted()), (None, 0.0));
    assert_eq!(staying.value("select 1"), "1");
    house.no_session_failed();
}

#[test]
fn authorities_that_come_after_the_start_are_used_at_once() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("ca_late");
    let rendered = Rendered::new(&[]);
    let file = rendered.path().join("ca.pem");
    let house = db.route_with_authorities(&account, &file).start();
    house.refuses(&account.name, "08004", "tls_setup");
    assert_eq!(house.metric("attache_authorities_problem", &[]), 1.0);
    fs::write(&file, db.pki.ca_pem()).unwrap();
    assert_eq!(house.query(&account.name, "select 1"), "1");
}

#[test]
fn a_file_of_authorities_that_is_mounted_by_itself_is_said_never_to_change() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("ca_sub_path");
    let alone = SubPath::new(&[("ca.pem", db.pki.ca_pem())]);
    alone.rotate();
    let house = db.route_with_authorities(&account, &alone.path().join("ca.pem")).start();
    assert_eq!(house.query(&account.name, "select 1"), "1");
    let told = |line: &serde_json::Value| line["warning"] == "never_updates" && line["file"].is_string();
    house.attache.wait_for("the warning", SOON, told);
    assert_eq!(house.status()["authorities_warnings"][0]["name"], "never_updates", "{}", house.status());
    assert_eq!(house.metric("attache_authorities_problem", &[]), 0.0);
}

/// A pair that is written one half after the other, in either order: the pair before it goes on for as long as that takes.
#[test]
fn half_of_a_renewed_pair_is_waited_for_and_never_used() {
    for db in servers::each() {
        for (name, order) in [("pair_crt", ["tls.crt", "tls.key"]), ("pair_key", ["tls.key", "tls.crt"])] {
            let account = db.account_by(name, Login::Certificate);
            let (old, new) = (db.pki.client(name), db.pki.client(name));
            let half = |key, pair: &Pair| {
                if key == "tls.crt" { pair.cert_pem.clone() } else { pair.key_pem.clone() }
            };
            let folder = Rendered::new(&[("username", name)]);
            order.iter().for_each(|key| folder.overwrite(key, &half(*key, &old)));
            let house = db.route(&account).folder(folder.path()).start();
            let mut staying = house.raw(name);
            let before = house.query(name, SERIAL);

            folder.overwrite(order[0], &half(order[0], &new));
            let told =
                house.attache.wait_for("it to be said", SOON, |line| line["problem"] == "key_malformed");
            assert!(
                told["message"].as_str().unwrap().ends_with("does not belong to the certificate"),
                "{told}"
            );
            assert_eq!(house.query(name, SERIAL), before, "new sessions go on with the old pair");
            assert_eq!(house.status()["credential"]["problem"]["name"], "key_malformed");
            assert_eq!(house.status()["credential"]["generation"], 1);

            folder.overwrite(order[1], &half(order[1], &new));
            house.accepted(2);
            assert_ne!(house.query(name, SERIAL), before);
            assert_eq!(house.status()["credential"]["problem"], serde_json::Value::Null);
            assert_eq!(staying.value(SERIAL), before, "nobody is disturbed");
            house.no_session_failed();
        }
    }
}

/// A Secret is swapped whole: there is no moment at which its halves do not belong together.
#[test]
fn a_pair_that_is_swapped_whole_is_used_without_a_word_of_trouble() {
    for db in servers::each() {
        let account = db.account_by("pair_swapped", Login::Certificate);
        let house = db.route(&account).start();
        let mut staying = house.raw(&account.name);
        let before = house.query(&account.name, SERIAL);
        for generation in 2..5 {
            let pair = db.pki.client(&account.name);
            let entries = [
                ("username", account.name.as_str()),
                ("tls.crt", &pair.cert_pem),
                ("tls.key", &pair.key_pem),
            ];
            assert!(account.secret.write(&entries));
            house.accepted(generation);
        }
        assert_ne!(house.query(&account.name, SERIAL), before);
        assert_eq!(staying.value(SERIAL), before);
        assert_eq!(house.attache.count(|line| line["problem"].is_string()), 0);
        house.no_session_failed();
    }
}
