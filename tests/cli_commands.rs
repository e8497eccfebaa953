//! What the commands promise: what they print, and their exit codes.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use attache_kit::{Mounted, Signal, ports};
use serde_json::Value;
use support::{
    Running, SOON, attache, attache_with, code, echo, launch, run, tcp_route, tcp_route_with_credential,
};

#[path = "cli_support/mod.rs"]
mod support;

mod snapshots;

const COMMANDS: [&str; 13] = [
    "run",
    "dev",
    "check",
    "wait",
    "health",
    "status",
    "drain",
    "reload",
    "quit",
    "inject",
    "webhook",
    "schema",
    "completions",
];

/// Two mistakes in one file.
const MISTAKEN: &str =
    "healthy: yes\nroutes: { a: { protocol: nonsense, listen: 127.0.0.1:0, upstream: x:1 } }\n";

#[test]
fn help_is_what_it_was() {
    let mut text = attache(&["--help"]).ok();
    for command in COMMANDS {
        text += &format!("\n### attache {command}\n\n{}", attache(&[command, "--help"]).ok());
    }
    snapshots::compare("tests/snapshots/help.txt", &text);
}

/// A manifest that was cut off must not be applied; who reads only the beginning has what they want.
#[test]
fn output_that_cannot_be_written_is_1_unless_nobody_reads_it() {
    let schema = |to: Stdio| {
        let ran = Command::new(env!("CARGO_BIN_EXE_attache")).arg("schema").stdout(to).output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    };
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, told) = schema(full.into());
    assert!(code == Some(1) && told.starts_with("cannot write to standard output: "), "{code:?}: {told}");
    let (reader, unread) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(schema(unread.into()), (Some(0), String::new()));
}

#[test]
fn help_is_also_a_command() {
    assert_eq!(attache(&["help"]).ok(), attache(&["--help"]).ok());
    for command in COMMANDS {
        assert_eq!(attache(&["help", command]).ok(), attache(&[command, "--help"]).ok(), "{command}");
    }
    assert_eq!(code(&attache(&["help", "nonsense"])), Some(2));
}

