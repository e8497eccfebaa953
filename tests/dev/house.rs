//! One server for all tests of this binary, and `attache dev` before it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use attache_kit::tools::Ran;
use attache_kit::wait::within;
use attache_kit::{
    Encryption, Flavour, Launch, Mysql, Pki, Postgres, Process, Redis, Require, Script, Setup, Version,
    available, eventually, tools,
};

pub(crate) const SECRET: &str = "s3cret-that-nobody-sees";
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A PostgreSQL with TLS and the role `app`.
pub(crate) struct Server {
    pub(crate) postgres: Postgres,
    pub(crate) pki: Pki,
    folder: tempfile::TempDir,
}

/// `None` where it is not installed, which has been said.
pub(crate) fn server() -> Option<&'static Server> {
    static SERVER: LazyLock<Option<Server>> = LazyLock::new(|| {
        let pki = Pki::new();
        let rules = ["local app app scram-sha-256", "host all all all scram-sha-256"];
        let setup = rules.into_iter().fold(Setup::new().tls(&pki.server()), Setup::hba);
        let postgres = available(Postgres::start(Version::V15, setup))?;
        postgres.role("app", SECRET, Encryption::Scram);
        postgres.database("app", "app");
        Some(Server { postgres, pki, folder: tempfile::tempdir().unwrap() })
    });
    SERVER.as_ref()
}

impl Server {
    pub(crate) fn url(&self, user: &str) -> String {
        format!(
            "postgres://{user}@localhost:{}/app?sslrootcert={}",
            self.postgres.port(),
            self.pki.ca().display()
        )
    }

    /// A file of its own with this password.
    pub(crate) fn password(&self, name: &str, password: &str) -> String {
        let file: PathBuf = self.folder.path().join(name);
        std::fs::write(&file, format!("{password}\n")).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

/// A Redis with TLS and the user `app`, or `None` where it is not installed, which has been said.
pub(crate) struct Cache {
    pub(crate) redis: Redis,
    pub(crate) pki: Pki,
}

impl Cache {
    pub(crate) fn own() -> Option<Cache> {
        let pki = Pki::new();
        let redis = available(Redis::start(&pki))?;
        redis.user("app", SECRET);
        Some(Cache { redis, pki })
    }

    pub(crate) fn shared() -> Option<&'static Cache> {
        static CACHE: LazyLock<Option<Cache>> = LazyLock::new(Cache::own);
        CACHE.as_ref()
    }

    /// With TLS.
    pub(crate) fn url(&self, user: &str, database: u32) -> String {
        let ca = self.pki.ca().display();
        format!("rediss://{user}localhost:{}/{database}?ssl_ca_certs={ca}", self.redis.tls_port())
    }
}

/// A server of this flavour with TLS and the user `app`, or `None` where it is not installed, which has been said.
pub(crate) fn mysql(flavour: Flavour) -> Option<&'static (Mysql, Pki)> {
    static MARIADB: LazyLock<Option<(Mysql, Pki)>> = LazyLock::new(|| own_mysql(Flavour::MariaDb));
    static MYSQL: LazyLock<Option<(Mysql, Pki)>> = LazyLock::new(|| own_mysql(Flavour::MySql));
    match flavour {
        Flavour::MariaDb => MARIADB.as_ref(),
        Flavour::MySql => MYSQL.as_ref(),
    }
}

fn own_mysql(flavour: Flavour) -> Option<(Mysql, Pki)> {
    let pki = Pki::new();
    let setup = attache_kit::mysql::Setup::new().tls(&pki.server());
    let server = available(Mysql::start(flavour, setup))?;
    server.user("app", SECRET, flavour.plugin(), Require::Nothing);
    server.database("app", "app");
    Some((server, pki))
}

/// `attache dev` with these arguments, which goes on.
pub(crate) fn serve(arguments: &[&str]) -> Process {
    [&["dev"], arguments].concat().into_iter().fold(launch(), |launch, argument| launch.arg(argument)).start()
}

pub(crate) fn launch() -> Launch {
    // What a developer has at home must not decide a test.
    Launch::binary(env!("CARGO_BIN_EXE_attache")).env("HOME", "/nonexistent")
}

/// `attache dev` with these arguments, to its end.
pub(crate) fn dev(arguments: &[&str]) -> Ran {
    launch().command(&[&["dev"], arguments].concat())
}

pub(crate) fn code(ran: &Ran) -> Option<i32> {
    ran.status.code()
}

/// The path of `psql`, or `None` where it is not installed, which has been said.
pub(crate) fn psql() -> Option<String> {
    let psql = available(tools::postgres_tool("psql"))?;
    Some(psql.get_program().to_str().unwrap().to_owned())
}

/// PostgreSQL's own port, as long as the value is kept. Another test, or a program that one has started, may have it for a
/// moment, and would give it back too early; whoever has it for longer is as good.
pub(crate) fn usual_port_is_taken() -> Option<TcpListener> {
    within(SOON, || TcpListener::bind("127.0.0.1:5432").ok())
}

/// A server of no protocol that anybody can connect to.
pub(crate) fn anybody() -> Script {
    Script::serve(|mut peer| {
        while !peer.read_some()?.is_empty() {}
        Ok(())
    })
}

/// A command line at a terminal of its own, which script(1) makes; its keys, and what is to be seen.
pub(crate) struct Terminal {
    script: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    pub(crate) fn run(line: &str, folder: &Path) -> Terminal {
        let mut script = Command::new("script")
            .args(["-qefc", &format!("exec {line}"), "/dev/null"])
            .current_dir(folder)
            .env("HOME", "/nonexistent")
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (keys, mut output) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let screen = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&screen);
        thread::spawn(move || {
            let mut part = [0; 1024];
            while let Ok(count @ 1..) = output.read(&mut part) {
                writer.lock().unwrap().extend_from_slice(&part[..count]);
            }
        });
        Terminal { script, keys, screen }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    pub(crate) fn wait_exit(&mut self) -> Option<i32> {
        eventually("the end of the command", SOON, || self.script.try_wait().unwrap()).code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Its terminal goes with it, and with the terminal whatever runs there.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}
