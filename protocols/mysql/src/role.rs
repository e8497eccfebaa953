//! Whether a server takes writes.
//!
//! `super_read_only` sets `read_only` too, and readers of Aurora say `innodb_read_only`. A server that cannot answer has
//! an unknown role.

use attache_wire::ServerRole;

use crate::question::Wording;

pub(crate) const QUESTION: Wording =
    Wording { sql: "select @@global.read_only, @@global.innodb_read_only", columns: 2..=2 };
/// The values that tell the role.
pub(crate) const COLUMNS: usize = 2;

/// Two texts. One that is on is enough for a replica.
pub(crate) fn told(row: &[Option<Vec<u8>>]) -> Option<ServerRole> {
    let [read_only, innodb] = row else { return None };
    let [read_only, innodb] = [read_only, innodb].map(|value| value.as_deref().and_then(is_on));
    match (read_only, innodb) {
        (Some(true), _) | (_, Some(true)) => Some(ServerRole::Replica),
        (Some(false), Some(false)) => Some(ServerRole::Primary),
        (None, _) | (_, None) => None,
    }
}

/// A number; or a word, of which MariaDB has two more since `read_only` has degrees.
fn is_on(value: &[u8]) -> Option<bool> {
    match value.to_ascii_uppercase().as_slice() {
        b"0" | b"OFF" => Some(false),
        b"1" | b"2" | b"3" | b"ON" | b"NO_LOCK" | b"NO_LOCK_NO_ADMIN" => Some(true),
        _ => None,
    }
}
