//! What a client wants of its session (manual, "Protocol::HandshakeResponse41", "COM_CHANGE_USER").

use bytes::BytesMut;

use crate::capabilities::Capabilities;
use crate::field::put_text;
use crate::kill::Kill;
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
    /// The connection id that the client was greeted with.
    pub(crate) told: u32,
    pub(crate) wish: Wish,
    pub(crate) upkeep: Upkeep,
}

/// What a client is after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A login.
    #[default]
    Login,
    /// The end of another session, or of what that one does.
    Kill(Box<Kill>),
}

/// What becomes of the link when its session is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Upkeep {
    #[default]
    Closed,
    /// It may be reset: the login finds out what a reset will have to restore.
    Reset,
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

/// The longest packet that a probe takes, in octets.
const PROBE_MAX_PACKET: u32 = 1 << 24;
/// utf8mb4_general_ci: both MySQL and MariaDB know it by this number.
const PROBE_COLLATION: u16 = 45;

impl Intent {
    /// What a probe asks for: nothing that a server could lack.
    pub(crate) fn probe(program: &str) -> Self {
        let mut attributes = BytesMut::new();
        put_text(&mut attributes, b"program_name");
        put_text(&mut attributes, program.as_bytes());
        Self {
            max_packet: PROBE_MAX_PACKET,
            collation: PROBE_COLLATION,
            attributes: attributes.to_vec(),
            ..Self::default()
        }
    }
}
