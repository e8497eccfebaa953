//! What a test asks of its server, and the option file that says so.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::install::Install;
use super::{Files, Flavour};
use crate::pki::Pair;
use crate::scratch::set_mode;

/// Speed, room for large values, and everything that replication needs. Nothing is synced to disk: what a crash of the
/// machine would lose is of no interest here. Native AIO is scarce where many servers share a kernel.
const SETTINGS: &str = "
bind-address = 127.0.0.1
max-connections = 200
max-allowed-packet = 128M
local-infile = ON
character-set-server = utf8mb4
server-id = 1
log-bin = binlog
binlog-format = ROW
sync-binlog = 0
innodb-buffer-pool-size = 32M
innodb-flush-log-at-trx-commit = 0
innodb-doublewrite = OFF
innodb-use-native-aio = OFF
";

/// Refused logins and aborted connections are worth a line in the log.
const SETTINGS_OF_MARIADB: &str = "
plugin-load-add = auth_ed25519
log-warnings = 2
performance-schema = OFF
";

const SETTINGS_OF_MYSQL: &str = "
mysqlx = OFF
secure-file-priv = NULL
log-error-verbosity = 3
auto-generate-certs = OFF
";

/// TLS and settings of a server; without any: no TLS.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    tls: Option<Pair>,
    client_ca: Option<PathBuf>,
    settings: Vec<(String, String)>,
    names: Names,
}

/// Whether the server looks up the names of its clients. Only then it counts their broken handshakes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Names {
    #[default]
    Skipped,
    Resolved,
}

impl Setup {
    pub fn new() -> Setup {
        Setup::default()
    }

    pub fn tls(mut self, pair: &Pair) -> Setup {
        self.tls = Some(pair.clone());
        self
    }

    /// The authority that client certificates are checked against.
    pub fn client_ca(mut self, ca: &Path) -> Setup {
        self.client_ca = Some(ca.to_path_buf());
        self
    }

    /// A line of the option file, behind the kit's own and so above them.
    pub fn set(mut self, name: &str, value: &str) -> Setup {
        self.settings.push((name.to_string(), value.to_string()));
        self
    }

    /// Looks up the names of clients, which costs a login its time.
    pub fn resolve_names(mut self) -> Setup {
        self.names = Names::Resolved;
        self
    }

    pub(super) fn write_certificates(&self, folder: &Path) -> io::Result<()> {
        if let Some(pair) = &self.tls {
            write_pair(folder, pair)?;
        }
        if let Some(ca) = &self.client_ca {
            fs::copy(ca, folder.join("client-ca.crt"))?;
        }
        Ok(())
    }

    pub(super) fn text(&self, flavour: Flavour, install: &Install, files: Files<'_>, port: u16) -> String {
        let mut text = format!(
            "[mysqld]\ndatadir = {}\nsocket = {}\npid-file = {}\nport = {port}\n{SETTINGS}",
            files.data().display(),
            files.socket().display(),
            files.pid().display(),
        );
        text.push_str(match flavour {
            Flavour::MariaDb => SETTINGS_OF_MARIADB,
            Flavour::MySql => SETTINGS_OF_MYSQL,
        });
        if self.names == Names::Skipped {
            text.push_str("skip-name-resolve\n");
        }
        let tls = files.tls();
        let mut set =
            |name: &str, value: &str| writeln!(text, "{name} = {value}").expect("a String takes it");
        for (name, folder) in install.folders() {
            set(name, &folder.display().to_string());
        }
        if self.tls.is_some() {
            set("ssl-cert", &tls.join("server.crt").display().to_string());
            set("ssl-key", &tls.join("server.key").display().to_string());
        }
        if self.client_ca.is_some() {
            set("ssl-ca", &tls.join("client-ca.crt").display().to_string());
        }
        for (name, value) in &self.settings {
            set(name, value);
        }
        text
    }
}

pub(super) fn write_pair(folder: &Path, pair: &Pair) -> io::Result<()> {
    fs::write(folder.join("server.crt"), &pair.cert_pem)?;
    fs::write(folder.join("server.key"), &pair.key_pem)?;
    set_mode(&folder.join("server.key"), 0o600);
    Ok(())
}
