//! Attaché: an ambassador sidecar proxy for stateful services.
//!
//! This crate is everything that touches the world: sockets, files, clocks, processes. Protocols live in
//! crates of their own and see bytes only. Read `docs/architecture.md`, then [`session`], then [`net::link`].
//!
//! ```text
//! main -> cli -> app -> serving -> worker -> route -> session -> upstream -> net -> wire
//! cli -> inject -> registry
//! app -> admin -> house -> serving -> registry -> protocols/* -> wire
//! config, secret, metrics, deadline, drain, failure, events, pulse: leaves that any layer above may use
//! ```

pub mod admin;
pub mod app;
pub mod bell;
pub mod chance;
pub mod cli;
pub mod config;
pub mod deadline;
pub mod drain;
pub mod events;
pub mod failure;
pub mod house;
pub mod http;
pub mod inject;
pub mod log;
pub mod metrics;
pub mod net;
pub mod orders;
pub mod pulse;
pub mod registry;
pub mod room;
pub mod route;
pub mod secret;
pub mod serving;
pub mod session;
#[cfg(feature = "sim")]
pub mod sim;
pub mod sockets;
pub mod status;
pub mod trace;
pub mod upstream;
pub mod worker;
