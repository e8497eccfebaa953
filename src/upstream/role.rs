//! Which servers a session may use, where the route asks for a role.
//!
//! What an endpoint was last time decides the order in which endpoints are tried, and nothing else: only what a
//! server says at login counts, because a promotion may have happened since.

use std::sync::Arc;
use std::time::Duration;

use attache_wire::{Protocol, ServerRole};

use super::health::Seen;
use super::{Met, Opened, Trail, Upstream};
use crate::config::domain::Role;
use crate::failure::{Cause, Failure, Side, Stage, Trouble};

/// An endpoint of the wrong role is asked again this often at most, however many sessions wait for a promotion.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(1);

/// One endpoint in the order of a session, and what it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) index: usize,
    pub(super) wanted: Wanted,
}

/// What a server has to be for a session to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Anything,
    Only(ServerRole),
}

impl Wanted {
    pub(super) fn admits(self, role: Option<ServerRole>) -> bool {
        match self {
            Self::Anything => true,
            Self::Only(wanted) => role == Some(wanted),
        }
    }
}

impl Role {
    /// Whether a session of the route may end up on a server of this role.
    pub(super) fn admits(self, role: Option<ServerRole>) -> bool {
        match self {
            Self::Any | Self::PreferReplica => true,
            Self::Primary => Wanted::Only(ServerRole::Primary).admits(role),
            Self::Replica => Wanted::Only(ServerRole::Replica).admits(role),
        }
    }

    /// In which order the endpoints are tried, and for what, where nothing is known against that of `order`. `up` says
    /// of each whether it could be reached last time.
    pub(super) fn candidates(
        self,
        all: &[Seen],
        order: &[usize],
        up: impl Fn(&Seen) -> bool,
    ) -> Vec<Candidate> {
        let pick = |wanted, test: &dyn Fn(&Seen) -> bool| -> Vec<Candidate> {
            let fits = order.iter().filter(|index| test(&all[**index]));
            fits.map(|index| Candidate { index: *index, wanted }).collect()
        };
        let only = |role| {
            let wanted = Wanted::Only(role);
            [
                pick(wanted, &|seen| up(seen) && seen.counts_as() == Some(role)),
                pick(wanted, &|seen| up(seen) && seen.counts_as().is_none()),
                pick(wanted, &|seen| up(seen) && seen.counts_as().is_some_and(|known| known != role)),
                pick(wanted, &|seen| !up(seen)),
            ]
            .concat()
        };
        match self {
            Self::Any => {
                [pick(Wanted::Anything, &|seen| up(seen)), pick(Wanted::Anything, &|seen| !up(seen))].concat()
            }
            Self::Primary => only(ServerRole::Primary),
            Self::Replica => only(ServerRole::Replica),
            // First whatever may be a replica and can be reached, then whatever there is.
            Self::PreferReplica => {
                let replica = Wanted::Only(ServerRole::Replica);
                [
                    pick(replica, &|seen| up(seen) && seen.counts_as() == Some(ServerRole::Replica)),
                    pick(replica, &|seen| up(seen) && seen.counts_as().is_none()),
                    pick(Wanted::Anything, &|seen| up(seen)),
                    pick(Wanted::Anything, &|seen| !up(seen)),
                ]
                .concat()
            }
        }
    }
}

impl<P: Protocol> Upstream<P> {
    /// Tries one endpoint for a session. A server of the wrong role is left in its protocol's words.
    pub(super) async fn candidate(
        &self,
        Candidate { index, wanted }: Candidate,
        intent: &P::Intent,
        met: &mut Option<Met<P>>,
        trail: &mut Trail,
    ) -> Result<Opened<P>, Failure> {
        if let Wanted::Only(role) = wanted
            && met.as_ref().is_none_or(|met| met.index != index)
        {
            self.take_turn(index, role, trail)?;
        }
        let opened = self.any_generation(index, intent, met, trail).await?;
        let role = self.protocol.role(&opened.greeting);
        let is_old = role == Some(ServerRole::Primary) && self.health.counts_as(index) != role;
        let has_moved = self.has_lost_place(&opened.origin);
        if wanted.admits(role) && !has_moved && !(is_old && wanted == Wanted::Only(ServerRole::Primary)) {
            return Ok(opened);
        }
        if !has_moved {
            self.health.left(index);
        }
        // The session goes on looking while the goodbye is on its way.
        let protocol = Arc::clone(&self.protocol);
        tokio::spawn(async move { opened.leave(&protocol).await });
        Err(if has_moved { self.not_named_any_more(index) } else { self.wrong_role(index, role) })
    }

