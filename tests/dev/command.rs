//! With a command, and without one.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use attache_kit::{Process, Signal, eventually, tools};

use crate::house::{SECRET, SOON, Terminal, anybody, code, dev, launch, psql, server, usual_port_is_taken};

const WHO: &str = "select current_user || ' ' || current_database() || ' ' || ssl from pg_stat_ssl where pid = pg_backend_pid()";

/// The variables that `dev` prints to be exported.
fn exports(process: &Process) -> BTreeMap<String, String> {
    let text = eventually("the directions", SOON, || {
        Some(process.stdout()).filter(|text| text.contains("Ctrl-C ends it."))
    });
    let exports = text.lines().filter_map(|line| line.trim().strip_prefix("export ")?.split_once('='));
    exports.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect()
}

#[test]
fn without_a_command_it_says_how_to_connect_and_serves_until_ctrl_c() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    let file = server.password("alone", SECRET);
    let url = server.url("app");
    let arguments = ["dev", &url, "--password-file", &file, "--listen", "127.0.0.1:0"];
    let mut process = arguments.into_iter().fold(launch(), |launch, argument| launch.arg(argument)).start();
    let env = exports(&process);
    let query = |command: &mut Command| tools::run(command, b"", SOON).ok();
    let by_env = query(Command::new(&psql).args(["-XAtqc", WHO]).envs(&env));
    assert_eq!(by_env, "app app true\n");
    let by_url = query(Command::new(&psql).args([&env["DATABASE_URL"], "-XAtqc", WHO]));
    assert_eq!(by_url, "app app true\n");
    let example =
        process.stdout().lines().find(|line| line.contains("psql -h 127.0.0.1 -p ")).map(str::to_owned);
    let example = example.expect("an example").replace("psql", &psql);
    let by_example = query(Command::new("sh").args(["-c", &format!("{example} -XAtqc \"{WHO}\"")]));
    assert_eq!(by_example, "app app true\n");
    assert_eq!(process.stderr(), "");
    process.signal(Signal::INT);
    assert_eq!(process.wait_exit(SOON).code(), Some(0));
}

#[test]
fn a_command_finds_the_database_through_its_environment_alone() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    let file = server.password("command", SECRET);
    // What would lead libpq past us, or make it ask us for what only the server can do.
    let misleading = [
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGSERVICE", "nothing"),
        ("PGSSLNEGOTIATION", "direct"),
        ("PGCHANNELBINDING", "require"),
        ("PGSSLMODE", "verify-full"),
        ("PGHOST", "192.0.2.1"),
    ];
    let launch = misleading.into_iter().fold(launch(), |launch, (name, value)| launch.env(name, value));
    let url = server.url("app") + "&application_name=my%20shell";
    let sql = format!("{WHO}; show application_name");
    let ran = launch.command(&["dev", &url, "--password-file", &file, "--", &psql, "-XAtqc", &sql]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("app app true\nmy shell\n", ""));
    assert_eq!(code(&ran), Some(0));
}

#[test]
fn a_command_may_come_by_a_unix_socket() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    let file = server.password("socket", SECRET);
    let folder = tempfile::tempdir().unwrap();
    let listen = |name: &str| format!("unix:{}", folder.path().join(name).display());
    let (url, usual) = (server.url("app"), listen(".s.PGSQL.7000"));
    let ran = dev(&[&url, "--password-file", &file, "--listen", &usual, "--", &psql, "-XAtqc", WHO]);
    assert_eq!((code(&ran), ran.stdout.as_str()), (Some(0), "app app true\n"), "{}", ran.stderr);
    assert!(!folder.path().join(".s.PGSQL.7000").exists());
    let ran = dev(&[&url, "--password-file", &file, "--listen", &listen("other"), "--", &psql]);
    assert_eq!(code(&ran), Some(2));
    assert!(ran.stderr.contains(".s.PGSQL.5432"), "{}", ran.stderr);
}

#[test]
fn the_exit_status_of_the_command_is_passed_on() {
    let server = anybody();
    let url = format!("tcp://{}", server.addr());
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)] {
        let ran = dev(&[&url, "--tls", "off", "--", "sh", "-c", script]);
        assert_eq!(code(&ran), Some(status), "{script}: {}", ran.stderr);
        assert_eq!(ran.stderr, "");
    }
    for (program, status) in [("/nonexistent/program", 127), ("/etc/passwd", 126)] {
        let ran = dev(&[&url, "--tls", "off", "--", program]);
        assert_eq!(code(&ran), Some(status), "{program}");
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
}

