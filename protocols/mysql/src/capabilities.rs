//! Capability flags, and which of them the two links of a session share (manual, "Capabilities Flags"; MariaDB's
//! "Connecting", extended capabilities).

use std::ops::{BitAnd, BitOr, Sub};

/// A set of capability flags. MariaDB's extended ones are the upper half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities(pub(crate) u64);

#[allow(dead_code, reason = "the list is that of the manual")]
impl Capabilities {
    pub(crate) const NONE: Self = Self(0);
    /// Also named CLIENT_MYSQL; its absence tells MariaDB's extended flags to be there.
    pub(crate) const LONG_PASSWORD: Self = Self(1);
    pub(crate) const FOUND_ROWS: Self = Self(1 << 1);
    pub(crate) const LONG_FLAG: Self = Self(1 << 2);
    pub(crate) const CONNECT_WITH_DB: Self = Self(1 << 3);
    pub(crate) const NO_SCHEMA: Self = Self(1 << 4);
    pub(crate) const COMPRESS: Self = Self(1 << 5);
    pub(crate) const ODBC: Self = Self(1 << 6);
    pub(crate) const LOCAL_FILES: Self = Self(1 << 7);
    pub(crate) const IGNORE_SPACE: Self = Self(1 << 8);
    pub(crate) const PROTOCOL_41: Self = Self(1 << 9);
    pub(crate) const INTERACTIVE: Self = Self(1 << 10);
    pub(crate) const SSL: Self = Self(1 << 11);
    pub(crate) const IGNORE_SIGPIPE: Self = Self(1 << 12);
    pub(crate) const TRANSACTIONS: Self = Self(1 << 13);
    pub(crate) const RESERVED: Self = Self(1 << 14);
    pub(crate) const SECURE_CONNECTION: Self = Self(1 << 15);
    pub(crate) const MULTI_STATEMENTS: Self = Self(1 << 16);
    pub(crate) const MULTI_RESULTS: Self = Self(1 << 17);
    pub(crate) const PS_MULTI_RESULTS: Self = Self(1 << 18);
    pub(crate) const PLUGIN_AUTH: Self = Self(1 << 19);
    pub(crate) const CONNECT_ATTRS: Self = Self(1 << 20);
    pub(crate) const PLUGIN_AUTH_LENENC: Self = Self(1 << 21);
    pub(crate) const EXPIRED_PASSWORDS: Self = Self(1 << 22);
    pub(crate) const SESSION_TRACK: Self = Self(1 << 23);
    pub(crate) const DEPRECATE_EOF: Self = Self(1 << 24);
    pub(crate) const OPTIONAL_RESULTSET_METADATA: Self = Self(1 << 25);
    pub(crate) const ZSTD: Self = Self(1 << 26);
    pub(crate) const QUERY_ATTRIBUTES: Self = Self(1 << 27);
    pub(crate) const MULTI_FACTOR: Self = Self(1 << 28);
    pub(crate) const CAPABILITY_EXTENSION: Self = Self(1 << 29);
    pub(crate) const VERIFY_SERVER_CERTIFICATE: Self = Self(1 << 30);
    pub(crate) const REMEMBER_OPTIONS: Self = Self(1 << 31);
    /// MariaDB's: several commands in one packet, which nobody here could tell apart. Servers of before version 10.5 know it.
    pub(crate) const COM_MULTI: Self = Self(1 << 33);
    /// MariaDB's: whether columns are described may be told behind their number.
    pub(crate) const CACHE_METADATA: Self = Self(1 << 36);
    /// MariaDB's extended flags (progress, bulk operations, extended metadata, cached metadata …).
    pub(crate) const EXTENDED: Self = Self(0xffff_ffff << 32);

    pub(crate) fn has(self, other: Self) -> bool {
        self & other == other
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Capabilities {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What is in the one and not in the other.
impl Sub for Capabilities {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}
