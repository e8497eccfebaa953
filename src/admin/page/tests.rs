use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};

use super::view;
use super::*;
use crate::secret::Warning;
use crate::status::{
    CredentialStatus, EndpointStatus, EventStatus, Named, Relayed, RouteStatus, SentinelStatus,
    SentinelsStatus, Status,
};

mod contrast;
mod crowd;

/// What would be markup, were it not escaped.
const MARKUP: &str = "<img src=x onerror=alert(1)>\"'&</script>";
const DAY: u64 = 86_400;

fn in_days(days: u64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + days * DAY + 60
}

fn endpoint(name: &str) -> EndpointStatus {
    EndpointStatus {
        endpoint: name.to_owned(),
        server: None,
        up: Some(true),
        state_age_seconds: Some(3 * DAY + 3_600),
        last_probe_age_seconds: Some(4),
        last_probe_seconds: Some(0.0031),
        stage: None,
        cause: None,
        detail: None,
        advice: None,
        server_version: Some("18.1".to_owned()),
        role: Some("primary"),
        superseded: false,
        certificate_not_after: Some(in_days(90)),
    }
}

fn credential() -> CredentialStatus {
    CredentialStatus {
        generation: Some(2),
        previous_generation: Some(1),
        generation_in_use: Some(2),
        state: "ok",
        settled: true,
        age_seconds: Some(240),
        file_age_seconds: Some(240),
        rejected: false,
        problem: None,
        warnings: Vec::new(),
        certificate_not_after: None,
    }
}

fn route(name: &str) -> RouteStatus {
    RouteStatus {
        name: name.to_owned(),
        protocol: "postgres",
        ready: true,
        listen: vec!["127.0.0.1:5432".to_owned()],
        sessions: 14,
        sessions_ended: BTreeMap::from([("ok", 1204), ("reset", 3)]),
        relayed: Relayed::from(crate::pulse::Totals { to_upstream: 1_500, to_client: 2_000_000 }),
        links_by_generation: BTreeMap::from([(1, 3), (2, 11)]),
        warm_links_by_generation: None,
        credential: Some(credential()),
        authorities_problem: None,
        authorities_warnings: Vec::new(),
        sentinels: None,
        endpoints: vec![endpoint("orders-1.db.example.com:5432")],
    }
}

fn status(routes: Vec<RouteStatus>) -> Status {
    Status {
        version: "0.0.0",
        host: Some("orders-7c9f6d5b8-x2lkq".to_owned()),
        uptime_seconds: 7_300,
        draining: false,
        ready: true,
        waiting_for: Vec::new(),
        workers: 2,
        last_reload_successful: true,
        routes,
        events: Vec::new(),
    }
}

fn shown(status: &Status) -> String {
    view::page(status, "0123456789abcdef").into_string()
}

fn down(mut endpoint: EndpointStatus) -> EndpointStatus {
    endpoint.state_age_seconds = Some(725);
    (endpoint.up, endpoint.stage, endpoint.cause) = (Some(false), Some("dial"), Some("connect_refused"));
    endpoint.advice = Some("nothing listens on that port");
    endpoint
}

fn sentinel(name: &str) -> SentinelStatus {
    SentinelStatus {
        endpoint: name.to_owned(),
        up: Some(true),
        state_age_seconds: Some(725),
        last_asked_age_seconds: Some(3),
        primary: Some("10.0.0.1:6379".to_owned()),
        epoch: Some(4),
        replicas: Some(2),
        announces: Some(true),
        cause: None,
        detail: None,
        advice: None,
        certificate_not_after: Some(in_days(90)),
    }
}

fn sentinels(endpoints: Vec<SentinelStatus>) -> SentinelsStatus {
    SentinelsStatus {
        master: "orders".to_owned(),
        credential: Some(credential()),
        primary: Some("10.0.0.1:6379".to_owned()),
        epoch: Some(4),
        endpoints,
    }
}

