//! What the tests stand on: private database servers, certificates, mounted Secrets, faulty networks,
//! scripted servers, containers, an emulation of the kubelet, and the real `attache` process with its log.
//!
//! Everything blocks and runs on threads or processes of its own, so a test may call it from anywhere.
//! Every wait has a deadline and panics with what it saw. Everything stops on drop, and also when the
//! test process dies: a value in a `static` leaves nothing behind.
//!
//! The kit knows servers and files, not Attaché's insides: it depends on no other crate of the house.

pub mod chance;
pub mod collector;
pub mod container;
pub mod crowd;
pub mod dns;
pub mod fault;
pub mod house;
pub mod http;
mod keeper;
pub mod kubelet;
pub mod link;
pub mod metrics;
pub mod mounted;
pub mod mysql;
pub mod namespace;
pub mod pki;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod redis_sentinel;
pub mod rendered;
mod scratch;
pub mod script;
mod server;
pub mod skip;
mod template;
pub mod tools;
pub mod wait;

pub use chance::Chance;
pub use fault::{Direction, Fault, Relay};
pub use house::{House, LONG, Route, SECRET, SOON};
pub use metrics::Metrics;
pub use mounted::Mounted;
pub use mysql::{Flavour, Mysql, Plugin, Require};
pub use pki::{Algorithm, Leaf, Pair, Pki};
pub use postgres::{Encryption, Postgres, Setup, Stop, Version};
pub use process::{Launch, Process, Signal};
pub use redis::{Brand, Redis};
pub use redis_sentinel::{Sentinel, Watching};
pub use rendered::{Rendered, SubPath};
pub use script::{Peer, Script, ServerTls};
pub use skip::{Missing, NotPermitted, StartError, Unavailable, available};
pub use wait::{eventually, stays};
