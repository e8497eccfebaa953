//! The clients that people use, each of which can log in on any way and say as whom.

use std::path::Path;
use std::process::Command;

use attache_kit::tools::{self, Ran};
use attache_kit::{Flavour, LONG, SOON, StartError};

use crate::ways::Way;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The program `mariadb`.
    MariaDb,
    /// The program `mysql`.
    MySql,
    PyMySql,
    /// On libmariadb.
    Mysqlclient,
    Mysql2,
}

const PYMYSQL: &str = r#"
import json, os, pymysql
way = json.loads(os.environ["WAY"])
tls = {"ssl_ca": way["ca"]} if way["ca"] else {"ssl_disabled": True}
session = pymysql.connect(host=way["host"], port=way["port"], user=way["user"], password=way["password"], **tls)
cursor = session.cursor()
cursor.execute("select current_user()")
print(cursor.fetchone()[0])
"#;

const MYSQLCLIENT: &str = r#"
import json, os, MySQLdb
way = json.loads(os.environ["WAY"])
tls = {"ssl": {"ca": way["ca"]}} if way["ca"] else {"ssl_mode": "DISABLED"}
session = MySQLdb.connect(host=way["host"], port=way["port"], user=way["user"], password=way["password"], **tls)
cursor = session.cursor()
cursor.execute("select current_user()")
print(cursor.fetchone()[0])
"#;

const MYSQL2: &str = r#"
const mysql = require("mysql2/promise"), fs = require("fs");
const { host, port, user, password, ca } = JSON.parse(process.env.WAY);
(async () => {
  const session = await mysql.createConnection({ host, port, user, password,
    ssl: ca ? { ca: fs.readFileSync(ca), verifyIdentity: true } : undefined });
  const [rows] = await session.query("select current_user() as who");
  console.log(rows[0].who);
  await session.end();
})();
"#;

impl Client {
    pub const ALL: [Client; 5] =
        [Client::MariaDb, Client::MySql, Client::PyMySql, Client::Mysqlclient, Client::Mysql2];

    /// The program that comes with a server.
    pub fn of(flavour: Flavour) -> Client {
        match flavour {
            Flavour::MariaDb => Client::MariaDb,
            Flavour::MySql => Client::MySql,
        }
    }

    /// The account that the server took it for, or why there was none.
    pub fn log_in(self, way: &Way) -> Result<String, String> {
        let ran = match self {
            Client::MariaDb | Client::MySql => {
                let mut program = self.program(way).unwrap();
                tools::run(
                    program.args(["--batch", "--skip-column-names", "-e", "select current_user()"]),
                    b"",
                    SOON,
                )
            }
            Client::PyMySql => script(tools::python().unwrap(), way, PYMYSQL),
            Client::Mysqlclient => script(tools::python().unwrap(), way, MYSQLCLIENT),
            Client::Mysql2 => script(tools::node().unwrap(), way, MYSQL2),
        };
        let ran = way.heard(ran);
        if ran.status.success() { Ok(ran.stdout.trim().to_owned()) } else { Err(ran.stderr) }
    }

    pub fn is_installed(self) -> Result<(), StartError> {
        match self {
            Client::MariaDb => tools::mariadb_tool("mariadb")?,
            Client::MySql => tools::mysql_tool("mysql")?,
            Client::PyMySql | Client::Mysqlclient => tools::python()?,
            Client::Mysql2 => tools::node()?,
        };
        Ok(())
    }

    pub fn program(self, way: &Way) -> Result<Command, StartError> {
        match self {
            Client::MariaDb => Ok(on_the_way(tools::mariadb_tool("mariadb")?, Flavour::MariaDb, way)),
            Client::MySql => Ok(on_the_way(tools::mysql_tool("mysql")?, Flavour::MySql, way)),
            Client::PyMySql | Client::Mysqlclient | Client::Mysql2 => unreachable!("{self:?} is no program"),
        }
    }
}

impl Way {
    /// The server's own client, printing rows by newline and columns by tab.
    pub fn program(&self) -> Command {
        let mut program = Client::of(self.flavour()).program(self).unwrap();
        program.args(["--batch", "--raw", "--skip-column-names", &format!("--database={}", self.database)]);
        program
    }

    /// Another of the server's own programs: `dump`, `binlog`.
    pub fn tool(&self, name: &str) -> Command {
        let flavour = self.flavour();
        let tool = match flavour {
            Flavour::MariaDb => tools::mariadb_tool(&format!("mariadb-{name}")).unwrap(),
            Flavour::MySql => tools::mysql_tool(&format!("mysql{name}")).unwrap(),
        };
        on_the_way(tool, flavour, self)
    }

    /// What a statement returns.
    pub fn query(&self, sql: &str) -> String {
        self.run(self.program().args(["-e", sql]), b"").ok().trim_end().to_owned()
    }

    /// A program on this way, to its end.
    pub fn run(&self, program: &mut Command, input: &[u8]) -> Ran {
        self.heard(tools::run(program, input, LONG))
    }

    /// A script of `clients/`, to its end.
    pub fn run_script(&self, mut command: Command, name: &str) -> Ran {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live_mysql/clients");
        command.arg(folder.join(name)).env("WAY", self.json().to_string());
        self.run(command.env("PYTHONDONTWRITEBYTECODE", "1"), b"")
    }
}

fn script(mut command: Command, way: &Way, text: &str) -> Ran {
    tools::run(command.arg("-").env("WAY", way.json().to_string()), text.as_bytes(), SOON)
}

/// Address, account and TLS in the words of the program's flavour.
fn on_the_way(mut tool: Command, flavour: Flavour, way: &Way) -> Command {
    tool.args([
        "--protocol=tcp",
        &format!("--host={}", way.addr.ip()),
        &format!("--port={}", way.addr.port()),
    ]);
    tool.arg(format!("--user={}", way.user));
    let [with, without] = match flavour {
        Flavour::MariaDb => ["--ssl-verify-server-cert", "--skip-ssl"],
        Flavour::MySql => ["--ssl-mode=VERIFY_IDENTITY", "--ssl-mode=DISABLED"],
    };
    match &way.tls {
        Some(ca) => tool.arg(with).arg(format!("--ssl-ca={}", ca.display())),
        None => tool.arg(without),
    };
    if let Some(password) = &way.password {
        tool.env("MYSQL_PWD", password);
    }
    tool
}
