//! Whose links are alike: clients that set the same flags, and ask for the same database, character set and longest
//! packet, with the same attributes.

use attache_wire::Shared;
use bytes::{BufMut, BytesMut};

use crate::field::{put_text, take_text};
use crate::intent::{Intent, Upkeep};

/// Attributes that name one process or one thread of a client's: each would make another kind of it.
const OF_ONE_PROCESS: [&[u8]; 2] = [b"_pid", b"_thread"];

/// What a link is logged in for that serves any client of the same kind as this one. `database` is that of the route, in
/// place of the client's.
pub(crate) fn of(intent: &Intent, database: Option<&str>) -> Shared<Intent> {
    let intent = Intent { attributes: lasting(&intent.attributes), upkeep: Upkeep::Reset, ..intent.clone() };
    let database = database.map(str::as_bytes).or(intent.database.as_deref()).unwrap_or_default();
    let mut key = BytesMut::new();
    key.put_u64(intent.capabilities.0);
    key.put_u32(intent.max_packet);
    key.put_u16(intent.collation);
    put_text(&mut key, database);
    key.put_slice(&intent.attributes);
    Shared { key: key.to_vec(), intent }
}

/// The attributes that other processes of the same client have too.
fn lasting(mut attributes: &[u8]) -> Vec<u8> {
    let mut kept = BytesMut::new();
    while let (Some(name), Some(value)) = (take_text(&mut attributes), take_text(&mut attributes)) {
        if !OF_ONE_PROCESS.contains(&name) {
            put_text(&mut kept, name);
            put_text(&mut kept, value);
        }
    }
    kept.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::Capabilities;

    fn key(change: impl FnOnce(&mut Intent), database: Option<&str>) -> Vec<u8> {
        let mut intent = Intent { database: Some(b"shop".to_vec()), ..Intent::default() };
        change(&mut intent);
        of(&intent, database).key
    }

    #[test]
    fn clients_are_of_one_kind_if_what_reaches_the_server_is_the_same() {
        let usual = key(|_| {}, None);
        assert_eq!(key(|_| {}, None), usual);
        assert_ne!(key(|intent| intent.database = Some(b"stock".to_vec()), None), usual);
        assert_ne!(key(|intent| intent.database = None, None), usual);
        assert_ne!(key(|intent| intent.capabilities = Capabilities::FOUND_ROWS, None), usual);
        assert_ne!(key(|intent| intent.collation = 8, None), usual);
        assert_ne!(key(|intent| intent.max_packet = 8, None), usual);
        assert_ne!(key(|intent| intent.attributes = b"\x01a\x01b".to_vec(), None), usual);
        // What only the greeting of the client depends on makes no difference.
        assert_eq!(key(|intent| (intent.sequence, intent.told) = (4, 7), None), usual);
        let stock = Some("stock");
        assert_eq!(key(|_| {}, stock), key(|intent| intent.database = None, stock), "the route's is used");
    }

    #[test]
    fn a_number_of_a_process_makes_no_kind() {
        let shared =
            |attributes: &[u8]| of(&Intent { attributes: attributes.to_vec(), ..Intent::default() }, None);
        let one = shared(b"\x04_pid\x03123\x03_os\x05Linux\x07_thread\x019");
        assert_eq!(one.intent.attributes, b"\x03_os\x05Linux");
        assert_eq!(one.key, shared(b"\x03_os\x05Linux").key);
    }
}
