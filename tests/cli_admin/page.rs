//! The page at the control address, in a real browser.

use attache_kit::http::get;
use attache_kit::{Mounted, Script};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::support::{Running, SOON, echo, run, tcp_route, tcp_route_with_credential};

struct House {
    running: Running,
    folder: Mounted,
    _server: Script,
}

/// A route with a credential and one without, whose server is not there.
fn house() -> House {
    let (server, folder) = (echo(), Mounted::new(&[("username", "app-user"), ("password", "hunter2")]));
    let config = tcp_route_with_credential(server.addr(), folder.path());
    let lost = tcp_route("127.0.0.1:9".parse().unwrap()).replace("probe_interval: off", "probe_interval: 1s");
    let lost = lost.replace("routes:\n  echo:", "  lost:");
    House { running: run(&format!("{config}{lost}")), folder, _server: server }
}

impl House {
    fn page(&self) -> String {
        format!("http://{}/", self.running.control)
    }
}

/// What axe-core has to have looked at, and found nothing to complain of.
const LOOKED_AT: [&str; 12] = [
    "aria-hidden-focus",
    "button-name",
    "color-contrast",
    "document-title",
    "heading-order",
    "html-has-lang",
    "html-lang-valid",
    "landmark-one-main",
    "link-name",
    "list",
    "page-has-heading-one",
    "region",
];

/// Nothing on the page that is open keeps a reader out, sticks out, or goes against the policy.
pub(crate) fn fits(browser: &mut Browser, name: &str) {
    let found = browser.ask("barriers");
    assert_eq!((&found["barriers"], &found["unclear"]), (&json!([]), &json!([])), "{name}");
    for rule in LOOKED_AT {
        assert!(found["passed"].as_array().unwrap().contains(&rule.into()), "{name}: {rule} in {found}");
    }
    assert_eq!(browser.complaints(), json!([]), "{name}");
    assert!(browser.ask("overhang").as_i64().unwrap() <= 0, "{name}: it has to be moved sideways");
    assert_eq!(browser.ask("spilled"), json!([]), "{name}");
}

#[test]
fn the_page_is_fit_for_every_reader_in_light_in_dark_and_on_a_phone() {
    let Some(mut browser) = Browser::start() else { return };
    let house = house();
    let windows = [
        ("light", json!({ "scheme": "light" })),
        ("dark", json!({ "scheme": "dark" })),
        ("phone", json!({ "scheme": "light", "width": 360 })),
    ];
    let mut backgrounds = Vec::new();
    for (name, window) in windows {
        assert_eq!(browser.open(&house.page(), window), 200);
        browser.wait("#shown", "127.0.0.1:9 is down for");
        browser.picture(&format!("page-{name}.png"));
        fits(&mut browser, name);
        backgrounds.push(browser.ask("background"));
        let text = browser.text("body");
        assert!(text.contains("endpoint down") && text.contains("generation 1"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("app-user"), "{text}");
    }
    assert_ne!(backgrounds[0], backgrounds[1]);
    assert_eq!(backgrounds[0], backgrounds[2]);
}

#[test]
fn a_rotation_is_seen_while_the_page_is_open() {
    let Some(mut browser) = Browser::start() else { return };
    let house = house();
    browser.open(&house.page(), json!({}));
    browser.wait(".credential", "generation 1");
    browser.ask("mark");
    browser.order("focus", json!({ "selector": "#ending summary" }));
    browser.click("#ending summary");
    house.folder.credential("app-user", "hunter3");
    browser.wait(".credential", "generation 2");
    browser.wait(".events li", "credential loaded");
    assert_eq!(browser.ask("marked"), true, "it was not loaded again");
    assert_eq!(browser.ask("focused"), "End the process…", "the keyboard stays where it was");
    browser.wait("#ending[open] button", "End it now");
    assert_eq!(browser.complaints(), json!([]));
}

#[test]
fn the_buttons_work_and_the_page_tells_what_came_of_them() {
    let Some(mut browser) = Browser::start() else { return };
    let mut house = house();
    browser.open(&house.page(), json!({}));
    house.running.process.rewrite_config("routes: {}\nworkers: many\n");
    browser.click("form[action='/reload'] button");
    browser.wait(".concerns", "The configuration was not read again");
    browser.wait(".events li", "workers");
    browser.click("form[action='/drain'] button");
    browser.wait("h1", "Draining");
    assert_eq!(get(house.running.health, "/readyz").unwrap().status, 503);
    assert_eq!(browser.complaints(), json!([]));
    browser.click("#ending summary");
    browser.click("form[action='/quit'] button");
    assert_eq!(browser.text("body"), "ending");
    assert_eq!(house.running.process.wait_exit(SOON).code(), Some(0));
}

#[test]
fn without_a_script_the_page_tells_the_same_and_its_buttons_work() {
    let Some(mut browser) = Browser::start() else { return };
    let house = house();
    browser.open(&house.page(), json!({ "script": false, "width": 360, "scheme": "dark" }));
    browser.wait("h1", "lost is in trouble");
    browser.wait(".credential", "generation 1");
    house.folder.credential("app-user", "hunter3");
    // The browser itself asks again, every ten seconds.
    browser.wait(".credential", "generation 2");
    browser.picture("page-plain.png");
    browser.click("form[action='/drain'] button");
    browser.wait("h1", "Draining");
    assert_eq!(get(house.running.health, "/readyz").unwrap().status, 503);
}

#[test]
fn every_control_is_reached_by_keyboard_and_shows_it() {
    let Some(mut browser) = Browser::start() else { return };
    let house = house();
    browser.open(&house.page(), json!({}));
    browser.wait("#shown", "127.0.0.1:9 is down for");
    let expected = ["lost", "Read the configuration again", "Drain", "End the process…", "/status"];
    for name in expected {
        let Value::Object(control) = browser.ask("tab") else { panic!("{name}") };
        assert_eq!((&control["name"], &control["seen"]), (&name.into(), &true.into()));
    }
}

#[test]
fn another_site_can_neither_order_nor_show_the_page_in_a_frame() {
    let Some(mut browser) = Browser::start() else { return };
    let house = house();
    let control = house.running.control;
    let html = format!(
        "<form method=post action=http://{control}/drain><button>win</button></form>\
         <a href=http://{control}/>look</a><iframe src=http://{control}/></iframe>"
    );
    let evil = Script::serve(move |mut peer| {
        peer.read_some()?;
        let length = html.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n");
        peer.send((head + &html).as_bytes())
    });
    let evil = format!("http://{}/", evil.addr());
    browser.open(&evil, json!({}));
    let complaints = browser.complaints().to_string();
    assert!(complaints.contains("403"), "the frame got no page: {complaints}");
    browser.click("button");
    assert_eq!(browser.text("body"), "the request comes from another site");
    assert_eq!(get(house.running.health, "/readyz").unwrap().status, 200);
    browser.open(&evil, json!({}));
    browser.click("a");
    browser.wait("h1", "lost is in trouble");
}

#[test]
fn a_page_whose_process_is_gone_says_that_it_is_old() {
    let Some(mut browser) = Browser::start() else { return };
    let house = house();
    let page = house.page();
    browser.open(&page, json!({}));
    drop(house);
    browser.wait("#contact", " UTC: what is shown is old");
    browser.picture("page-lost.png");
    assert!(browser.ask("title").as_str().unwrap().starts_with("No answer · "), "the tab tells it too");
    assert_eq!(browser.ask("barriers")["barriers"], json!([]), "what is old can still be read");
}
