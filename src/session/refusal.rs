//! What a client is told of a failure.
//!
//! The operator's cause becomes one of the closed list of refusals, a few words and a hint. Nothing of the
//! failure's detail reaches a client: it may name servers and files.

use attache_wire::{Notice, Refusal};

use crate::failure::Cause;

const SOON: &str = "try again in a moment";
const RECONNECT: &str = "connect again";
const OPERATOR: &str = "the log of attache tells the cause under this session";

/// The notice for a cause, or `None` where nobody is left to be told.
pub(super) fn notice(cause: Cause, session: &str) -> Option<Notice<'_>> {
    let (refusal, cause, hint) = words(cause)?;
    Some(Notice { refusal, cause, hint, session })
}

fn words(cause: Cause) -> Option<(Refusal, &'static str, &'static str)> {
    Some(match cause {
        Cause::NameNotFound
        | Cause::NameServerFailed
        | Cause::NameServerSilent
        | Cause::ConnectRefused
        | Cause::ConnectTimedOut
        | Cause::Unreachable => (Refusal::Unavailable, "the database cannot be reached", OPERATOR),
        Cause::SentinelUnreachable
        | Cause::SentinelLoginRejected
        | Cause::SentinelMasterUnknown
        | Cause::SentinelOutdated => {
            (Refusal::Unavailable, "where the database is cannot be found out", OPERATOR)
        }
        Cause::Reset | Cause::Closed => (Refusal::Unavailable, "the database closed the connection", SOON),
        Cause::TimedOut => (Refusal::TimedOut, "the login took too long", SOON),
        Cause::ServerNotReady => (Refusal::Unavailable, "the database is not ready", SOON),
        Cause::WrongRole => (Refusal::Unavailable, "no server of the required role can be reached", SOON),
        Cause::ServerRefused => (Refusal::Unavailable, "the database refused the session", OPERATOR),
        Cause::TlsDeclined
        | Cause::TlsFailed
        | Cause::TlsAlert
        | Cause::TlsSetup
        | Cause::CertificateUnknownAuthority
        | Cause::CertificateWrongName
        | Cause::CertificateExpired
        | Cause::CertificateNotYetValid
        | Cause::CertificateInvalid
        | Cause::EarlyData
        | Cause::CleartextRefused
        | Cause::ChannelBindingMissing
        | Cause::ServerSignatureWrong => {
            (Refusal::Insecure, "the connection to the database would not be secure", OPERATOR)
        }
        Cause::CredentialMissing | Cause::CredentialIncomplete => {
            (Refusal::NoCredential, "no usable credential is mounted", OPERATOR)
        }
        Cause::CredentialRejected => {
            (Refusal::LoginRejected, "the database does not accept the mounted credential", OPERATOR)
        }
        Cause::Malformed | Cause::TooLong => {
            (Refusal::ProtocolViolation, "the protocol was violated", OPERATOR)
        }
        Cause::Unsupported => {
            (Refusal::Unsupported, "this kind of connection is not supported here", OPERATOR)
        }
        Cause::TooManySessions => (Refusal::TooManySessions, "too many sessions on this route", SOON),
        Cause::NotAllowed => (Refusal::NotAllowed, "this user may not use the route", OPERATOR),
        Cause::UnknownErrand | Cause::ClientLeft => return None,
        Cause::ShuttingDown => (Refusal::ShuttingDown, "the proxy is being stopped", SOON),
        Cause::CredentialRotated => (Refusal::ShuttingDown, "the credential was rotated", RECONNECT),
        Cause::RouteChanged => (Refusal::ShuttingDown, "the proxy was configured anew", RECONNECT),
        Cause::ServerDemoted => (Refusal::ShuttingDown, "the server is not the primary any more", RECONNECT),
    })
}
