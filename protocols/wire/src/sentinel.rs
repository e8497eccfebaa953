//! What Sentinels tell: processes beside the servers of a database that watch over them, agree among themselves on which
//! is the primary, and can be asked.

use std::fmt;
use std::sync::Arc;

use crate::{Credential, Terms};

/// On what link a Sentinel is asked.
#[derive(Debug, Clone)]
pub enum Approach {
    /// A new one, which is logged in on these terms.
    Anew(Terms),
    /// One on which it was asked before. What it was shown then is kept out of what it says.
    Again(Option<Arc<Credential>>),
}

/// What one Sentinel knows of the servers under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Counts what the Sentinels have agreed on: of two reports that differ in it, the one with more is newer.
    pub epoch: u64,
    pub primary: Address,
    /// Those that the Sentinel can reach, in its own order.
    pub replicas: Vec<Address>,
    /// Whether the Sentinel will say on this link that the primary has changed.
    pub announces: bool,
}

/// Where clients are to find a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
