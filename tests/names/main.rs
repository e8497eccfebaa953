//! Names as a pod resolves them: its own resolv.conf, port 53, and the binary between two sockets.
//!
//! Each test runs inside a network namespace of its own, where the machine permits that.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod srv;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use attache_kit::dns::{Dns, Kind, Record, Trouble};
use attache_kit::namespace::inside;
use attache_kit::*;

const SOON: Duration = Duration::from_secs(60);
const SECRET: &str = "s3cret-that-nobody-sees";

/// What the kubelet writes for a pod.
fn resolv_conf(namespace: &str) -> String {
    format!(
        "search {namespace}.svc.cluster.local svc.cluster.local cluster.local\nnameserver 127.0.0.1\noptions ndots:5 timeout:1 attempts:1\n"
    )
}

/// The same with a name server for whose answer one waits for long: whoever does not wait for it is told apart from
/// whoever does, also on a busy machine.
fn patient_resolv_conf(namespace: &str) -> String {
    resolv_conf(namespace).replace("timeout:1", &format!("timeout:{}", PATIENCE.as_secs()))
}

const PATIENCE: Duration = Duration::from_secs(5);
/// Clearly less.
const A_MOMENT: Duration = Duration::from_secs(4);

fn name_server() -> Dns {
    Dns::at("127.0.0.1:53".parse().unwrap()).unwrap()
}

/// Answers every line with its own name.
fn echo(addr: &str, name: &'static str) {
    let listener = TcpListener::bind(addr).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(format!("{name} {line}").as_bytes());
                    line.clear();
                }
            });
        }
    });
}

fn ask(addr: SocketAddr) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"hello\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// A listener whose queue is full: the kernel drops what comes, as a firewall does. Nothing, where there is no IPv6:
/// then nobody listens there, which is a dead family too.
fn black_hole(addr: &str) -> Option<[socket2::Socket; 4]> {
    use socket2::{Domain, Socket, Type};
    let addr = addr.parse::<SocketAddr>().unwrap().into();
    let socket = || Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    let listener = socket();
    listener.bind(&addr).ok()?;
    listener.listen(0).unwrap();
    let waiting = [(); 3].map(|()| {
        let client = socket();
        client.set_nonblocking(true).unwrap();
        // It is under way, or in the queue.
        let _ = client.connect(&addr);
        client
    });
    let [one, two, three] = waiting;
    Some([listener, one, two, three])
}

/// Makes a server reachable under another address.
fn forward(addr: &str, to: SocketAddr) {
    let listener = TcpListener::bind(addr).unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(to).unwrap();
            copy(client.try_clone().unwrap(), server.try_clone().unwrap());
            copy(server, client);
        }
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            if to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}

/// A route of TCP to `endpoint` on 127.0.0.1:7000.
fn attache(endpoint: &str, more: &str) -> Process {
    let config = format!(
        "health: off\ncontrol: off\nlog: {{ format: json }}\nroutes:\n  r:\n    protocol: tcp\n    listen: 127.0.0.1:7000\n    upstream: {{ endpoints: \"{endpoint}\", tls: off, probe_interval: off{more} }}\n"
    );
    started(&config)
}

fn started(config: &str) -> Process {
    let attache = Launch::binary(env!("CARGO_BIN_EXE_attache")).config(config).start();
    attache.wait_for("the start", SOON, |line| line["message"] == "started");
    attache
}

const ROUTE: &str = "127.0.0.1:7000";

fn route() -> SocketAddr {
    ROUTE.parse().unwrap()
}

/// One configuration for both namespaces.
fn same_config(secret: &Mounted) -> String {
    format!(
        "health: off\ncontrol: off\nlog: {{ format: json }}\nroutes:\n  cache:\n    protocol: tcp\n    listen: 127.0.0.1:7000\n    upstream: {{ endpoints: \"redis:6379\", tls: off }}\n  db:\n    protocol: postgres\n    listen: 127.0.0.1:7001\n    upstream: {{ endpoints: postgres, tls: off }}\n    credential: {{ path: {} }}\n",
        secret.path().display()
    )
}

