//! Promises that hold for every registered protocol, kept through the binary.
//!
//! The list is the registry's. A new protocol brings one entry to [`speech`]: how a client says hello, how a server
//! answers, and how each can tell. The promises are not touched.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(unreachable_pub, reason = "a test binary has no callers outside")]

mod clients;
mod endings;
mod house;
mod seen;
mod servers;
mod speech;
