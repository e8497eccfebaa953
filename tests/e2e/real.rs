//! The one PostgreSQL that the tests share. Each brings a role of its own.

use std::sync::LazyLock;

use attache_kit::{Encryption, Pki, Postgres, SECRET, Setup, Version, available};

pub struct Real {
    pub postgres: Postgres,
    pub pki: Pki,
}

static REAL: LazyLock<Option<Real>> = LazyLock::new(|| {
    let pki = Pki::new();
    let setup = Setup::new()
        .tls(&pki.server())
        .client_ca(pki.ca())
        .hba("hostssl all +by_certificate all cert")
        .hba("host all all all scram-sha-256");
    let postgres = available(Postgres::start(Version::V15, setup))?;
    postgres.sql("CREATE ROLE by_certificate");
    Some(Real { postgres, pki })
});

impl Real {
    /// `None`, said aloud, where PostgreSQL is not installed.
    pub fn shared() -> Option<&'static Real> {
        REAL.as_ref()
    }

    /// The same, with a role that logs in by [`SECRET`].
    pub fn with_role(role: &str) -> Option<&'static Real> {
        let real = Real::shared()?;
        real.postgres.role(role, SECRET, Encryption::Scram);
        Some(real)
    }
}
