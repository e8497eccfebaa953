//! What a reload promises about addresses, files and signals.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use attache_kit::http::{get, post};
use attache_kit::{Mounted, Process, Script, Signal, eventually, ports};

use crate::support::{SOON, attache, code, echo, launch, tcp_route_with_credential};

const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Says one letter to everybody.
fn greeter(letter: &'static [u8]) -> Script {
    Script::serve(move |mut peer| {
        peer.send(letter)?;
        while !peer.read_some()?.is_empty() {}
        Ok(())
    })
}

/// The first octet that whoever connects there hears.
fn first_octet(address: SocketAddr) -> std::io::Result<u8> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(REQUEST)?;
    let mut heard = [0];
    stream.read_exact(&mut heard)?;
    Ok(heard[0])
}

fn route(name: &str, listen: &str, server: &Script) -> String {
    let upstream =
        format!("{{ endpoints: \"{}\", tls: {{ mode: off }}, probe_interval: off }}", server.addr());
    format!("  {name}:\n    protocol: tcp\n    listen: \"{listen}\"\n    upstream: {upstream}\n")
}

fn start(config: &str) -> Process {
    let process = launch().config(config).start();
    process.wait_for("the start", SOON, |line| line["message"] == "started");
    process
}

/// By a signal, for the control address may be another afterwards.
fn reload(process: &Process, config: &str) {
    let lines = process.lines();
    process.rewrite_config(config);
    process.signal(Signal::HUP);
    process.wait_for_since(lines, "the reload", SOON, |line| {
        let message = line["message"].as_str().unwrap_or_default();
        assert!(!message.starts_with("configuration not reloaded"), "{:?}", process.log());
        message == "configuration reloaded"
    });
}

/// Health, control and two routes take each other's addresses, in every way that four can.
#[test]
fn addresses_change_hands_in_one_reload_and_nobody_who_connects_meanwhile_is_lost() {
    let (a, b) = (greeter(b"a"), greeter(b"b"));
    let doors = [(); 4].map(|()| ports::reserve());
    let doors = [0, 1, 2, 3].map(|at: usize| doors[at].addr());
    let config = |[health, control, first, second]: [usize; 4]| {
        let [first, second] = [("first", first, &a), ("second", second, &b)]
            .map(|(name, at, server)| route(name, &doors[at].to_string(), server));
        format!("health: {}\ncontrol: {}\nroutes:\n{first}{second}", doors[health], doors[control])
    };
    let process = start(&config([0, 1, 2, 3]));
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for door in doors {
            let (over, served) = (&over, &served);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let heard = first_octet(door);
                    assert!(matches!(heard, Ok(b'a' | b'b' | b'H')), "{door}: {heard:?}");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let orders = [[1, 0, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 0, 1, 2], [0, 2, 1, 3], [0, 1, 2, 3]];
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for order in orders.into_iter().cycle().take(24) {
                let before = served.load(Ordering::Relaxed);
                reload(&process, &config(order));
                let [health, control, first, second] = order.map(|at| doors[at]);
                // Whoever connects from now on is served by the new owner alone.
                assert_eq!(get(health, "/livez").unwrap().status, 200, "{order:?}");
                assert_eq!(get(control, "/status").unwrap().status, 200, "{order:?}");
                assert_eq!([first, second].map(|door| first_octet(door).unwrap()), *b"ab", "{order:?}");
                eventually("others to be served", SOON, || {
                    (served.load(Ordering::Relaxed) >= before + doors.len()).then_some(())
                });
            }
        }));
        over.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
}

fn unix_first_octet(path: &Path) -> u8 {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut heard = [0];
    stream.read_exact(&mut heard).unwrap();
    heard[0]
}

#[test]
fn an_address_that_was_given_up_is_free_at_once_for_whoever_wants_it_back() {
    let (server, folder) = (greeter(b"a"), tempfile::tempdir().unwrap());
    let paths = ["one", "two"].map(|name| folder.path().join(name));
    let [control, one, two] = [(); 3].map(|()| ports::reserve());
    let ports = [one.addr(), two.addr()];
    let config = |at: usize| {
        let by_path = route("by_path", &format!("unix:{}", paths[at].display()), &server);
        let by_port = route("by_port", &ports[at].to_string(), &server);
        format!("health: off\ncontrol: {}\nroutes:\n{by_path}{by_port}", control.addr())
    };
    let process = start(&config(0));
    for round in 1..40 {
        let (here, there) = (round % 2, (round + 1) % 2);
        process.rewrite_config(&config(here));
        let answer = post(control.addr(), "/reload", "").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(!paths[there].exists(), "its file goes with it");
        assert!(TcpStream::connect(ports[there]).is_err(), "nobody is let in to be left alone");
        assert_eq!((unix_first_octet(&paths[here]), first_octet(ports[here]).unwrap()), (b'a', b'a'));
    }
}

