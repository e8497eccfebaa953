//! The server that the tests share, with one account that may do everything.

use std::sync::LazyLock;

use attache_kit::{Pki, Redis, available};

/// The one password of all tests. Nothing that is logged and nothing that a client hears may contain it.
pub const SECRET: &str = "s3cret-that-nobody-sees";
pub const USER: &str = "app";

/// A server whose certificate is good for `localhost` and 127.0.0.1.
pub struct Db {
    pub pki: Pki,
    pub server: Redis,
}

static SHARED: LazyLock<Option<Db>> = LazyLock::new(Db::own);

pub fn shared() -> Option<&'static Db> {
    SHARED.as_ref()
}

impl Db {
    /// A server of the test's own.
    pub fn own() -> Option<Db> {
        let pki = Pki::new();
        let server = available(Redis::start(&pki))?;
        server.user(USER, SECRET);
        Some(Db { pki, server })
    }
}
