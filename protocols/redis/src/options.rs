//! The route's `options` for Redis and Valkey.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::commands::Commands;
use crate::guard::Guarded;

/// Settings of the protocol itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Commands that are refused by default because they reveal credentials or move them, and that this route
    /// allows. By the server's names: `debug`, `migrate`, `module`, and those of ACL and CONFIG with their subcommand
    /// behind a bar.
    pub allow_commands: Vec<Guarded>,
    /// What becomes of a server that is a node of a cluster.
    pub cluster: Cluster,
    /// Whether sessions only read: what would write, by what the server itself says of its commands, is refused, as are
    /// scripts that could. A seat belt against accidents, not a lock: what a user may do is for the server's access
    /// lists to say.
    pub read_only: bool,
    /// What becomes of RESET, which logs a connection out.
    pub reset: Reset,
}

/// What becomes of a server that is a node of a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cluster {
    /// It is refused at login: it sends clients to the addresses of other nodes, past Attaché.
    #[default]
    Refuse,
    /// It is served as it is. Its redirections and its lists of nodes reach the client unchanged.
    Passthrough,
}

/// What becomes of RESET.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    /// It is followed by a login that the client does not see.
    #[default]
    Relogin,
    /// It is refused.
    Refuse,
}

/// What a route has decided about its clients' commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// One bit for each guarded command that is allowed.
    allowed: u16,
    pub(crate) reset: Reset,
    /// By which commands that write are told from others, where they are refused.
    pub(crate) reading: Option<Arc<Commands>>,
}

impl Rules {
    pub(crate) fn new(options: &Options) -> Self {
        let allowed = options.allow_commands.iter().fold(0, |bits, command| bits | command.bit());
        Self { allowed, reset: options.reset, reading: None }
    }

    /// The same for sessions with a server that has told what its commands do.
    pub(crate) fn reading(self, commands: Option<Arc<Commands>>) -> Self {
        Self { reading: commands, ..self }
    }

    pub(crate) fn allows(&self, command: Guarded) -> bool {
        self.allowed & command.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_what_an_operator_writes() {
        let text = r#"{"allow_commands": ["acl|list", "config|get", "debug"], "cluster": "passthrough", "reset": "refuse"}"#;
        let options: Options = serde_json::from_str(text).unwrap();
        let rules = Rules::new(&options);
        assert!(rules.allows(Guarded::AclList) && rules.allows(Guarded::ConfigGet));
        assert!(!rules.allows(Guarded::AclSetuser) && !rules.allows(Guarded::ConfigSet));
        assert_eq!((options.cluster, rules.reset), (Cluster::Passthrough, Reset::Refuse));
        assert!(serde_json::from_str::<Options>(r#"{"allow_commands": ["get"]}"#).is_err());
        assert_eq!(serde_json::from_str::<Options>("{}").unwrap(), Options::default());
    }
}
