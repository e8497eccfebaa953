//! What may make the next attempt of a session succeed.

use std::sync::Arc;

use super::Trail;
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

/// What the endpoints of a round have failed with, and which of it is told.
#[derive(Default)]
pub(super) struct Failures(Option<Told>);

struct Told {
    weight: Weight,
    failure: Failure,
    endpoint: Option<Arc<str>>,
}

/// What counts more stands further down.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Nothing will change there.
    Lasting,
    /// Time can heal it: that decides whether to try again.
    Passing,
    /// Says what is missing, where another endpoint is merely down.
    WrongRole,
    /// A server that the session may use has told it no, in words that are for the client. To wait for one that is down
    /// would only hide them.
    Refused,
}

impl Failures {
    /// Takes note of an attempt. `may_serve`: whether a session may use that server, for all that is known of it.
    pub(super) fn add(&mut self, failure: Failure, may_serve: bool, trail: &Trail) {
        let cause = failure.cause();
        let weight = match remedy(cause) {
            Remedy::Time if cause == Cause::WrongRole => Weight::WrongRole,
            Remedy::Time => Weight::Passing,
            Remedy::None | Remedy::Credential if cause == Cause::ServerRefused && may_serve => {
                Weight::Refused
            }
            Remedy::None | Remedy::Credential => Weight::Lasting,
        };
        if self.0.as_ref().is_none_or(|told| told.weight <= weight) {
            self.0 = Some(Told { weight, failure, endpoint: trail.endpoint.clone() });
        }
    }

    /// The one that counts; the trail names its endpoint then. There is none where no endpoint was tried.
    pub(super) fn told(self, trail: &mut Trail) -> Option<Failure> {
        let told = self.0?;
        trail.endpoint = told.endpoint;
        Some(told.failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Side, Stage};

    /// Which cause of which endpoint is told, of attempts on one after the other: cause, and whether it may serve.
    fn told(attempts: &[(Cause, bool)]) -> (Cause, String) {
        let (mut failures, mut trail) = (Failures::default(), Trail::default());
        for (index, (cause, may_serve)) in attempts.iter().enumerate() {
            trail.endpoint = Some(index.to_string().into());
            failures.add(Failure::new(Stage::Login, Side::Upstream, *cause), *may_serve, &trail);
        }
        let failure = failures.told(&mut trail).expect("a failure");
        (failure.cause(), trail.endpoint.expect("an endpoint").to_string())
    }

    #[test]
    fn what_a_server_refuses_is_told_whichever_other_is_down() {
        let refused = (Cause::ServerRefused, true);
        let down = (Cause::ConnectRefused, true);
        assert_eq!(told(&[refused, down]), (Cause::ServerRefused, "0".to_owned()));
        assert_eq!(told(&[down, refused]), (Cause::ServerRefused, "1".to_owned()));
        assert_eq!(told(&[refused, (Cause::WrongRole, true)]), (Cause::ServerRefused, "0".to_owned()));
    }

    /// A replica has access rules of its own: while the primary is away, they say nothing about it.
    #[test]
    fn what_a_server_refuses_that_was_not_to_serve_is_no_answer() {
        let refused = (Cause::ServerRefused, false);
        assert_eq!(told(&[refused, (Cause::ConnectRefused, true)]).0, Cause::ConnectRefused);
        assert_eq!(told(&[(Cause::ConnectRefused, true), refused]).0, Cause::ConnectRefused);
        assert_eq!(told(&[refused]).0, Cause::ServerRefused);
    }

    #[test]
    fn what_time_can_heal_and_what_is_missing_come_before_what_lasts() {
        let (down, wrong) = ((Cause::ConnectRefused, true), (Cause::WrongRole, true));
        assert_eq!(told(&[down, (Cause::TlsDeclined, true)]).0, Cause::ConnectRefused);
        assert_eq!(told(&[wrong, down]).0, Cause::WrongRole);
        assert_eq!(told(&[down, wrong]).0, Cause::WrongRole);
    }
}
