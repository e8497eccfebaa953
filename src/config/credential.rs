//! The keys of `credential`: of a route, and of its Sentinels.

use super::ProtocolFacts;
use super::domain::{CredentialKeys, CredentialSource, Live, OnRotation};
use super::duration::duration;
use super::keys::{NOW_AND_THEN, UP_TO_A_DAY};
use super::kind::{Kind, Wrong, choice, path};
use super::reader::Section;

pub(super) fn read(
    route: &Section<'_, '_>,
    protocol: Option<&ProtocolFacts>,
) -> Option<(CredentialSource, OnRotation)> {
    let means = "What Attaché logs in with. Required where the protocol logs in as a user.";
    if protocol.is_some_and(|protocol| protocol.needs_user) && !route.has("credential") {
        let reason = "credential is missing: the protocol logs in as a user";
        route.complain_of_absence(
            "",
            reason,
            "for example credential: { path: /var/run/secrets/attache/orders }",
        );
    }
    route.optional_section("credential", means, |credential| {
        let source = folder(credential);
        let on_rotation = on_rotation(credential);
        source.map(|source| (source, on_rotation))
    })?
}

/// Where a credential is mounted.
pub(super) fn folder(credential: &Section<'_, '_>) -> Option<CredentialSource> {
    let path = credential
        .key("path", "The folder in which the Secret is mounted; a relative one is relative to the configuration file.")
        .example("/var/run/secrets/attache/orders")
        .required(&path())
        .map(|path| credential.resolve("path", &path));
    let keys = credential.section("keys", "Names of the keys, that is of the files in the folder.", keys);
    let poll = credential
        .key("poll", "How often the folder is read even if no change was noticed.")
        .or("30s", &duration(NOW_AND_THEN));
    Some(CredentialSource { path: path?, keys, poll })
}

fn keys(keys: &Section<'_, '_>) -> CredentialKeys {
    CredentialKeys {
        username: keys.key("username", "The user to log in as.").or("username", &file_name()),
        password: keys.key("password", "The password or token.").or("password", &file_name()),
        certificate: keys
            .key("certificate", "The client certificate and its chain, in PEM.")
            .or("tls.crt", &file_name()),
        private_key: keys
            .key("private_key", "The private key of the certificate, in PEM.")
            .or("tls.key", &file_name()),
    }
}

/// The value is never repeated: someone may have written the secret itself here.
fn file_name() -> Kind<String> {
    let schema = serde_json::json!({"type": "string", "pattern": "^[-._a-zA-Z0-9]{1,253}$"});
    Kind::of_text("file name", schema, |name| {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
        let is_name = (1..=253).contains(&name.len())
            && name.chars().all(is_letter)
            && name != "."
            && !name.starts_with("..");
        let hint =
            "it has letters, digits, -, _ and . as the keys of a Secret do; the content stays in the file";
        is_name
            .then(|| name.to_owned())
            .ok_or_else(|| Wrong::new("is not the name of a file in the folder", hint))
    })
}

fn on_rotation(credential: &Section<'_, '_>) -> OnRotation {
    let means = "What it means for sessions that live when the server has accepted a new generation.";
    credential.section("on_rotation", means, |rotation| OnRotation {
        live: rotation
            .key(
                "live",
                "`keep` lets them end by themselves, and logs them in again in place where the protocol can (redis); `drain` \
                 ends each at a quiet moment; `cut` ends all at once: the old password has leaked.",
            )
            .or("keep", &choice(&[("keep", Live::Keep), ("drain", Live::Drain), ("cut", Live::Cut)])),
        within: rotation
            .key(
                "within",
                "The window of `drain`: the ends are spread over its first three quarters. A session that is not quiet \
                 by its end lives on.",
            )
            .or("60s", &duration(UP_TO_A_DAY)),
    })
}
