//! What stood in the way of the first login, in one line, in the words of this command.

use crate::failure::Cause;
use crate::upstream::{Step, Verdict};

/// What to do where the words of the configuration would not help.
const HERE: [(Cause, &str); 8] = [
    (
        Cause::CertificateUnknownAuthority,
        "the server's certificate is not signed by a trusted authority: give that of the database with --ca FILE",
    ),
    (
        Cause::CertificateWrongName,
        "the server's certificate is for another name: use that one in the URL, or give it with --server-name",
    ),
    (Cause::TlsDeclined, "the server has no TLS on this port: say --tls off where the network is trusted"),
    (Cause::TlsFailed, "the TLS handshake failed: check the port, and the TLS versions of the server"),
    (Cause::TlsSetup, "check the file of --ca and the name of --server-name"),
    (Cause::CredentialIncomplete, NO_PASSWORD),
    (Cause::CredentialRejected, "check the user in the URL, and the password"),
    (
        Cause::CleartextRefused,
        "the password would be readable on the way: use TLS (rediss://, no --tls off), or say --allow-cleartext where \
         the network is trusted",
    ),
];

const NO_PASSWORD: &str =
    "the server asks for a password: give --password-file FILE, or start it in a terminal and type it";

/// What failed, if it did: where, what, and what to do about it.
pub(super) fn failure(step: &Step, has_password: bool) -> Option<String> {
    let Verdict::Failed(cause) = step.verdict else { return None };
    let server = step.endpoint.as_deref().unwrap_or_default();
    let (step_name, detail) = (step.name, step.detail.replace('\n', " "));
    let detail = if detail.is_empty() { detail } else { format!(" ({detail})") };
    Some(format!("{server}: {step_name}: {}{detail}: {}", cause.name(), advice(cause, has_password)))
}

fn advice(cause: Cause, has_password: bool) -> &'static str {
    if cause == Cause::CredentialRejected && !has_password {
        return NO_PASSWORD;
    }
    let here = HERE.iter().find(|(known, _)| *known == cause);
    here.map_or_else(|| cause.advice(), |(_, advice)| advice)
}
