//! What may make the next attempt of a session succeed.

use crate::failure::{Cause, Failure};

/// What may make the next attempt succeed where the last one did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    None,
    Time,
    /// Another generation of the credential.
    Credential,
}

pub(super) fn remedy(cause: Cause) -> Remedy {
    match cause {
        Cause::NameNotFound
        | Cause::NameServerFailed
        | Cause::NameServerSilent
        | Cause::ConnectRefused
        | Cause::ConnectTimedOut
        | Cause::Unreachable
        | Cause::Reset
        | Cause::Closed
        | Cause::TimedOut
        | Cause::ServerNotReady
        | Cause::WrongRole
        | Cause::SentinelUnreachable
        | Cause::SentinelLoginRejected
        | Cause::SentinelMasterUnknown
        | Cause::SentinelOutdated => Remedy::Time,
        Cause::CredentialRejected => Remedy::Credential,
        Cause::TlsDeclined
        | Cause::TlsFailed
        | Cause::TlsAlert
        | Cause::CertificateUnknownAuthority
        | Cause::CertificateWrongName
        | Cause::CertificateExpired
        | Cause::CertificateNotYetValid
        | Cause::CertificateInvalid
        | Cause::TlsSetup
        | Cause::EarlyData
        | Cause::CleartextRefused
        | Cause::ChannelBindingMissing
        | Cause::ServerSignatureWrong
        | Cause::CredentialMissing
        | Cause::CredentialIncomplete
        | Cause::ServerRefused
        | Cause::Malformed
        | Cause::TooLong
        | Cause::Unsupported
        | Cause::TooManySessions
        | Cause::NotAllowed
        | Cause::UnknownErrand
        | Cause::ClientLeft
        | Cause::ShuttingDown
        | Cause::CredentialRotated
        | Cause::RouteChanged
        | Cause::ServerDemoted => Remedy::None,
    }
}

/// Of two endpoints' failures the one that time can heal is told, for it decides whether to try again; and that
/// one has the wrong role rather than that another is down, for the one says what is missing.
pub(super) fn worse(one: Option<Failure>, other: Failure) -> Failure {
    match one {
        Some(one) if one.cause() == Cause::WrongRole => one,
        Some(one) if remedy(one.cause()) == Remedy::Time && remedy(other.cause()) == Remedy::None => one,
        _ => other,
    }
}
