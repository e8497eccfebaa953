//! The client side of SCRAM-SHA-256 (RFC 5802, RFC 7677).

use std::sync::{Arc, Mutex};

use zeroize::{Zeroize, ZeroizeOnDrop};

/// The two keys that a login needs, derived from the password once per salt and iteration count
/// (RFC 5802, section 3).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SaltedKeys {
    client_key: [u8; 32],
    server_key: [u8; 32],
}

/// Keys already derived from one secret, by salt and iteration count.
#[derive(Default)]
pub struct KeyCache(Mutex<Vec<(Vec<u8>, u32, Arc<SaltedKeys>)>>);
