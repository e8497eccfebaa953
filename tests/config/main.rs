//! The configuration: what it accepts, what it complains of, and the pages that are made from it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod examples;
mod load;
mod mistakes;
mod pages;
mod schema;
mod sentinel;
#[path = "../snapshots/mod.rs"]
mod snapshots;
