//! The servers that the tests share, with one account that may do everything.

use std::sync::LazyLock;

use attache_kit::{Pki, Redis, SECRET, available};

pub const USER: &str = "app";

/// A server whose certificate is good for `localhost` and 127.0.0.1, if it has any.
pub struct Db {
    /// For messages.
    pub name: &'static str,
    /// Whose certificate the server has, if it has any.
    pub pki: Option<Pki>,
    pub server: Redis,
}

static SHARED: LazyLock<Option<Db>> = LazyLock::new(Db::own);
static VALKEY: LazyLock<Option<Db>> = LazyLock::new(Db::valkey);

pub fn shared() -> Option<&'static Db> {
    SHARED.as_ref()
}

/// Redis over TLS and Valkey in the clear: those of them that are there.
pub fn each() -> impl Iterator<Item = &'static Db> {
    [&SHARED, &VALKEY].into_iter().filter_map(|db| db.as_ref())
}

impl Db {
    /// A server of the test's own.
    pub fn own() -> Option<Db> {
        let pki = Pki::new();
        let server = available(Redis::start(&pki))?;
        Some(Db { name: "Redis", server, pki: Some(pki) }.with_user())
    }

    /// The same of Valkey, in the clear.
    pub fn valkey() -> Option<Db> {
        let server = available(Redis::start_valkey())?;
        Some(Db { name: "Valkey", pki: None, server }.with_user())
    }

    pub fn has_tls(&self) -> bool {
        self.pki.is_some()
    }

    fn with_user(self) -> Db {
        self.server.user(USER, SECRET);
        self
    }
}
