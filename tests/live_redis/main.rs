//! A real Redis, real clients.
//!
//! The server of `servers` is shared; every test has keys of its own on it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(unreachable_pub, reason = "a test binary has no callers outside")]

mod house;
mod raw;
mod servers;
mod upstream;
mod ways;

mod cli;
mod cluster;
mod commands;
mod differential;
mod drivers;
mod endings;
mod errors;
mod pipelines;
mod programs;
mod redis_crate;
mod renewal;
mod replica;
mod roles;
mod rotation;
mod scripted;
mod sentinel;
mod sessions;
mod streams;
mod tracking;
mod warm;
