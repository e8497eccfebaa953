//! A second server that follows the first, for failover tests.
//!
//! The copy is taken by the server's own backup functions, not by `pg_basebackup`: that tool must be as
//! new as its server, and only Debian's 15 is installed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{Postgres, data_of};
use crate::scratch;
use crate::skip::StartError;
use crate::tools;
use crate::wait::eventually;

const BACKUP_DEADLINE: Duration = Duration::from_secs(60);
const PROMOTE_DEADLINE: Duration = Duration::from_secs(60);
/// Belongs to the running primary, not to its data.
const NOT_COPIED: [&str; 2] = ["postmaster.pid", "postmaster.opts"];

impl Postgres {
    /// A hot standby that streams from `primary`, with the same rules, roles and certificate.
    pub fn standby_of(primary: &Postgres) -> Result<Postgres, StartError> {
        let folder = scratch::folder("standby");
        let data = data_of(&folder);
        copy_running(primary, &data).map_err(StartError::Failed)?;
        let upstream =
            format!("host={} port={} user=postgres", primary.socket_dir().display(), primary.port());
        let setup = primary.setup.clone().set("primary_conninfo", &upstream);
        fs::write(data.join("standby.signal"), "").map_err(|error| StartError::Failed(error.to_string()))?;
        let standby = Postgres::launch(primary.version, primary.install.clone(), setup, folder)?;
        standby.wait_until_it_streams();
        Ok(standby)
    }

    /// Ends recovery; the server takes writes when this returns.
    pub fn promote(&self) {
        self.sql(&format!("SELECT pg_promote(true, {})", PROMOTE_DEADLINE.as_secs()));
        assert!(!self.in_recovery(), "the standby is still in recovery:\n{}", self.log_tail());
    }

    pub fn in_recovery(&self) -> bool {
        self.sql("SELECT pg_is_in_recovery()") == "t"
    }

    fn wait_until_it_streams(&self) {
        eventually("the standby to stream", BACKUP_DEADLINE, || {
            (self.sql("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") == "1")
                .then_some(())
        });
    }
}

/// One session holds the backup open while the files are copied; the label tells recovery where to begin.
fn copy_running(primary: &Postgres, data: &Path) -> Result<(), String> {
    let mut psql = tools::postgres_tool("psql").map_err(|missing| missing.to_string())?;
    psql.args([
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-U",
        "postgres",
        "-d",
        "postgres",
        "-f",
        "-",
    ])
    .arg("-h")
    .arg(primary.socket_dir())
    .args(["-p", &primary.port().to_string()])
    .env("FROM", primary.data())
    .env("TO", data);
    let script = "SELECT 'started' FROM pg_backup_start('standby', true);\n\
                  \\! cp -R -P --preserve=mode \"$FROM\" \"$TO\"\n\
                  SELECT labelfile FROM pg_backup_stop(false);\n";
    let ran = tools::run(&mut psql, script.as_bytes(), BACKUP_DEADLINE);
    let label = ran.stdout.strip_prefix("started\n").filter(|_| ran.status.success());
    let label = label.ok_or_else(|| format!("the backup failed: {}{}", ran.stderr, ran.stdout))?;
    fs::write(data.join("backup_label"), label.trim_end_matches('\n').to_string() + "\n")
        .map_err(|error| format!("{data:?}: {error}"))?;
    for file in NOT_COPIED {
        let _ = fs::remove_file(data.join(file));
    }
    Ok(())
}
