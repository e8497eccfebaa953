//! Two servers without a Sentinel: who is the primary they say themselves.

use attache_kit::{Brand, Pki, Redis, SOON, available, eventually};

use crate::upstream::{Route, accounts};

struct Pair {
    pki: Pki,
    primary: Redis,
    replica: Redis,
}

impl Pair {
    fn start() -> Option<Pair> {
        let pki = Pki::new();
        let primary = available(Redis::replicating(Brand::Redis(&pki), None))?;
        let replica = available(Redis::replicating(Brand::Redis(&pki), Some(&primary)))?;
        accounts(&[&primary, &replica]);
        Some(Pair { pki, primary, replica })
    }

    /// The replica comes first.
    fn route(&self, more: &str) -> Route {
        let ports =
            [&self.replica, &self.primary].map(|server| format!("\"localhost:{}\"", server.tls_port()));
        let upstream = format!(
            "{{ endpoints: [{}], tls: {{ ca: {} }}, {more} }}",
            ports.join(", "),
            self.pki.ca().display()
        );
        Route::start(&upstream, "")
    }
}

fn port(server: &Redis) -> String {
    server.port().to_string()
}

#[test]
fn sessions_go_to_the_server_of_their_role_and_follow_a_promotion() {
    let Some(pair) = Pair::start() else { return };
    let writing = pair.route("role: primary, probe_interval: 1s");
    let reading = pair.route("role: replica, probe_interval: 1s");
    let any = pair.route("role: any");
    assert_eq!(writing.port(), port(&pair.primary));
    assert_eq!(reading.port(), port(&pair.replica));
    assert_eq!(any.port(), port(&pair.replica), "the first one will do");
    let roles = || {
        let status = writing.status();
        [0, 1].map(|index| status["endpoints"][index]["role"].clone())
    };
    eventually("both roles", SOON, || (roles() == ["replica", "primary"]).then_some(()));
    let mut staying = writing.raw();
    assert_eq!(staying.ask(&["SET", "kept", "1"]), "+OK\r\n");

    // As an operator would: the new one first, and for a moment there are two.
    pair.replica.command(&["REPLICAOF", "NO", "ONE"]);
    let said = staying.last_words();
    assert!(
        said.starts_with("-ERR attache: the server is not the primary any more: connect again"),
        "{said}"
    );
    for _ in 0..10 {
        assert_eq!(writing.port(), port(&pair.replica), "the newer one");
    }
    assert_eq!(writing.status()["endpoints"][1]["superseded"], true);
    pair.primary.command(&["REPLICAOF", "127.0.0.1", &pair.replica.tls_port().to_string()]);
    eventually("the old primary to be read from", SOON, || {
        (reading.port() == port(&pair.primary)).then_some(())
    });
    assert_eq!(writing.port(), port(&pair.replica));
    assert_eq!(writing.turned_away().len(), 0);
}

#[test]
fn a_session_waits_for_a_promotion() {
    let Some(mut pair) = Pair::start() else { return };
    let route = pair.route("role: primary, probe_interval: 1s, wait: 30s");
    assert_eq!(route.port(), port(&pair.primary));
    pair.primary.crash();
    let mut waiting = route.raw();
    waiting.send(&["PING"]);
    // Nobody has the role yet.
    route.attache.wait_for("an attempt", SOON, |line| line["message"] == "trying again");
    pair.replica.command(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(waiting.text(), "+PONG\r\n");
    assert_eq!(route.port(), port(&pair.replica));
}
