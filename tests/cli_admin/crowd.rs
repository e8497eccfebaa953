//! The page of a house of every protocol in which everything goes wrong at once.

use std::time::Duration;

use attache_kit::{Brand, Leaf, Mounted, Pki, Redis, Script, Sentinel, ServerTls, Watching, available};
use serde_json::json;

use crate::browser::Browser;
use crate::page::fits;
use crate::support::{Running, run};

const SECRETS: [&str; 3] = ["hunter2", "hunter3", "word-for-sentinels"];
const USERS: [&str; 2] = ["app-user", "watcher"];

struct Crowd {
    running: Running,
    sentinels: Vec<Sentinel>,
    cache: Mounted,
    _servers: (Redis, Script),
    _others: (Pki, Mounted),
}

impl Crowd {
    /// PostgreSQL and MySQL are not there, Redis is by two Sentinels, and a certificate ends within days.
    fn start() -> Option<Crowd> {
        let pki = Pki::new();
        let redis = available(Redis::replicating(Brand::Redis(&pki), None))?;
        redis.user(USERS[0], SECRETS[0]);
        let down_after = Duration::from_secs(5);
        let watching =
            Watching { master: "orders", primary: &redis, quorum: 2, down_after, host: "127.0.0.1" };
        let started = Sentinel::start(Brand::Redis(&pki), 2, watching, USERS[1], SECRETS[2], 0);
        let sentinels = available(started)?;
        let tls = ServerTls::new(&pki.issue(Leaf::server(&["localhost"]).days_left(5)));
        let ending = Script::serve(move |peer| peer.start_tls(&tls)?.read_to_end().map(drop));
        let cache = Mounted::new(&[("username", USERS[0]), ("password", SECRETS[0])]);
        let watcher = Mounted::new(&[("username", USERS[1]), ("password", SECRETS[2])]);
        let ca = pki.ca().display();
        let config = format!(
            "routes:
  orders:
    protocol: postgres
    listen: 127.0.0.1:0
    upstream: {{ endpoints: [\"127.0.0.1:9\", \"localhost:9\"], tls: off, probe_interval: 1s }}
    credential: {{ path: {cache} }}
  billing:
    protocol: mysql
    listen: 127.0.0.1:0
    upstream: {{ endpoints: \"127.0.0.1:9\", tls: off, probe_interval: 1s }}
    credential: {{ path: {missing} }}
  cache:
    protocol: redis
    listen: 127.0.0.1:0
    upstream: {{ sentinel: {{ endpoints: [{endpoints}], master: orders, credential: {{ path: {watcher} }} }}, tls: {{ ca: {ca} }} }}
    credential: {{ path: {cache} }}
  the-ledger-of-the-warehouse-in-the-north-that-nobody-renamed:
    protocol: tcp
    listen: 127.0.0.1:0
    upstream: {{ endpoints: \"localhost:{ending}\", tls: {{ ca: {ca} }}, probe_interval: 1s }}
",
            cache = cache.path().display(),
            watcher = watcher.path().display(),
            missing = cache.path().with_extension("missing").display(),
            endpoints = sentinels
                .iter()
                .map(|sentinel| format!("\"localhost:{}\"", sentinel.port()))
                .collect::<Vec<_>>()
                .join(", "),
            ending = ending.addr().port(),
        );
        let running = run(&config);
        Some(Crowd { running, sentinels, cache, _servers: (redis, ending), _others: (pki, watcher) })
    }
}

#[test]
fn what_is_wrong_is_told_at_the_top_and_where_it_is_for_every_reader() {
    let Some(mut browser) = Browser::start() else { return };
    let Some(mut crowd) = Crowd::start() else { return };
    let page = format!("http://{}/", crowd.running.control);
    browser.open(&page, json!({}));
    browser.wait(".sentinels", "names 127.0.0.1:");
    browser.wait(".sentinels", "epoch 0");
    crowd.cache.credential(USERS[0], SECRETS[1]);
    let lost = crowd.sentinels.pop().unwrap();
    let name = format!("localhost:{}", lost.port());
    drop(lost);
    let told = [
        "127.0.0.1:9 is down for".to_owned(),
        "There is no usable credential on billing".to_owned(),
        "The database rejects generation 2 of the credential on cache".to_owned(),
        format!("Sentinel {name} has no report for"),
        "expires in 4 d".to_owned(),
        "on the-ledger-of-the-warehouse".to_owned(),
    ];
    for concern in &told {
        browser.wait(".concerns li", concern);
    }
    for (name, window) in [
        ("light", json!({ "scheme": "light" })),
        ("dark", json!({ "scheme": "dark" })),
        ("phone", json!({ "scheme": "dark", "width": 360 })),
        ("narrow", json!({ "scheme": "light", "width": 320 })),
    ] {
        browser.open(&page, window);
        browser.wait(".concerns li", "has no report for");
        browser.picture(&format!("crowd-{name}.png"));
        fits(&mut browser, name);
        let text = browser.text("body");
        assert!(text.contains("in use: generation 1") && text.contains("connect_refused at dial"), "{text}");
        for hidden in SECRETS.iter().chain(&USERS) {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
    browser.click(".concerns a >> text=cache");
    assert_eq!(browser.ask("target"), "cache", "the link leads to the route");
}
