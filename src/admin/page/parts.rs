//! What a route stands on: its credential, its servers, its Sentinels. One item each, the sign and the word first.

use maud::{Markup, html};

use super::concerns::{Tone, validity};
use super::marks::{ago, badge, class, counted, duration, left, milliseconds, sign};
use crate::status::{CredentialStatus, EndpointStatus, RouteStatus, SentinelStatus, SentinelsStatus};

/// What the page says of one: the sign and the word, its name, and whatever is known of it.
struct Item {
    tone: Tone,
    word: String,
    /// How long it has been so.
    since: Option<u64>,
    name: Markup,
    facts: Vec<Markup>,
    trouble: Option<Markup>,
}

impl Item {
    fn show(&self) -> Markup {
        html! {
            li {
                div class="state" {
                    (badge(self.tone, &self.word))
                    @if let Some(since) = self.since { p class="since" { (duration(since)) } }
                }
                div {
                    p class="who" { (self.name) }
                    @if !self.facts.is_empty() {
                        p class="facts" { @for fact in &self.facts { (fact) " " } }
                    }
                    @if let Some(trouble) = &self.trouble { p class="trouble" { (trouble) } }
                }
            }
        }
    }
}

pub(super) fn parts(route: &RouteStatus) -> Markup {
    let servers = route.endpoints.iter().map(server).collect::<Vec<_>>();
    html! {
        @if let Some(credential) = &route.credential {
            (part("Credential", "credential", &[self::credential(credential, links(route))]))
        }
        (part(if servers.len() == 1 { "Server" } else { "Servers" }, "servers", &servers))
        @if let Some(sentinels) = &route.sentinels { (part("Sentinels", "sentinels", &of_sentinels(sentinels))) }
    }
}

fn part(title: &str, kind: &str, items: &[Item]) -> Markup {
    html! {
        div class={ "part " (kind) } {
            h3 { (title) }
            @if items.is_empty() { p class="none" { "None is known yet." } }
            @else { ul { @for item in items { (item.show()) } } }
        }
    }
}

fn fact(told: impl AsRef<str>) -> Markup {
    html! { span { (told.as_ref()) } }
}

fn credential(credential: &CredentialStatus, links: Vec<Markup>) -> Item {
    let (tone, word) = match credential.state {
        "ok" => (Tone::Good, "accepted"),
        "degraded" => (Tone::Warn, "rejected"),
        "rejected" => (Tone::Bad, "rejected"),
        "missing" => (Tone::Bad, "missing"),
        other => (Tone::Idle, other),
    };
    let name = match credential.generation {
        Some(generation) => html! { "generation " (generation) },
        None => html! { "no generation" },
    };
    let age = credential.age_seconds.map(|age| fact(format!("read {}", ago(age))));
    let in_use = credential.generation_in_use.filter(|in_use| Some(*in_use) != credential.generation);
    let in_use = in_use.map(|in_use| html! { span class="warn" { "in use: generation " (in_use) } });
    let end = credential.certificate_not_after.map(|end| certificate("client certificate", end));
    Item {
        tone,
        word: word.to_owned(),
        since: None,
        name,
        facts: age.into_iter().chain(in_use).chain(links).chain(end).collect(),
        trouble: credential.problem.as_ref().map(|problem| html! { (problem.text) }),
    }
}

/// How many connections there are with each generation: with the current one also if there are none.
fn links(route: &RouteStatus) -> Vec<Markup> {
    let current = route.credential.as_ref().and_then(|credential| credential.generation);
    let active = route.links_by_generation.iter().filter(|(generation, links)| {
        let is_current = Some(**generation) == current;
        **links > 0 || is_current
    });
    let active = active.map(|(generation, links)| {
        let links = counted(u64::try_from(*links).unwrap_or(0), "connection");
        fact(format!("{links} with generation {generation}"))
    });
    let warm = route.warm_links_by_generation.iter().flatten().filter(|(_, links)| **links > 0);
    let warm = warm.map(|(generation, links)| fact(format!("{links} warm with generation {generation}")));
    active.chain(warm).collect()
}

