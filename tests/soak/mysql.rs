//! MariaDB and MySQL: two servers of which one takes writes; clients by mysql_async.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use attache_kit::mysql::Setup;
use attache_kit::{Flavour, Mysql, Pki, Relay, Require, available};
use mysql_async::prelude::Queryable;
use mysql_async::{ChangeUserOpts, Conn, Error, OptsBuilder, TxOpts};

use crate::ground::{Ground, USERS, password};
use crate::load::{Driver, Trouble, same};
use crate::script::Stopping;

const DUPLICATE_ENTRY: u16 = 1062;
const ROWS: usize = 300;

pub struct Servers {
    pki: Pki,
    relays: [Relay; 2],
    servers: Mutex<Pair>,
}

/// They know nothing of each other: which one leads is what `read_only` says.
struct Pair {
    all: [Mysql; 2],
    primary: usize,
}

impl Servers {
    pub fn start(flavour: Flavour) -> Option<Servers> {
        let pki = Pki::new();
        let start = || {
            // MySQL takes no other certificate but one that its own authority has signed.
            let server =
                available(Mysql::start(flavour, Setup::new().tls(&pki.server()).client_ca(pki.ca())))?;
            for user in USERS {
                server.user(user, &password(0), flavour.plugin(), Require::Nothing);
            }
            let [a, b] = USERS;
            server.sql(&format!(
                "CREATE DATABASE soak; CREATE TABLE soak.acts (act varchar(50) PRIMARY KEY); \
                 GRANT ALL ON soak.* TO {a}; GRANT ALL ON soak.* TO {b}"
            ));
            Some(server)
        };
        let all = [start()?, start()?];
        all[1].read_only(true);
        let relays = [&all[0], &all[1]].map(|server| Relay::forgetful(server.addr()));
        Some(Servers { pki, relays, servers: Mutex::new(Pair { all, primary: 0 }) })
    }

    /// Whoever waits here waits for a restart or a failover to be over.
    fn servers(&self) -> MutexGuard<'_, Pair> {
        self.servers.lock().unwrap()
    }
}

impl Ground for Servers {
    type Driver = Session;
    const PROTOCOL: &'static str = "mysql";
    const FAILOVERS: &'static [Stopping] = &[Stopping::InOrder, Stopping::Unaware];
    const POOLS: &'static [&'static str] = &["{}", "{ warm: 2 }", "{ warm: 3, reuse: true }"];

    fn relays(&self) -> &[Relay] {
        &self.relays
    }

    fn ca(&self) -> &Path {
        self.pki.ca()
    }

    fn password(&self, user: &str, password: &str) {
        let servers = self.servers();
        for server in &servers.all {
            server.password(user, password, server.flavour().plugin());
        }
    }

    fn end_sessions_of(&self, user: &str) {
        for server in &self.servers().all {
            for id in server.ids_of(user) {
                // One that has just ended by itself is none.
                let _ = server.try_sql(&format!("KILL {id}"));
            }
        }
    }

    fn administer(&self, commands: &str) {
        self.servers().all.iter().for_each(|server| drop(server.sql(commands)));
    }

    fn account(&self, user: &str, password: &str) {
        for server in &self.servers().all {
            server.user(user, password, server.flavour().plugin(), Require::Nothing);
            server.sql(&format!("GRANT ALL ON soak.* TO {user}"));
        }
    }

    fn restart(&self, how: Stopping, meanwhile: &mut dyn FnMut()) {
        let mut servers = self.servers();
        let primary = servers.primary;
        let server = &mut servers.all[primary];
        match how {
            Stopping::InOrder | Stopping::Unaware => server.stop(),
            Stopping::Crash => server.crash(),
        }
        meanwhile();
        server.start_again();
    }

    /// In order, writes end at the old one first; unaware, both take writes for a moment.
    fn fail_over(&self, how: Stopping) {
        let mut servers = self.servers();
        let (old, new) = (servers.primary, 1 - servers.primary);
        let unaware = how == Stopping::Unaware;
        if !unaware {
            servers.all[old].read_only(true);
        }
        servers.all[new].read_only(false);
        if unaware {
            servers.all[old].read_only(true);
        }
        servers.primary = new;
    }

    fn renew_certificate(&self) {
        let servers = self.servers();
        servers.all.iter().for_each(|server| server.install_certificate(&self.pki.server()));
    }

    fn sessions_of(&self, user: &str) -> usize {
        self.servers().all.iter().map(|server| server.sessions_of(user)).sum()
    }
}

