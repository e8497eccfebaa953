//! Which flags a link to the server has (manual, "Capabilities Flags").
//!
//! What the client chose of what it was offered is asked of the server, so that both links of a session speak alike
//! and the rest is copying. Flags that only a login knows are ours.

use attache_wire::Fault;

use crate::capabilities::Capabilities;
use crate::hello::Hello;
use crate::intent::Intent;
use crate::options::Options;

/// Flags that decide what a frame of the session looks like, or which frames come.
const SHAPING: Capabilities = Capabilities(
    Capabilities::MULTI_RESULTS.0
        | Capabilities::PS_MULTI_RESULTS.0
        | Capabilities::SESSION_TRACK.0
        | Capabilities::DEPRECATE_EOF.0
        | Capabilities::OPTIONAL_RESULTSET_METADATA.0
        | Capabilities::QUERY_ATTRIBUTES.0
        | Capabilities::EXTENDED.0,
);

/// Flags of the login alone: set where the server has them, whatever the client chose.
const OURS: Capabilities = Capabilities(
    Capabilities::LONG_PASSWORD.0
        | Capabilities::PROTOCOL_41.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::PLUGIN_AUTH.0
        | Capabilities::PLUGIN_AUTH_LENENC.0
        | Capabilities::CONNECT_ATTRS.0,
);

/// Flags that are never set, or by somebody else: TLS and a database by the login that has one; no compression; an
/// expired password is a credential that is no good, and no reason to log in only to change it; one factor.
const NEVER: Capabilities = Capabilities(
    Capabilities::SSL.0
        | Capabilities::CONNECT_WITH_DB.0
        | Capabilities::COMPRESS.0
        | Capabilities::ZSTD.0
        | Capabilities::EXPIRED_PASSWORDS.0
        | Capabilities::MULTI_FACTOR.0
        | Capabilities::CAPABILITY_EXTENSION.0
        | Capabilities::VERIFY_SERVER_CERTIFICATE.0
        | Capabilities::REMEMBER_OPTIONS.0,
);

/// The flags of the link to the server that has said `hello`.
///
/// # Errors
/// The client was greeted with the words of another server, which can do something that this one cannot.
pub(crate) fn agree(intent: &Intent, hello: &Hello, options: &Options) -> Result<Capabilities, Fault> {
    let promised = intent.capabilities & SHAPING;
    if !hello.capabilities.has(promised) {
        return Err(Fault::Unsupported(
            "a server that lacks a capability which the client was promised by the one that greeted it",
        ));
    }
    let files = if options.allow_local_infile { Capabilities::NONE } else { Capabilities::LOCAL_FILES };
    Ok(((intent.capabilities | OURS) & hello.capabilities) - NEVER - files)
}