#[test]
fn the_same_configuration_reaches_each_namespaces_own_servers() {
    let test = "the_same_configuration_reaches_each_namespaces_own_servers";
    let run = |namespace: &'static str, other: &'static str, own: u8| {
        inside(test, namespace, &resolv_conf(namespace), move || {
            let dns = name_server();
            for (service, port) in [("redis", 6379), ("postgres", 5432)] {
                let (mine, theirs) = (format!("127.0.0.{own}"), format!("127.0.0.{}", own + 1));
                dns.address(&format!("{service}.{namespace}.svc.cluster.local"), &mine);
                dns.address(&format!("{service}.{other}.svc.cluster.local"), &theirs);
                assert!(TcpListener::bind((theirs.as_str(), port)).is_ok(), "nobody else is there");
            }
            echo(&format!("127.0.0.{own}:6379"), namespace);
            let server = available(Postgres::start(Version::V15, Setup::new()));
            if let Some(server) = &server {
                server.role("app", SECRET, Encryption::Scram);
                server.database(namespace, "app");
                forward(&format!("127.0.0.{own}:5432"), server.addr());
            }
            let secret = Mounted::new(&[("username", "app"), ("password", SECRET)]);
            let _attache = started(&same_config(&secret));
            assert_eq!(ask(route()), format!("{namespace} hello"));
            if server.is_some() {
                let mut psql = tools::postgres_tool("psql").unwrap();
                psql.args([
                    "-h",
                    "127.0.0.1",
                    "-p",
                    "7001",
                    "-d",
                    namespace,
                    "-XAtc",
                    "select current_database()",
                ]);
                assert_eq!(tools::run(&mut psql, b"", SOON).ok().trim_end(), namespace);
            }
        })
    };
    let _ = available(run("blue", "green", 5).and_then(|()| run("green", "blue", 8)));
}

#[test]
fn new_sessions_use_a_changed_address_without_a_restart_and_old_ones_stay() {
    let test = "new_sessions_use_a_changed_address_without_a_restart_and_old_ones_stay";
    let _ = available(inside(test, "pod", &resolv_conf("blue"), || {
        let dns = name_server();
        let name = "db.blue.svc.cluster.local";
        let address = |last: u8| Record::Address([127, 0, 0, last].into());
        dns.set(name, Duration::from_secs(1), &[address(5)]);
        echo("127.0.0.5:9000", "old");
        echo("127.0.0.6:9000", "new");
        let _attache = attache("db:9000", "");
        let mut old = TcpStream::connect(route()).unwrap();
        old.write_all(b"one\n").unwrap();
        let mut lines = BufReader::new(old.try_clone().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "old one");

        dns.set(name, Duration::from_secs(300), &[address(6)]);
        eventually("the new address", SOON, || (ask(route()) == "new hello").then_some(()));
        old.write_all(b"two\n").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "old two");
        let asked = dns.asked(name, Kind::A);
        for _ in 0..20 {
            assert_eq!(ask(route()), "new hello");
        }
        assert_eq!(dns.asked(name, Kind::A), asked, "sessions share one answer");
    }));
}

#[test]
fn a_chain_of_aliases_out_of_the_cluster_is_followed() {
    let test = "a_chain_of_aliases_out_of_the_cluster_is_followed";
    let _ = available(inside(test, "pod", &resolv_conf("blue"), || {
        let dns = name_server();
        dns.alias("db.blue.svc.cluster.local", "orders.db.example.com");
        dns.alias("orders.db.example.com", "instance-7.cloud.example");
        dns.address("instance-7.cloud.example", "127.0.0.7");
        echo("127.0.0.7:9000", "seven");
        let _attache = attache("db:9000", "");
        assert_eq!(ask(route()), "seven hello");
    }));
}

