//! What the architecture promises by absence: who may use whom, and who may touch sockets, secrets and clocks.
//!
//! Read from `cargo metadata` and from the sources as text. A rule that has to give way is changed here, with its
//! reason, in the same commit.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(unreachable_pub, reason = "a test binary has no callers outside")]

mod dependencies;
mod directions;
mod rooms;
mod sources;
mod texts;
