//! What a test asks of its server, and the configuration files that say so.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Version;
use crate::pki::Pair;
use crate::scratch::set_mode;

/// The administrator comes by the Unix socket only, so that no rule of a test can lock the kit out.
const ADMIN_RULES: &str = "local all postgres trust\nlocal replication postgres trust\n";

const USUAL_RULES: [&str; 2] = ["host all all all scram-sha-256", "host replication all all scram-sha-256"];

/// Speed, and everything that replication needs. Shared memory lies in the data folder because in small
/// containers and chroots `/dev/shm` is tiny or closed to ordinary users.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
fsync = off
full_page_writes = off
max_connections = 200
shared_buffers = '32MB'
dynamic_shared_memory_type = mmap
wal_level = logical
max_wal_senders = 8
max_replication_slots = 8
wal_keep_size = '256MB'
hot_standby = on
jit = off
log_connections = on
log_disconnections = on
log_line_prefix = '%m [%p] %q%u@%d '
logging_collector = off
";

/// Reading and writing in the backend itself: no worker processes for a server of seconds.
const SETTINGS_SINCE_18: &str = "io_method = sync\n";

/// TLS, rules and settings of a server; without any: no TLS, SCRAM for everybody.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    tls: Option<(PathBuf, PathBuf)>,
    client_ca: Option<PathBuf>,
    rules: Vec<String>,
    settings: Vec<(String, String)>,
}

impl Setup {
    pub fn new() -> Setup {
        Setup::default()
    }

    pub fn tls(mut self, pair: &Pair) -> Setup {
        self.tls = Some((pair.cert.clone(), pair.key.clone()));
        self
    }

    /// The authority that client certificates are checked against.
    pub fn client_ca(mut self, ca: &Path) -> Setup {
        self.client_ca = Some(ca.to_path_buf());
        self
    }

    /// A line of `pg_hba.conf`; the first one replaces the usual rules.
    pub fn hba(mut self, rule: &str) -> Setup {
        self.rules.push(rule.to_string());
        self
    }

    /// A line of `postgresql.conf`.
    pub fn set(mut self, name: &str, value: &str) -> Setup {
        self.settings.push((name.to_string(), value.to_string()));
        self
    }

    pub(super) fn write(&self, data: &Path, version: Version) -> io::Result<()> {
        let rules: Vec<&str> = if self.rules.is_empty() {
            USUAL_RULES.to_vec()
        } else {
            self.rules.iter().map(String::as_str).collect()
        };
        write_rules(data, &rules)?;
        if let Some((cert, key)) = &self.tls {
            write_pair(data, &fs::read(cert)?, &fs::read(key)?)?;
        }
        if let Some(ca) = &self.client_ca {
            fs::copy(ca, data.join("client-ca.crt"))?;
        }
        fs::write(data.join("postgresql.conf"), self.text(version))
    }

    fn text(&self, version: Version) -> String {
        let mut text = SETTINGS.to_string();
        match version {
            Version::V15 => {}
            Version::V18 => text.push_str(SETTINGS_SINCE_18),
        }
        if self.tls.is_some() {
            text.push_str("ssl = on\n");
        }
        if self.client_ca.is_some() {
            text.push_str("ssl_ca_file = 'client-ca.crt'\n");
        }
        for (name, value) in &self.settings {
            let _ = writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
        }
        text
    }
}

pub(super) fn write_rules(data: &Path, rules: &[&str]) -> io::Result<()> {
    fs::write(data.join("pg_hba.conf"), format!("{ADMIN_RULES}{}\n", rules.join("\n")))
}

/// Under the names that PostgreSQL looks for by itself; it refuses a key that others may read.
pub(super) fn write_pair(data: &Path, certificate: &[u8], key: &[u8]) -> io::Result<()> {
    fs::write(data.join("server.crt"), certificate)?;
    fs::write(data.join("server.key"), key)?;
    set_mode(&data.join("server.key"), 0o600);
    Ok(())
}
