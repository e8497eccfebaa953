//! The binary between scripted or real servers and clients by hand: faults, endings, rotations.
//!
//! Every test arranges its own Attaché on free ports. Real servers are PostgreSQL; where one would be too
//! well-behaved, a script plays it. Nothing sleeps: each wait is for a condition, with a deadline.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(unreachable_pub, reason = "a test binary has no callers outside")]

mod certificates;
mod client;
mod draining;
mod endpoints;
mod faults;
mod folder;
mod house;
mod leaving;
mod real;
mod rotation;
mod server;
mod tcp;
