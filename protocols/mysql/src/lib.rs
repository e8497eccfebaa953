//! The MySQL client/server protocol, as MySQL and MariaDB speak it.
//!
//! Sections are those of "MySQL Client/Server Protocol" in MySQL's source documentation; what MariaDB does otherwise
//! is in "MariaDB Client/Server Protocol". What this crate does not do: parse SQL, change a byte after the login, or
//! speak the protocol of before 4.1.

#![allow(dead_code, reason = "put together in a later commit")]

mod account;
mod agreement;
mod auth;
mod capabilities;
mod field;
mod greeting;
mod hello;
mod intent;
mod login;
mod options;
mod packet;
mod ping;
mod plugin;
mod proof;
mod public_key;
mod rejection;
mod relogin;

mod role;

pub use capabilities::Capabilities;
pub use greeting::Greeting;
pub use hello::Hello;
pub use intent::Intent;
pub use login::{Login, MAX_LOGIN_PACKET_LEN};
pub use options::Options;
