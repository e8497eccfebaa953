//! The keys of the whole configuration: each is declared here, or in the file of its section.
//!
//! To read is to declare: what these functions say of a key is what the schema and the documentation say.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::ProtocolFacts;
use super::address::{self, is_local, overlap};
use super::domain::{Config, Drain, Level, ListenAddress, Listeners, Log, LogFormat, Route};
use super::duration::duration;
use super::kind::{Kind, choice, count};
use super::reader::Section;
use super::route;
use super::telemetry;

/// Nobody wants to wait longer, and a slip of the unit is found.
pub(super) const UP_TO_A_DAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(24 * 3600);
/// Less than a millisecond is no time to connect to anything.
pub(super) const SOME_TIME: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);
/// More often than once a second is a burden, less than once an hour is no safety net.
pub(super) const NOW_AND_THEN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// More threads than any machine has cores.
const MOST_WORKERS: u64 = 1024;

/// The whole configuration. What it returns counts only if there are no complaints.
pub(super) fn read(top: &Section<'_, '_>, protocols: &[ProtocolFacts]) -> Config {
    let config = Config {
        health: health(top),
        control: control(top),
        drain: drain(top),
        log: log(top),
        telemetry: telemetry::read(top),
        workers: workers(top),
        routes: routes(top, protocols),
    };
    check_routes(top, &config.routes);
    check_addresses(top, &config);
    config
}

/// Where operators ask, for whoever asks a process that may run on an earlier state of the configuration.
pub(super) fn listeners(top: &Section<'_, '_>) -> Listeners {
    Listeners { health: health(top), control: control(top) }
}

fn health(top: &Section<'_, '_>) -> Option<SocketAddr> {
    top.key("health", "Where `/livez`, `/readyz`, `/startupz` and `/metrics` answer. They are read-only.")
        .example("0.0.0.0:9900")
        .or("127.0.0.1:9900", &address::tcp().or_off())
}

fn control(top: &Section<'_, '_>) -> Option<ListenAddress> {
    let control = top
        .key("control", "Where `/status` and the actions answer: loopback or a Unix socket.")
        .example("unix:/run/attache/control.sock")
        .or("127.0.0.1:9901", &address::listen().or_off());
    if control.as_ref().is_some_and(|address| !is_local(address)) {
        let reason = "must be loopback or a Unix socket: who reaches it can stop the process";
        top.complain("control", reason, "write for example 127.0.0.1:9901");
    }
    control
}

fn drain(top: &Section<'_, '_>) -> Drain {
    top.section("drain", "How the process ends when it is told to.", |drain| {
        let deadline = drain
            .key("deadline", "From the signal to the end at the latest. Stay below the pod's grace period (30s by default).")
            .or("25s", &duration(UP_TO_A_DAY));
        let linger = drain
            .key(
                "linger",
                "How long no new session must have come before the process ends. A classic sidecar, which is \
                 stopped together with its application, sets some seconds.",
            )
            .example("5s")
            .or("0s", &duration(UP_TO_A_DAY));
        if linger > deadline {
            drain.complain("linger", "is longer than drain.deadline, which would always come first", "");
        }
        Drain { deadline, linger }
    })
}

fn log(top: &Section<'_, '_>) -> Log {
    top.section("log", "What is written to standard error.", |log| Log {
        format: log
            .key("format", "JSON lines, or text for people; `auto` is text on a terminal and JSON elsewhere.")
            .or(
                "auto",
                &choice(&[("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)]),
            ),
        level: log.key("level", "How much is written.").or("info", &level()),
    })
}

fn level() -> Kind<Level> {
    choice(&[
        ("error", Level::Error),
        ("warn", Level::Warn),
        ("info", Level::Info),
        ("debug", Level::Debug),
        ("trace", Level::Trace),
    ])
}

fn workers(top: &Section<'_, '_>) -> Option<usize> {
    top.key(
        "workers",
        "How many threads serve sessions; `auto` is one for two cores that the container is allowed.",
    )
    .example("2")
    .or("auto", &count(1..=MOST_WORKERS).or_word("auto"))
    .and_then(|workers| usize::try_from(workers).ok())
}

fn routes(top: &Section<'_, '_>, protocols: &[ProtocolFacts]) -> Vec<Route> {
    let means = "What is served, by name. A name has up to 63 small letters, digits, `-` and `_`.";
    let routes = top.named("routes", means, |name, section| route::read(name, section, protocols));
    routes.into_iter().flatten().collect()
}

fn check_routes(top: &Section<'_, '_>, routes: &[Route]) {
    if routes.is_empty() && !top.has_any("routes") {
        let hint = match top.is_told_anything() {
            true => "add a section such as routes: { orders: { protocol: …, listen: …, upstream: … } }",
            false => "name a configuration with -c FILE",
        };
        top.complain_of_absence("routes", "there is no route, so there is nothing to serve", hint);
    }
}

/// Everything that is listened on must be a different address.
fn check_addresses(top: &Section<'_, '_>, config: &Config) {
    let mut taken: Vec<(String, ListenAddress)> = Vec::new();
    let health = config.health.map(|address| ("health".to_owned(), ListenAddress::Tcp(address)));
    let control = config.control.clone().map(|address| ("control".to_owned(), address));
    let listeners = config.routes.iter().flat_map(|route| {
        let one = route.listen.len() == 1;
        route.listen.iter().enumerate().map(move |(index, address)| {
            let item = if one { String::new() } else { format!("[{index}]") };
            (format!("routes.{}.listen{item}", route.name), address.clone())
        })
    });
    for (key, address) in health.into_iter().chain(control).chain(listeners) {
        if let Some((first, _)) = taken.iter().find(|(_, other)| overlap(&address, other)) {
            top.complain(&key, format!("{address} is taken already by {first}"), "");
        }
        taken.push((key, address));
    }
}