fn server(endpoint: &EndpointStatus) -> Item {
    let (tone, word) = match endpoint.up {
        Some(true) => (Tone::Good, "up"),
        Some(false) => (Tone::Bad, "down"),
        None => (Tone::Idle, "not probed"),
    };
    let role = endpoint.role.map(|role| match (endpoint.up, endpoint.superseded) {
        (Some(false), _) => fact(format!("was {role}")),
        (Some(true) | None, true) => html! { span class="warn" { (role) ", superseded" } },
        (Some(true) | None, false) => fact(role),
    });
    let probed = endpoint.last_probe_age_seconds.map(|age| fact(format!("probed {}", ago(age))));
    let took = endpoint.last_probe_seconds.filter(|_| endpoint.up == Some(true));
    let took = took.map(|seconds| fact(format!("login in {}", milliseconds(seconds))));
    let end = endpoint.certificate_not_after.map(|end| certificate("certificate", end));
    let version = endpoint.server_version.as_ref().map(|version| fact(format!("server {version}")));
    Item {
        tone,
        word: word.to_owned(),
        since: endpoint.state_age_seconds,
        name: html! {
            code { (endpoint.endpoint) }
            @if let Some(server) = &endpoint.server { " is " code { (server) } }
        },
        facts: [role, probed, took, end, version].into_iter().flatten().collect(),
        trouble: trouble(endpoint.stage, endpoint.cause, endpoint.detail.as_deref()),
    }
}

/// First what they say together, then each of them.
fn of_sentinels(sentinels: &SentinelsStatus) -> Vec<Item> {
    let (tone, word) = match &sentinels.primary {
        Some(_) => (Tone::Good, "followed"),
        None => (Tone::Idle, "no report"),
    };
    let together = Item {
        tone,
        word: word.to_owned(),
        since: None,
        name: html! {
            code { (sentinels.master) }
            @if let Some(primary) = &sentinels.primary { " is " code { (primary) } }
        },
        facts: sentinels.epoch.iter().map(|epoch| fact(format!("epoch {epoch}"))).collect(),
        trouble: None,
    };
    let login = sentinels.credential.iter().map(|login| {
        let item = credential(login, Vec::new());
        Item { name: html! { "their credential, " (item.name) }, ..item }
    });
    [together].into_iter().chain(sentinels.endpoints.iter().map(sentinel)).chain(login).collect()
}

fn sentinel(sentinel: &SentinelStatus) -> Item {
    let (tone, word) = match (sentinel.up, sentinel.cause) {
        (Some(true), None) => (Tone::Good, "answers"),
        (Some(true), Some(_)) => (Tone::Warn, "out of date"),
        (Some(false), _) => (Tone::Bad, "no report"),
        (None, _) => (Tone::Idle, "not asked"),
    };
    let primary = sentinel.primary.as_ref().map(|primary| html! { span { "names " code { (primary) } } });
    let epoch = sentinel.epoch.map(|epoch| fact(format!("epoch {epoch}")));
    let replicas = sentinel.replicas.map(|replicas| fact(counted(replicas as u64, "replica")));
    let silent = (sentinel.announces == Some(false)).then(|| fact("announces nothing"));
    let asked = sentinel.last_asked_age_seconds.map(|age| fact(format!("asked {}", ago(age))));
    let end = sentinel.certificate_not_after.map(|end| certificate("certificate", end));
    Item {
        tone,
        word: word.to_owned(),
        since: sentinel.state_age_seconds,
        name: html! { code { (sentinel.endpoint) } },
        facts: [primary, epoch, replicas, silent, asked, end].into_iter().flatten().collect(),
        trouble: trouble(None, sentinel.cause, sentinel.detail.as_deref()),
    }
}

fn certificate(what: &str, end: u64) -> Markup {
    let tone = validity(end);
    html! {
        span class=(class(tone)) { @if tone != Tone::Good { (sign(tone)) } (what) ": " (left(end)) }
    }
}

fn trouble(stage: Option<&str>, cause: Option<&str>, detail: Option<&str>) -> Option<Markup> {
    let cause = cause?;
    let detail = detail.filter(|detail| !detail.is_empty());
    Some(html! {
        b { (cause) }
        @if let Some(stage) = stage { " at " (stage) }
        @if let Some(detail) = detail { ": " (detail) }
    })
}
