//! What the health and control listeners promise.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;

use attache_kit::http::{get, post, request};
use attache_kit::{Metrics, Mounted, eventually};
use support::{Running, SOON, attache, code, echo, launch, run, tcp_route, tcp_route_with_credential};

mod browser;
mod crowd;
mod hostile;
mod page;
mod reload;
#[path = "../cli_support/mod.rs"]
mod support;
mod traces;

fn started() -> (attache_kit::Script, Running) {
    let server = echo();
    let running = run(&tcp_route(server.addr()));
    (server, running)
}

/// Says these lines and reads the answer to its end.
fn raw(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    // Whoever is refused early may be hung up on while it still speaks: the answer is there all the same.
    let _ = stream.write_all(text.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn health_is_read_only_and_knows_four_paths() {
    let (_server, running) = started();
    for path in ["/livez", "/readyz", "/startupz"] {
        let answer = get(running.health, path).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{path}");
    }
    for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            assert_eq!(request(running.health, method, path, "").unwrap().status, 405, "{method} {path}");
        }
    }
    for path in ["/", "/status", "/quit", "/drain", "/livez/", "/readyz/x"] {
        assert_eq!(get(running.health, path).unwrap().status, 404, "{path}");
        assert_eq!(post(running.health, path, "").unwrap().status, 404, "{path}");
    }
}

#[test]
fn readiness_and_startup_name_what_is_missing_until_it_is_there() {
    let (server, folder) = (echo(), Mounted::new(&[("username", "app"), ("password", "hunter2")]));
    folder.break_();
    let running = run(&tcp_route_with_credential(server.addr(), folder.path()));
    for path in ["/readyz", "/startupz"] {
        let answer = get(running.health, path).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "credential of echo\n"), "{path}");
    }
    assert_eq!(get(running.health, "/livez").unwrap().status, 200);
    folder.heal();
    eventually("readiness", SOON, || (get(running.health, "/readyz").unwrap().status == 200).then_some(()));
    assert_eq!(get(running.health, "/startupz").unwrap().status, 200);
}

#[test]
fn metrics_come_in_the_format_that_the_scraper_asks_for() {
    let (_server, running) = started();
    let plain = get(running.health, "/metrics").unwrap();
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!plain.body.contains("# EOF"), "{}", plain.body);
    assert_eq!(Metrics::parse(&plain.body).value("attache_draining", &[]), Some(0.0));

    let head = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n";
    let open =
        raw(running.health, &format!("{head}Accept: application/openmetrics-text; version=1.0.0\r\n\r\n"));
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0"), "{open}");
    assert!(open.ends_with("# EOF\n"), "{open}");
}

#[test]
fn orders_are_post_only_and_control_knows_no_health() {
    let (_server, mut running) = started();
    for path in ["/quit", "/drain", "/reload"] {
        for method in ["GET", "PUT", "DELETE"] {
            assert_eq!(request(running.control, method, path, "").unwrap().status, 405, "{method} {path}");
        }
    }
    for path in ["/livez", "/metrics", "/index.html"] {
        assert_eq!(get(running.control, path).unwrap().status, 404, "{path}");
    }
    assert_eq!(post(running.control, "/status", "").unwrap().status, 405);
    assert!(running.process.is_running());
    assert_eq!(get(running.health, "/readyz").unwrap().status, 200);
}

#[test]
fn another_site_in_a_browser_can_neither_read_nor_order() {
    let (_server, mut running) = started();
    let control = running.control;
    let say = |line: &str, headers: &str| raw(control, &format!("{line} HTTP/1.1\r\n{headers}\r\n"));
    for path in ["/quit", "/drain", "/reload"] {
        let cross =
            say(&format!("POST {path}"), &format!("Host: {control}\r\nOrigin: https://evil.example\r\n"));
        assert_eq!(status_of(&cross), "403", "{cross}");
    }
    let rebound = say("GET /status", "Host: evil.example\r\n");
    assert_eq!(status_of(&rebound), "403", "{rebound}");
    assert!(!rebound.contains("routes"), "{rebound}");
    let own = say("GET /status", &format!("Host: {control}\r\nOrigin: http://{control}\r\n"));
    assert_eq!(status_of(&own), "200", "{own}");
    assert!(running.process.is_running());
    assert_eq!(get(running.health, "/readyz").unwrap().status, 200);
}

