//! The page, from top to bottom.

use std::collections::BTreeSet;

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::concerns::{Concern, Tone, concerns};
use super::marks::{ago, amount, badge, class, count, counted, duration, picture, sign};
use super::parts::parts;
use super::{SCRIPT, STYLE};
use crate::status::{EventStatus, RouteStatus, Status};

const ICON: &str = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>\
                    <path d='M8 1l7 7-7 7-7-7z' fill='%2317616b'/></svg>";
/// So many events are shown at once; the others are folded.
const EVENTS_SHOWN: usize = 12;
/// What is told about an event before the rest, and what at the end.
const TOLD_FIRST: [&str; 7] = ["cause", "result", "problem", "stage", "endpoint", "sentinel", "generation"];
const TOLD_LAST: &str = "detail";
/// What is not told: measures of one session, and what stands at the top of the page.
const LEFT_OUT: [&str; 7] =
    ["advice", "duration_ms", "kind", "login_ms", "retries", "to_client", "to_upstream"];

pub(super) fn page(status: &Status, token: &str) -> Markup {
    let concerns = concerns(status);
    let headline = headline(status, &concerns);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (headline.1) @if let Some(host) = &status.host { " · " (host) } " · Attaché" }
                link rel="icon" href=(ICON);
                noscript { meta http-equiv="refresh" content="10"; }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (masthead(status))
                main id="shown" {
                    (summary(status, &headline, &concerns))
                    @for (at, route) in status.routes.iter().enumerate() { (self::route(at, route, &concerns)) }
                    (events(&status.events))
                    (orders(status, token))
                }
                footer class="colophon" {
                    p id="contact" { "This page refreshes itself. The same in JSON is at " a href="/status" { "/status" } "." }
                    p id="said" class="unseen" role="status" {}
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn masthead(status: &Status) -> Markup {
    html! {
        header class="masthead" {
            p class="name" {
                svg viewBox="0 0 16 16" aria-hidden="true" { path d="M8 1l7 7-7 7-7-7z" {} }
                "Attaché"
            }
            p class="about" {
                @if let Some(host) = &status.host { b { (host) } " · " }
                "version " (status.version)
            }
        }
    }
}

/// Tone and words of what matters most.
fn headline(status: &Status, concerns: &[Concern]) -> (Tone, String) {
    let worst = concerns.first().map(|concern| concern.tone);
    match (status.draining, worst, concerns.len()) {
        (true, ..) => (worst.unwrap_or(Tone::Warn).min(Tone::Warn), "Draining".to_owned()),
        (false, Some(tone @ Tone::Bad), _) => (tone, in_trouble(concerns)),
        (false, Some(tone @ Tone::Warn), 1) => (tone, "One thing to look at".to_owned()),
        (false, Some(tone), number) => (tone, format!("{number} things to look at")),
        (false, None, _) if status.ready => (Tone::Good, "All is well".to_owned()),
        (false, None, _) => (Tone::Warn, "Not ready".to_owned()),
    }
}

/// The route by its name, where it is one.
fn in_trouble(concerns: &[Concern]) -> String {
    let bad = concerns.iter().filter(|concern| concern.tone == Tone::Bad);
    let routes: BTreeSet<_> = bad.filter_map(|concern| concern.route.as_deref()).collect();
    match routes.first() {
        Some(route) if routes.len() == 1 => format!("{route} is in trouble"),
        _ => format!("{} routes are in trouble", routes.len()),
    }
}

fn summary(status: &Status, (tone, headline): &(Tone, String), concerns: &[Concern]) -> Markup {
    let sessions: i64 = status.routes.iter().map(|route| route.sessions).sum();
    let (routes, sessions) = (status.routes.len() as u64, u64::try_from(sessions).unwrap_or(0));
    let uptime = duration(status.uptime_seconds);
    html! {
        section class={ "summary " (class(*tone)) } aria-labelledby="headline" {
            h1 id="headline" { (sign(*tone)) (headline) }
            p class="lead" {
                (counted(routes, "route")) ", " (counted(sessions, "session")) ", "
                (counted(status.workers as u64, "worker")) ", running for " (uptime) ". As of " (now()) "."
                @if status.draining { " Not ready any more; sessions are served until the process is told to end." }
                @else if !status.ready { " Readiness waits for: " (status.waiting_for.join(", ")) "." }
            }
            @if !concerns.is_empty() {
                ul class="concerns" { @for concern in concerns { (self::concern(status, concern)) } }
            }
        }
    }
}

fn concern(status: &Status, concern: &Concern) -> Markup {
    let at = status.routes.iter().position(|route| concern.route.as_deref() == Some(&route.name));
    html! {
        li class=(class(concern.tone)) {
            (told_sign(concern.tone))
            div {
                p class="what" {
                    (concern.what)
                    @if let (Some(at), Some(route)) = (at, &concern.route) {
                        " " span class="of" { "on " a href={ "#" (anchor(at)) } { (route) } }
                    }
                }
                @if !concern.why.is_empty() { p class="why" { (sentence(&concern.why)) } }
            }
        }
    }
}

/// Where on the page a route is: its name may have letters that an address has not.
fn anchor(at: usize) -> String {
    format!("route-{at}")
}

/// The sign of something bad, with a word for those who do not see it.
fn told_sign(tone: Tone) -> Markup {
    let word = match tone {
        Tone::Bad => "Failure:",
        Tone::Warn => "Warning:",
        Tone::Idle | Tone::Good => "",
    };
    html! { (sign(tone)) @if !word.is_empty() { span class="unseen" { (word) } } }
}

fn now() -> String {
    Timestamp::now().strftime("%H:%M:%S UTC").to_string()
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let end = if words.ends_with(['.', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

fn route(at: usize, route: &RouteStatus, concerns: &[Concern]) -> Markup {
    let (tone, word) = standing(route, concerns);
    html! {
        section class="route" id=(anchor(at)) aria-label={ "Route " (route.name) } {
            header {
                h2 { (route.name) }
                p class="kind" { (route.protocol) " on " (list(&route.listen)) }
                (badge(tone, word))
            }
            (figures(route))
            (picture(&route.relayed.history))
            (parts(route))
        }
    }
}

/// In a word, how a route stands.
fn standing(route: &RouteStatus, concerns: &[Concern]) -> (Tone, &'static str) {
    let mut own = concerns.iter().filter(|concern| concern.route.as_deref() == Some(&route.name));
    match (own.next().map(|worst| worst.tone), route.ready) {
        (Some(Tone::Bad), _) => (Tone::Bad, "in trouble"),
        (_, false) => (Tone::Warn, "not ready"),
        (Some(tone @ (Tone::Warn | Tone::Idle | Tone::Good)), true) => (tone, "serving"),
        (None, true) => (Tone::Good, "serving"),
    }
}

/// Addresses, set as such.
fn list(addresses: &[String]) -> Markup {
    html! {
        @for (index, address) in addresses.iter().enumerate() {
            @if index > 0 { ", " }
            code { (address) }
        }
    }
}

fn figures(route: &RouteStatus) -> Markup {
    let well = route.sessions_ended.get("ok").copied().unwrap_or(0);
    let failed = route.sessions_ended.values().sum::<u64>() - well;
    let relayed = &route.relayed;
    let per_second = |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| format!("{}/s", amount(rate)));
    // Nobody reads the lower digits of such numbers.
    let total = |octets: u64| format!("{} in all", amount(octets as f64));
    html! {
        dl class="figures" {
            (figure("Sessions now", &route.sessions.to_string(), ""))
            (figure("Ended well", &count(well), ""))
            (figure("Ended otherwise", &count(failed), &why_ended(route)))
            (figure("To the database", &per_second(relayed.to_upstream_bytes_per_second), &total(relayed.to_upstream_bytes)))
            (figure("To the application", &per_second(relayed.to_client_bytes_per_second), &total(relayed.to_client_bytes)))
        }
    }
}

fn figure(name: &str, value: &str, beside: &str) -> Markup {
    html! {
        div {
            dt { (name) }
            dd { (value) @if !beside.is_empty() { small { (beside) } } }
        }
    }
}

/// The most frequent reason.
fn why_ended(route: &RouteStatus) -> String {
    let causes: Vec<_> = route.sessions_ended.iter().filter(|(result, _)| **result != "ok").collect();
    match causes.iter().max_by_key(|(_, times)| **times) {
        Some((result, times)) if causes.len() > 1 => format!("{result}, {}×", count(**times)),
        Some((result, _)) => (*result).to_string(),
        None => String::new(),
    }
}

fn events(events: &[EventStatus]) -> Markup {
    let (latest, older) = events.split_at(events.len().min(EVENTS_SHOWN));
    html! {
        section class="events" id="events" aria-labelledby="happened" {
            h2 id="happened" { "Events" }
            p class="zone" { "Times are UTC." }
            @if events.is_empty() { p class="none" { "Nothing has happened yet." } }
            ol { @for event in latest { (self::event(event)) } }
            @if !older.is_empty() {
                details id="older" {
                    summary { (older.len()) " before these" }
                    ol { @for event in older { (self::event(event)) } }
                }
            }
        }
    }
}

fn event(event: &EventStatus) -> Markup {
    let tone = match event.level {
        "error" => Tone::Bad,
        "warn" => Tone::Warn,
        _ => Tone::Idle,
    };
    html! {
        li class=(class(tone)) {
            time datetime=(event.at) title=(event.at) { (moment(event.at)) }
            (told_sign(tone))
            div {
                p {
                    b { (event.name) }
                    @if event.times > 1 { " " span class="times" { (count(event.times)) "×" } }
                    @if let Some(route) = &event.route { " " span class="of" { (route) } }
                }
                p class="facts" {
                    @for (name, value) in facts(event) { span { (name) "\u{a0}" b { (value) } } " " }
                }
            }
            p class="ago" { (ago(event.age_seconds)) }
        }
    }
}

/// With the day, where that is not this one.
fn moment(at: Timestamp) -> Markup {
    let day = |at: Timestamp| at.strftime("%-d %b").to_string();
    html! {
        @if day(at) != day(Timestamp::now()) { span class="day" { (day(at)) } " " }
        (at.strftime("%H:%M:%S"))
    }
}

/// The fields worth telling, the most telling first.
fn facts(event: &EventStatus) -> Vec<(&'static str, &str)> {
    let rank = |name: &str| match name {
        TOLD_LAST => usize::MAX,
        name => TOLD_FIRST.iter().position(|first| *first == name).unwrap_or(TOLD_FIRST.len()),
    };
    let told = event.facts.iter().filter(|(name, _)| !LEFT_OUT.contains(name));
    let mut told: Vec<_> = told.map(|(name, value)| (*name, value.as_str())).collect();
    told.sort_by_key(|(name, _)| rank(name));
    told
}

/// Forms, for they need no script. The one that cannot be taken back asks for a second step.
fn orders(status: &Status, token: &str) -> Markup {
    let form = |path: &str, word: &str, kind: &str| {
        html! {
            form method="post" action=(path) {
                input type="hidden" name="token" value=(token);
                button class=(kind) { (word) }
            }
        }
    };
    html! {
        section class="orders" id="orders" aria-labelledby="actions" {
            h2 id="actions" { "Actions" }
            div {
                (form("/reload", "Read the configuration again", ""))
                p { "What has not changed goes on untouched; a configuration that is wrong changes nothing." }
            }
            div {
                @if status.draining { p class="done" { "Draining since it was told to." } }
                @else { (form("/drain", "Drain", "")) }
                p { "Readiness fails, and sessions are served on, new ones too. There is no way back but a new start." }
            }
            div {
                details id="ending" {
                    summary { "End the process…" }
                    p { "Sessions have the time of a drain, and then they are cut." }
                    (form("/quit", "End it now", "grave"))
                }
            }
        }
    }
}
