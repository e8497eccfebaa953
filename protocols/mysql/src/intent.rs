//! What a client wants of its session (manual, "Protocol::HandshakeResponse41", "COM_CHANGE_USER").

use crate::capabilities::Capabilities;
use crate::plugin::Plugin;

/// The part of a client's first packet that goes to the server: everything but who it says it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intent {
    /// The flags that the client set, cut to what it was offered.
    pub(crate) capabilities: Capabilities,
    /// The longest packet that the client takes, in octets, as it says.
    pub(crate) max_packet: u32,
    /// Character set and collation; COM_CHANGE_USER gives it two octets.
    pub(crate) collation: u16,
    /// The database that the client names.
    pub(crate) database: Option<Vec<u8>>,
    /// Its connection attributes: keys and values as they came, length-encoded, without the length of the whole.
    pub(crate) attributes: Vec<u8>,
    /// The sequence number that the answer to the client bears.
    pub(crate) sequence: u8,
    /// What comes in front of the OK.
    pub(crate) prelude: Prelude,
    /// The authentication method that the client was greeted with; none for a probe.
    pub(crate) offered: Option<Plugin>,
}

/// What a client waits for before it takes an OK.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Prelude {
    #[default]
    Nothing,
    /// That its `caching_sha2_password` answer was right (manual, "Caching_sha2_password information":
    /// fast_auth_success). An OK without it is an error for libmysqlclient.
    FastAuth,
}