#[test]
fn output_input_and_arguments_are_the_commands_own() {
    let server = anybody();
    let url = format!("tcp://{}", server.addr());
    let script = "cat; echo \"$ATTACHE_HOST:$ATTACHE_PORT\" >&2; printf '%s|' \"$@\"";
    let mut command = Command::new(env!("CARGO_BIN_EXE_attache"));
    command.args(["dev", &url, "--tls", "off", "--listen", "127.0.0.1:0", "--"]);
    command.args(["sh", "-c", script, "sh", "--tls", "a b", "-c"]);
    let ran = tools::run(&mut command, b"from outside\n", SOON);
    assert_eq!(ran.stdout, "from outside\n--tls|a b|-c|");
    assert!(ran.stderr.starts_with("127.0.0.1:") && ran.stderr.lines().count() == 1, "{}", ran.stderr);
}

#[test]
fn signals_are_handed_on_to_the_command() {
    let server = anybody();
    let url = format!("tcp://{}", server.addr());
    let script = "for s in TERM INT HUP QUIT; do trap \"echo got $s; exit 3\" $s; done; echo ready; while :; do sleep 0.05; done";
    for (signal, name) in
        [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::HUP, "HUP"), (Signal::QUIT, "QUIT")]
    {
        let arguments = ["dev", &url, "--tls", "off", "--", "sh", "-c", script];
        let mut process =
            arguments.into_iter().fold(launch(), |launch, argument| launch.arg(argument)).start();
        eventually("the command", SOON, || process.stdout().contains("ready").then_some(()));
        process.signal(signal);
        assert_eq!(process.wait_exit(SOON).code(), Some(3), "{name}");
        assert_eq!(process.stdout(), format!("ready\ngot {name}"));
    }
}

/// Takes down every SIGINT at once, which a shell does only while it waits; ends when told by a file.
const COUNTER: &str = "trap 'echo x >> int' INT; (while [ ! -e end ]; do sleep 0.05; done) & : > int
until wait $!; do :; done; exit 5";

#[test]
fn ctrl_c_at_a_terminal_reaches_the_command_once() {
    let server = anybody();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("counter"), COUNTER).unwrap();
    let attache = env!("CARGO_BIN_EXE_attache");
    let line = format!("{attache} dev tcp://{} --tls off -- sh counter", server.addr());
    let mut terminal = Terminal::run(&line, folder.path());
    let pressed = || fs::read_to_string(folder.path().join("int")).ok().map(|text| text.lines().count());
    eventually("the command", SOON, pressed);
    for times in 1..=5 {
        terminal.press("\x03");
        eventually("the key to be heard", SOON, || (pressed()? >= times).then_some(()));
    }
    fs::write(folder.path().join("end"), "").unwrap();
    assert_eq!((terminal.wait_exit(), pressed()), (Some(5), Some(5)));
}

#[test]
fn where_the_usual_port_is_taken_the_next_free_one_is_used_and_told() {
    let Some(server) = server() else { return };
    let file = server.password("port", SECRET);
    let _taken = usual_port_is_taken();
    let url = server.url("app");
    let arguments = ["dev", &url, "--password-file", &file];
    let process = arguments.into_iter().fold(launch(), |launch, argument| launch.arg(argument)).start();
    let port: u16 = exports(&process)["PGPORT"].parse().unwrap();
    assert_ne!(port, 5432);
    let told = format!("at 127.0.0.1:{port} (5432 is taken)");
    assert!(process.stdout().contains(&told), "{}", process.stdout());
}

#[test]
fn nothing_secret_is_seen_in_arguments_environment_output_or_log() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    let file = server.password("seen", SECRET);
    let url = server.url("app");
    let script = format!("{psql} -XAtqc 'select 1' && env && cat /proc/$PPID/cmdline && echo");
    let arguments =
        ["dev", &url, "--password-file", &file, "--log-level", "trace", "--", "sh", "-c", script.as_str()];
    let ran = launch().env("PGPASSWORD", "the-developers-own").command(&arguments);
    assert_eq!(code(&ran), Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("session ended") && ran.stdout.contains("DATABASE_URL="), "{}", ran.stderr);
    assert!(ran.stdout.contains("--password-file"), "{}", ran.stdout);
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains(SECRET) && !text.contains("the-developers-own"), "{text}");
    }
}
