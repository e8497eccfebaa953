//! A node of a cluster is no server for a route, unless the route says so.

use attache_kit::{LONG, Pki, Redis, SOON, available, eventually};

use crate::upstream::{Route, accounts, check, once};

/// The slot of the key `a`.
const SLOT: &str = "15495";

/// Two nodes that know each other; the first one has all slots.
fn two_nodes(pki: &Pki) -> Option<[Redis; 2]> {
    let node = available(Redis::cluster(pki))?;
    let other = available(Redis::cluster(pki))?;
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    // An address, a port and the port of the bus.
    let line = node.command(&["CLUSTER", "NODES"]);
    let at = line.split(' ').nth(1).unwrap().split(',').next().unwrap();
    let (bus, port) = (at.split('@').nth(1).unwrap(), node.port().to_string());
    other.command(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
    let knows = |node: &Redis| {
        let (nodes, info) = (node.command(&["CLUSTER", "NODES"]), node.command(&["CLUSTER", "INFO"]));
        let all = nodes.matches(" connected").count() == 2 && !nodes.contains("handshake");
        all && info.contains("cluster_state:ok")
    };
    eventually("the cluster", LONG, || (knows(&node) && knows(&other)).then_some(()));
    Some([node, other])
}

#[test]
fn a_node_of_a_cluster_is_refused_with_a_clear_text_or_passed_through() {
    let pki = Pki::new();
    let Some([node, other]) = two_nodes(&pki) else { return };
    accounts(&[&node]);
    let upstream =
        format!("{{ endpoints: \"localhost:{}\", tls: {{ ca: {} }} }}", node.tls_port(), pki.ca().display());

    let route = Route::start(&upstream, "");
    let (said, _) = once(route.addr(), "PING");
    assert!(said.as_ref().is_some_and(|said| said.starts_with("-ERR attache: ")), "{said:?}");
    let line = route.attache.wait_for("the session", SOON, |line| line["kind"] == "session");
    assert_eq!(line["result"], "unsupported", "{line}");
    for word in ["node of a cluster", "cluster: passthrough"] {
        assert!(line["detail"].as_str().unwrap().contains(word), "{line}");
    }
    let (steps, ran) = check(&upstream);
    let login = steps.iter().find(|step| step["step"] == "login").unwrap();
    assert!(login["detail"].as_str().unwrap().contains("node of a cluster"), "{login}");
    assert_eq!(ran.status.code(), Some(1));

    let route = Route::start(&upstream, "    options: { cluster: passthrough }\n");
    let mut session = route.raw();
    assert_eq!(session.ask(&["SET", "b", "x"]), "+OK\r\n");
    assert!(session.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    // The addresses in its words are the nodes' own: nobody rewrites them.
    let shards = session.ask(&["CLUSTER", "SHARDS"]);
    assert!(shards.contains(&node.port().to_string()), "{shards}");
    let id = other.command(&["CLUSTER", "MYID"]);
    node.command(&["CLUSTER", "SETSLOT", SLOT, "NODE", id.trim()]);
    assert_eq!(session.ask(&["GET", "a"]), format!("-MOVED {SLOT} 127.0.0.1:{}\r\n", other.port()));
}
