//! What may make the next attempt of a session succeed.

use crate::failure::{Cause, Failure, Nature};

/// What may make the next attempt succeed where the last one did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    None,
    Time,
    /// Another generation of the credential.
    Credential,
}

pub(super) fn remedy(cause: Cause) -> Remedy {
    match cause.nature() {
        Nature::OutOfReach | Nature::Passing | Nature::Unsettled => Remedy::Time,
        Nature::Rejected => Remedy::Credential,
        Nature::Lasting | Nature::Intended => Remedy::None,
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
