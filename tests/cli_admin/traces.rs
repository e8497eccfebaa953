//! What a collector of traces is told, and what becomes of sessions where there is none.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use attache_kit::collector::{Collector, Span};
use attache_kit::pki::{Leaf, Pki};
use attache_kit::script::ServerTls;
use attache_kit::{Metrics, Mounted, Script, eventually, ports};

use crate::support::{Running, SOON, echo, run, tcp_route, tcp_route_with_credential};

fn traces(port: u16, more: &str) -> String {
    format!("telemetry: {{ traces: {{ endpoint: \"http://127.0.0.1:{port}\"{more} }} }}\n")
}

/// One session of four octets each way.
fn session(route: SocketAddr) {
    let mut session = TcpStream::connect(route).unwrap();
    session.set_read_timeout(Some(SOON)).unwrap();
    session.write_all(b"ping").unwrap();
    session.read_exact(&mut [0; 4]).unwrap();
}

fn counted(running: &Running, outcome: &str) -> f64 {
    let metrics = Metrics::scrape(running.health);
    metrics.value("attache_traces_total", &[("outcome", outcome)]).unwrap_or(0.0)
}

fn names_below<'a>(parent: &Span, spans: &'a [Span]) -> Vec<&'a str> {
    let below = spans.iter().filter(|span| span.parent.as_ref() == Some(&parent.id));
    below.map(|span| span.name.as_str()).collect()
}

#[test]
fn a_session_is_a_span_with_its_stages_and_attempts_below_it() {
    let (server, collector) = (echo(), Collector::start(None));
    let folder = Mounted::new(&[("username", "app-user"), ("password", "hunter2")]);
    let route = tcp_route_with_credential(server.addr(), folder.path());
    let running = run(&format!("{}{route}", traces(collector.port(), ", service: shop")));
    session(running.route);

    let spans = collector.session("attache.result", "ok");
    let root = &spans[0];
    assert_eq!((root.name.as_str(), &root.whole["kind"]), ("session echo", &2.into()));
    assert_eq!(root.whole["status"], serde_json::Value::Null);
    let expected = [
        ("attache.route", "echo"),
        ("attache.protocol", "tcp"),
        ("attache.stage", "relay"),
        ("attache.ended_by", "client"),
        ("attache.generation", "1"),
        ("attache.to_upstream", "4"),
        ("attache.to_client", "4"),
        ("attache.retries", "0"),
        ("attache.warm", "false"),
    ];
    for (key, value) in expected {
        assert_eq!(root.attribute(key), value, "{key}");
    }
    let line = running.process.wait_for("its end", SOON, |line| line["message"] == "session ended");
    assert_eq!(line["session"], root.attribute("attache.session"), "the log tells the same session");

    assert_eq!(names_below(root, &spans), ["accept", "welcome", "relay", "attempt echo"]);
    let attempt = spans.iter().find(|span| span.name == "attempt echo").unwrap();
    assert_eq!(names_below(attempt, &spans), ["resolve", "dial", "login"]);
    assert_eq!(attempt.attribute("attache.endpoint"), server.addr().to_string());
    for span in &spans {
        let parent = spans.iter().find(|other| Some(&other.id) == span.parent.as_ref()).unwrap_or(span);
        let (inner, outer) = (span.time(), parent.time());
        assert!(outer.0 <= inner.0 && inner.0 <= inner.1 && inner.1 <= outer.1, "{span:?} in {parent:?}");
    }

    let request = &collector.requests()[0];
    assert_eq!(
        (request.path.as_str(), request.headers["content-type"].as_str()),
        ("/v1/traces", "application/json")
    );
    let text = request.body.to_string();
    assert!(text.contains("shop") && !text.contains("hunter2") && !text.contains("app-user"), "{text}");
    collector.is_understood();
    eventually("the count", SOON, || (counted(&running, "sent") == 1.0).then_some(()));
}

#[test]
fn a_session_that_fails_says_at_which_stage_and_why() {
    let collector = Collector::start(None);
    let nobody = "127.0.0.1:9".parse().unwrap();
    let route = tcp_route(nobody).replace("connect_timeout: 10s", "connect_timeout: 10s, wait: 1s");
    let running = run(&format!("{}{route}", traces(collector.port(), "")));
    let mut client = TcpStream::connect(running.route).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    let _ = client.read(&mut [0; 1]);

    let spans = collector.session("attache.result", "connect_refused");
    let root = &spans[0];
    assert_eq!(root.attribute("error.type"), "connect_refused");
    let status = serde_json::json!({"code": 2, "message": "connect_refused"});
    assert_eq!(root.whole["status"], status);
    let attempts: Vec<_> = spans.iter().filter(|span| span.name == "attempt echo").collect();
    let retries: usize = root.attribute("attache.retries").parse().unwrap();
    assert_eq!(attempts.len(), retries + 1, "{spans:#?}");
    assert!(retries >= 1);
    for attempt in attempts {
        assert_eq!(attempt.whole["status"], status);
        let stages: Vec<_> = spans.iter().filter(|span| span.parent.as_ref() == Some(&attempt.id)).collect();
        assert_eq!(stages.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["resolve", "dial"]);
        assert_eq!(
            (&stages[0].whole["status"], &stages[1].whole["status"]),
            (&serde_json::Value::Null, &status)
        );
    }
    collector.is_understood();
}

