//! Attaché between PostgreSQL and its clients: the usual arrangement of a test.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use attache_kit::tools::{self, Ran};
use attache_kit::{House, LONG, Route};
use serde_json::Value;

use crate::raw::{Raw, Report};
use crate::servers::{Account, Db};

impl Db {
    /// As an operator would write it: everything verified.
    pub fn route(&self, account: &Account) -> Route {
        account.route_to(self.server.addr()).verified(&self.pki)
    }
}

impl Account {
    /// To whatever listens there.
    pub fn route_to(&self, addr: SocketAddr) -> Route {
        let route = Route::new(env!("CARGO_BIN_EXE_attache"), "postgres").top("workers: 1");
        route.over(addr).secret(&self.secret)
    }
}

/// The clients of a route. None has a password.
pub trait Clients {
    /// One of PostgreSQL's own programs, for a database.
    fn tool(&self, name: &str, database: &str) -> Command;
    fn psql(&self, database: &str) -> Command;
    /// What a statement returns, to a `psql` that is no friend of errors.
    fn query(&self, database: &str, sql: &str) -> String;
    fn run(&self, command: &mut Command) -> Ran;
    fn run_with(&self, command: &mut Command, input: &[u8], deadline: Duration) -> Ran;
    /// A session by hand.
    fn raw(&self, database: &str) -> Raw;
    /// A session that does not come about: what the client is told.
    fn refusal(&self, database: &str) -> Report;
    /// A session that Attaché refuses: the client hears this SQLSTATE and the session's name, under which the log tells
    /// this cause.
    fn refuses(&self, database: &str, sqlstate: &str, cause: &str) -> Value;
}

impl Clients for House {
    fn tool(&self, name: &str, database: &str) -> Command {
        let mut tool = tools::postgres_tool(name).unwrap();
        tool.env("PGHOST", "127.0.0.1").env("PGPORT", self.port());
        tool.env("PGUSER", "nobody").env("PGDATABASE", database);
        tool
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = self.tool("psql", database);
        psql.args(["-w", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]);
        psql
    }

    fn query(&self, database: &str, sql: &str) -> String {
        self.run(self.psql(database).args(["-c", sql])).ok().trim_end().to_owned()
    }

    fn run(&self, command: &mut Command) -> Ran {
        self.run_with(command, b"", LONG)
    }

    fn run_with(&self, command: &mut Command, input: &[u8], deadline: Duration) -> Ran {
        self.heard_of(tools::run(command, input, deadline))
    }

    fn raw(&self, database: &str) -> Raw {
        Raw::log_in(self.addr(), &[("user", "nobody"), ("database", database)])
    }

    fn refusal(&self, database: &str) -> Report {
        let report = Raw::refused(self.addr(), &[("user", "nobody"), ("database", database)]);
        self.heard(&format!("{report:?}"));
        report
    }

    fn refuses(&self, database: &str, sqlstate: &str, cause: &str) -> Value {
        let report = self.refusal(database);
        assert_eq!(report.code(), sqlstate, "{report:?}");
        let line = self.ended(report.session());
        assert_eq!(line["result"], cause, "{line}");
        line
    }
}