#[test]
fn signals_in_a_row_end_with_what_the_file_says_last() {
    let server = greeter(b"a");
    let [control, one, two] = [(); 3].map(|()| ports::reserve());
    let config = |listen: SocketAddr| {
        format!(
            "health: off\ncontrol: {}\nroutes:\n{}",
            control.addr(),
            route("db", &listen.to_string(), &server)
        )
    };
    let process = start(&config(one.addr()));
    for round in 0..20 {
        process.rewrite_config(&config(if round % 2 == 0 { one.addr() } else { two.addr() }));
        for _ in 0..5 {
            process.signal(Signal::HUP);
        }
    }
    eventually("the last one", SOON, || {
        (first_octet(two.addr()).is_ok() && TcpStream::connect(one.addr()).is_err()).then_some(())
    });
    let failed = |line: &serde_json::Value| line["level"] == "ERROR";
    assert_eq!(process.count(failed), 0, "{:?}", process.log());
}

#[test]
fn a_file_that_is_gone_changes_nothing_until_it_is_back() {
    let server = greeter(b"a");
    let [control, listen] = [(); 2].map(|()| ports::reserve());
    let config = format!(
        "health: off\ncontrol: {}\nroutes:\n{}",
        control.addr(),
        route("db", &listen.addr().to_string(), &server)
    );
    let process = start(&config);
    let path = process.config_path().to_owned();
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    let ran = attache(&["reload", "--control", &control.addr().to_string()]);
    assert_eq!(code(&ran), Some(1));
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(ran.stderr.contains(name), "{}", ran.stderr);
    let status = get(control.addr(), "/status").unwrap().json();
    assert_eq!(status["last_reload_successful"], false, "{status}");
    assert_eq!(first_octet(listen.addr()).unwrap(), b'a');
    std::fs::rename(&aside, &path).unwrap();
    attache(&["reload", "--control", &control.addr().to_string()]).ok();
    let status = get(control.addr(), "/status").unwrap().json();
    assert_eq!(status["last_reload_successful"], true, "{status}");
}

#[test]
fn a_reload_signal_during_the_drain_neither_ends_nor_changes_anything() {
    let server = echo();
    let [control, listen, other] = [(); 3].map(|()| ports::reserve());
    let config = |listen: SocketAddr| {
        format!(
            "health: off\ncontrol: {}\nroutes:\n{}",
            control.addr(),
            route("db", &listen.to_string(), &server)
        )
    };
    let mut process = start(&config(listen.addr()));
    let mut session = TcpStream::connect(listen.addr()).unwrap();
    session.set_read_timeout(Some(SOON)).unwrap();
    let mut says = |text: &[u8; 4]| {
        let mut heard = [0; 4];
        session.write_all(text).unwrap();
        session.read_exact(&mut heard).unwrap();
        assert_eq!(heard, *text);
    };
    says(b"once");
    process.signal(Signal::TERM);
    process.wait_for("the drain", SOON, |line| line["message"] == "draining");
    process.rewrite_config(&config(other.addr()));
    for _ in 0..5 {
        process.signal(Signal::HUP);
    }
    says(b"more");
    assert!(TcpStream::connect(listen.addr()).is_ok() && TcpStream::connect(other.addr()).is_err());
    assert_eq!(process.count(|line| line["message"] == "configuration reloaded"), 0);
    drop(session);
    assert_eq!(process.wait_exit(SOON).code(), Some(0));
}

/// The Secret is made after the route: it is waited for, and whoever uses the others does not notice.
#[test]
fn a_route_may_come_before_its_secret() {
    let (server, folder) = (greeter(b"a"), Mounted::new(&[("password", "s3cret")]));
    folder.break_();
    let [health, control, listen, late] = [(); 4].map(|()| ports::reserve());
    let before = format!(
        "health: {}\ncontrol: {}\nroutes:\n{}",
        health.addr(),
        control.addr(),
        route("db", &listen.addr().to_string(), &server)
    );
    let process = start(&before);
    let added = tcp_route_with_credential(server.addr(), folder.path());
    let added = added.replace("routes:\n", "").replace("127.0.0.1:0", &late.addr().to_string());
    reload(&process, &format!("{before}{added}"));
    let ready = || get(health.addr(), "/readyz").unwrap();
    assert_eq!((ready().status, ready().body.as_str()), (503, "credential of echo\n"));
    assert_eq!(first_octet(listen.addr()).unwrap(), b'a');
    let status = get(control.addr(), "/status").unwrap().json();
    assert_eq!(status["routes"][1]["credential"]["problem"]["name"], "folder_missing", "{status}");
    folder.heal();
    eventually("the Secret to be found", SOON, || (ready().status == 200).then_some(()));
}
