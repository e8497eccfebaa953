//! The route's `options` for MySQL and MariaDB.

use attache_wire::Text;
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::public_key::PublicKey;

/// Settings of the protocol itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Whether clients may be asked for files (LOAD DATA LOCAL INFILE). A server that is not what it should be could
    /// ask for any file that the application can read.
    pub allow_local_infile: bool,
    /// Whether sessions only read: each login is followed by `SET SESSION TRANSACTION READ ONLY`, and statements that would
    /// turn it off again are refused. A seat belt against accidents, not a lock: what a user may do is for the database
    /// to say.
    pub read_only: bool,
    /// Whether the server's public key may be taken from an unencrypted link to send the password with
    /// (`caching_sha2_password`, `sha256_password`). Someone in between can put a key of theirs in its place.
    pub allow_public_key_retrieval: bool,
    /// The server's public RSA key (PEM, `-----BEGIN PUBLIC KEY-----`), with which the password is encrypted on an
    /// unencrypted link. Public, so that it may stand here, or in a file: `{ file: PATH }`.
    #[serde(deserialize_with = "public_key")]
    pub server_public_key: Option<Text>,
}

/// A key that is none is better noticed before anybody needs it.
fn public_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Text>, D::Error> {
    let text = Option::<Text>::deserialize(deserializer)?;
    match &text {
        Some(Text(pem)) if PublicKey::from_pem(pem.as_bytes()).is_none() => {
            Err(D::Error::custom("not an RSA public key in PEM (-----BEGIN PUBLIC KEY-----)"))
        }
        Some(_) | None => Ok(text),
    }
}
