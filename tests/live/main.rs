//! Real servers, real clients: what Attaché promises, on the wire.
//!
//! The servers of `servers` are shared; every test has its own account on them, its own mounted Secret and its own
//! Attaché. `raw` is a client by hand for what no driver sends.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(unreachable_pub, reason = "a test binary has no callers outside")]

mod house;
mod raw;
mod servers;

mod auth;
mod cancel;
mod certificates;
mod checker;
mod drivers;
mod errors;
mod options;
mod programs;
mod reload;
mod retiring;
mod reuse;
mod roles;
mod rotation;
mod tls;
mod traces;
mod warm;
