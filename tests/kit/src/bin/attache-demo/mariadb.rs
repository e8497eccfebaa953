//! MariaDB: a row for each visit, by its own client.

use std::process::Command;

use attache_kit::mysql::{Flavour, Mysql, Plugin, Require, Setup};
use attache_kit::skip::StartError;
use attache_kit::{Pki, tools};

use crate::load::Load;
use crate::scene::{ACCOUNT, ANYBODY, FIRST_PASSWORD, Scene};

const DATABASE: &str = "shop";
const VISIT: &str = "insert into visits values (default); select row_count();";
const WHO_AM_I: &str = "select concat('logged in as ', current_user(), ', encrypted with ', \
                        group_concat(variable_value order by variable_name desc separator ' ')) \
                        from information_schema.session_status where variable_name in ('ssl_version', 'ssl_cipher')";

pub(crate) struct MariaDbScene {
    database: Mysql,
}

impl MariaDbScene {
    pub(crate) fn set(pki: &Pki) -> Result<MariaDbScene, StartError> {
        let database = Mysql::start(Flavour::MariaDb, Setup::new().tls(&pki.server()))?;
        database.user(ACCOUNT, FIRST_PASSWORD, Plugin::Ed25519, Require::Tls);
        database.database(DATABASE, ACCOUNT);
        database.sql_in(DATABASE, "create table visits (at timestamp default now())");
        Ok(MariaDbScene { database })
    }

    fn client(port: u16) -> Command {
        let mut client = tools::mariadb_tool("mariadb").expect("the client comes with the server");
        client.args(["-h", "127.0.0.1", "-P", &port.to_string(), "-u", ANYBODY]);
        client.args(["--batch", "--skip-column-names", "--skip-reconnect", DATABASE]);
        client
    }
}

impl Scene for MariaDbScene {
    fn name(&self) -> &'static str {
        "shop"
    }

    fn protocol(&self) -> &'static str {
        "mysql"
    }

    fn server(&self) -> &'static str {
        "MariaDB 10.11, which asks for TLS and ed25519"
    }

    fn port(&self) -> u16 {
        self.database.port()
    }

    fn who_am_i(&self, port: u16) -> Command {
        let mut client = Self::client(port);
        client.args(["-e", WHO_AM_I]);
        client
    }

    fn loads(&self, port: u16) -> Vec<Load> {
        vec![
            Load::talk("MariaDB, staying connected", Self::client(port), VISIT),
            Load::repeat("MariaDB, connecting each time", move || {
                let mut client = Self::client(port);
                client.args(["-e", VISIT]);
                client
            }),
        ]
    }

    fn change_password(&self, password: &str) -> String {
        self.database.password(ACCOUNT, password, Plugin::Ed25519);
        format!("ALTER USER {ACCOUNT} IDENTIFIED VIA ed25519 USING PASSWORD('{password}')")
    }

    fn visits(&self) -> u64 {
        self.database.sql_in(DATABASE, "select count(*) from visits").parse().expect("a count is a number")
    }
}
