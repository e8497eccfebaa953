//! Unix sockets: who may connect, and whose file it is.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use attache_kit::tools::{self, Ran};
use attache_kit::{House, Route, Signal, available};
use rustix::process::getuid;

use crate::house::{Client, Measured, SOON, route};

/// `nobody` of Debian; any second user would do.
const NOBODY: u32 = 65_534;

/// A folder that every user may enter, and the place of a socket in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path().join(".s.PGSQL.5432");
    (folder, socket)
}

fn served(client: &str, socket: &Path) -> Option<Route> {
    Some(route(client)?.listen(format!("unix:{}", socket.display())))
}

fn on_socket(socket: &Path, client: &str) -> Option<House> {
    Some(served(client, socket)?.start())
}

fn who(socket: &Path) -> Result<String, String> {
    Client::by_socket(socket)?.query("select current_user")
}

#[test]
fn a_socket_is_for_its_owner_and_group_and_goes_with_the_process() {
    let (_folder, socket) = place();
    let Some(mut house) = on_socket(&socket, "{}") else { return };
    let file = fs::metadata(&socket).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!((file.mode() & 0o777, file.uid()), (0o660, getuid().as_raw()));
    assert_eq!(who(&socket).as_deref(), Ok("app"));
    let others: Vec<_> = fs::read_dir(socket.parent().unwrap()).unwrap().collect();
    assert_eq!(others.len(), 1, "{others:?}");
    house.attache.signal(Signal::TERM);
    assert_eq!(house.attache.wait_exit(SOON).code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn the_socket_of_a_process_that_was_killed_is_replaced() {
    let (_folder, socket) = place();
    let Some(mut house) = on_socket(&socket, "{}") else { return };
    house.attache.signal(Signal::KILL);
    house.attache.wait_exit(SOON);
    assert!(socket.exists());
    let _next = on_socket(&socket, "{}").unwrap();
    assert_eq!(who(&socket).as_deref(), Ok("app"));
}

#[test]
fn a_socket_that_somebody_serves_is_never_taken_away() {
    let (_folder, socket) = place();
    let Some(house) = on_socket(&socket, "{}") else { return };
    let mut second = served("{}", &socket).unwrap().launch();
    assert_eq!(second.attache.wait_exit(SOON).code(), Some(1));
    let reason = format!("db: cannot listen on unix:{}: ", socket.display());
    assert!(
        second.attache.stderr().lines().any(|line| line.starts_with(&reason)),
        "{}",
        second.attache.stderr()
    );
    assert_eq!(who(&socket).as_deref(), Ok("app"));
    drop(house);

    // Nor that of another program, although it never answers.
    fs::remove_file(&socket).unwrap();
    let _silent = UnixListener::bind(&socket).unwrap();
    let mut third = served("{}", &socket).unwrap().launch();
    assert_eq!(third.attache.wait_exit(SOON).code(), Some(1));
    assert!(socket.exists());
}

#[test]
fn a_user_who_is_not_on_the_list_is_refused_in_the_protocols_words() {
    let (_folder, socket) = place();
    let ours = getuid().as_raw();
    let Some(house) = on_socket(&socket, &format!("{{ allow_uids: [{}] }}", ours + 1)) else { return };
    let refused = who(&socket).unwrap_err();
    assert!(refused.contains("|C28000|") && refused.contains("this user may not use the route"), "{refused}");
    let line = house.attache.wait_for("the refusal", SOON, |line| line["result"] == "not_allowed");
    assert_eq!(line["detail"], format!("user id {ours}"));
    // Over TCP nobody knows who comes: the list says nothing about it.
    assert!(house.login().is_ok());
}

#[test]
fn a_second_user_comes_in_where_the_list_and_the_mode_let_him() {
    let Some(psql) = available(tools::postgres_tool("psql")) else { return };
    if !getuid().is_root() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: only root can become another user");
        return;
    }
    let (folder, socket) = place();
    let as_nobody = || -> Ran {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]);
        command.arg(psql.get_program()).args(["-U", "x", "-d", "postgres", "-XAtqc", "select current_user"]);
        command.arg("-h").arg(folder.path()).env("HOME", "/nonexistent").current_dir("/");
        tools::run(&mut command, b"", SOON)
    };
    for (allowed, expected) in [(format!("[0, {NOBODY}]"), "app\n"), ("[0]".to_owned(), "")] {
        let Some(house) = on_socket(&socket, &format!("{{ allow_uids: {allowed} }}")) else { return };
        let stopped = as_nobody();
        assert!(stopped.stderr.contains("Permission denied"), "the mode comes first: {}", stopped.stderr);
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        let ran = as_nobody();
        assert_eq!(ran.stdout, expected, "{}", ran.stderr);
        if expected.is_empty() {
            assert!(ran.stderr.contains("this user may not use the route"), "{}", ran.stderr);
            house.attache.wait_for("the refusal", SOON, |line| line["detail"] == format!("user id {NOBODY}"));
        }
        assert_eq!(who(&socket).as_deref(), Ok("app"));
    }
}
