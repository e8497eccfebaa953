//! Where the time of a login goes, as a collector of traces is told.

use attache_kit::collector::Collector;
use attache_kit::*;

use crate::servers;

#[test]
fn a_trace_tells_the_handshake_from_the_login_and_a_warm_link_from_a_new_one() {
    let Some(db) = servers::of(Version::V18) else { return };
    let (account, collector) = (db.account("traced"), Collector::start(None));
    let (listen, health) = (ports::reserve(), ports::reserve());
    let config = format!(
        "health: {}\ncontrol: off\ntelemetry: {{ traces: {{ endpoint: \"http://127.0.0.1:{}\" }} }}\nroutes:\n  orders:\n    \
         protocol: postgres\n    listen: {}\n    credential: {{ path: {} }}\n    pool: {{ warm: 1 }}\n    upstream: {{ endpoints: \
         \"localhost:{}\", tls: {{ ca: {} }} }}\n",
        health.addr(),
        collector.port(),
        listen.addr(),
        account.secret.path().display(),
        db.server.addr().port(),
        db.pki.ca().display()
    );
    let attache = Launch::binary(env!("CARGO_BIN_EXE_attache")).config(&config).start();
    attache.wait_for("the start", SOON, |line| line["message"] == "started");
    let ask = || {
        let mut psql = tools::postgres_tool("psql").unwrap();
        let target =
            format!("host=127.0.0.1 port={} user=anyone dbname=traced sslmode=disable", listen.addr().port());
        tools::run(psql.args([&target, "-Atc", "select 1"]), b"", SOON).ok()
    };
    assert_eq!(ask(), "1\n");
    let cold = collector.session("attache.warm", "false");
    let attempt = cold.iter().find(|span| span.name == "attempt orders").unwrap();
    let stages: Vec<_> = cold.iter().filter(|span| span.parent.as_ref() == Some(&attempt.id)).collect();
    let names: Vec<_> = stages.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["resolve", "dial", "tls", "login"]);
    assert!(stages.windows(2).all(|two| two[0].time().1 <= two[1].time().1), "{stages:#?}");
    eventually("a warm link", SOON, || {
        let warm = [("route", "orders"), ("generation", "1"), ("state", "warm")];
        (Metrics::scrape(health.addr()).value("attache_links", &warm) == Some(1.0)).then_some(())
    });
    assert_eq!(ask(), "1\n");
    let warm = collector.session("attache.warm", "true");
    assert!(!warm.iter().any(|span| span.name.starts_with("attempt")), "{warm:#?}");
    collector.is_understood();
    let told = collector.requests().iter().map(|request| request.body.to_string()).collect::<String>();
    assert!(!told.contains(SECRET) && !told.contains("anyone"), "{told}");
}
