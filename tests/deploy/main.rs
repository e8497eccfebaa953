//! What is in `deploy`, rendered by the tools that people use and judged without a cluster.
//!
//! No API server is involved: schemas know no rules across fields, and what a policy's expressions mean is told by another
//! implementation of CEL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(unreachable_pub, reason = "a test binary has no callers outside")]

mod alerts;
mod bill;
mod chart;
mod compose;
mod copies;
mod delivery;
mod injector;
mod pods;
mod policy;
mod render;
mod requests;
mod schemas;
#[path = "../snapshots/mod.rs"]
mod snapshots;
