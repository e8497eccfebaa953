//! The private database that everything is measured against.

use std::path::PathBuf;
use std::process::Command;

use attache_kit::postgres::{Encryption, Postgres, Setup, Version};
use attache_kit::{Mounted, Pki, Rendered, tools};

/// Logs in with a password, over SCRAM: the usual application.
pub(crate) const APP: &str = "app";
pub(crate) const PASSWORD: &str = "correct-horse";
/// Logs in without any password: a thousand idle sessions should not take a minute.
pub(crate) const IDLER: &str = "idler";
const POINTS: usize = 10_000;
/// For the loads, for what peers keep open, and for the administrator.
const OTHER_CONNECTIONS: usize = 200;

pub(crate) struct House {
    pub(crate) database: Postgres,
    /// The most that it takes; no peer should queue or refuse before.
    pub(crate) connections: usize,
    pub(crate) pki: Pki,
    /// The Secrets of the two roles, as Attaché finds them.
    pub(crate) app: Mounted,
    pub(crate) idler: Mounted,
    scripts: Rendered,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// One row by its key.
    Point,
    /// The least that a server can be asked.
    One,
}

impl House {
    pub(crate) fn build(idle: usize) -> House {
        let pki = Pki::new();
        let connections = idle + OTHER_CONNECTIONS;
        let setup = Setup::new()
            .tls(&pki.server())
            .hba(&format!("host all {IDLER} all trust"))
            .hba("host all all all scram-sha-256")
            .set("max_connections", &connections.to_string())
            .set("log_connections", "off")
            .set("log_disconnections", "off");
        let database = Postgres::start(Version::V15, setup)
            .unwrap_or_else(|error| panic!("no PostgreSQL 15 to measure against: {error:?}"));
        for role in [APP, IDLER] {
            database.role(role, PASSWORD, Encryption::Scram);
        }
        database.sql(&format!(
            "create table points (id int primary key, value text);
             insert into points select n, md5(n::text) from generate_series(1, {POINTS}) n;
             grant select on points to public;"
        ));
        database.sql("vacuum analyze points");
        let point = format!("\\set id random(1, {POINTS})\nselect value from points where id = :id;\n");
        House {
            database,
            connections,
            pki,
            app: Mounted::new(&[("username", APP), ("password", PASSWORD)]),
            idler: Mounted::new(&[("username", IDLER), ("password", PASSWORD)]),
            scripts: Rendered::new(&[("point.sql", point.as_str()), ("one.sql", "select 1;\n")]),
        }
    }

    pub(crate) fn script(&self, question: Question) -> PathBuf {
        self.scripts.path().join(match question {
            Question::Point => "point.sql",
            Question::One => "one.sql",
        })
    }

    /// pgbench as the application's user. Whoever stands in between may not ask for the password.
    pub(crate) fn pgbench(&self) -> Command {
        let mut pgbench = tools::postgres_tool("pgbench").expect("pgbench is installed with its server");
        pgbench.args(["-n", "-U", APP, "-f"]).env("PGPASSWORD", PASSWORD);
        pgbench.env("PGSSLROOTCERT", self.pki.ca());
        pgbench
    }
}
