//! PostgreSQL 18: a primary and a standby, of which each takes the other's place; clients by tokio-postgres.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use attache_kit::{Encryption, Pki, Postgres, Relay, Setup, Stop, Version, available, eventually};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, NoTls};

use crate::ground::{Ground, USERS, password};
use crate::house::SOON;
use crate::judge::UNHEARD;
use crate::load::{Driver, Trouble, same};
use crate::script::Stopping;

const ROWS: i32 = 300;

pub struct Cluster {
    pki: Pki,
    /// In front of the servers, in their order.
    relays: [Relay; 2],
    servers: Mutex<Servers>,
}

struct Servers {
    all: [Postgres; 2],
    primary: usize,
}

impl Cluster {
    pub fn start() -> Option<Cluster> {
        let pki = Pki::new();
        let primary = available(Postgres::start(Version::V18, Setup::new().tls(&pki.server())))?;
        primary.sql("CREATE DATABASE soak");
        for user in USERS {
            primary.role(user, &password(0), Encryption::Scram);
        }
        let [a, b] = USERS;
        primary.sql_in(
            "soak",
            &format!("CREATE TABLE acts (act text PRIMARY KEY); GRANT ALL ON acts TO {a}, {b}"),
        );
        let standby = available(Postgres::standby_of(&primary))?;
        let all = [primary, standby];
        let relays = [&all[0], &all[1]].map(|server| Relay::forgetful(server.addr()));
        Some(Cluster { pki, relays, servers: Mutex::new(Servers { all, primary: 0 }) })
    }

    /// Whoever waits here waits for a restart or a failover to be over.
    fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap()
    }
}

impl Servers {
    fn primary(&mut self) -> &mut Postgres {
        &mut self.all[self.primary]
    }

    /// The standby has what the primary has written until now: a promotion loses no password.
    fn catch_up(&mut self) {
        let written = self.primary().sql("SELECT pg_current_wal_lsn()");
        let standby = &self.all[1 - self.primary];
        let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        eventually("the standby to catch up", SOON, || (standby.sql(&replayed) == "t").then_some(()));
    }
}

impl Ground for Cluster {
    type Driver = Session;
    const PROTOCOL: &'static str = "postgres";
    const FAILOVERS: &'static [Stopping] = &[Stopping::InOrder, Stopping::Crash, Stopping::Unaware];
    const POOLS: &'static [&'static str] = &["{}", "{ warm: 2 }", "{ warm: 3, reuse: true }"];

    fn relays(&self) -> &[Relay] {
        &self.relays
    }

    fn ca(&self) -> &Path {
        self.pki.ca()
    }

    fn password(&self, user: &str, password: &str) {
        self.servers().primary().password(user, password, Encryption::Scram);
    }

    fn end_sessions_of(&self, user: &str) {
        let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'");
        self.servers().primary().sql(&sql);
    }

    fn administer(&self, commands: &str) {
        self.servers().primary().sql_in("soak", commands);
    }

    fn account(&self, user: &str, password: &str) {
        self.servers().primary().role(user, password, Encryption::Scram);
        self.administer(&format!("GRANT ALL ON acts TO {user}"));
    }

    fn restart(&self, how: Stopping, meanwhile: &mut dyn FnMut()) {
        let mut servers = self.servers();
        servers.primary().stop(match how {
            Stopping::InOrder | Stopping::Unaware => Stop::Fast,
            Stopping::Crash => Stop::Immediate,
        });
        meanwhile();
        servers.primary().start_again();
    }

    fn fail_over(&self, how: Stopping) {
        let mut servers = self.servers();
        servers.catch_up();
        let (old, new) = (servers.primary, 1 - servers.primary);
        match how {
            Stopping::InOrder => servers.all[old].stop(Stop::Fast),
            Stopping::Crash => servers.all[old].stop(Stop::Immediate),
            Stopping::Unaware => {}
        }
        servers.all[new].promote();
        servers.primary = new;
        // What was the primary comes back as a copy of the new one.
        let standby = Postgres::standby_of(&servers.all[new]).expect("the first one could be started");
        self.relays[old].lead_to(standby.addr());
        servers.all[old] = standby;
    }

    fn renew_certificate(&self) {
        let servers = self.servers();
        servers.all.iter().for_each(|server| server.install_certificate(&self.pki.server()));
    }

    fn sessions_of(&self, user: &str) -> usize {
        self.servers().primary().sessions_of(user)
    }
}