fn lost(sentinel: SentinelStatus) -> SentinelStatus {
    SentinelStatus {
        up: Some(false),
        primary: None,
        epoch: None,
        replicas: None,
        announces: None,
        cause: Some("sentinel_login_rejected"),
        detail: Some("NOAUTH Authentication required.".to_owned()),
        advice: Some("the Sentinels do not accept the login"),
        ..sentinel
    }
}

#[test]
fn sentinels_are_told_together_and_one_by_one() {
    let mut route = route("cache");
    let outdated = SentinelStatus { cause: Some("sentinel_outdated"), epoch: Some(3), ..sentinel("s-3:1") };
    let mut ending = sentinel("s-1:1");
    (ending.certificate_not_after, ending.announces) = (Some(in_days(3)), Some(false));
    route.sentinels = Some(sentinels(vec![ending, lost(sentinel("s-2:1")), outdated]));
    let status = status(vec![route]);
    let told = concerns::concerns(&status);
    let told: Vec<_> = told.iter().map(|concern| (concern.tone, concern.what.as_str())).collect();
    use concerns::Tone::Warn;
    let expected = [
        (Warn, "The certificate of Sentinel s-1:1 expires in 3\u{a0}d"),
        (Warn, "Sentinel s-2:1 has no report for 12\u{a0}min: sentinel_login_rejected"),
        (Warn, "Sentinel s-3:1 is not believed: sentinel_outdated"),
    ];
    assert_eq!(told, expected);
    let page = shown(&status);
    for words in [
        "<code>orders</code> is <code>10.0.0.1:6379</code>",
        "<span>epoch 4</span>",
        "<code>s-1:1</code>",
        "names <code>10.0.0.1:6379</code>",
        "2\u{a0}replicas",
        "asked 3\u{a0}s ago",
        "announces nothing",
        "certificate: 3\u{a0}d left",
        "<b>sentinel_login_rejected</b>: NOAUTH Authentication required.",
        "out of date",
        "their credential, generation 2",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[test]
fn it_is_told_what_it_means_that_no_sentinel_answers() {
    let of = |primary: Option<&str>, state| {
        let mut route = route("cache");
        let all = sentinels(vec![lost(sentinel("s-1:1")), lost(sentinel("s-2:1"))]);
        let credential = Some(CredentialStatus { state, ..credential() });
        route.sentinels = Some(SentinelsStatus { primary: primary.map(str::to_owned), credential, ..all });
        concerns::concerns(&status(vec![route]))
    };
    let still = of(Some("a:1"), "ok");
    assert_eq!((still.len(), still[0].what.as_str()), (3, "No Sentinel has a report on orders"));
    assert!(still[0].why.contains("were named last"), "{still:?}");
    let never = of(None, "rejected");
    assert_eq!(never.iter().filter(|concern| concern.tone == concerns::Tone::Bad).count(), 2);
    assert!(never[0].why.contains("No session finds a server"), "{never:?}");
    assert!(never.iter().any(|concern| concern.what == "The Sentinels reject the credential for Sentinels"));
}

#[test]
fn nothing_that_comes_from_outside_becomes_markup() {
    let mut route = route(MARKUP);
    route.listen = vec![MARKUP.to_owned()];
    let mut other = down(endpoint(MARKUP));
    (other.server, other.detail) = (Some(MARKUP.to_owned()), Some(MARKUP.to_owned()));
    other.server_version = Some(MARKUP.to_owned());
    route.endpoints.push(other);
    let named = Some(MARKUP.to_owned());
    let strange = SentinelStatus { primary: named.clone(), detail: named.clone(), ..lost(sentinel(MARKUP)) };
    let all = sentinels(vec![strange]);
    route.sentinels = Some(SentinelsStatus { master: MARKUP.to_owned(), primary: named.clone(), ..all });
    let credential = route.credential.as_mut().unwrap();
    credential.problem = Some(Named { name: "empty", text: MARKUP.to_owned() });
    route.authorities_problem = Some(MARKUP.to_owned());
    credential.warnings = vec![Named { name: "sub_path", text: MARKUP.to_owned() }];
    let mut status = status(vec![route]);
    (status.ready, status.waiting_for, status.host) = (false, vec![MARKUP.to_owned()], named);
    status.events = vec![EventStatus {
        at: jiff::Timestamp::UNIX_EPOCH,
        age_seconds: 1,
        level: "warn",
        name: MARKUP.to_owned(),
        route: Some(MARKUP.to_owned()),
        times: 1,
        facts: BTreeMap::from([("detail", MARKUP.to_owned())]),
    }];
    let page = shown(&status);
    assert!(!page.contains("<img") && !page.contains("\"'&<"), "{page}");
    assert_eq!(page.matches("</script>").count(), 1, "our own ends it, and nobody else does");
    assert!(page.matches("&lt;img src=x onerror=alert(1)&gt;").count() >= 10, "{page}");
}

#[test]
fn a_page_of_a_house_that_is_well_says_so_and_tells_every_figure() {
    let page = shown(&status(vec![route("orders")]));
    let expected = [
        "All is well",
        "1\u{a0}route, 14\u{a0}sessions, 2\u{a0}workers, running for 2\u{a0}h\u{a0}1\u{a0}min.",
        ">1\u{202f}204<",
        ">reset<",
        "2.0\u{a0}MB in all",
        "<b>orders-7c9f6d5b8-x2lkq</b>",
        "generation 2",
        "read 4\u{a0}min ago",
        "3\u{a0}connections with generation 1",
        "orders-1.db.example.com:5432",
        ">3\u{a0}d\u{a0}1\u{a0}h<",
        "probed 4\u{a0}s ago",
        "login in 3.1\u{a0}ms",
        "certificate: 90\u{a0}d left",
        "server 18.1",
    ];
    for words in expected {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("class=\"concerns\""), "{page}");
}

#[test]
fn what_is_wrong_comes_first_with_its_reason() {
    let mut one = route("orders");
    one.endpoints = vec![endpoint("a:1"), down(endpoint("b:1"))];
    one.endpoints[0].certificate_not_after = Some(in_days(3));
    let mut two = route("billing");
    two.endpoints = vec![down(endpoint("c:1"))];
    let mut status = status(vec![one, two]);
    status.last_reload_successful = false;
    let told = concerns::concerns(&status);
    let told: Vec<_> = told.iter().map(|concern| (concern.tone, concern.what.as_str())).collect();
    use concerns::Tone::{Bad, Warn};
    let expected = [
        (Bad, "c:1 is down for 12\u{a0}min: connect_refused"),
        (Warn, "The certificate of a:1 expires in 3\u{a0}d"),
        (Warn, "b:1 is down for 12\u{a0}min: connect_refused"),
        (Warn, "The configuration was not read again"),
    ];
    assert_eq!(told, expected);
    let page = shown(&status);
    assert!(
        page.contains("billing is in trouble") && page.contains("Nothing listens on that port."),
        "{page}"
    );
}

#[test]
fn the_latest_events_are_shown_with_what_tells_most_and_the_others_are_folded() {
    let mut status = status(Vec::new());
    let facts = [("advice", "do"), ("cause", "reset"), ("detail", "x"), ("a", "b"), ("duration_ms", "1")];
    let facts: BTreeMap<_, _> = facts.map(|(name, value)| (name, value.to_owned())).into();
    status.events = (0..30)
        .map(|number| EventStatus {
            at: jiff::Timestamp::UNIX_EPOCH,
            age_seconds: number,
            level: "warn",
            name: format!("event {number}"),
            route: None,
            times: number,
            facts: facts.clone(),
        })
        .collect();
    let page = shown(&status);
    let (open, folded) = page.split_once("<details id=\"older\"").expect("older lines are folded");
    assert!(open.contains("event 11<") && !open.contains("event 12<"), "{page}");
    assert!(folded.contains("18 before these") && folded.contains("event 29<"), "{page}");
    assert!(open.contains("11×") && !open.contains(">1×"), "{page}");
    let told =
        "<span>cause\u{a0}<b>reset</b></span> <span>a\u{a0}<b>b</b></span> <span>detail\u{a0}<b>x</b></span>";
    assert!(open.contains(told), "{page}");
    assert!(!page.contains("advice") && !page.contains("duration_ms"), "{page}");
}

#[test]
fn authorities_that_cannot_be_read_are_told_although_sessions_go_on() {
    let mut route = route("orders");
    route.authorities_problem = Some("/etc/attache/ca.pem: no certificate in it".to_owned());
    route.authorities_warnings = vec![Warning::NeverUpdates.into()];
    let page = shown(&status(vec![route]));
    assert!(page.contains("The file of certificate authorities cannot be used"), "{page}");
    assert!(page.contains("The file of certificate authorities is doubtful"), "{page}");
    assert!(
        page.contains("/etc/attache/ca.pem: no certificate in it. Those that were read before go on"),
        "{page}"
    );
}

#[test]
fn a_credential_that_is_missing_is_told_once_and_with_its_reason() {
    let mut route = route("orders");
    route.endpoints[0] = EndpointStatus { cause: Some("credential_missing"), ..down(endpoint("a:1")) };
    let problem = Some(Named { name: "missing_key", text: "there is no key `password`".to_owned() });
    route.credential = Some(CredentialStatus { state: "missing", generation: None, problem, ..credential() });
    let page = shown(&status(vec![route]));
    assert_eq!(page.matches("<p class=\"what\">").count(), 1, "{page}");
    assert!(
        page.contains("There is no key `password`: check the Secret, the mount path and its keys."),
        "{page}"
    );
    assert!(page.contains("<span>was primary</span>"), "{page}");
}

#[test]
fn a_credential_is_told_by_its_state() {
    let told = |state, generation_in_use| {
        let mut route = route("orders");
        route.credential = Some(CredentialStatus { state, generation_in_use, ..credential() });
        shown(&status(vec![route]))
    };
    assert!(told("ok", Some(2)).contains("accepted"));
    let degraded = told("degraded", Some(1));
    assert!(degraded.contains("Sessions go on with generation 1."), "{degraded}");
    assert!(degraded.contains("in use: generation 1"), "{degraded}");
    assert!(told("rejected", Some(2)).contains("The database rejects the credential"));
    assert!(told("untried", Some(2)).contains("untried"));
}

#[test]
fn orders_are_forms_with_the_token_and_a_drain_is_ordered_once() {
    let mut status = status(Vec::new());
    let page = shown(&status);
    for order in ["drain", "reload", "quit"] {
        let form = format!(
            "<form method=\"post\" action=\"/{order}\"><input type=\"hidden\" name=\"token\" value=\"0123456789abcdef\">"
        );
        assert!(page.contains(&form), "{page}");
    }
    status.draining = true;
    let page = shown(&status);
    assert!(page.contains(">Draining<") && !page.contains("action=\"/drain\""), "{page}");
}

#[test]
fn nothing_runs_or_is_fetched_but_what_the_page_brings() {
    let answer = Page::new(Token::new()).show(&status(vec![route("orders")]));
    assert_eq!(answer.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    for (kind, source) in [("style", STYLE), ("script", SCRIPT)] {
        assert!(policy.contains(&format!("{kind}-src '{}'", hash(source))), "{policy}");
    }
    let page = shown(&status(vec![route("orders")]));
    for (opens, source, closes) in [("<style>", STYLE, "</style>"), ("<script>", SCRIPT, "</script>")] {
        assert!(
            page.contains(&format!("{opens}{source}{closes}")),
            "the hash is of all that is between the tags"
        );
    }
    let without = page.replace(STYLE, "").replace(SCRIPT, "");
    assert!(!without.contains("style="), "the policy does not let it work: {without}");
    // The name of a notation is no place that anything is fetched from.
    let without = without.replace("http://www.w3.org/2000/svg", "");
    assert!(!without.contains("http://") && !without.contains("https://"), "{without}");
}
