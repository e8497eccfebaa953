//! The keys of `tls`: of a route's upstream, and of its Sentinels.

use std::path::PathBuf;

use super::ProtocolFacts;
use super::address;
use super::domain::{Endpoint, Tls, TlsMode};
use super::kind::{Kind, choice, path};
use super::reader::Section;

pub(super) fn read(upstream: &Section<'_, '_>, possible: &[ProtocolFacts], endpoints: &[Endpoint]) -> Tls {
    let only_unix =
        !endpoints.is_empty() && endpoints.iter().all(|endpoint| matches!(endpoint, Endpoint::Unix(_)));
    upstream.short_section(
        "tls",
        "mode",
        "How the link is encrypted and whom it trusts. A Unix socket has no TLS.",
        |tls| {
            let (mode, ca, server_name) = trust(tls);
            let direct = negotiation(tls, possible);
            check_tls(tls, mode, only_unix);
            Tls { mode: if only_unix { TlsMode::Off } else { mode }, ca, server_name, direct }
        },
    )
}

/// How much is verified of a server.
pub(super) fn tls_mode() -> Kind<TlsMode> {
    choice(&TlsMode::ALL.map(|mode| (mode.name(), mode)))
}

/// Whom a link trusts.
pub(super) fn trust(tls: &Section<'_, '_>) -> (TlsMode, Option<PathBuf>, Option<String>) {
    let mode = tls
        .key(
            "mode",
            "What is verified of the server: chain and name, the chain alone, nothing; or no TLS at all.",
        )
        .or("verify-full", &tls_mode());
    let ca = tls
        .key("ca", "A PEM file of the certificate authorities to trust, instead of those of the system.")
        .example("/etc/attache/ca.pem")
        .optional(&path())
        .map(|path| tls.resolve("ca", &path));
    let server_name = tls
        .key("server_name", "The name in the server's certificate, where it is not the host of the endpoint.")
        .example("orders.db.example.com")
        .optional(&address::server_name());
    (mode, ca, server_name)
}

/// Whether TLS starts at once.
fn negotiation(tls: &Section<'_, '_>, possible: &[ProtocolFacts]) -> bool {
    let negotiating = possible.iter().filter(|protocol| protocol.negotiates_tls);
    let words: Vec<_> =
        negotiating.map(|protocol| (protocol.name, false)).chain([("direct", true)]).collect();
    let negotiation = tls
        .key(
            "negotiation",
            "How TLS begins: `direct` at once, or asked for in the protocol, under the protocol's name. The default is \
             the protocol's own way, where it has one.",
        )
        .example("direct")
        .optional(&choice(&words));
    // The first word is the protocol's own way where it has one.
    negotiation.unwrap_or(words[0].1)
}

pub(super) fn check_tls(tls: &Section<'_, '_>, mode: TlsMode, only_unix: bool) {
    if mode == TlsMode::Off {
        for key in ["ca", "server_name", "negotiation"].into_iter().filter(|key| tls.has(key)) {
            tls.complain(key, "has no effect: tls.mode is off", "remove it, or set tls.mode: verify-full");
        }
    } else if only_unix && tls.has("mode") {
        tls.complain("mode", "has no effect: a Unix socket has no TLS", "remove it");
    }
    if mode == TlsMode::InsecureNoVerify && tls.has("ca") {
        tls.complain("ca", "has no effect: insecure-no-verify verifies nothing", "set tls.mode: verify-full");
    }
}
