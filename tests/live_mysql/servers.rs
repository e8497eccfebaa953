//! The servers that the tests share: a MariaDB and a MySQL with TLS, whose accounts may come without it.

use std::sync::LazyLock;

use attache_kit::mysql::Setup;
use attache_kit::*;

/// A server whose certificate is good for `localhost` and 127.0.0.1.
pub struct Db {
    pub pki: Pki,
    pub server: Mysql,
}

static SHARED_MARIADB: LazyLock<Option<Db>> = LazyLock::new(|| Db::own(Flavour::MariaDb));
static SHARED_MYSQL: LazyLock<Option<Db>> = LazyLock::new(|| {
    let db = Db::own(Flavour::MySql)?;
    // By which a statement sees its own attributes.
    db.server.sql("INSTALL COMPONENT 'file://component_query_attributes'");
    Some(db)
});

/// The shared server of each flavour that is installed.
pub fn each() -> impl Iterator<Item = &'static Db> {
    Flavour::ALL.into_iter().filter_map(of)
}

pub fn of(flavour: Flavour) -> Option<&'static Db> {
    match flavour {
        Flavour::MariaDb => SHARED_MARIADB.as_ref(),
        Flavour::MySql => SHARED_MYSQL.as_ref(),
    }
}

impl Db {
    /// A server of the test's own, with TLS and a certificate of a fresh authority.
    pub fn own(flavour: Flavour) -> Option<Db> {
        let pki = Pki::new();
        let setup = Setup::new().tls(&pki.server()).client_ca(pki.ca());
        let server = available(Mysql::start(flavour, setup))?;
        Some(Db { pki, server })
    }

    pub fn flavour(&self) -> Flavour {
        self.server.flavour()
    }

    /// An account by the flavour's own plugin, with a database of the same name.
    pub fn account(&self, name: &str) {
        self.account_by(name, self.flavour().plugin(), Require::Nothing);
    }

    pub fn account_by(&self, name: &str, plugin: Plugin, require: Require) {
        self.server.user(name, SECRET, plugin, require);
        self.server.database(name, name);
    }
}
