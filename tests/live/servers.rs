//! The servers that the tests share: one of each version, with TLS and a rule for every way to log in.
//!
//! A test makes an account of its own there, named after itself, and so disturbs no other. What changes a server
//! (its certificate, its rules, its death) needs a server of its own.

use std::sync::{Arc, LazyLock};

use attache_kit::*;

/// A server whose certificate is good for `localhost`.
pub struct Db {
    pub pki: Pki,
    pub server: Postgres,
}

/// An account on a server, the database of the same name, and the Secret that holds its password.
pub struct Account {
    pub name: String,
    pub secret: Arc<Mounted>,
}

/// How an account logs in: the rules of the shared servers go by membership in these groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    Trust,
    Cleartext,
    Md5,
    Scram,
    Certificate,
}

static SHARED_15: LazyLock<Option<Db>> = LazyLock::new(|| shared(Version::V15));
static SHARED_18: LazyLock<Option<Db>> = LazyLock::new(|| shared(Version::V18));

/// The shared server of each version that is installed.
pub fn each() -> impl Iterator<Item = &'static Db> {
    Version::ALL.into_iter().filter_map(of)
}

pub fn of(version: Version) -> Option<&'static Db> {
    match version {
        Version::V15 => SHARED_15.as_ref(),
        Version::V18 => SHARED_18.as_ref(),
    }
}

fn shared(version: Version) -> Option<Db> {
    let pki = Pki::new();
    let setup = Setup::new().tls(&pki.server()).client_ca(pki.ca());
    let setup = RULES.iter().fold(setup, |setup, rule| setup.hba(rule));
    let server = available(Postgres::start(version, setup))?;
    for group in ["by_trust", "by_cleartext", "by_md5", "by_certificate"] {
        server.sql(&format!("CREATE ROLE {group} NOLOGIN"));
    }
    Some(Db { pki, server })
}

const RULES: [&str; 7] = [
    "local all all scram-sha-256",
    "host all +by_trust all trust",
    "host all +by_cleartext all password",
    "host all +by_md5 all md5",
    "hostssl all +by_certificate all cert",
    "host all all all scram-sha-256",
    "host replication all all scram-sha-256",
];

impl Db {
    /// A server of the test's own, with TLS and a certificate of a fresh authority.
    pub fn own(version: Version) -> Option<Db> {
        let pki = Pki::new();
        let server = available(Postgres::start(version, Setup::new().tls(&pki.server())))?;
        Some(Db { pki, server })
    }

    pub fn account(&self, name: &str) -> Account {
        self.account_by(name, Login::Scram)
    }

    pub fn account_by(&self, name: &str, login: Login) -> Account {
        let encryption = if login == Login::Md5 { Encryption::Md5 } else { Encryption::Scram };
        self.server.role(name, SECRET, encryption);
        if let Some(group) = login.group() {
            self.server.sql(&format!("GRANT {group} TO {name}"));
        }
        self.server.database(name, name);
        Account::new(name, self.secret(name, login))
    }

    fn secret(&self, name: &str, login: Login) -> Mounted {
        if login == Login::Certificate {
            let pair = self.pki.client(name);
            return Mounted::new(&[
                ("username", name),
                ("tls.crt", &pair.cert_pem),
                ("tls.key", &pair.key_pem),
            ]);
        }
        Mounted::new(&[("username", name), ("password", SECRET)])
    }

    /// For messages: which server a failed assertion speaks of.
    pub fn version(&self) -> Version {
        self.server.version()
    }
}

impl Account {
    pub fn new(name: &str, secret: Mounted) -> Account {
        Account { name: name.to_owned(), secret: Arc::new(secret) }
    }

    /// One that no shared server knows: `app`.
    pub fn somebody() -> Account {
        Account::new("app", Mounted::new(&[("username", "app"), ("password", SECRET)]))
    }
}

impl Login {
    pub const ALL: [Login; 5] =
        [Login::Trust, Login::Cleartext, Login::Md5, Login::Scram, Login::Certificate];

    fn group(self) -> Option<&'static str> {
        match self {
            Login::Trust => Some("by_trust"),
            Login::Cleartext => Some("by_cleartext"),
            Login::Md5 => Some("by_md5"),
            Login::Certificate => Some("by_certificate"),
            Login::Scram => None,
        }
    }
}
