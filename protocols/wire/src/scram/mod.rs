//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), without sockets and without randomness.
//!
//! A client makes a [`ClientFirst`] (the nonce is passed in), turns the server's answer into a
//! [`ClientFinal`], and the server's last message into a proof that the server knows the password.
//! How the messages are framed is the business of each protocol. [`server`] is the other side, for tests.

mod client;
mod keys;
mod message;
pub mod server;

pub use client::{Binding, ClientFinal, ClientFirst};
pub use keys::{KeyCache, MAX_CACHED_KEYS, SaltedKeys, normalise};
pub use message::{MAX_ITERATIONS, MAX_SALT_LEN, MIN_ITERATIONS};

/// The mechanism without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// The mechanism with channel binding.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";
