//! The keys of a route's pool.

use std::ops::RangeInclusive;
use std::time::Duration;

use attache_wire::Keeps;

use super::ProtocolFacts;
use super::domain::Pool;
use super::duration::duration;
use super::kind::{count, flag};
use super::reader::Section;

/// So many links for one application are plenty, and more than most databases take.
const MOST_WARM: u64 = 1000;
/// A link that waits for less is opened in vain, and one that waits for longer is nobody's.
const A_WHILE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

pub(super) fn read(route: &Section<'_, '_>, protocol: Option<&ProtocolFacts>) -> Pool {
    route.section("pool", "Links that are logged in before they are needed.", |pool| {
        let warm = pool
            .key(
                "warm",
                "How many wait for each kind of client: clients of one kind ask for the same database with the same \
                 parameters. With 0 every session logs in by itself.",
            )
            .or("0", &count(0..=MOST_WARM));
        let reuse = pool
            .key(
                "reuse",
                "Whether a link is reset when its session is over, and serves another. At most `warm` are kept waiting.",
            )
            .or("false", &flag());
        let max_idle = pool
            .key("max_idle", "How long one may wait unused. Another takes its place before.")
            .or("10m", &duration(A_WHILE));
        let max_age = pool
            .key("max_age", "How long after its login one may still be given to another session.")
            .or("1h", &duration(A_WHILE));
        check(pool, warm, reuse, protocol);
        Pool { warm: usize::try_from(warm).unwrap_or(usize::MAX), reuse, max_idle, max_age }
    })
}

fn check(pool: &Section<'_, '_>, warm: u64, reuse: bool, protocol: Option<&ProtocolFacts>) {
    if reuse && warm == 0 {
        pool.complain("reuse", "has no effect: pool.warm is 0, so no link is kept", "set pool.warm");
    }
    let Some(protocol) = protocol else { return };
    if warm > 0 && protocol.keeps == Keeps::Nothing {
        let reason = format!("warm links are not supported yet for {}", protocol.name);
        pool.complain("warm", reason, "set it to 0, or remove it");
    } else if reuse && protocol.keeps == Keeps::Warm {
        let reason = format!("links of {} cannot be reset", protocol.name);
        pool.complain("reuse", reason, "set it to false, or remove it");
    }
}
