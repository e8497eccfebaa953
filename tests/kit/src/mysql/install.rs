//! Where a server's programs are, and fresh data made by them.
//!
//! Making the system tables takes seconds, so the result is kept in the cache and copied.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use super::Flavour;
use crate::scratch::{self, Owner};
use crate::skip::{Missing, StartError};
use crate::template;
use crate::tools::{self, MysqlPrograms};

/// Counts the changes to how data are made, so that an older template is not taken for a newer one.
const TEMPLATE_FORMAT: u32 = 1;
const DEADLINE: Duration = Duration::from_secs(120);
const MARIADBD: &str = "/usr/sbin/mariadbd";

/// The server's own, by which clients and replicas tell it from others: each copy makes new ones.
const NOT_TO_BE_COPIED: [&str; 3] = ["auto.cnf", "private_key.pem", "public_key.pem"];

/// A usable set of programs and the user they run as.
#[derive(Debug, Clone)]
pub(super) struct Install {
    programs: Programs,
    owner: Owner,
}

#[derive(Debug, Clone)]
enum Programs {
    MariaDb,
    MySql(MysqlPrograms),
}

impl Install {
    pub(super) fn find(flavour: Flavour) -> Result<Install, StartError> {
        let owner = Owner::of("mysql");
        let programs = match flavour {
            Flavour::MariaDb if Path::new(MARIADBD).exists() => Programs::MariaDb,
            Flavour::MariaDb => return Err(Missing("mariadb-server".to_string()).into()),
            Flavour::MySql => Programs::MySql(reachable(MysqlPrograms::find()?, owner)?),
        };
        Ok(Install { programs, owner })
    }

    pub(super) fn flavour(&self) -> Flavour {
        match self.programs {
            Programs::MariaDb => Flavour::MariaDb,
            Programs::MySql(_) => Flavour::MySql,
        }
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// The server's program as its own user.
    pub(super) fn server(&self) -> Command {
        match &self.programs {
            Programs::MariaDb => self.owner.command(Path::new(MARIADBD)),
            Programs::MySql(mysql) => mysql.command("mysqld", |program| self.owner.command(&program)),
        }
    }

    /// Settings for a server that is not where its makers put it.
    pub(super) fn folders(&self) -> Vec<(&'static str, PathBuf)> {
        match &self.programs {
            Programs::MariaDb => Vec::new(),
            Programs::MySql(MysqlPrograms(folder)) => vec![
                ("basedir", folder.clone()),
                ("plugin-dir", folder.join("plugin")),
                ("lc-messages-dir", folder.join("share")),
                ("character-sets-dir", folder.join("share/charsets")),
            ],
        }
    }

    /// Data of a server that has never run, at `data`.
    pub(super) fn fresh_data(&self, data: &Path) -> Result<(), String> {
        let template = template::kept(&self.template_name(), |data| self.make_data(data))?;
        match template {
            Some(template) => scratch::copy_tree(&template, data)
                .map_err(|error| format!("could not copy {template:?}: {error}")),
            None => self.make_data(data),
        }
    }

    /// By user, because the data can be read by nobody else.
    fn template_name(&self) -> String {
        let version = tools::run(self.server().args(["--no-defaults", "--version"]), b"", DEADLINE).ok();
        let number = version.split_whitespace().skip_while(|word| *word != "Ver").nth(1).unwrap_or("unknown");
        let user = rustix::process::getuid().as_raw();
        let name = match self.flavour() {
            Flavour::MariaDb => "mariadb",
            Flavour::MySql => "mysql",
        };
        format!("{name}-{number}-{TEMPLATE_FORMAT}-{user}")
    }

    fn make_data(&self, data: &Path) -> Result<(), String> {
        let place = data.parent().expect("data lie in a folder");
        self.owner.give(place).map_err(|error| format!("{place:?}: {error}"))?;
        let mut maker = match self.programs {
            Programs::MariaDb => self.mariadb_install_db(data),
            Programs::MySql(_) => self.mysqld_initialize(data),
        };
        let ran = tools::run(maker.current_dir("/"), b"", DEADLINE);
        if !ran.status.success() {
            return Err(format!("the system tables of {:?}: {}{}", self.flavour(), ran.stderr, ran.stdout));
        }
        for name in NOT_TO_BE_COPIED {
            let _ = fs::remove_file(data.join(name));
        }
        Ok(())
    }

    fn mariadb_install_db(&self, data: &Path) -> Command {
        let mut maker = self.owner.command(Path::new("/usr/bin/mariadb-install-db"));
        maker.arg("--no-defaults").arg(format!("--datadir={}", data.display())).args([
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            "--innodb-log-file-size=16M",
        ]);
        maker
    }

    fn mysqld_initialize(&self, data: &Path) -> Command {
        let mut maker = self.server();
        maker.args(["--no-defaults", "--initialize-insecure", "--auto-generate-certs=OFF"]);
        maker.args(["--innodb-buffer-pool-size=64M", "--innodb-use-native-aio=OFF"]);
        maker.arg(format!("--datadir={}", data.display()));
        for (name, folder) in self.folders() {
            maker.arg(format!("--{name}={}", folder.display()));
        }
        maker
    }
}

fn reachable(programs: MysqlPrograms, owner: Owner) -> Result<MysqlPrograms, StartError> {
    static COPY: OnceLock<Result<TempDir, String>> = OnceLock::new();
    let failed = |why: String| StartError::Failed(format!("{:?}: {why}", programs.0));
    let folder = programs.0.canonicalize().map_err(|error| failed(error.to_string()))?;
    if owner.reaches(&folder.join("bin")) {
        return Ok(MysqlPrograms(folder));
    }
    match COPY.get_or_init(|| template::reachable_copy(&folder, owner)) {
        Ok(copy) => Ok(MysqlPrograms(copy.path().join("copy"))),
        Err(why) => Err(failed(why.clone())),
    }
}