pub struct Session {
    client: Client,
    /// How the connection ended, until somebody has asked.
    connection: Option<JoinHandle<Result<(), Error>>>,
    token: String,
}

impl Session {
    /// What the server said when it ended the session is told by the connection, not by the client.
    async fn told(&mut self, error: Error) -> Trouble {
        const LAST_WORDS: Duration = Duration::from_secs(5);
        if error.code() == Some(&SqlState::UNIQUE_VIOLATION) {
            return Trouble::Wrong(format!("carried out twice: {error:?}"));
        }
        if !self.client.is_closed() {
            return Trouble::failed(error);
        }
        let Some(connection) = self.connection.take() else { return Trouble::failed(error) };
        let ending =
            timeout(LAST_WORDS, connection).await.expect("a closed client's connection ends").unwrap();
        match ending {
            // The driver closes its statements by itself, and takes the last words for the answer to that.
            Err(closed) if closed.is_closed() => Trouble::Failed(UNHEARD.to_owned()),
            ending => Trouble::Failed(format!("{error:?}; the connection: {ending:?}")),
        }
    }

    async fn tried(&mut self, number: usize, act: &str) -> Result<Result<(), Trouble>, Error> {
        Ok(match number {
            0 => {
                let sql = "select $1::text, current_setting('soak.token')";
                let row = self.client.query_one(sql, &[&act]).await?;
                same("echo", (row.get(0), row.get(1)), (act.to_owned(), self.token.clone()))
            }
            1 => {
                let rows = self.client.execute("insert into acts values ($1)", &[&act]).await?;
                same("insert", rows, 1)
            }
            2 => {
                let transaction = self.client.transaction().await?;
                transaction.execute("insert into acts values ($1)", &[&act]).await?;
                let row = transaction.query_one("select count(*) from acts where act = $1", &[&act]).await?;
                transaction.commit().await?;
                same("transaction", row.get::<_, i64>(0), 1)
            }
            _ => {
                let sql = "select n, repeat($1, 20) from generate_series(1, $2::int4) n";
                let rows = self.client.query(sql, &[&act, &ROWS]).await?;
                let wanted = act.repeat(20);
                let good = rows
                    .iter()
                    .zip(1..)
                    .filter(|(row, n)| row.get::<_, i32>(0) == *n && row.get::<_, &str>(1) == wanted);
                same("rows", (good.count(), rows.len()), (ROWS as usize, ROWS as usize))
            }
        })
    }
}

impl Driver for Session {
    const OPERATIONS: usize = 4;
    const RELOGS: bool = false;

    async fn connect(addr: SocketAddr, token: &str) -> Result<Session, Trouble> {
        let mut config = Config::new();
        config.host(addr.ip().to_string()).port(addr.port()).user("nobody").dbname("soak");
        let (client, connection) = config.connect(NoTls).await.map_err(Trouble::failed)?;
        let connection = Some(tokio::spawn(connection));
        Ok(Session { client, connection, token: token.to_owned() })
    }

    async fn begin(&mut self) -> Result<(), Trouble> {
        let sql = format!(
            "select coalesce(current_setting('soak.token', true), ''); set soak.token = '{}'",
            self.token
        );
        let answer = match self.client.simple_query(&sql).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.told(error).await),
        };
        let left = answer.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        same("a fresh session", left, Some(String::new()))
    }

    async fn operate(&mut self, number: usize, act: &str) -> Result<(), Trouble> {
        match self.tried(number, act).await {
            Ok(outcome) => outcome,
            Err(error) => Err(self.told(error).await),
        }
    }

    async fn relogin(&mut self) -> Result<(), Trouble> {
        unreachable!("PostgreSQL knows no second login")
    }

    async fn leave(self) {
        drop(self.client);
        if let Some(connection) = self.connection {
            let _ = connection.await;
        }
    }
    fn vanish(self) {
        self.connection.inspect(JoinHandle::abort);
    }
}
