//! What a server says of itself, in the replies to HELLO and ROLE.

use attache_wire::ServerRole;
use redis_protocol::resp2::types::OwnedFrame;

use crate::frame::text;
use crate::greeting::{Facts, Mode};

/// The most characters of a server's version that are kept.
const MAX_VERSION_CHARS: usize = 100;

/// Takes in the reply to HELLO without arguments: names and values in turns.
pub(crate) fn hello(elements: &[OwnedFrame], facts: &mut Facts) {
    for pair in elements.chunks_exact(2) {
        let (Some(name), Some(value)) = (text(&pair[0]), text(&pair[1])) else { continue };
        match name {
            b"version" => facts.version = Some(version(value)),
            b"mode" => facts.mode = if value == b"cluster" { Mode::Cluster } else { Mode::Standalone },
            b"role" => facts.role = role(value),
            _ => {}
        }
    }
}

/// Takes in the reply to ROLE, which begins with the role.
pub(crate) fn role_reply(elements: &[OwnedFrame]) -> Option<ServerRole> {
    elements.first().and_then(text).and_then(role)
}

fn role(word: &[u8]) -> Option<ServerRole> {
    match word {
        b"master" | b"primary" => Some(ServerRole::Primary),
        b"slave" | b"replica" => Some(ServerRole::Replica),
        // A Sentinel has none.
        _ => None,
    }
}

fn version(value: &[u8]) -> String {
    String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).take(MAX_VERSION_CHARS).collect()
}
