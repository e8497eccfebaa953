//! A sidecar into somebody's pod: on the text of a manifest, or while the API server creates it.
//!
//! Both ways are one: what has to be changed is found once, as operations of JSON Patch. The webhook answers with them;
//! the command carries them out on the text, line by line, so that comments and notation stay. Nothing here talks to a
//! cluster, and no Secret is ever read: Secrets are names.
//!
//! | module | what it does |
//! | --- | --- |
//! | `parameters` | what was asked for, by annotations and flags |
//! | `needs` | what a configuration needs of a pod |
//! | `quantity` | amounts of processor time and memory |
//! | `sidecar`, `offer` | the container and its volumes; environment for the others |
//! | `pod` | puts all that into a pod, and takes it out again |
//! | `obstacles`, `dangers` | why it cannot be put in; what would undo it |
//! | `operation` | JSON Patch, carried out on values |
//! | `tree`, `edit`, `write` | YAML with its places; a change of its text; text for new values |
//! | `workload`, `manifest` | where the pods are; whole files |
//! | `review` | what the API server asks and is answered |
//! | [`webhook`] | the server for that |

use std::fmt;

mod dangers;
mod edit;
pub mod manifest;
mod needs;
mod obstacles;
mod offer;
mod operation;
pub mod parameters;
mod pod;
mod quantity;
pub mod review;
mod sidecar;
mod tree;
pub mod webhook;
mod workload;
mod write;

pub use quantity::quantity;

/// Why nothing was changed, a line for each reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Trouble(pub Vec<String>);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Trouble {}
