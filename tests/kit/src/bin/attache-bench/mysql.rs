//! MariaDB: point selects by sysbench.

use std::process::Command;
use std::time::Duration;

use attache_kit::mysql::{self, Flavour, Mysql, Plugin, Require};
use attache_kit::{Mounted, tools};

use crate::beside::{Counted, Lane, measure};
use crate::options::Options;

const SYSBENCH: &str = "/usr/bin/sysbench";
const APP: &str = "app";
const PASSWORD: &str = "correct-horse";
const DATABASE: &str = "bench";
const ROWS: &str = "--table-size=10000";
/// Beyond the seconds of the load itself: logins, and the last queries.
const SOON: Duration = Duration::from_secs(60);

pub(crate) fn run(options: &Options) {
    let Some(server) = server() else { return };
    let secret = Mounted::new(&[("username", APP), ("password", PASSWORD)]);
    let mut lanes =
        vec![Lane::direct(server.port()), Lane::attache(options, "mysql", server.port(), &secret)];
    lanes.extend(Lane::haproxy(server.addr()));
    for (title, threads, prepared) in [
        ("MariaDB, 1 client, text", "1", "disable"),
        ("MariaDB, 8 clients, text", "8", "disable"),
        ("MariaDB, 8 clients, prepared", "8", "auto"),
    ] {
        measure(title, &lanes, options, &|port, seconds| {
            let mut sysbench = sysbench(port);
            sysbench.args([&format!("--threads={threads}"), &format!("--db-ps-mode={prepared}")]);
            sysbench.args([&format!("--time={seconds}"), "run"]);
            counted(&tools::run(&mut sysbench, b"", SOON).ok())
        });
    }
}

/// With a table of points, or nothing where something is not installed.
fn server() -> Option<Mysql> {
    if !std::path::Path::new(SYSBENCH).exists() {
        println!("{SYSBENCH} is not installed and MariaDB left out; tests/scripts/setup bench installs it");
        return None;
    }
    let server = match Mysql::start(Flavour::MariaDb, mysql::Setup::new()) {
        Ok(server) => server,
        Err(error) => {
            println!("MariaDB is left out: {error:?}");
            return None;
        }
    };
    server.user(APP, PASSWORD, Plugin::Native, Require::Nothing);
    server.database(DATABASE, APP);
    tools::run(sysbench(server.port()).arg("prepare"), b"", SOON).ok();
    Some(server)
}

fn sysbench(port: u16) -> Command {
    let mut sysbench = Command::new(SYSBENCH);
    sysbench.args(["oltp_point_select", "--tables=1", ROWS, "--mysql-host=127.0.0.1", "--mysql-ssl=off"]);
    let account = [("user", APP), ("password", PASSWORD), ("db", DATABASE), ("port", &port.to_string())];
    sysbench.args(account.map(|(name, value)| format!("--mysql-{name}={value}")));
    sysbench
}

/// Of the line `queries: 12345 (6172.50 per sec.)`.
fn counted(printed: &str) -> Counted {
    let line = printed.lines().find_map(|line| line.trim().strip_prefix("queries:"));
    let mut figures =
        line.into_iter().flat_map(|line| line.split([' ', '(']).filter_map(|word| word.parse().ok()));
    let figures = figures.next().zip(figures.next());
    let (queries, rate) = figures.unwrap_or_else(|| panic!("sysbench said nothing of queries: {printed}"));
    Counted { queries, rate }
}
