//! Attaché with one route `db` to several servers, and a client that holds no password.

use std::process::Command;

use attache_kit::ports::{self, Port};
use attache_kit::*;

use crate::house::SOON;

pub struct House {
    pub attache: Process,
    pub health: Port,
    pub control: Port,
    listen: Port,
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
        attache.wait_for("the start", SOON, |line| line["message"] == "started");
        House { attache, health, control, listen }
    }

    pub fn addr(&self) -> std::net::SocketAddr {
        self.listen.addr()
    }

    pub fn psql(&self, sql: &str) -> Command {
        let mut psql = tools::postgres_tool("psql").unwrap();
        psql.args(["-h", "127.0.0.1", "-U", "nobody", "-d", "postgres"]);
        psql.args(["-p", &self.listen.number().to_string()]);
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        psql
    }

    pub fn query(&self, sql: &str) -> String {
        tools::run(&mut self.psql(sql), b"", SOON).ok().trim_end().to_owned()
    }
}