#[test]
fn an_order_that_a_browser_may_have_sent_needs_the_token_of_the_page() {
    let (_server, mut running) = started();
    let control = running.control;
    let order = |path: &str, headers: &str, body: &str| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {control}\r\nContent-Length: {}\r\n", body.len());
        raw(control, &format!("{head}{headers}\r\n{body}"))
    };
    let page = get(control, "/").unwrap().body;
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
    let (token, _) = rest.split_once('"').unwrap();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let of_browsers = [
        format!("Origin: http://{control}\r\n"),
        format!("Referer: http://{control}/\r\n"),
        "Sec-Fetch-Site: same-origin\r\n".to_owned(),
    ];
    for headers in &of_browsers {
        for body in ["", "token=", "token=0123456789abcdef0123456789abcdef"] {
            let refused = order("/drain", headers, body);
            assert_eq!(status_of(&refused), "403", "{headers}{body}: {refused}");
        }
    }
    assert_eq!(get(running.health, "/readyz").unwrap().status, 200);
    assert_eq!(status_of(&order("/reload", form, "")), "200", "a tool may say what it sends");
    let same = order("/drain", &format!("{form}Sec-Fetch-Site: same-site\r\n"), &format!("token={token}"));
    assert_eq!(status_of(&same), "403", "a neighbour's port is another site: {same}");
    let done = order("/drain", &of_browsers.concat(), &format!("token={token}"));
    assert_eq!(status_of(&done), "303", "{done}");
    assert!(done.contains("location: /\r\n"), "{done}");
    assert_eq!(get(running.health, "/readyz").unwrap().status, 503);
    assert_eq!(status_of(&order("/quit", &of_browsers.concat(), &format!("token={token}"))), "202");
    assert_eq!(running.process.wait_exit(SOON).code(), Some(0));
}

