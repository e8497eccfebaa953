//! What the administrator does to a server in a test: SQL, accounts, certificates, read-only.

use std::process::Command;
use std::time::Duration;

use super::{Flavour, Mysql};
use crate::pki::Pair;
use crate::tools;

const SQL_DEADLINE: Duration = Duration::from_secs(60);

/// A test may read the binary log, and what its client prints must hold no password.
const UNSEEN: &str = "SET sql_log_bin = 0";

/// How an account proves its password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plugin {
    /// `mysql_native_password`: MariaDB's default, gone from MySQL 9.
    Native,
    /// `client_ed25519` on the wire: MariaDB only.
    Ed25519,
    /// `caching_sha2_password`: MySQL's default.
    CachingSha2,
    /// `sha256_password`: MySQL only.
    Sha256,
}

/// What an account demands of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Require {
    Nothing,
    Tls,
    /// A certificate that the server's `client_ca` has signed.
    Certificate,
}

impl Flavour {
    /// The plugin of an account for which none was named.
    pub fn plugin(self) -> Plugin {
        match self {
            Flavour::MariaDb => Plugin::Native,
            Flavour::MySql => Plugin::CachingSha2,
        }
    }

    pub fn plugins(self) -> &'static [Plugin] {
        match self {
            Flavour::MariaDb => &[Plugin::Native, Plugin::Ed25519],
            Flavour::MySql => &[Plugin::CachingSha2, Plugin::Sha256],
        }
    }
}

impl Plugin {
    fn identified(self, password: &str) -> String {
        let password = literal(password);
        match self {
            Plugin::Native => format!("IDENTIFIED VIA mysql_native_password USING PASSWORD({password})"),
            Plugin::Ed25519 => format!("IDENTIFIED VIA ed25519 USING PASSWORD({password})"),
            Plugin::CachingSha2 => format!("IDENTIFIED WITH caching_sha2_password BY {password}"),
            Plugin::Sha256 => format!("IDENTIFIED WITH sha256_password BY {password}"),
        }
    }
}

impl Require {
    fn clause(self) -> &'static str {
        match self {
            Require::Nothing => "REQUIRE NONE",
            Require::Tls => "REQUIRE SSL",
            Require::Certificate => "REQUIRE X509",
        }
    }
}

impl Mysql {
    /// As the administrator; rows by newline, columns by tab, NULL as `NULL`. Panics on an error.
    pub fn sql(&self, statements: &str) -> String {
        self.sql_in("mysql", statements)
    }

    pub fn sql_in(&self, database: &str, statements: &str) -> String {
        self.try_sql_in(database, statements)
            .unwrap_or_else(|error| panic!("{statements}: {error}\nlog:\n{}", self.log_tail()))
    }

    pub fn try_sql(&self, statements: &str) -> Result<String, String> {
        self.try_sql_in("mysql", statements)
    }

    fn try_sql_in(&self, database: &str, statements: &str) -> Result<String, String> {
        let mut client = self.client()?;
        client.args(["--batch", "--raw", "--skip-column-names", "--user=root"]);
        client.arg(format!("--socket={}", self.socket().display())).arg(format!("--database={database}"));
        // By the standard input: a password in a statement is nobody's business in the process list.
        let ran = tools::run(&mut client, statements.as_bytes(), SQL_DEADLINE);
        if ran.status.success() { Ok(ran.stdout.trim_end().to_string()) } else { Err(ran.stderr) }
    }

    fn client(&self) -> Result<Command, String> {
        match self.flavour() {
            Flavour::MariaDb => tools::mariadb_tool("mariadb").map_err(|missing| missing.to_string()),
            Flavour::MySql => tools::mysql_tool("mysql").map_err(|missing| format!("{missing:?}")),
        }
    }

    /// An account that may come from anywhere and do nothing yet.
    pub fn user(&self, name: &str, password: &str, plugin: Plugin, require: Require) {
        let (user, identified) = (account(name), plugin.identified(password));
        self.sql(&format!("{UNSEEN}; CREATE USER {user} {identified} {}", require.clause()));
    }

    /// Gives an account another password; its sessions live on.
    pub fn password(&self, name: &str, password: &str, plugin: Plugin) {
        self.sql(&format!("{UNSEEN}; ALTER USER {} {}", account(name), plugin.identified(password)));
    }

    /// A database with which an account may do everything.
    pub fn database(&self, name: &str, owner: &str) {
        let database = identifier(name);
        // In a grant, `_` and `%` stand for others.
        let pattern = identifier(&name.replace('_', "\\_").replace('%', "\\%"));
        self.sql(&format!("CREATE DATABASE {database}; GRANT ALL ON {pattern}.* TO {}", account(owner)));
    }

    /// Its connections, as a table with the columns `id` and `user`. MySQL's process list cannot be read while anybody runs
    /// a statement with octets that are no text, whichever columns are asked for.
    pub fn connections(&self) -> &'static str {
        match self.flavour() {
            Flavour::MariaDb => "information_schema.processlist",
            Flavour::MySql => {
                "(SELECT processlist_id AS id, processlist_user AS user FROM performance_schema.threads \
                 WHERE processlist_id IS NOT NULL) AS connections"
            }
        }
    }

    /// The numbers of the sessions that an account has now.
    pub fn ids_of(&self, user: &str) -> Vec<String> {
        let sql = format!("SELECT id FROM {} WHERE user = {}", self.connections(), literal(user));
        self.sql(&sql).lines().map(str::to_owned).collect()
    }

    /// How many sessions an account has now.
    pub fn sessions_of(&self, user: &str) -> usize {
        self.ids_of(user).len()
    }

    /// Whether one of these sessions is there.
    pub fn has_any_of(&self, ids: &[impl AsRef<str>]) -> bool {
        let ids: Vec<_> = ids.iter().map(AsRef::as_ref).collect();
        self.sql(&format!("SELECT count(*) FROM {} WHERE id IN ({})", self.connections(), ids.join(",")))
            != "0"
    }

    /// As a replica is for applications: accounts without special rights cannot write.
    pub fn read_only(&self, on: bool) {
        self.sql(&format!("SET GLOBAL read_only = {}", if on { "ON" } else { "OFF" }));
    }

    /// Gives a server that speaks TLS another certificate; it is in force when this returns. MySQL takes no
    /// certificate but a good one that its `client_ca` has signed: start it with a bad one instead.
    pub fn install_certificate(&self, pair: &Pair) {
        self.write_pair(pair);
        self.sql(match self.flavour() {
            Flavour::MariaDb => "FLUSH SSL",
            Flavour::MySql => "ALTER INSTANCE RELOAD TLS",
        });
    }
}

fn account(name: &str) -> String {
    format!("{}@'%'", literal(name))
}

fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
