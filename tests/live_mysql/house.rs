//! Attaché between MariaDB or MySQL and their clients: the usual arrangement of a test.

use std::net::SocketAddr;
use std::sync::Arc;

use attache_kit::{House, Mounted, Route, SECRET};
use serde_json::Value;

use crate::raw::{Raw, Report};
use crate::servers::Db;

impl Db {
    /// As an operator would write it: everything verified. The account's password is the usual one.
    pub fn route(&self, account: &str) -> Route {
        route_to(self.server.addr(), account).verified(&self.pki)
    }
}

/// To whatever listens there.
pub fn route_to(addr: SocketAddr, account: &str) -> Route {
    let secret = Mounted::new(&[("username", account), ("password", SECRET)]);
    Route::new(env!("CARGO_BIN_EXE_attache"), "mysql").over(addr).secret(&Arc::new(secret))
}

/// The sessions of a route.
pub trait Clients {
    /// One by hand.
    fn raw(&self, database: &str) -> Raw;
    /// One that does not come about: what the client is told.
    fn refusal(&self, database: &str) -> Report;
    /// One that Attaché refuses: the client hears this number and SQLSTATE and the session's name, under which the log
    /// tells this cause.
    fn refuses(&self, database: &str, code: (u16, &str), cause: &str) -> Value;
}

impl Clients for House {
    fn raw(&self, database: &str) -> Raw {
        Raw::log_in(self.addr(), database).unwrap_or_else(|report| panic!("refused: {report:?}"))
    }

    fn refusal(&self, database: &str) -> Report {
        let report = Raw::log_in(self.addr(), database).err().expect("a refusal");
        self.heard(&format!("{report:?}"));
        report
    }

    fn refuses(&self, database: &str, code: (u16, &str), cause: &str) -> Value {
        let report = self.refusal(database);
        assert_eq!((report.number, report.sqlstate.as_str()), code, "{report:?}");
        let line = self.ended(report.session());
        assert_eq!(line["result"], cause, "{line}");
        line
    }
}
