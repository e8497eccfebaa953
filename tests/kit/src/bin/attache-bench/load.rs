//! One load over one lane: pgbench's own figures, and what the proxy spent meanwhile.

use std::fs;
use std::path::Path;
use std::time::Duration;

use attache_kit::{Rendered, tools};

use crate::house::{House, Question};
use crate::lanes::Lane;
use crate::machine::Spent;
use crate::spread::Spread;

const MICROSECONDS: f64 = 1e6;

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    question: Question,
    clients: usize,
    /// How pgbench sends its statements.
    mode: &'static str,
    /// A login for every statement.
    connects: bool,
}

pub(crate) const SIMPLE_1: Load =
    Load { name: "1 client, simple", question: Question::Point, clients: 1, mode: "simple", connects: false };
pub(crate) const SIMPLE_8: Load = Load { name: "8 clients, simple", clients: 8, ..SIMPLE_1 };
pub(crate) const PREPARED_8: Load = Load { name: "8 clients, prepared", mode: "prepared", ..SIMPLE_8 };
pub(crate) const CONNECT: Load =
    Load { name: "8 clients, login for each query", question: Question::One, connects: true, ..SIMPLE_8 };
pub(crate) const CONNECT_TLS_1: Load =
    Load { name: "1 client, login for each query, TLS to the server", clients: 1, ..CONNECT };
pub(crate) const CONNECT_TLS: Load =
    Load { name: "8 clients, login for each query, TLS to the server", ..CONNECT };

/// What one run showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Queries a second.
    pub(crate) rate: f64,
    /// Median time of a query, in microseconds; only where a single client asks.
    pub(crate) latency: Option<f64>,
    /// Microseconds of the proxy's processor time for each query.
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Load {
    pub(crate) fn run(self, house: &House, lane: &Lane, seconds: usize) -> Sample {
        let log = Rendered::new(&[]);
        let mut pgbench = house.pgbench();
        pgbench.arg(house.script(self.question)).args(["-M", self.mode]);
        pgbench.args(["-c", &self.clients.to_string(), "-T", &seconds.to_string()]);
        if self.connects {
            pgbench.arg("-C");
        }
        if self.is_alone() {
            pgbench.args(["-l", "--log-prefix"]).arg(log.path().join("log"));
        }
        pgbench.args(["-h", &lane.host, "-p", &lane.port.to_string(), "postgres"]);
        pgbench.env("PGSSLMODE", lane.sslmode);
        let before = lane.pid.map(Spent::by);
        let ran = tools::run(&mut pgbench, b"", deadline(seconds)).ok();
        let spent = lane.pid.map(Spent::by).zip(before).map(|(now, before)| now.since(before));
        let spent = spent.unwrap_or_default();
        let queries: f64 = figure(&ran, "number of transactions actually processed:");
        assert!(queries > 0.0, "no query came through over {}: {ran}", lane.name);
        assert!(figure(&ran, "number of failed transactions:") == 0.0, "over {}: {ran}", lane.name);
        Sample {
            rate: figure(&ran, "tps ="),
            latency: self.is_alone().then(|| median_latency(log.path())),
            user: spent.user * MICROSECONDS / queries,
            system: spent.system * MICROSECONDS / queries,
        }
    }

    fn is_alone(self) -> bool {
        self.clients == 1
    }
}

fn deadline(seconds: usize) -> Duration {
    const LOGINS_AND_LAST_QUERIES: u64 = 60;
    Duration::from_secs(seconds as u64 + LOGINS_AND_LAST_QUERIES)
}

/// The number behind a label in what pgbench printed.
fn figure(printed: &str, label: &str) -> f64 {
    let value = printed.lines().find_map(|line| line.strip_prefix(label));
    let value = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
    value.unwrap_or_else(|| panic!("pgbench said nothing of {label:?}: {printed}"))
}

/// Of pgbench's log: the third column is the time of one query.
fn median_latency(folder: &Path) -> f64 {
    const TIME: usize = 2;
    let files = fs::read_dir(folder).expect("our own folder can be read");
    let text =
        files.map(|file| fs::read_to_string(file.expect("an entry").path()).expect("a log of pgbench"));
    let text: String = text.collect();
    let times = text.lines().filter_map(|line| line.split(' ').nth(TIME)?.parse().ok());
    Spread::of(times).expect("pgbench logs each query").median
}