    /// Whether a session may use the server, for all that is known of its role.
    pub(super) fn may_serve(&self, Candidate { index, wanted }: Candidate) -> bool {
        wanted.admits(self.health.counts_as(index))
    }

    fn not_named_any_more(&self, index: usize) -> Failure {
        let detail = format!("{}: the Sentinels have named another server meanwhile", self.names[index]);
        Failure::new(Stage::Login, Side::Upstream, Trouble::new(Cause::WrongRole, detail))
    }

    /// A session has a sign that its server takes no writes. Where it was to take them, the probes look into that.
    pub fn doubt_role(&self) {
        if self.settings.role == Role::Primary {
            self.health.alarm();
        }
    }

    /// Asking an endpoint again and again whether it still has the wrong role helps nobody.
    pub(super) fn take_turn(&self, index: usize, role: ServerRole, trail: &mut Trail) -> Result<(), Failure> {
        self.health.turn(index, role).map_err(|known| {
            trail.endpoint = Some(Arc::clone(&self.names[index]));
            self.wrong_role(index, known)
        })
    }

    fn wrong_role(&self, index: usize, role: Option<ServerRole>) -> Failure {
        let endpoint = &self.names[index];
        let is = match role {
            None => "does not tell its role".to_owned(),
            Some(role) if self.health.counts_as(index) != Some(role) => {
                "calls itself a primary, but another one was promoted after it".to_owned()
            }
            Some(role) => format!("is a {}", role.name()),
        };
        let wanted = self.settings.role.name();
        let detail = format!("{endpoint} {is}; the route wants role: {wanted}");
        Failure::new(Stage::Login, Side::Upstream, Trouble::new(Cause::WrongRole, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: Option<ServerRole> = Some(ServerRole::Primary);
    const REPLICA: Option<ServerRole> = Some(ServerRole::Replica);

    fn order(role: Role, endpoints: &[(Option<ServerRole>, bool)]) -> Vec<(usize, Wanted)> {
        let seen = endpoints.iter().map(|(role, reachable)| Seen {
            role: *role,
            reachable: *reachable,
            ..Seen::new(String::new())
        });
        let seen: Vec<_> = seen.collect();
        let given: Vec<_> = (0..seen.len()).collect();
        let candidates = role.candidates(&seen, &given, |seen| seen.reachable);
        candidates.iter().map(|candidate| (candidate.index, candidate.wanted)).collect()
    }

    fn indexes(role: Role, endpoints: &[(Option<ServerRole>, bool)]) -> Vec<usize> {
        order(role, endpoints).into_iter().map(|(index, _)| index).collect()
    }

    #[test]
    fn what_has_the_role_comes_first_then_what_may_have_it_then_what_had_another_then_what_was_down() {
        let all = [(PRIMARY, false), (REPLICA, true), (None, true), (PRIMARY, true)];
        assert_eq!(indexes(Role::Any, &all), [1, 2, 3, 0]);
        assert_eq!(indexes(Role::Primary, &all), [3, 2, 1, 0]);
        assert_eq!(indexes(Role::Replica, &all), [1, 2, 3, 0]);
    }

    #[test]
    fn a_primary_will_do_for_prefer_replica_after_all_that_may_be_replicas_and_before_what_is_down() {
        let (replica, any) = (Wanted::Only(ServerRole::Replica), Wanted::Anything);
        let all = [(PRIMARY, true), (None, true), (REPLICA, true)];
        let tried = order(Role::PreferReplica, &all);
        assert_eq!(tried, [(2, replica), (1, replica), (0, any), (1, any), (2, any)]);
        assert_eq!(order(Role::PreferReplica, &[(REPLICA, false), (PRIMARY, true)]), [(1, any), (0, any)]);
    }
}
