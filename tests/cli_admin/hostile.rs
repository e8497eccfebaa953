//! Requests that no honest client makes, at both listeners.

use std::net::SocketAddr;

use attache_kit::http::{get, post};

use crate::support::Running;
use crate::{raw, started, status_of};

fn is_serving(running: &Running) -> bool {
    get(running.health, "/readyz").unwrap().status == 200
}

/// Everything behind the head.
fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[test]
fn a_head_request_is_answered_as_get_is_without_the_body() {
    let (_server, running) = started();
    let both = [(running.health, ["/livez", "/metrics"]), (running.control, ["/", "/status"])];
    for (address, paths) in both {
        for path in paths {
            let answer = raw(address, &format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            assert_eq!((status_of(&answer), body_of(&answer)), ("200", ""), "{path}: {answer}");
            assert!(answer.contains("content-type: "), "{path}: {answer}");
        }
    }
    for order in ["/quit", "/drain", "/reload"] {
        let answer = raw(running.control, &format!("HEAD {order} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!((status_of(&answer), body_of(&answer)), ("405", ""), "{order}: {answer}");
    }
    assert!(is_serving(&running));
}

#[test]
fn another_method_is_told_which_are_allowed() {
    let (_server, running) = started();
    let allowed = |address: SocketAddr, path: &str, method: &str| {
        let answer = raw(address, &format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(status_of(&answer), "405", "{method} {path}: {answer}");
        let line = answer.lines().find_map(|line| line.strip_prefix("allow: "));
        line.unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    assert_eq!(allowed(running.health, "/livez", "DELETE"), "GET,HEAD");
    assert_eq!(allowed(running.control, "/status", "PUT"), "GET,HEAD");
    assert_eq!(allowed(running.control, "/quit", "GET"), "POST");
    for (address, path) in [(running.health, "/livez"), (running.control, "/status")] {
        for method in ["TRACE", "OPTIONS", "BREW"] {
            allowed(address, path, method);
        }
    }
}

#[test]
fn an_order_needs_no_length_and_a_body_is_not_waited_for() {
    let (_server, running) = started();
    let order = |headers: &str, body: &str| {
        raw(running.control, &format!("POST /reload HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}"))
    };
    for (headers, body) in [
        ("", ""),
        ("Content-Length: 0\r\n", ""),
        ("Content-Length: 4\r\n", "body"),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Content-Length: 1000000000\r\nExpect: 100-continue\r\n", ""),
    ] {
        let answer = order(headers, body);
        assert_eq!(status_of(&answer), "200", "{headers}: {answer}");
    }
}

#[test]
fn what_is_no_request_is_refused_and_does_nothing() {
    let (_server, running) = started();
    let order = "POST /drain HTTP/1.1\r\nHost: localhost\r\n";
    let strange = [
        format!("{order}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        format!("{order}Content-Length: -1\r\n\r\n"),
        format!("{order}Content-Length: one\r\n\r\n"),
        format!("{order}X : y\r\n\r\n"),
        format!("{order}X: a\r\n folded\r\n\r\n"),
        format!("{order}X: a\0b\r\n\r\n"),
        "POST /drain\r\n\r\n".to_owned(),
        "POST /drain HTTP/3.0\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(),
    ];
    for address in [running.health, running.control] {
        for request in &strange {
            let answer = raw(address, request);
            assert!(matches!(status_of(&answer), "" | "400" | "405"), "{request:?}: {answer}");
        }
    }
    for target in
        ["*", "localhost:9901", "http://localhost/../quit", "/%71uit", "//quit", "/quit?x=/livez", "/status/"]
    {
        let answer = raw(running.control, &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert!(matches!(status_of(&answer), "400" | "404" | "405"), "{target}: {answer}");
    }
    assert!(is_serving(&running));
}

#[test]
fn nothing_that_a_request_brings_becomes_a_header() {
    let (_server, running) = started();
    for address in [running.health, running.control] {
        for target in
            ["/%0d%0aX-Injected:%20yes", "/livez?%0d%0aX-Injected:%20yes", "/status?x=%0aX-Injected:1"]
        {
            let answer = raw(address, &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            assert!(!answer.to_lowercase().contains("x-injected"), "{answer}");
        }
    }
}

#[test]
fn headers_without_number_or_end_are_refused() {
    let (_server, running) = started();
    for address in [running.health, running.control] {
        let many = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X-A: b\r\n".repeat(1000));
        assert_eq!(status_of(&raw(address, &many)), "431");
        let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(20_000));
        assert!(matches!(status_of(&raw(address, &long)), "414" | "431"));
    }
    assert!(is_serving(&running));
}

#[test]
fn a_form_that_is_too_long_is_refused_whatever_it_says() {
    let (_server, running) = started();
    let page = get(running.control, "/").unwrap().body;
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
    let (token, _) = rest.split_once('"').unwrap();
    let form = format!("token={token}&more={}", "a".repeat(2000));
    let head = format!("Host: {0}\r\nOrigin: http://{0}\r\n", running.control);
    let counted = format!("POST /drain HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{form}", form.len());
    assert_eq!(status_of(&raw(running.control, &counted)), "413");
    let chunked = format!(
        "POST /drain HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{form}\r\n0\r\n\r\n",
        form.len()
    );
    assert_eq!(status_of(&raw(running.control, &chunked)), "413");
    assert!(is_serving(&running));
}

#[test]
fn a_host_that_only_looks_like_this_machine_is_another() {
    let (_server, running) = started();
    let hosts = [
        "evil.example@127.0.0.1",
        "localhost@evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:9901",
        "localhost:9901:9901",
        "127.0.0.1, evil.example",
        "0x7f.1.evil.example",
        "[::1].evil.example",
        "",
    ];
    for host in hosts {
        let answer = raw(running.control, &format!("GET /status HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert!(matches!(status_of(&answer), "400" | "403"), "{host:?}: {answer}");
        assert!(!answer.contains("routes"), "{host:?}");
    }
    let two = "GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n";
    assert!(matches!(status_of(&raw(running.control, two)), "400" | "403"), "two of them");
    let none = "POST /drain HTTP/1.0\r\nOrigin: https://evil.example\r\n\r\n";
    assert_eq!(status_of(&raw(running.control, none)), "403", "a browser that leaves it out is none of ours");
    assert!(is_serving(&running));
}

#[test]
fn no_answer_is_kept_or_taken_for_something_else() {
    let (_server, running) = started();
    let healths = ["/livez", "/readyz", "/startupz", "/metrics", "/nowhere"];
    for path in healths {
        let answer = get(running.health, path).unwrap();
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
    }
    let refused = raw(running.control, "GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(refused.contains("cache-control: no-store"), "{refused}");
    let reload = post(running.control, "/reload", "").unwrap();
    for answer in [get(running.control, "/status").unwrap(), reload] {
        let policy = answer.header("content-security-policy").unwrap();
        assert_eq!(policy, "default-src 'none'; frame-ancestors 'none'");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}
