//! Attaché between Redis or Valkey and their clients: the usual arrangement of a test.

use std::process::Command;
use std::sync::Arc;

use attache_kit::{House, LONG, Mounted, Route, SECRET, tools};
use serde_json::Value;

use crate::raw::Raw;
use crate::servers::{Db, USER};

impl Db {
    /// As an operator would write it: everything verified, where there is TLS. The account is that of all tests.
    pub fn route(&self) -> Route {
        match &self.pki {
            Some(pki) => to_port(self.server.tls_port()).verified(pki),
            None => in_the_clear(self.server.port()),
        }
    }
}

pub fn in_the_clear(port: u16) -> Route {
    to_port(port).tls("off").key("allow_cleartext: true")
}

fn to_port(port: u16) -> Route {
    let secret = Mounted::new(&[("username", USER), ("password", SECRET)]);
    Route::new(env!("CARGO_BIN_EXE_attache"), "redis").across(&[port]).secret(&Arc::new(secret))
}

/// The clients of a route.
pub trait Clients {
    /// A session by hand.
    fn raw(&self) -> Raw;
    /// One of the programs that come with Redis, led to us.
    fn tool(&self, name: &str) -> Command;
    /// What a program prints, which ends well.
    fn run(&self, program: &mut Command, input: &str) -> String;
    /// What `redis-cli` prints for these arguments and this input. It knows no password unless they name one.
    fn cli(&self, arguments: &[&str], input: &str) -> String;
    /// What a client hears when its session is ended by Attaché, and the line that the log has for it.
    fn farewell(&self, session: &mut Raw) -> (String, Value);
}

impl Clients for House {
    fn raw(&self) -> Raw {
        Raw::connect(self.addr())
    }

    fn tool(&self, name: &str) -> Command {
        let mut tool = tools::redis_tool(name).unwrap();
        tool.args(["-h", "127.0.0.1", "-p", &self.port()]);
        tool
    }

    fn run(&self, program: &mut Command, input: &str) -> String {
        self.heard_of(tools::run(program, input.as_bytes(), LONG)).ok()
    }

    fn cli(&self, arguments: &[&str], input: &str) -> String {
        self.run(self.tool("redis-cli").arg("--no-auth-warning").args(arguments), input)
    }

    fn farewell(&self, session: &mut Raw) -> (String, Value) {
        let said = session.last_words();
        self.heard(&said);
        let (_, rest) = said.split_once("(session ").unwrap_or_else(|| panic!("no session: {said:?}"));
        let line = self.ended(rest.split_once(')').unwrap().0);
        (said, line)
    }
}
