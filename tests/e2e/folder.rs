//! The mounted folder in every state that writers leave it in: the last good version stays in use, and what is wrong
//! is said in the log and in the status.

use attache_kit::{Encryption, House, Mounted, Rendered, Route, SECRET, SOON, SubPath, eventually};

use crate::client::startup;
use crate::house::{Clients, postgres};
use crate::real::Real;

const NEXT: &str = "s3cret-of-tomorrow";

fn route(real: &Real, folder: &std::path::Path) -> Route {
    let plan = postgres(&[real.postgres.addr()]).verified(&real.pki);
    plan.folder(folder).credential("poll: 1s")
}

/// Waits for a problem, in the status and in the log.
fn problem(house: &House, since: usize, name: &str) {
    eventually("the status to name the problem", SOON, || {
        (!house.status()["credential"]["problem"].is_null()).then_some(())
    });
    house.attache.wait_for_since(since, &format!("the problem {name}"), SOON, |line| line["problem"] == name);
}

fn in_order(house: &House) {
    eventually("the problem to be over", SOON, || {
        house.status()["credential"]["problem"].is_null().then_some(())
    });
}

/// Files without versions are taken over once they have rested for a moment.
fn started(plan: Route) -> House {
    let house = plan.start();
    eventually("the credential", SOON, || (generation(&house) == 1).then_some(()));
    house
}

fn generation(house: &House) -> u64 {
    house.status()["credential"]["generation"].as_u64().unwrap_or_default()
}

#[test]
fn a_folder_that_is_written_while_the_process_starts_turns_nobody_away() {
    let Some(real) = Real::with_role("folder_fresh") else { return };
    let folder = Rendered::new(&[("username", "folder_fresh"), ("password", "not yet")]);
    let house = route(real, folder.path());
    folder.replace("password", SECRET);
    let house = house.start();
    assert_eq!(house.query("select 1"), "1");
    assert_eq!(house.attache.count(|line| line["result"] == "credential_missing"), 0);
}

#[test]
fn a_folder_that_is_gone_and_comes_back_is_reported_and_costs_no_session() {
    let Some(real) = Real::with_role("folder_gone") else { return };
    let secret = Mounted::new(&[("username", "folder_gone"), ("password", SECRET)]);
    let house = started(route(real, secret.path()));
    assert_eq!(house.query("select 1"), "1");
    let since = house.attache.lines();
    secret.break_();
    problem(&house, since, "folder_missing");
    assert_eq!(house.query("select 1"), "1");
    secret.heal();
    in_order(&house);
    assert_eq!(house.query("select 1"), "1");
    // And it is followed again.
    real.postgres.password("folder_gone", NEXT, Encryption::Scram);
    secret.credential("folder_gone", NEXT);
    assert_eq!(house.query("select current_user"), "folder_gone");
    assert_eq!(generation(&house), 2);
}

#[test]
fn a_version_that_is_torn_empty_or_unreadable_is_reported_and_never_used() {
    let Some(real) = Real::with_role("torn") else { return };
    let good = [("username", "torn"), ("password", SECRET)];
    let secret = Mounted::new(&good);
    let house = started(route(real, secret.path()));
    let versions: [(&str, &[(&str, &str)]); 4] = [
        ("key_empty", &[("username", "torn"), ("password", "")]),
        ("key_empty", &[("username", "torn"), ("password", "\n")]),
        ("key_missing", &[("password", SECRET)]),
        ("key_missing", &[("username", "torn")]),
    ];
    for (name, version) in versions {
        let since = house.attache.lines();
        assert!(secret.write(version));
        problem(&house, since, name);
        assert_eq!(house.query("select current_user"), "torn");
        secret.write(&good);
        in_order(&house);
    }
    let since = house.attache.lines();
    secret.unreadable("password");
    problem(&house, since, "key_unreadable");
    assert_eq!(house.query("select current_user"), "torn");
    secret.readable("password");
    in_order(&house);
    assert_eq!(generation(&house), 1, "nothing has changed since");
}