pub struct Session {
    conn: Conn,
    token: String,
}

fn told(error: Error) -> Trouble {
    match error {
        Error::Server(error) if error.code == DUPLICATE_ENTRY => {
            Trouble::Wrong(format!("carried out twice: {error:?}"))
        }
        other => Trouble::failed(other),
    }
}

impl Session {
    async fn tried(&mut self, number: usize, act: &str) -> Result<Result<(), Trouble>, Error> {
        Ok(match number {
            0 => {
                let answer: Option<(String, String)> =
                    self.conn.exec_first("select ?, @token", (act,)).await?;
                same("echo", answer, Some((act.to_owned(), self.token.clone())))
            }
            1 => {
                self.conn.exec_drop("insert into acts values (?)", (act,)).await?;
                same("insert", self.conn.affected_rows(), 1)
            }
            2 => {
                let mut transaction = self.conn.start_transaction(TxOpts::default()).await?;
                transaction.exec_drop("insert into acts values (?)", (act,)).await?;
                let count: Option<i64> =
                    transaction.exec_first("select count(*) from acts where act = ?", (act,)).await?;
                transaction.commit().await?;
                same("transaction", count, Some(1))
            }
            _ => {
                let numbers: Vec<String> = (1..=ROWS).map(|n| format!("select {n}, '{act}'")).collect();
                let rows: Vec<(usize, String)> = self.conn.query(numbers.join(" union all ")).await?;
                let wanted: Vec<_> = (1..=ROWS).map(|n| (n, act.to_owned())).collect();
                same("rows", rows, wanted)
            }
        })
    }

    /// Leaves the token where no other session finds it.
    async fn marked(&mut self) -> Result<Result<(), Trouble>, Error> {
        let before: Option<Option<String>> = self.conn.query_first("select @token").await?;
        // Not by SET: a session that is known to hold a variable would not be ended for its old password.
        self.conn.query_drop(format!("select @token := '{}'", self.token)).await?;
        Ok(same("a fresh session", before, Some(None)))
    }
}

impl Driver for Session {
    const OPERATIONS: usize = 4;
    const RELOGS: bool = true;

    async fn connect(addr: SocketAddr, token: &str) -> Result<Session, Trouble> {
        let options = OptsBuilder::default()
            .ip_or_hostname(addr.ip().to_string())
            .tcp_port(addr.port())
            .user(Some("nobody"))
            .db_name(Some("soak"))
            // A driver that asks the server for these makes the login longer than it is.
            .max_allowed_packet(Some(16 << 20))
            .wait_timeout(Some(3600))
            .prefer_socket(false);
        let conn = Conn::new(options).await.map_err(told)?;
        Ok(Session { conn, token: token.to_owned() })
    }

    async fn begin(&mut self) -> Result<(), Trouble> {
        self.marked().await.map_err(told)?
    }

    async fn operate(&mut self, number: usize, act: &str) -> Result<(), Trouble> {
        self.tried(number, act).await.map_err(told)?
    }

    async fn relogin(&mut self) -> Result<(), Trouble> {
        self.conn.change_user(ChangeUserOpts::default()).await.map_err(told)?;
        self.marked().await.map_err(told)?
    }

    async fn leave(self) {
        let _ = self.conn.disconnect().await;
    }
}
