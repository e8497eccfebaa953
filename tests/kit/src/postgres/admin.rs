//! What the administrator does to a server in a test: SQL, roles, rules, certificates.

use std::time::Duration;

use super::{Postgres, setup};
use crate::pki::Pair;
use crate::tools;

const SQL_DEADLINE: Duration = Duration::from_secs(60);

/// How a role's password is kept, which decides the login that it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    Scram,
    Md5,
}

impl Encryption {
    fn setting(self) -> &'static str {
        match self {
            Encryption::Scram => "scram-sha-256",
            Encryption::Md5 => "md5",
        }
    }
}

impl Postgres {
    /// As the superuser in the database `postgres`; rows by newline, columns by `|`. Panics on an error.
    pub fn sql(&self, statements: &str) -> String {
        self.sql_in("postgres", statements)
    }

    pub fn sql_in(&self, database: &str, statements: &str) -> String {
        self.try_sql_in(database, statements)
            .unwrap_or_else(|error| panic!("{statements}: {error}\nlog:\n{}", self.log_tail()))
    }

    pub fn try_sql(&self, statements: &str) -> Result<String, String> {
        self.try_sql_in("postgres", statements)
    }

    fn try_sql_in(&self, database: &str, statements: &str) -> Result<String, String> {
        let mut psql = tools::postgres_tool("psql").map_err(|missing| missing.to_string())?;
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database])
            .arg("-h")
            .arg(self.socket_dir())
            .args(["-p", &self.port().to_string()])
            // By the standard input: a password in a statement is nobody's business in the process list.
            .args(["-f", "-"]);
        let ran = tools::run(&mut psql, statements.as_bytes(), SQL_DEADLINE);
        if ran.status.success() { Ok(ran.stdout.trim_end().to_string()) } else { Err(ran.stderr) }
    }

    pub fn role(&self, name: &str, password: &str, encryption: Encryption) {
        self.set_password("CREATE ROLE", "LOGIN", name, password, encryption);
    }

    /// Gives a role another password; its sessions live on.
    pub fn password(&self, name: &str, password: &str, encryption: Encryption) {
        self.set_password("ALTER ROLE", "", name, password, encryption);
    }

    fn set_password(&self, verb: &str, options: &str, name: &str, password: &str, encryption: Encryption) {
        self.sql(&format!(
            "SET password_encryption = '{}'; {verb} {} {options} PASSWORD {};",
            encryption.setting(),
            identifier(name),
            literal(password),
        ));
    }

    pub fn database(&self, name: &str, owner: &str) {
        self.sql(&format!("CREATE DATABASE {} OWNER {}", identifier(name), identifier(owner)));
    }

    /// How many backends serve this role now.
    pub fn sessions_of(&self, role: &str) -> usize {
        let count =
            self.sql(&format!("SELECT count(*) FROM pg_stat_activity WHERE usename = {}", literal(role)));
        count.parse().expect("count(*) is a number")
    }

    /// Makes the server read its files again; rules and certificates are in force when this returns.
    pub fn reload(&self) {
        // New backends are forked by the postmaster, so one that has seen the reload proves it for the rest.
        let before = self.sql("SELECT pg_conf_load_time()");
        self.sql("SELECT pg_reload_conf()");
        crate::wait::eventually("the server to reload its files", SQL_DEADLINE, || {
            (self.sql("SELECT pg_conf_load_time()") != before).then_some(())
        });
    }

    /// Replaces the rules of `pg_hba.conf`, the administrator's own excepted.
    pub fn rewrite_hba(&self, rules: &[&str]) {
        setup::write_rules(&self.data(), rules).expect("the rules can be written");
        self.own(&[&self.data().join("pg_hba.conf")]);
        self.reload();
    }

    /// Gives a server that speaks TLS another certificate.
    pub fn install_certificate(&self, pair: &Pair) {
        setup::write_pair(&self.data(), pair.cert_pem.as_bytes(), pair.key_pem.as_bytes())
            .expect("a pair of files");
        self.own(&[&self.data().join("server.crt"), &self.data().join("server.key")]);
        self.reload();
    }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
