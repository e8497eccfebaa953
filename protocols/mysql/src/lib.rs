//! The MySQL client/server protocol, as MySQL and MariaDB speak it.
//!
//! Sections are those of "MySQL Client/Server Protocol" in MySQL's source documentation; what MariaDB does otherwise
//! is in "MariaDB Client/Server Protocol". What this crate does not do: parse SQL, change a byte after the login, or
//! speak the protocol of before 4.1.

mod capabilities;
mod field;
mod intent;
mod options;
mod packet;
mod plugin;

pub use capabilities::Capabilities;
pub use intent::Intent;
pub use options::Options;
