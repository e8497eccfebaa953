//! The names of authentication methods (manual, "Authentication Methods").

/// How an account proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plugin {
    /// `mysql_native_password`: SHA-1 of the password and a nonce.
    Native,
    /// `caching_sha2_password`: SHA-256 of both, or the password over a safe link.
    CachingSha2,
    /// `sha256_password`: the password over a safe link, or encrypted with the server's key.
    Sha256,
    /// `mysql_clear_password`: the password as it is.
    Clear,
    /// MariaDB's `client_ed25519`: a signature with a key made of the password.
    Ed25519,
    /// MariaDB's `parsec`: a signature with a key derived slowly from the password.
    Parsec,
}

impl Plugin {
    const ALL: [Self; 6] =
        [Self::Native, Self::CachingSha2, Self::Sha256, Self::Clear, Self::Ed25519, Self::Parsec];

    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|plugin| plugin.name().as_bytes() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
            Self::Clear => "mysql_clear_password",
            Self::Ed25519 => "client_ed25519",
            Self::Parsec => "parsec",
        }
    }
}
