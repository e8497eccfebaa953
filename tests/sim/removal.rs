//! What may be left of a route that a reload has taken out, long after its sessions had to end.

use std::time::Duration;

use attache::status::RouteStatus;

use crate::book::{Conn, Presence};
use crate::plan::Plan;
use crate::world::State;

/// The last words of a session, and the reset of a link that it has left.
const ENDING: Duration = Duration::from_secs(8);

/// What is there that should not be, so long after the route was taken out. Clients that have waited for a session
/// since before that may go on, and whoever never reads cannot be told from them.
pub fn left_behind(plan: &Plan, state: &State, status: &RouteStatus, after: Duration) -> Option<String> {
    if after < plan.deadline + ENDING {
        return None;
    }
    let waits = |presence: &&Presence| matches!(presence, Presence::Busy(None));
    let waiting = state.guests.values().filter(waits).count();
    let hurt = |conn: &&Conn| conn.hurt_at().is_some() && conn.may_be_held();
    let most = waiting + state.conns.iter().filter(hurt).count();
    let open = state.conns.iter().filter(|conn| conn.is_open() && conn.hurt_at().is_none()).count();
    let of = |links: &std::collections::BTreeMap<u64, i64>| links.values().sum::<i64>();
    let warm = status.warm_links_by_generation.as_ref().map(of).unwrap_or_default();
    let counted = [status.sessions, of(&status.links_by_generation), warm];
    let too_many = counted.iter().any(|count| usize::try_from(*count).is_ok_and(|count| count > most));
    (open > waiting || too_many).then(|| {
        format!(
            "the route was taken out {after:?} ago, {waiting} wait, and {open} connections are open; \
             sessions, links and warm links are counted: {counted:?}"
        )
    })
}