#[test]
fn every_answer_tells_browsers_to_be_careful_with_it() {
    let (_server, running) = started();
    for path in ["/", "/status", "/nowhere"] {
        let answer = get(running.control, path).unwrap();
        let expected = [
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ];
        for (name, value) in expected {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
    }
    let page = get(running.control, "/").unwrap();
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
}

#[test]
fn status_tells_what_happened_and_what_was_copied() {
    let server = echo();
    let running = run(&tcp_route(server.addr()));
    let mut session = TcpStream::connect(running.route).unwrap();
    session.write_all(b"ping").unwrap();
    session.read_exact(&mut [0; 4]).unwrap();
    drop(session);
    let ended = |status: &serde_json::Value| (status["routes"][0]["sessions_ended"]["ok"] == 1).then_some(());
    eventually("the end of the session", SOON, || ended(&get(running.control, "/status").unwrap().json()));
    let status = get(running.control, "/status").unwrap().json();
    let relayed = &status["routes"][0]["relayed"];
    assert_eq!(
        (&relayed["to_upstream_bytes"], &relayed["to_client_bytes"]),
        (&4.into(), &4.into()),
        "{status}"
    );
    assert_eq!(status["routes"][0]["listen"][0], "127.0.0.1:0");
    assert_eq!(status["last_reload_successful"], true);
    let events = status["events"].as_array().unwrap();
    let names: Vec<_> = events.iter().map(|event| event["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"started") && names.contains(&"listening"), "{names:?}");
    assert!(!names.contains(&"session ended"), "one that ended well is only counted: {names:?}");
}

#[test]
fn status_tells_of_routes_and_endpoints_but_no_secret() {
    let (server, folder) = (echo(), Mounted::new(&[("username", "app-user"), ("password", "hunter2")]));
    let running = run(&tcp_route_with_credential(server.addr(), folder.path()));
    let answer = get(running.control, "/status").unwrap();
    let status = answer.json();
    assert_eq!(status["ready"], true, "{status}");
    assert_eq!(status["routes"][0]["name"], "echo");
    assert_eq!(status["routes"][0]["credential"]["generation"], 1);
    assert_eq!(status["routes"][0]["endpoints"][0]["endpoint"], server.addr().to_string());
    assert!(!answer.body.contains("hunter2") && !answer.body.contains("app-user"), "{}", answer.body);
}

#[test]
fn drain_fails_readiness_and_serves_on_until_quit() {
    let (_server, mut running) = started();
    assert_eq!(post(running.control, "/drain", "").unwrap().status, 202);
    assert_eq!(post(running.control, "/drain", "").unwrap().status, 200);
    let ready = get(running.health, "/readyz").unwrap();
    assert_eq!((ready.status, ready.body.as_str()), (503, "draining\n"));
    assert_eq!(Metrics::scrape(running.health).value("attache_draining", &[]), Some(1.0));
    assert_eq!(get(running.control, "/status").unwrap().json()["draining"], true);

    let mut session = TcpStream::connect(running.route).unwrap();
    session.set_read_timeout(Some(SOON)).unwrap();
    session.write_all(b"ping").unwrap();
    let mut answer = [0; 4];
    session.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ping");
    drop(session);

    assert_eq!(post(running.control, "/quit", "").unwrap().status, 202);
    assert_eq!(running.process.wait_exit(SOON).code(), Some(0));
}

#[test]
fn a_control_socket_is_for_owner_and_group_and_goes_with_the_process() {
    let (server, folder) = (echo(), tempfile::tempdir().unwrap());
    let socket = folder.path().join("control.sock");
    let control = format!("unix:{}", socket.display());
    let config = format!("health: off\ncontrol: \"{control}\"\n{}", tcp_route(server.addr()));
    let mut process = launch().config(&config).start();
    process.wait_for("the start", SOON, |line| line["message"] == "started");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let status = attache(&["status", "--control", &control]).ok();
    assert!(status.contains("attache ") && status.contains(", ready") && status.contains("echo"), "{status}");
    let json = attache(&["status", "--json", "--control", &control]).ok();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["ready"], true);
    assert_eq!(code(&attache(&["quit", "--wait", "--control", &control])), Some(0));
    assert_eq!(process.wait_exit(SOON).code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn whoever_looks_is_told_which_pod_it_is() {
    let (server, folder) = (echo(), tempfile::tempdir().unwrap());
    let control = format!("unix:{}", folder.path().join("control.sock").display());
    let config = format!("health: off\ncontrol: \"{control}\"\n{}", tcp_route(server.addr()));
    let process = launch().config(&config).env("HOSTNAME", "orders-7c9f6d5b8-x2lkq").start();
    process.wait_for("the start", SOON, |line| line["message"] == "started");
    let status = attache(&["status", "--control", &control]).ok();
    assert!(status.contains(" on orders-7c9f6d5b8-x2lkq, ready"), "{status}");
    let json = attache(&["status", "--json", "--control", &control]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["host"], "orders-7c9f6d5b8-x2lkq");
}

#[test]
fn clients_that_say_nothing_keep_nobody_out() {
    let (_server, running) = started();
    for address in [running.health, running.control] {
        let before = running.process.sockets();
        let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        let path = if address == running.health { "/livez" } else { "/status" };
        assert_eq!(get(address, path).unwrap().status, 200);
        assert!(running.process.sockets() <= before + 64 + 1, "{}", running.process.sockets());
        drop(silent);
    }
}

#[test]
fn a_request_that_dawdles_or_never_ends_is_cut() {
    let (_server, running) = started();
    for address in [running.health, running.control] {
        // Reading to the end comes back only when the server has closed the connection.
        let slow = raw(address, "GET /livez HTTP/1.1\r\nHost: local");
        assert!(!slow.starts_with("HTTP/1.1 200"), "{slow}");
        let huge = raw(address, &format!("GET /livez HTTP/1.1\r\nX-A: {}\r\n\r\n", "a".repeat(64 * 1024)));
        assert!(!huge.starts_with("HTTP/1.1 200"), "{huge}");
    }
    let twice = raw(running.health, &"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2));
    assert_eq!(twice.matches("HTTP/1.1 200").count(), 1, "{twice}");
}
