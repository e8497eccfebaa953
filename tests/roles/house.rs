//! A server, a Secret and Attaché between a client and the server: the usual arrangement of a test.

use std::process::Command;
use std::time::Duration;

use attache_kit::ports::{self, Port};
use attache_kit::process::{Launch, Process};
use attache_kit::{Mounted, tools};

pub const SECRET: &str = "s3cret-that-nobody-sees";
pub const SOON: Duration = Duration::from_secs(20);

/// Attaché with one route `db`.
pub struct House {
    pub attache: Process,
    pub listen: Port,
    pub health: Port,
    pub control: Port,
}

impl House {
    /// `upstream` is the YAML of the route's `upstream` (flow style), `more` further keys of the route, one a line.
    pub fn start(upstream: &str, secret: &Mounted, more: &[&str]) -> House {
        let (listen, health, control) = (ports::reserve(), ports::reserve(), ports::reserve());
        let more: String = more.iter().map(|line| format!("    {line}\n")).collect();
        let config = format!(
            "health: {}\ncontrol: {}\nlog: {{ format: json, level: debug }}\nroutes:\n  db:\n    protocol: postgres\n    listen: {}\n    upstream: {upstream}\n    credential: {{ path: {} }}\n{more}",
            health.addr(),
            control.addr(),
            listen.addr(),
            secret.path().display(),
        );
        let attache = Launch::binary(env!("CARGO_BIN_EXE_attache")).config(&config).start();
        attache.wait_for("listening", SOON, |line| line["message"] == "listening");
        House { attache, listen, health, control }
    }

    /// A client that holds no password.
    pub fn psql(&self, sql: &str) -> Command {
        let mut psql = tools::postgres_tool("psql").unwrap();
        psql.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.listen.number().to_string(),
            "-U",
            "nobody",
            "-d",
            "postgres",
        ]);
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        psql
    }

    pub fn query(&self, sql: &str) -> String {
        tools::run(&mut self.psql(sql), b"", SOON).ok().trim_end().to_owned()
    }
}
