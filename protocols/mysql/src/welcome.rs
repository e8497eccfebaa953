//! The only success that a client hears, in the way that its authentication method waits for it (manual,
//! "Protocol::AuthMoreData", "OK_Packet").

use bytes::BytesMut;

use crate::intent::{Intent, Prelude};
use crate::packet;

/// AuthMoreData: the answer was right, and an OK follows.
const FAST_AUTH_SUCCESS: [u8; 2] = [1, 3];

/// Appends the server's OK, numbered for this client.
pub(crate) fn welcome(intent: &Intent, ok: &[u8], out: &mut BytesMut) {
    match intent.prelude {
        Prelude::Nothing => packet::put(out, intent.sequence, &[ok]),
        Prelude::FastAuth => {
            packet::put(out, intent.sequence, &[&FAST_AUTH_SUCCESS]);
            packet::put(out, intent.sequence.wrapping_add(1), &[ok]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn welcomed(prelude: Prelude, sequence: u8) -> Vec<u8> {
        let mut out = BytesMut::new();
        welcome(&Intent { prelude, sequence, ..Intent::default() }, b"\0\0\0\x02\0\0\0", &mut out);
        out.to_vec()
    }

    #[test]
    fn the_ok_bears_the_next_number() {
        assert_eq!(welcomed(Prelude::Nothing, 2), b"\x07\0\0\x02\0\0\0\x02\0\0\0");
        let fast = b"\x02\0\0\x04\x01\x03\x07\0\0\x05\0\0\0\x02\0\0\0";
        assert_eq!(welcomed(Prelude::FastAuth, 4), fast);
    }
}
