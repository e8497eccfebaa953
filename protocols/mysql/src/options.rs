//! The route's `options` for MySQL and MariaDB.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the protocol itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Whether clients may be asked for files (LOAD DATA LOCAL INFILE). A server that is not what it should be could
    /// ask for any file that the application can read.
    pub allow_local_infile: bool,
    /// Whether the server's public key may be taken from an unencrypted link to send the password with
    /// (`caching_sha2_password`, `sha256_password`). Someone in between can put a key of theirs in its place.
    pub allow_public_key_retrieval: bool,
    /// The server's public RSA key (PEM, `-----BEGIN PUBLIC KEY-----`), with which the password is encrypted on an
    /// unencrypted link. Public, so that it may stand here.
    pub server_public_key: Option<String>,
}
