//! Attaché between a client and a server, as most tests here want it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use attache_kit::tools::{self, Ran};
use attache_kit::{House, Route, SOON};

use crate::client::Client;

pub fn postgres(endpoints: &[SocketAddr]) -> Route {
    route("postgres").endpoints(endpoints)
}

pub fn tcp(endpoint: SocketAddr) -> Route {
    route("tcp").endpoints([endpoint])
}

/// Without TLS and without probes, which would be connections that the test did not make.
fn route(protocol: &'static str) -> Route {
    let route = Route::new(env!("CARGO_BIN_EXE_attache"), protocol);
    route.tls("off").unprobed().top("drain: { deadline: 20s }")
}

/// The clients of a route for PostgreSQL. None holds a password.
pub trait Clients {
    /// One that speaks by hand.
    fn connect(&self) -> Client;
    /// One that is logged in.
    fn session(&self) -> Client;
    fn tool(&self, name: &str) -> Command;
    fn psql(&self, sql: &str) -> Ran;
    fn query(&self, sql: &str) -> String;
}

impl Clients for House {
    fn connect(&self) -> Client {
        Client::connect(self.addr())
    }

    fn session(&self) -> Client {
        let mut client = self.connect();
        client.log_in();
        client
    }

    fn tool(&self, name: &str) -> Command {
        let mut tool = tools::postgres_tool(name).expect("tools come with the server");
        tool.args(["-h", "127.0.0.1", "-p", &self.port(), "-U", "nobody"]);
        tool
    }

    fn psql(&self, sql: &str) -> Ran {
        let mut psql = self.tool("psql");
        psql.args(["-d", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-c", sql]);
        tools::run(&mut psql, b"", SOON * 3)
    }

    fn query(&self, sql: &str) -> String {
        self.psql(sql).ok().trim_end().to_owned()
    }
}

/// A folder for files that a test makes up.
pub fn file_in(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("our own folder takes a file");
    path
}

#[test]
#[should_panic(expected = "a client tells a secret")]
fn a_house_notices_when_a_secret_is_told() {
    let nobody = attache_kit::ports::reserve();
    tcp(nobody.addr()).start().heard("FATAL: password s3cret-of-somebody is wrong");
}