#[test]
fn a_dead_family_costs_a_moment() {
    let test = "a_dead_family_costs_a_moment";
    let _ = available(inside(test, "pod", &patient_resolv_conf("blue"), || {
        let dns = name_server();
        // One name whose IPv6 address nobody has, one whose swallows connections, and one for whose nobody answers.
        let both = |v6: &str| ["127.0.0.5", v6].map(|address| Record::Address(address.parse().unwrap()));
        dns.set("db.blue.svc.cluster.local", Duration::from_secs(300), &both("fd00::1"));
        dns.set("hole.blue.svc.cluster.local", Duration::from_secs(300), &both("::1"));
        let hole = black_hole("[::1]:9000");
        dns.address("half.blue.svc.cluster.local", "127.0.0.5");
        dns.trouble("half.blue.svc.cluster.local", Kind::Aaaa, Trouble::Silence);
        echo("127.0.0.5:9000", "five");
        for endpoint in ["db:9000", "hole:9000", "half:9000"] {
            let attache = attache(endpoint, ", connect_timeout: 10s");
            assert_eq!(ask(route()), "five hello");
            let line = attache.wait_for("the session", SOON, |line| line["kind"] == "session");
            let login = line["login_ms"].as_f64().unwrap();
            assert!(login < A_MOMENT.as_secs_f64() * 1e3, "{endpoint}: {line}");
            // The next address is tried 250 ms after one that says nothing.
            assert!(login > 240.0 || endpoint != "hole:9000" || hole.is_none(), "no hole: {line}");
        }
    }));
}

#[test]
fn log_and_check_tell_an_unknown_name_a_failing_and_a_silent_name_server_apart() {
    let test = "log_and_check_tell_an_unknown_name_a_failing_and_a_silent_name_server_apart";
    let _ = available(inside(test, "pod", &resolv_conf("blue"), || {
        let dns = name_server();
        for kind in [Kind::A, Kind::Aaaa] {
            dns.trouble("failing.example.com", kind, Trouble::Failure);
            dns.trouble("silent.example.com", kind, Trouble::Silence);
        }
        for (host, cause) in [
            ("absent.example.com.", "name_not_found"),
            ("failing.example.com.", "name_server_failed"),
            ("silent.example.com.", "name_server_silent"),
        ] {
            let attache = attache(&format!("{host}:9000"), ", wait: 0s");
            assert_eq!(ask(route()), "", "the session just ends");
            let line = attache.wait_for("the session", SOON, |line| line["kind"] == "session");
            assert_eq!((&line["result"], &line["stage"]), (&cause.into(), &"resolve".into()), "{line}");

            let config = std::fs::read_to_string(attache.config_path()).unwrap();
            let check = Launch::binary(env!("CARGO_BIN_EXE_attache")).config(&config);
            let ran = check.command(&["check", "-c", "{config}", "--json"]);
            let steps: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).unwrap();
            let failed = steps.iter().find(|step| step["ok"] == false).unwrap();
            assert_eq!((&failed["step"], &failed["cause"]), (&"dns".into(), &cause.into()));
        }
    }));
}

#[test]
fn without_a_usable_resolv_conf_addresses_work_and_a_name_says_why_not() {
    let test = "without_a_usable_resolv_conf_addresses_work_and_a_name_says_why_not";
    let _ = available(inside(test, "pod", "# nothing\n", || {
        echo("127.0.0.5:9000", "five");
        drop({
            let attache = attache("127.0.0.5:9000", "");
            assert_eq!(ask(route()), "five hello");
            attache
        });
        let attache = attache("db:9000", ", wait: 0s");
        assert_eq!(ask(route()), "");
        let line = attache.wait_for("the session", SOON, |line| line["kind"] == "session");
        assert_eq!(line["result"], "name_server_silent");
        assert!(line["detail"].as_str().unwrap().contains("/etc/resolv.conf"), "{line}");
    }));
}
