//! The servers that the tests share, with one account that may do everything.

use std::sync::LazyLock;

use attache_kit::{Pki, Redis, available};

/// The one password of all tests. Nothing that is logged and nothing that a client hears may contain it.
pub const SECRET: &str = "s3cret-that-nobody-sees";
pub const USER: &str = "app";

/// A server whose certificate is good for `localhost` and 127.0.0.1, if it has any.
pub struct Db {
    /// For messages.
    pub name: &'static str,
    /// Whose certificate the server has, if it has any.
    pub pki: Option<Pki>,
    pub server: Redis,
    /// The `upstream` of a route that leads there, as YAML, and whatever else the route needs for it.
    pub upstream: String,
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
        let (port, ca) = (server.tls_port(), pki.ca().display());
        let upstream = format!("{{ endpoints: [\"localhost:{port}\"], tls: {{ ca: {ca} }} }}");
        Some(Db { name: "Redis", server, upstream, pki: Some(pki) }.with_user())
    }

    /// The same of Valkey, in the clear.
    pub fn valkey() -> Option<Db> {
        let server = available(Redis::start_valkey())?;
        let port = server.port();
        let upstream =
            format!("{{ endpoints: [\"127.0.0.1:{port}\"], tls: off }}\n    allow_cleartext: true");
        Some(Db { name: "Valkey", pki: None, server, upstream }.with_user())
    }

    pub fn has_tls(&self) -> bool {
        self.pki.is_some()
    }

    fn with_user(self) -> Db {
        self.server.user(USER, SECRET);
        self
    }
}