#[test]
fn a_collector_that_is_away_costs_traces_and_no_session() {
    let server = echo();
    let nobody = ports::reserve();
    let mut running = run(&format!("{}{}", traces(nobody.addr().port(), ""), tcp_route(server.addr())));
    for _ in 0..5 {
        session(running.route);
    }
    let told = |line: &serde_json::Value| line["message"] == "traces not sent: dropped";
    running.process.wait_for("the collector's absence", SOON, told);
    // In one batch or in several.
    eventually("all of them to be counted", SOON, || (counted(&running, "dropped") == 5.0).then_some(()));
    assert_eq!(counted(&running, "sent"), 0.0);
    session(running.route);
    attache_kit::http::post(running.control, "/quit", "").unwrap();
    assert_eq!(running.process.wait_exit(SOON).code(), Some(0), "it does not wait for the collector");
}

#[test]
fn a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let (server, collector) = (echo(), Collector::start(None));
    collector.answer(503);
    let running = run(&format!("{}{}", traces(collector.port(), ""), tcp_route(server.addr())));
    session(running.route);
    eventually("a request", SOON, || (!collector.requests().is_empty()).then_some(()));
    collector.answer(200);
    eventually("the same again", SOON, || (counted(&running, "sent") == 1.0).then_some(()));
    let bodies: Vec<_> = collector.requests().into_iter().map(|request| request.body).collect();
    assert!(bodies.len() >= 2 && bodies.windows(2).all(|two| two[0] == two[1]));
    assert_eq!(collector.connections(), 1, "a connection that works is used again");

    collector.answer(400);
    let asked = collector.requests().len();
    session(running.route);
    eventually("the loss", SOON, || (counted(&running, "dropped") == 1.0).then_some(()));
    assert_eq!(collector.requests().len(), asked + 1);
}

#[test]
fn what_is_left_is_sent_before_the_process_ends() {
    let (server, collector) = (echo(), Collector::start(None));
    let mut running = run(&format!("{}{}", traces(collector.port(), ""), tcp_route(server.addr())));
    session(running.route);
    running.process.wait_for("its end", SOON, |line| line["message"] == "session ended");
    attache_kit::http::post(running.control, "/quit", "").unwrap();
    assert_eq!(running.process.wait_exit(SOON).code(), Some(0));
    assert_eq!(collector.spans().iter().filter(|span| span.parent.is_none()).count(), 1);
}

#[test]
fn headers_come_from_a_file_as_it_is_now_over_a_connection_that_is_verified() {
    let pki = Pki::new();
    let collector = Collector::start(Some(ServerTls::new(&pki.issue(Leaf::server(&["localhost"])))));
    let folder = Mounted::new(&[("headers", "Authorization: Bearer hunter2\nX-Scope-OrgID: blue\n")]);
    let server: Script = echo();
    let config = format!(
        "telemetry:\n  traces:\n    endpoint: https://localhost:{}/otlp/\n    ca: {}\n    headers_file: {}/headers\n",
        collector.port(),
        pki.ca().display(),
        folder.path().display()
    );
    let running = run(&format!("{config}{}", tcp_route(server.addr())));
    session(running.route);
    eventually("a request", SOON, || (collector.requests().len() == 1).then_some(()));
    folder.write(&[("headers", "Authorization: Bearer hunter3\n")]);
    session(running.route);
    eventually("the next", SOON, || (collector.requests().len() == 2).then_some(()));
    let [first, second] = collector.requests().try_into().unwrap();
    assert_eq!(
        (first.path.as_str(), first.headers["authorization"].as_str()),
        ("/otlp/v1/traces", "Bearer hunter2")
    );
    assert_eq!(first.headers["x-scope-orgid"], "blue");
    assert_eq!(second.headers["authorization"], "Bearer hunter3");
    assert!(!running.process.stderr().contains("hunter"), "{}", running.process.stderr());
}

#[test]
fn of_sessions_that_end_well_only_the_share_that_was_asked_for_is_told() {
    let (server, collector) = (echo(), Collector::start(None));
    let none = traces(collector.port(), ", sample: 0");
    let mut running = run(&format!("{none}{}", tcp_route(server.addr())));
    session(running.route);
    running.process.wait_for("its end", SOON, |line| line["message"] == "session ended");
    attache_kit::http::post(running.control, "/quit", "").unwrap();
    assert_eq!(running.process.wait_exit(SOON).code(), Some(0));
    assert_eq!(collector.connections(), 0);
}

#[test]
fn a_session_that_fails_is_told_whatever_the_share() {
    let collector = Collector::start(None);
    let nobody = "127.0.0.1:9".parse().unwrap();
    let route = tcp_route(nobody).replace("connect_timeout: 10s", "connect_timeout: 10s, wait: 1s");
    let running = run(&format!("{}{route}", traces(collector.port(), ", sample: 0")));
    let mut client = TcpStream::connect(running.route).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    let _ = client.read(&mut [0; 1]);
    let spans = collector.session("attache.result", "connect_refused");
    assert!(spans.iter().any(|span| span.name == "attempt echo"), "with all its stages: {spans:#?}");
    collector.is_understood();
}
