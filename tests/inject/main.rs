//! The injector: manifests on their way through the command, pods on their way through the webhook, and both the same.
//!
//! No API server is involved: the test asks as one would, over TLS, and applies the answer with another implementation of
//! JSON Patch. Results are judged by the schemas of Kubernetes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(unreachable_pub, reason = "a test binary has no callers outside")]

mod command;
mod golden;
mod judge;
mod manifests;
mod mistakes;
mod reviews;
mod server;
#[path = "../snapshots/mod.rs"]
mod snapshots;
