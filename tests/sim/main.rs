//! Attaché in a played world: thousands of schedules of everything that can happen to it, each from one number.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(unreachable_pub, reason = "a test binary has no callers outside")]
#![allow(clippy::print_stdout, reason = "a schedule that fails is told to whoever runs it")]

mod book;
mod cancels;
mod clients;
mod cuts;
mod dice;
mod folder;
mod found;
mod house;
mod mysql;
mod mysql_server;
mod oracle;
mod plan;
mod postgres;
mod redis;
mod removal;
mod same;
mod schedule;
mod script;
mod sentinel;
mod settling;
mod speech;
mod stay;
mod sweep;
mod tls;
mod trial;
mod wire;
mod world;
