//! The keys of `upstream.sentinel`.

use super::address::{self, members};
use super::complaint::quote;
use super::credential::folder;
use super::domain::{CredentialSource, Endpoint, MOST_MEMBERS, Role, Sentinel, Tls, TlsMode};
use super::duration::duration;
use super::keys::NOW_AND_THEN;
use super::kind::{Kind, Wrong};
use super::reader::Section;
use super::tls::{check_tls, trust};
use super::upstream::check_twice;
use super::{ProtocolFacts, SENTINEL};

/// Longer names are nobody's.
const MASTER_LIMIT: usize = 100;

/// The section, up to what it takes over from `upstream`.
pub(super) struct Draft {
    endpoints: Vec<Endpoint>,
    master: String,
    credential: Option<CredentialSource>,
    tls: Option<Tls>,
    poll: std::time::Duration,
}

pub(super) fn read(upstream: &Section<'_, '_>, protocol: Option<&ProtocolFacts>) -> Option<Draft> {
    let means = "Instead of `endpoints`: the Sentinels that name the servers (`redis` only). All of them are asked, and listened \
                 to; the report that counts is the newest one.";
    upstream.complain_of_company(SENTINEL, &["endpoints", "srv"]);
    let draft = upstream.optional_section(SENTINEL, means, |sentinel| draft(sentinel, protocol))?;
    if let Some(protocol) = protocol.filter(|protocol| protocol.sentinel_port.is_none()) {
        let reason = format!("{} has no Sentinels", protocol.name);
        upstream.complain(SENTINEL, reason, "name the servers in upstream.endpoints");
    }
    draft
}

fn draft(sentinel: &Section<'_, '_>, protocol: Option<&ProtocolFacts>) -> Option<Draft> {
    let port = protocol.and_then(|protocol| protocol.sentinel_port);
    let endpoints = sentinel
        .key("endpoints", "The Sentinels' addresses, 8 at most. Without a port, 26379 is meant.")
        .example("[\"sentinel-1.example.com\", \"sentinel-2.example.com\", \"sentinel-3.example.com\"]")
        .required(&address::endpoint(port).one_or_more());
    let master = sentinel
        .key("master", "Under which name the Sentinels know the servers.")
        .example("orders")
        .required(&master());
    let means = "What Attaché logs in to the Sentinels with; without it, it does not. They have passwords and accounts of \
                 their own. The keys are those of `credential`.";
    let credential = sentinel.optional_section("credential", means, folder).flatten();
    let means = "How the links to the Sentinels are encrypted and whom they trust. Without it, as `upstream.tls` says, and each \
                 by its own name.";
    let tls = sentinel.has("tls");
    let own = sentinel.short_section("tls", "mode", means, |tls| {
        let (mode, ca, server_name) = trust(tls);
        check_tls(tls, mode, false);
        Tls { mode, ca, server_name, direct: true }
    });
    let poll = sentinel
        .key("poll", "How often each of them is asked even if it has announced nothing.")
        .or("10s", &duration(NOW_AND_THEN));
    check_twice(sentinel, endpoints.as_deref().unwrap_or_default());
    if endpoints.as_ref().is_some_and(|endpoints| endpoints.len() > MOST_MEMBERS) {
        sentinel.complain("endpoints", format!("names more than {MOST_MEMBERS} Sentinels"), "leave some out");
    }
    Some(Draft { endpoints: endpoints?, master: master?, credential, tls: tls.then_some(own), poll })
}

fn master() -> Kind<String> {
    let schema = serde_json::json!({"type": "string", "pattern": "^[-._a-zA-Z0-9]{1,100}$"});
    Kind::of_text("name", schema, |name| {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
        match (1..=MASTER_LIMIT).contains(&name.len()) && name.chars().all(is_letter) {
            true => Ok(name.to_owned()),
            false => Err(Wrong::new(
                format!("{} is no name that Sentinels take", quote(name)),
                "it has 1 to 100 letters, digits, -, _ and .",
            )),
        }
    })
}

impl Draft {
    /// The places of the servers that the Sentinels will name: for those that write, of one.
    pub(super) fn places(&self, role: Role) -> Vec<Endpoint> {
        let most = if role == Role::Primary { 1 } else { MOST_MEMBERS };
        members(&self.master, most)
    }

    /// With what `upstream.tls` says, where nothing else is said.
    pub(super) fn finish(self, upstream: &Section<'_, '_>, of_servers: &Tls) -> Sentinel {
        let Self { endpoints, master, credential, tls, poll } = self;
        let tls = tls.unwrap_or_else(|| Tls { server_name: None, direct: true, ..of_servers.clone() });
        let anybody = matches!(tls.mode, TlsMode::Off | TlsMode::InsecureNoVerify);
        if anybody && of_servers.mode == TlsMode::VerifyFull && of_servers.server_name.is_none() {
            let reason = "the Sentinels are not verified, so that whoever answers in their place chooses the server, and with it \
                          the name that its certificate has to have";
            let hint = "set upstream.tls.server_name to the name in the servers' certificates, or verify the Sentinels";
            upstream.complain(SENTINEL, reason, hint);
        }
        Sentinel { endpoints, master, credential, tls, poll }
    }
}
