//! Real servers, real clients: what Attaché promises, on the wire.
//!
//! Every test starts what it needs: a private server with TLS and real accounts, a mounted Secret, and the binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(unreachable_pub, reason = "a test binary has no callers outside")]

mod house;
mod login;
mod roles;
