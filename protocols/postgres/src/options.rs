//! The route's `options` for PostgreSQL.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the protocol itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Whether the login is bound to the TLS session (SCRAM-SHA-256-PLUS), so that nobody in between
    /// can pass it on. The words are those of libpq.
    pub channel_binding: ChannelBinding,
    /// Whether sessions only read: each begins with `default_transaction_read_only=on`, and statements that would turn it
    /// off again are refused. A seat belt against accidents, not a lock: what a user may do is for the database to say.
    pub read_only: bool,
}

/// How much channel binding is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelBinding {
    /// Where the server offers it and its certificate allows it.
    #[default]
    Prefer,
    /// Always: a server that does not offer it, or wants another kind of login, is refused.
    Require,
    /// Never. For a server behind a TLS proxy that has another certificate than the server itself.
    Disable,
}