#[test]
fn without_a_folder_it_starts_refuses_with_the_reason_and_serves_once_there_is_one() {
    let Some(real) = Real::with_role("folder_late") else { return };
    let secret = Mounted::new(&[("username", "folder_late"), ("password", SECRET)]);
    secret.break_();
    let house = route(real, secret.path()).start();
    let mut client = house.connect();
    client.send(&startup());
    assert_eq!(client.refusal(), "28000");
    assert_eq!(house.ended_since(0)["detail"], "the folder does not exist");
    assert_eq!(house.status()["ready"], false);
    secret.heal();
    eventually("the credential", SOON, || (generation(&house) == 1).then_some(()));
    assert_eq!(house.query("select 1"), "1");
    assert_eq!(house.status()["ready"], true);
}

#[test]
fn one_trailing_newline_is_not_part_of_a_key() {
    let Some(real) = Real::with_role("newline") else { return };
    let secret = Mounted::new(&[("username", "newline\n"), ("password", &format!("{SECRET}\r\n"))]);
    let house = started(route(real, secret.path()));
    assert_eq!(house.query("select current_user"), "newline");
}

#[test]
fn files_that_are_renamed_into_place_are_followed() {
    let Some(real) = Real::with_role("renamed") else { return };
    let secret = Rendered::new(&[("username", "renamed"), ("password", SECRET)]);
    let house = started(route(real, secret.path()));
    assert_eq!(house.query("select 1"), "1");
    real.postgres.password("renamed", NEXT, Encryption::Scram);
    secret.replace("password", NEXT);
    assert_eq!(house.query("select 1"), "1");
    eventually("the new generation", SOON, || (generation(&house) == 2).then_some(()));
}

#[test]
fn files_that_are_written_in_place_and_in_parts_are_never_read_half() {
    let Some(real) = Real::with_role("in_place") else { return };
    let secret = Rendered::new(&[("username", "in_place"), ("password", SECRET)]);
    let house = started(route(real, secret.path()));
    assert_eq!(house.query("select 1"), "1");
    real.postgres.password("in_place", NEXT, Encryption::Scram);
    secret.truncate("password");
    for part in ["s3cret", "-of-", "tomorrow"] {
        secret.append("password", part);
    }
    assert_eq!(house.query("select 1"), "1");
    eventually("the new generation", SOON, || (generation(&house) == 2).then_some(()));
    // Back, by one write over the other.
    real.postgres.password("in_place", SECRET, Encryption::Scram);
    secret.overwrite("password", SECRET);
    assert_eq!(house.query("select 1"), "1");
    eventually("the next generation", SOON, || (generation(&house) == 3).then_some(()));
}

#[test]
fn a_writer_that_stops_half_way_is_reported() {
    let Some(real) = Real::with_role("stopped_writer") else { return };
    let secret = Rendered::new(&[("username", "stopped_writer"), ("password", SECRET)]);
    let house = started(route(real, secret.path()));
    let since = house.attache.lines();
    secret.truncate("password");
    problem(&house, since, "key_empty");
    assert_eq!(house.query("select 1"), "1");
    let since = house.attache.lines();
    secret.remove("password");
    problem(&house, since, "key_missing");
    assert_eq!(house.query("select 1"), "1");
}

#[test]
fn files_that_are_mounted_one_by_one_are_said_never_to_change() {
    let Some(real) = Real::with_role("sub_path") else { return };
    let secret = SubPath::new(&[("username", "sub_path"), ("password", SECRET)]);
    secret.rotate();
    let house = started(route(real, secret.path()));
    house.attache.wait_for("the warning", SOON, |line| line["warning"] == "never_updates");
    let warnings = house.status()["credential"]["warnings"].to_string();
    assert!(warnings.contains("subPath") || warnings.contains("never_updates"), "{warnings}");
    assert_eq!(house.query("select 1"), "1");
}
