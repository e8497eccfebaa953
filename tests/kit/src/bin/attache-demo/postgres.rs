//! PostgreSQL: a row for each visit, by pgbench.

use std::io::Write as _;
use std::process::Command;

use attache_kit::postgres::{Encryption, Postgres, Setup, Version};
use attache_kit::skip::StartError;
use attache_kit::{Pki, tools};
use tempfile::NamedTempFile;

use crate::load::{LOAD_SECONDS, Load};
use crate::scene::{ACCOUNT, ANYBODY, FIRST_PASSWORD, Scene};

const WHO_AM_I: &str = "select 'logged in as ' || current_user || ', encrypted with ' || version || ' ' || cipher \
                        from pg_stat_ssl where pid = pg_backend_pid()";

pub(crate) struct PostgresScene {
    database: Postgres,
    /// What the load does, again and again.
    script: NamedTempFile,
}

impl PostgresScene {
    pub(crate) fn set(pki: &Pki) -> Result<PostgresScene, StartError> {
        let database = Postgres::start(Version::V15, Setup::new().tls(&pki.server()))?;
        database.role(ACCOUNT, FIRST_PASSWORD, Encryption::Scram);
        database.sql("create table visits (at timestamptz default now())");
        database.sql(&format!("grant insert, select on visits to {ACCOUNT}"));
        let mut script = NamedTempFile::new().expect("a temporary file can be made");
        writeln!(script, "insert into visits default values;").expect("a temporary file can be written");
        Ok(PostgresScene { database, script })
    }

    fn client(tool: &str, port: u16) -> Command {
        let mut client = tools::postgres_tool(tool).expect("the clients come with the server");
        client.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", ANYBODY]);
        client
    }

    fn pgbench(&self, port: u16) -> Command {
        let mut pgbench = Self::client("pgbench", port);
        pgbench.args(["-n", "-c", "2", "-R", "200", "-T", &LOAD_SECONDS.to_string(), "-f"]);
        pgbench.arg(self.script.path()).arg("postgres");
        pgbench
    }
}

impl Scene for PostgresScene {
    fn name(&self) -> &'static str {
        "orders"
    }

    fn protocol(&self) -> &'static str {
        "postgres"
    }

    fn server(&self) -> &'static str {
        "PostgreSQL 15, which asks for TLS and SCRAM-SHA-256"
    }

    fn port(&self) -> u16 {
        self.database.port()
    }

    fn who_am_i(&self, port: u16) -> Command {
        let mut psql = Self::client("psql", port);
        psql.args(["-XAt", "-c", WHO_AM_I, "postgres"]);
        psql
    }

    fn loads(&self, port: u16) -> Vec<Load> {
        let mut reconnecting = self.pgbench(port);
        reconnecting.arg("-C");
        vec![
            Load::pgbench("PostgreSQL, staying connected", self.pgbench(port)),
            Load::pgbench("PostgreSQL, connecting each time", reconnecting),
        ]
    }

    fn change_password(&self, password: &str) -> String {
        self.database.password(ACCOUNT, password, Encryption::Scram);
        format!("ALTER ROLE {ACCOUNT} PASSWORD '{password}'")
    }

    fn visits(&self) -> u64 {
        self.database.sql("select count(*) from visits").parse().expect("a count is a number")
    }
}
