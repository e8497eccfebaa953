//! A real Redis, real clients.
//!
//! The server of `servers` is shared; every test has keys of its own on it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(unreachable_pub, reason = "a test binary has no callers outside")]

mod house;
mod raw;
mod servers;

mod cli;
mod endings;
mod errors;
mod pipelines;
mod renewal;
mod rotation;
mod scripted;
mod sessions;
