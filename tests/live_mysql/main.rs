//! Real MariaDB and MySQL servers, real clients.
//!
//! The clients know nothing but a `Way`: an address, a user and a password. What they must be able to do, they must be
//! able to do on every way. The servers of `servers` are shared; every test has accounts of its own on them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(unreachable_pub, reason = "a test binary has no callers outside")]

mod clients;
mod house;
mod raw;
mod script;
mod servers;
mod ways;

mod auth;
mod blocking;
mod checker;
mod commands;
mod drivers;
mod endings;
mod errors;
mod interrupts;
mod logins;
mod mysql_async;
mod programs;
mod reuse;
mod roles;
mod rotation;
mod scripted;
mod sqlx;
mod tls;
mod warm;
