//! What a person at a terminal sees while databases are served without a command.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use attache_kit::{Postgres, Setup, Stop, Version, available, eventually};

use crate::house::{SECRET, SOON, Terminal, psql, server};

/// The line as it was drawn last.
fn line(terminal: &Terminal) -> String {
    let shown = terminal.shown();
    let last = shown.rsplit("\r\x1b[2K").next().unwrap_or_default();
    last.split(['\r', '\n']).next().unwrap_or_default().to_owned()
}

fn until(terminal: &Terminal, wanted: &str) {
    eventually(wanted, SOON, || line(terminal).contains(wanted).then_some(()));
}

/// A client that keeps a session open until it is told to end.
struct Client(Child);

impl Client {
    fn start(psql: &str, port: &str) -> Client {
        let mut client = Command::new(psql);
        client.args(["-h", "127.0.0.1", "-p", port, "-U", "app", "-d", "app", "-XAtq"]);
        Client(client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn say(&mut self, statement: &str) {
        use std::io::Write;
        self.0.stdin.as_mut().unwrap().write_all(format!("{statement};\n").as_bytes()).unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn port(terminal: &Terminal) -> String {
    eventually("the directions", SOON, || {
        let shown = terminal.shown();
        let line =
            shown.lines().find_map(|line| line.trim().strip_prefix("export PGPORT=").map(str::to_owned));
        line.filter(|_| shown.contains("Ctrl-C ends it."))
    })
}

#[test]
fn a_line_shows_server_sessions_and_generation_and_ctrl_c_ends_quietly() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    let file = server.password("line", SECRET);
    let attache = env!("CARGO_BIN_EXE_attache");
    let command = format!("{attache} dev '{}' --password-file {file} --log-level info", server.url("app"));
    let mut terminal = Terminal::run(&command, Path::new("/"));
    let port = port(&terminal);
    until(&terminal, " ms), 0 sessions, generation 1");
    let mut client = Client::start(&psql, &port);
    client.say("select 1");
    until(&terminal, "1 session, generation 1");
    server.password("line", &format!("{SECRET}\n"));
    drop(client);
    until(&terminal, "0 sessions");
    // The log stands above the line, and neither cuts the other.
    let ended = eventually("the log", SOON, || {
        let shown = terminal.shown();
        shown.lines().find(|line| line.contains("session ended")).map(str::to_owned)
    });
    assert!(ended.contains("INFO"), "{ended}");
    terminal.press("\x03");
    assert_eq!(terminal.wait_exit(), Some(0));
    assert!(!terminal.shown().contains("left"), "{}", terminal.shown());
    assert!(
        terminal.shown().ends_with("\r\x1b[2K") || terminal.shown().contains("ended"),
        "{}",
        terminal.shown()
    );
    assert!(!terminal.shown().contains(SECRET));
}

#[test]
fn a_server_that_goes_away_is_seen() {
    let Some(mut postgres) =
        available(Postgres::start(Version::V15, Setup::new().hba("host all all all trust")))
    else {
        return;
    };
    let attache = env!("CARGO_BIN_EXE_attache");
    let command = format!(
        "{attache} dev 'postgres://postgres@localhost:{}?sslmode=disable' < /dev/null",
        postgres.port()
    );
    let mut terminal = Terminal::run(&command, Path::new("/"));
    until(&terminal, "up (");
    let _session = psql().map(|psql| {
        let mut client = Client::start(&psql, &port(&terminal));
        client.say("select 1");
        client
    });
    postgres.stop(Stop::Immediate);
    until(&terminal, "down: connect_refused");
    terminal.press("\x03");
    assert_eq!(terminal.wait_exit(), Some(0));
}

#[test]
fn sessions_that_are_left_end_at_a_quiet_moment_and_a_second_ctrl_c_cuts_them() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    let file = server.password("left", SECRET);
    let attache = env!("CARGO_BIN_EXE_attache");
    let command = format!("{attache} dev '{}' --password-file {file}", server.url("app"));
    for busy in [false, true] {
        let mut terminal = Terminal::run(&command, Path::new("/"));
        let mut client = Client::start(&psql, &port(&terminal));
        client.say(if busy { "begin; select 1" } else { "select 1" });
        until(&terminal, "1 session");
        terminal.press("\x03");
        eventually("the word", SOON, || terminal.shown().contains("1 session is left").then_some(()));
        if busy {
            terminal.press("\x03");
        }
        assert_eq!(terminal.wait_exit(), Some(0));
    }
}

#[test]
fn the_log_has_colours_where_there_are_any_and_they_are_wanted() {
    let settings = [
        "health=off",
        "control=off",
        "routes.r.protocol=tcp",
        "routes.r.listen=127.0.0.1:0",
        "routes.r.upstream.endpoints=127.0.0.1:1",
        "routes.r.upstream.tls=off",
    ];
    let settings = settings.map(|setting| format!("--set {setting}")).join(" ");
    let coloured = |variable: &str| {
        let command = format!("env {variable} {} run {settings}", env!("CARGO_BIN_EXE_attache"));
        let mut terminal = Terminal::run(&command, Path::new("/"));
        let shown = eventually("the start", SOON, || {
            Some(terminal.shown()).filter(|shown| shown.contains("started"))
        });
        terminal.press("\x03");
        assert_eq!(terminal.wait_exit(), Some(0));
        shown.contains('\x1b')
    };
    assert!(coloured("NO_COLOR="));
    assert!(!coloured("NO_COLOR=1"));
    assert!(!coloured("TERM=dumb"));
}
