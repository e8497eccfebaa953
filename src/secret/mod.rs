//! The credential of a route: a mounted folder, followed through every rotation.
//!
//! Only this module opens secret files. It knows nothing of logins: whoever tries a generation tells it
//! how that went ([`Source::worked`], [`Source::rejected`]).
//!
//! | module | what it does |
//! | --- | --- |
//! | `snapshot` | reads one consistent snapshot of the folder |
//! | `stamp` | tells whether a file was written to |
//! | `material` | holds one snapshot that was taken over: a generation |
//! | `source` | hands generations out, and hears how the server took them |
//! | `numbers` | which contents are the same generation |
//! | `ledger` | what one credential of a route has in common with the next |
//! | `picked` | the generations that logins are being made with |
//! | `generations` | which generation a login should use, by what the server said to each |
//! | `lockout` | how many rejected logins a server may see |
//! | `watch` | notices changes: the background task |
//! | `mount` | says what is wrong with the way the folder is mounted |
//! | `problem` | the closed lists of what can be wrong |
//! | `headers` | what a collector of traces wants to hear |
//! | `given` | a password from one file, standard input or the terminal, for `dev` |

use std::path::PathBuf;
use std::time::Duration;

mod generations;
pub mod given;
pub mod headers;
mod ledger;
mod lockout;
mod material;
mod mount;
mod numbers;
mod picked;
mod problem;
mod snapshot;
mod source;
mod stamp;
mod watch;

#[cfg(test)]
mod tests;

pub use generations::{InForce, State};
pub use ledger::Ledger;
pub use lockout::REJECTED_A_MINUTE;
pub use material::{Asked, Identity, Material, expiry};
pub use mount::file_warnings;
pub use picked::Picked;
pub use problem::{Problem, Warning};
pub use snapshot::has_snapshots;
pub use source::{Leave, Source, Standing};
pub use stamp::Stamp;
pub use watch::Watcher;

/// Where a credential is mounted and how to read it.
#[derive(Debug, Clone)]
pub struct Mount {
    /// The folder.
    pub path: PathBuf,
    pub keys: Keys,
    /// A user that is known otherwise, empty where there is none: of the folder, the password alone is read.
    pub user: Option<String>,
    /// How often the folder is read even if nothing was noticed.
    pub poll: Duration,
    /// Whether a folder without a user name is of no use.
    pub needs_user: bool,
}

/// Which file of the folder holds what.
#[derive(Debug, Clone)]
pub struct Keys {
    pub username: String,
    pub password: String,
    pub certificate: String,
    pub private_key: String,
}

impl Default for Keys {
    /// The names that Kubernetes gives the keys of its basic-auth and TLS Secrets.
    fn default() -> Self {
        let [username, password, certificate, private_key] =
            ["username", "password", "tls.crt", "tls.key"].map(str::to_owned);
        Self { username, password, certificate, private_key }
    }
}
