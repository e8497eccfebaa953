//! What a soak asks of a protocol: servers behind relays, and an administrator who changes them.

use std::net::SocketAddr;
use std::path::Path;

use attache_kit::Relay;

use crate::load::Driver;
use crate::script::Stopping;

/// The two users that take turns.
pub const USERS: [&str; 2] = ["soak_a", "soak_b"];
/// What every password of a soak begins with: nothing that is logged or told may contain it.
pub const SECRET: &str = "s3cret-that-nobody-sees";

pub fn password(number: usize) -> String {
    format!("{SECRET}-{number}")
}

/// Real servers. What changes them waits until they are up again, as an operator would.
pub trait Ground: Sync + Sized {
    type Driver: Driver;
    const PROTOCOL: &'static str;
    /// Whether the server has a say in the credential.
    const REFUSES: bool = true;
    /// Whether the route may end sessions of an old password: it must know when they are quiet.
    const RETIRES: bool = true;
    /// Whether sessions that live take over a new password by themselves.
    const RENEWS: bool = false;
    /// The ways in which another server can take over.
    const FAILOVERS: &'static [Stopping] = &[];
    /// What `pool` of the route may be.
    const POOLS: &'static [&'static str] = &["{}"];

    /// One in front of each server, in no order.
    fn relays(&self) -> &[Relay];

    /// The authority of the servers' certificates.
    fn ca(&self) -> &Path;

    /// The content of the Secret for a user's password.
    fn secret(&self, user: &str, password: &str) -> Vec<(&'static str, String)> {
        vec![("username", user.to_owned()), ("password", password.to_owned())]
    }

    /// Gives a user this password and no other.
    fn password(&self, user: &str, password: &str);

    /// Ends the sessions that a user has on the servers, as a cautious administrator does whose users have gone.
    fn end_sessions_of(&self, user: &str);

    /// What the page of runbooks has an administrator say to the server.
    fn administer(&self, commands: &str);

    /// Another account, which may do what the clients do.
    fn account(&self, user: &str, password: &str);

    /// Stops the primary, and starts it again after what `meanwhile` does.
    fn restart(&self, how: Stopping, meanwhile: &mut dyn FnMut());

    /// Makes another server the primary.
    fn fail_over(&self, how: Stopping);

    fn renew_certificate(&self);

    /// How many sessions a user has on the servers.
    fn sessions_of(&self, user: &str) -> usize;

    /// How many sessions the two users have.
    fn sessions(&self) -> usize {
        USERS.iter().map(|user| self.sessions_of(user)).sum()
    }

    fn endpoints(&self) -> Vec<SocketAddr> {
        self.relays().iter().map(Relay::addr).collect()
    }
}