#[test]
fn wrong_arguments_are_2_and_asking_for_help_is_0() {
    assert_eq!(code(&attache(&["--version"])), Some(0));
    assert!(attache(&["--version"]).ok().starts_with(concat!("attache ", env!("CARGO_PKG_VERSION"))));
    for arguments in [&["nonsense"][..], &["run", "--nonsense"], &[], &["quit", "--control", "nonsense"]] {
        let ran = attache(arguments);
        assert_eq!((code(&ran), ran.stdout.as_str()), (Some(2), ""), "{arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn a_wrong_configuration_is_2_with_every_complaint_on_a_line() {
    for command in ["run", "check"] {
        let ran = attache_with(MISTAKEN, &[command, "-c", "{config}"]);
        assert_eq!((code(&ran), ran.stdout.as_str()), (Some(2), ""), "{}", ran.stderr);
        let lines: Vec<_> = ran.stderr.lines().collect();
        assert!(lines.iter().any(|line| line.contains(":1: ") && line.contains("healthy")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains(":2: ") && line.contains("nonsense")), "{lines:?}");
    }
    let json = attache_with(MISTAKEN, &["check", "--json", "-c", "{config}"]);
    assert_eq!(code(&json), Some(2));
    let complaints = serde_json::from_str::<Value>(&json.stdout).unwrap()["complaints"].clone();
    assert!(complaints.as_array().unwrap().len() >= 2, "{complaints}");
    assert!(complaints[0]["reason"].is_string(), "{complaints}");
}

#[test]
fn a_file_that_is_not_there_is_2() {
    for command in ["run", "check", "status", "health", "wait", "quit"] {
        let ran = attache(&[command, "-c", "/nonexistent/attache.yaml"]);
        assert_eq!(code(&ran), Some(2), "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains("/nonexistent/attache.yaml"), "{command}: {}", ran.stderr);
    }
}

#[test]
fn an_address_that_is_taken_is_1_with_one_clear_line() {
    let (server, taken) = (echo(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = taken.local_addr().unwrap().to_string();
    let route = tcp_route(server.addr());
    let of_route = format!("health: off\ncontrol: off\n{}", route.replace("127.0.0.1:0", &address));
    let of_health = format!("health: {address}\ncontrol: off\n{route}");
    for (config, who) in [(of_route, "echo"), (of_health, "health")] {
        let ran = attache_with(&config, &["run", "-c", "{config}"]);
        assert_eq!(code(&ran), Some(1), "{}", ran.stderr);
        let last = ran.stderr.lines().last().unwrap();
        assert!(last.starts_with(&format!("{who}: cannot listen on {address}: ")), "{last}");
    }
}

#[test]
fn health_asks_one_question_and_its_exit_code_is_the_answer() {
    let server = echo();
    let running = run(&tcp_route(server.addr()));
    let health = running.health.to_string();
    for question in ["--live", "--ready", "--started"] {
        let ran = attache(&["health", question, "--health", &health]);
        assert_eq!((code(&ran), ran.stdout.as_str()), (Some(0), "ok\n"), "{}", ran.stderr);
    }
    attache(&["drain", "--control", &running.control.to_string()]).ok();
    let ready = attache(&["health", "--health", &health]);
    assert_eq!((code(&ready), ready.stdout.as_str()), (Some(1), "draining\n"));
    assert_eq!(code(&attache(&["health", "--started", "--health", &health])), Some(0));
    assert_eq!(code(&attache(&["health", "--live", "--ready", "--health", &health])), Some(2));

    let nobody = ports::reserve().addr().to_string();
    let refused = attache(&["health", "--health", &nobody]);
    assert_eq!(code(&refused), Some(1));
    assert!(refused.stderr.contains("connect_refused"), "{}", refused.stderr);
}

#[test]
fn addresses_come_from_the_configuration_that_is_named() {
    let server = echo();
    let (health, control) = (ports::reserve(), ports::reserve());
    let (health, control) = (health.addr(), control.addr());
    let port = health.port();
    let config = format!("health: 0.0.0.0:{port}\ncontrol: {control}\n{}", tcp_route(server.addr()));
    let mut process = launch().config(&config).start();
    let file = process.config_path().to_str().unwrap().to_owned();
    attache(&["wait", "-c", &file]).ok();
    assert_eq!(attache(&["health", "-c", &file]).ok(), "ok\n");
    let by_environment = launch().env("ATTACHE_CONFIG", &file).command(&["health"]);
    assert_eq!(by_environment.ok(), "ok\n");
    assert!(attache(&["status", "-c", &file]).ok().contains("echo"));

    // A mistake in it must not keep a probe or a preStop hook from the process, which goes on with what was there before.
    std::fs::write(&file, format!("{config}  more: {{ protocol: nonsense }}\n")).unwrap();
    assert_eq!(attache(&["health", "-c", &file]).ok(), "ok\n");
    let reload = attache(&["reload", "-c", &file]);
    assert!(code(&reload) == Some(1) && reload.stderr.contains("nonsense"), "{}", reload.stderr);
    attache(&["quit", "--wait", "-c", &file]).ok();
    assert_eq!(process.wait_exit(SOON).code(), Some(0));
}

#[test]
fn wait_comes_back_when_the_credential_is_there_and_says_what_it_waited_for() {
    let (server, folder) = (echo(), Mounted::new(&[("username", "app"), ("password", "x")]));
    folder.break_();
    let running = run(&tcp_route_with_credential(server.addr(), folder.path()));
    let health = running.health.to_string();
    let late = attache(&["wait", "--timeout", "2s", "--health", &health]);
    assert_eq!(code(&late), Some(1));
    assert!(late.stderr.contains("credential of echo"), "{}", late.stderr);
    let waiting = std::thread::spawn(move || {
        attache(&["wait", "--for", "ready", "--timeout", "50s", "--health", &health])
    });
    folder.heal();
    let ran = waiting.join().unwrap();
    assert_eq!(code(&ran), Some(0), "{}", ran.stderr);
    assert_eq!(code(&attache(&["wait", "--timeout", "soon"])), Some(2));
}

#[test]
fn without_a_process_status_drain_and_quit_are_1() {
    let nobody = ports::reserve().addr().to_string();
    for command in ["status", "drain", "quit"] {
        let ran = attache(&[command, "--control", &nobody]);
        assert_eq!((code(&ran), ran.stdout.as_str()), (Some(1), ""), "{command}");
        assert!(ran.stderr.contains("connect_refused"), "{command}: {}", ran.stderr);
    }
}

fn session(running: &Running) -> TcpStream {
    let mut session = TcpStream::connect(running.route).unwrap();
    session.set_read_timeout(Some(SOON)).unwrap();
    session.write_all(b"x").unwrap();
    session.read_exact(&mut [0]).unwrap();
    session
}

#[test]
fn sigterm_ends_with_0_after_the_last_session() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = echo();
        let mut running = run(&tcp_route(server.addr()));
        let session = session(&running);
        running.process.signal(signal);
        running.process.wait_for("the drain", SOON, |line| line["message"] == "draining");
        assert!(running.process.is_running());
        drop(session);
        assert_eq!(running.process.wait_exit(SOON).code(), Some(0));
        assert_eq!(running.process.count(|line| line["message"] == "session ended"), 1);
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let server = echo();
    let mut running = run(&tcp_route(server.addr()));
    let session = session(&running);
    running.process.signal(Signal::TERM);
    running.process.wait_for("the drain", SOON, |line| line["message"] == "draining");
    let start = Instant::now();
    running.process.signal(Signal::TERM);
    assert_eq!(running.process.wait_exit(SOON).code(), Some(0));
    // Without it, the session would have 20 s.
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    drop(session);
}

#[test]
fn addresses_and_durations_are_written_as_in_the_configuration() {
    let server = echo();
    let running = run(&tcp_route(server.addr()));
    let told = |name: &str, value: &str, command: &str| launch().env(name, value).command(&[command]);
    let health = format!("localhost:{}", running.health.port());
    assert_eq!(told("ATTACHE_HEALTH", &health, "health").ok(), "ok\n");
    let control = format!("localhost:{}", running.control.port());
    assert!(told("ATTACHE_CONTROL", &control, "status").ok().contains("echo"));
    for (name, command) in [("ATTACHE_HEALTH", "health"), ("ATTACHE_CONTROL", "status")] {
        let off = told(name, "off", command);
        assert_eq!((code(&off), off.stderr.contains("is off")), (Some(2), true), "{}", off.stderr);
    }
    for arguments in [
        &["status", "--control", "unix:relative"][..],
        &["wait", "--timeout", "PT1S"],
        &["wait", "--timeout", "5"],
        &["wait", "--set", "health=nowhere"],
        &["webhook", "--self-signed", "a", "--listen", "nowhere"],
        &["webhook", "--self-signed", "a", "--health", "off"],
    ] {
        let ran = attache(arguments);
        assert_eq!(code(&ran), Some(2), "{arguments:?}: {}", ran.stderr);
    }
    // What is missing then is the certificate.
    let understood = attache(&["webhook", "--listen", "localhost:8443", "--health", "localhost:9900"]);
    assert!(understood.stderr.contains("--tls <FOLDER>"), "{}", understood.stderr);
}

#[test]
fn a_reload_while_the_process_ends_is_refused_at_once() {
    let server = echo();
    let mut running = run(&tcp_route(server.addr()));
    let control = running.control.to_string();
    let session = session(&running);
    attache(&["quit", "--control", &control]).ok();
    running.process.wait_for("the drain", SOON, |line| line["message"] == "draining");
    let ran = attache(&["reload", "--control", &control]);
    assert_eq!((code(&ran), ran.stderr.as_str()), (Some(1), "the process is ending\n"));
    attache(&["quit", "--control", &control]).ok();
    drop(session);
    assert_eq!(running.process.wait_exit(SOON).code(), Some(0));
}

#[test]
fn a_reload_lets_in_no_more_sessions_than_the_route_may_have() {
    let server = echo();
    let config =
        |more: &str| format!("{}    client: {{ max_sessions: 1{more} }}\n", tcp_route(server.addr()));
    let running = run(&config(""));
    let first = session(&running);
    let listeners = "health: 127.0.0.1:0\ncontrol: 127.0.0.1:0\n";
    running.process.rewrite_config(&format!("{listeners}{}", config(", login_timeout: 5s")));
    let told = attache(&["reload", "--control", &running.control.to_string()]).ok();
    assert!(told.contains("\"changed\":[\"echo\"]"), "{told}");
    let mut second = TcpStream::connect(running.route).unwrap();
    second.set_read_timeout(Some(SOON)).unwrap();
    assert!(!matches!(second.read(&mut [0]), Ok(1..)), "it is turned away");
    let refused = |line: &Value| line["result"] == "too_many_sessions";
    running.process.wait_for("the refusal", SOON, refused);
    drop(first);
    running.process.wait_for("the end of the first", SOON, |line| line["result"] == "ok");
    drop(session(&running));
}

#[test]
fn a_process_that_does_not_answer_is_not_waited_for_longer_than_asked() {
    let server = echo();
    let running = run(&tcp_route(server.addr()));
    running.process.signal(Signal::STOP);
    // Shorter than one answer is waited for. A busy machine may add to it now and then, not each time.
    let in_time = |_| {
        let start = Instant::now();
        let ran = attache(&["wait", "--timeout", "300ms", "--health", &running.health.to_string()]);
        assert_eq!(code(&ran), Some(1));
        assert!(ran.stderr.contains("no answer"), "{}", ran.stderr);
        start.elapsed() < Duration::from_secs(4)
    };
    assert!((0..5).any(in_time), "it waits for longer than it was told");
    running.process.signal(Signal::CONT);
}

/// Ends the process if the test does not come to it.
struct Unread(Child);

impl Unread {
    /// What it has said, once it has ended.
    fn told(&mut self) -> String {
        let mut told = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        told
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_that_nobody_reads_makes_nobody_wait() {
    let (server, folder) = (echo(), tempfile::tempdir().unwrap());
    let [listen, health, control] = [(); 3].map(|()| ports::reserve());
    let route = tcp_route(server.addr()).replace("127.0.0.1:0", &listen.addr().to_string());
    let file = folder.path().join("attache.yaml");
    let listeners = format!("health: {}\ncontrol: {}\n", health.addr(), control.addr());
    std::fs::write(&file, format!("{listeners}{route}")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_attache"));
    command.args(["run", "-c"]).arg(&file).stderr(Stdio::piped());
    let mut process = Unread(command.spawn().unwrap());
    let waited = attache(&["wait", "--health", &health.addr().to_string()]);
    if !waited.status.success() {
        process.0.kill().unwrap();
        panic!("{waited:?}\n{}", process.told());
    }
    // A pipe holds 64 KiB, and a session's line has some 300 octets.
    for _ in 0..600 {
        let mut session = TcpStream::connect(listen.addr()).unwrap();
        session.set_read_timeout(Some(SOON)).unwrap();
        session.write_all(b"x").unwrap();
        session.read_exact(&mut [0]).unwrap();
    }
    attache(&["quit", "--wait", "--control", &control.addr().to_string()]).ok();
    assert_eq!(process.0.wait().unwrap().code(), Some(0));
    let told = process.told();
    assert!(told.lines().count() > 100, "{told}");
}

#[test]
fn each_change_of_readiness_is_a_line_of_the_log() {
    let (server, folder) = (echo(), Mounted::new(&[("username", "app"), ("password", "x")]));
    folder.break_();
    let running = run(&tcp_route_with_credential(server.addr(), folder.path()));
    let not_ready = |for_what: &'static str| {
        move |line: &Value| line["message"] == "not ready" && line["waiting_for"] == for_what
    };
    running.process.wait_for("what is missing", SOON, not_ready("credential of echo"));
    folder.heal();
    running.process.wait_for("readiness", SOON, |line| line["message"] == "ready");
    attache(&["drain", "--control", &running.control.to_string()]).ok();
    running.process.wait_for("the end of readiness", SOON, not_ready("draining"));
    assert_eq!(running.process.count(|line| line["message"] == "ready"), 1);
}

#[test]
fn schema_and_completions_are_products_of_standard_output() {
    let schema: Value = serde_json::from_str(&attache(&["schema"]).ok()).unwrap();
    assert!(schema["properties"]["routes"].is_object(), "{schema}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(attache(&["completions", shell]).ok().contains("completions"), "{shell}");
    }
    assert_eq!(code(&attache(&["completions", "nonsense"])), Some(2));
}
