//! A house in which everything happens at once.

use std::collections::BTreeSet;

use super::*;
use crate::pulse::Rate;

const LONG_HOST: &str =
    "orders-production-cluster-instance-1.c9akciq32rkz.eu-central-1.rds.amazonaws.com:5432";

fn busy(name: &str, protocol: &'static str, listen: &[&str]) -> RouteStatus {
    let mut route = route(name);
    route.protocol = protocol;
    route.listen = listen.iter().map(ToString::to_string).collect();
    let wave = |beat: usize| Rate {
        to_upstream: 4e4 + 3e4 * (beat as f64 / 5.0).sin(),
        to_client: 2e6 + 1.6e6 * (beat as f64 / 7.0).cos(),
    };
    route.relayed.rates((0..60).map(wave).collect());
    route
}

fn orders() -> RouteStatus {
    let mut orders = busy("orders", "postgres", &["127.0.0.1:5432", "unix:/run/attache/.s.PGSQL.5432"]);
    orders.endpoints = vec![endpoint(LONG_HOST), down(endpoint("orders-2.db.example.com:5432"))];
    orders.endpoints[0].certificate_not_after = Some(in_days(5));
    orders.endpoints[1].detail = Some("not done within 5s".to_owned());
    orders.credential = Some(CredentialStatus {
        generation: Some(7),
        previous_generation: Some(6),
        generation_in_use: Some(6),
        state: "degraded",
        settled: false,
        rejected: true,
        ..credential()
    });
    orders.links_by_generation = BTreeMap::from([(6, 21), (7, 0)]);
    orders.warm_links_by_generation = Some(BTreeMap::from([(6, 2)]));
    orders
}

fn cache() -> RouteStatus {
    let mut cache = busy("cache", "redis", &["127.0.0.1:6379"]);
    cache.endpoints = (1..=3)
        .map(|place| {
            let mut endpoint = endpoint(&format!("orders#{place}"));
            endpoint.server = Some(format!("10.0.0.{place}:6379"));
            endpoint.role = Some(if place == 1 { "primary" } else { "replica" });
            endpoint
        })
        .collect();
    let outdated = SentinelStatus {
        cause: Some("sentinel_outdated"),
        advice: Some(
            "this Sentinel reports an older state than another one did: it has lost touch with the others",
        ),
        epoch: Some(3),
        ..sentinel("sentinel-3.example.com:26379")
    };
    let mut ending = sentinel("sentinel-1.example.com:26379");
    ending.certificate_not_after = Some(in_days(1));
    let all = vec![ending, lost(sentinel("sentinel-2.example.com:26379")), outdated];
    cache.sentinels = Some(sentinels(all));
    cache
}

fn event(number: u64) -> EventStatus {
    let (level, name, facts) = match number % 5 {
        0 => ("info", "credential loaded", vec![("generation", "7")]),
        1 => (
            "warn",
            "endpoint down",
            vec![
                ("cause", "connect_timed_out"),
                ("endpoint", "orders-2.db.example.com:5432"),
                ("stage", "dial"),
                ("detail", "not done within 5s"),
            ],
        ),
        2 => (
            "warn",
            "session ended",
            vec![
                ("result", "upstream_closed"),
                ("stage", "relay"),
                ("session", "1f3a-99"),
                ("endpoint", LONG_HOST),
            ],
        ),
        3 => (
            "error",
            "the configuration is wrong",
            vec![(
                "complaint",
                "/etc/attache/attache.yaml:12: routes.orders.upstream.tls.ca: there is no such file",
            )],
        ),
        _ => ("info", "endpoint up", vec![("endpoint", LONG_HOST)]),
    };
    let age_seconds = number * number * 97;
    EventStatus {
        at: jiff::Timestamp::now() - jiff::SignedDuration::from_secs(age_seconds.cast_signed()),
        age_seconds,
        level,
        name: name.to_owned(),
        route: Some("orders".to_owned()),
        times: if number % 5 == 2 { 1234 } else { 1 },
        facts: facts.into_iter().map(|(name, value)| (name, value.to_owned())).collect(),
    }
}

fn crowd() -> Status {
    let mut reports = busy("reports", "mysql", &["127.0.0.1:3306"]);
    reports.ready = false;
    reports.endpoints = vec![down(endpoint("reports.db.example.com:3306"))];
    reports.credential = Some(CredentialStatus {
        generation: None,
        previous_generation: None,
        generation_in_use: None,
        state: "missing",
        problem: Some(Named {
            name: "missing_key",
            text: "there is no key `password` in /var/run/secrets/attache/reports".to_owned(),
        }),
        ..credential()
    });
    let mut quiet = route("the-ledger-of-the-warehouse-in-the-north-that-nobody-renamed-since-the-merger");
    quiet.protocol = "tcp";
    (quiet.credential, quiet.sessions) = (None, 0);
    (quiet.links_by_generation, quiet.sessions_ended) = (BTreeMap::new(), BTreeMap::new());
    quiet.endpoints[0].up = None;
    quiet.endpoints[0].last_probe_age_seconds = None;
    quiet.endpoints[0].state_age_seconds = None;
    let mut status = status(vec![orders(), cache(), reports, quiet]);
    (status.ready, status.waiting_for) = (false, vec!["credential of reports".to_owned()]);
    status.last_reload_successful = false;
    status.events = (0..40).map(event).collect();
    status
}

/// What stands between `before` and the next quote.
fn quoted<'a>(page: &'a str, before: &str) -> Vec<&'a str> {
    page.split(before).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn a_crowded_page_keeps_its_order_and_every_link_leads_somewhere() {
    let page = shown(&crowd());
    let ids = quoted(&page, " id=\"");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    for target in quoted(&page, "href=\"#").into_iter().chain(quoted(&page, "aria-labelledby=\"")) {
        assert!(ids.contains(&target), "{target}");
    }
    let levels = page.split("<h").skip(1).filter_map(|rest| rest.chars().next()?.to_digit(10));
    let levels: Vec<_> = levels.collect();
    assert_eq!(levels.first(), Some(&1));
    assert!(levels.windows(2).all(|two| two[1] <= two[0] + 1), "no level is left out: {levels:?}");
    assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1);
}
