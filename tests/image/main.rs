//! The image, and the manifests around it, with real containers: what podman runs of it, and what an emulation of the
//! kubelet plays of the manifests in `deploy`. No Kubernetes is involved.
//!
//! The image holds the binary of this test run: it is not optimised, and loads libraries of this machine, which lie
//! beside it. `ATTACHE_IMAGE=localhost/attache:0.1.0` tests what `make image` made instead.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
#![allow(unreachable_pub, reason = "a test binary has no callers outside")]

#[path = "../inject/command.rs"]
#[allow(dead_code, reason = "shared with the tests of the injector")]
mod command;
mod compose;
mod dockerfile;
mod house;
mod injected;
mod life;
mod play;
mod pods;
mod run;
#[path = "../inject/server.rs"]
#[allow(dead_code, reason = "shared with the tests of the injector")]
mod server;
