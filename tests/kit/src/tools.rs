//! The programs that `make setup` installs, ready to be started: the databases' own tools, Python, Node.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::skip::{Missing, StartError, Unavailable};
use crate::wait::within;

const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql/15/bin";
const CHROMIUM: &str = "/usr/bin/chromium-headless-shell";

/// Where everything that is no Debian package lives; `setup` has the same rule.
pub fn cache() -> PathBuf {
    match env::var_os("ATTACHE_CACHE") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache"),
    }
}

/// `psql`, `pgbench`, `pg_dump` … of Debian's PostgreSQL 15, without the caller's `PG…` environment.
pub fn postgres_tool(name: &str) -> Result<Command, Missing> {
    let mut command = existing("postgresql-15", Path::new(DEBIAN_POSTGRES).join(name))?;
    for (variable, _) in env::vars_os().filter(|(variable, _)| variable.to_string_lossy().starts_with("PG")) {
        command.env_remove(variable);
    }
    // Password, service, certificate and start files of the developer must not decide a test.
    command.env("PGPASSFILE", "/nonexistent").env("PGSERVICEFILE", "/dev/null").env("HOME", "/nonexistent");
    command.env("PGCONNECT_TIMEOUT", "20");
    Ok(command)
}

/// `mariadb`, `mariadb-dump`, `mariadb-binlog` … of Debian's MariaDB 10.11, without the developer's option files.
pub fn mariadb_tool(name: &str) -> Result<Command, Missing> {
    let mut command = existing("mariadb-client", Path::new("/usr/bin").join(name))?;
    // The option files' switch must be the first argument of all.
    without_settings(&mut command).arg("--no-defaults");
    Ok(command)
}

/// `mysql`, `mysqldump`, `mysqlbinlog` … of MySQL 9, without the developer's option files.
pub fn mysql_tool(name: &str) -> Result<Command, StartError> {
    let mysql = MysqlPrograms::find()?;
    let mut command = mysql.command(name, Command::new);
    without_settings(&mut command).arg("--no-defaults");
    // It logs in by older methods with a plugin.
    command.arg(format!("--plugin-dir={}", mysql.0.join("plugin").display()));
    Ok(command)
}

/// `redis-cli` of Debian's Redis 7.0, without the developer's password.
pub fn redis_cli() -> Result<Command, Missing> {
    redis_tool("redis-cli")
}

/// Another program that comes with it: `redis-benchmark`, `redis-check-rdb`.
pub fn redis_tool(name: &str) -> Result<Command, Missing> {
    let mut command = existing("redis-tools", Path::new("/usr/bin").join(name))?;
    command.env_remove("REDISCLI_AUTH").env_remove("REDISCLI_CLUSTER_YES").env("HOME", "/nonexistent");
    Ok(command)
}

fn without_settings(command: &mut Command) -> &mut Command {
    for (variable, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MYSQL")) {
        command.env_remove(variable);
    }
    command.env("HOME", "/nonexistent")
}

/// The programs of MySQL 9, which run with the C library of their own Debian beside the machine's.
#[derive(Debug, Clone)]
pub(crate) struct MysqlPrograms(pub(crate) PathBuf);

impl MysqlPrograms {
    pub(crate) fn find() -> Result<MysqlPrograms, StartError> {
        let folder = cache().join("mysql");
        if folder.join("bin/mysqld").exists() {
            return Ok(MysqlPrograms(folder));
        }
        match fs::read_to_string(cache().join("mysql.absent")) {
            Ok(why) => Err(Unavailable(format!("MySQL 9 ({})", why.trim())).into()),
            Err(_) => Err(Missing("MySQL 9".to_string()).into()),
        }
    }

    /// `start` makes the command of a program: it may decide as whom.
    pub(crate) fn command(&self, name: &str, start: impl FnOnce(PathBuf) -> Command) -> Command {
        let libraries = self.0.join("lib");
        let mut command = start(libraries.join("ld.so"));
        command.arg("--library-path").arg(&libraries).arg(self.0.join("bin").join(name));
        command
    }
}

/// The server that PyPI has, without TLS.
pub(crate) fn valkey_server() -> Result<PathBuf, StartError> {
    let program = cache().join("valkey/valkey-server");
    if program.exists() {
        return Ok(program);
    }
    match fs::read_to_string(cache().join("valkey.absent")) {
        Ok(why) => Err(Unavailable(format!("Valkey ({})", why.trim())).into()),
        Err(_) => Err(Missing("Valkey".to_owned()).into()),
    }
}

/// Python with psycopg 3, asyncpg, PyMySQL, mysqlclient and redis-py.
pub fn python() -> Result<Command, Missing> {
    existing("the Python of the tests", cache().join("venv/bin/python"))
}

/// A program that came with the Python of the tests.
pub fn python_program(name: &str) -> Result<Command, Missing> {
    existing(name, cache().join("venv/bin").join(name))
}

/// Node with the packages of `tests/scripts/pins/package.json`.
pub fn node() -> Result<Command, Missing> {
    let mut command = existing("the Node of the tests", cache().join("venv/bin/node"))?;
    command.env("NODE_PATH", cache().join("node/node_modules"));
    Ok(command)
}

/// Node with what drives Debian's Chromium, the program that `ATTACHE_CHROMIUM` names to it.
pub fn browser() -> Result<Command, Missing> {
    existing("chromium-headless-shell", PathBuf::from(CHROMIUM))?;
    existing("playwright-core", cache().join("node/node_modules/playwright-core/package.json"))?;
    existing("axe-core", cache().join("node/node_modules/axe-core/package.json"))?;
    let mut command = node()?;
    command.env("ATTACHE_CHROMIUM", CHROMIUM);
    Ok(command)
}

/// kubectl, for what it does without a cluster.
pub fn kubectl() -> Result<Command, Missing> {
    kubernetes("kubectl", "bin/kubectl")
}

/// Helm of a major version: 3 or 4.
pub fn helm(major: u32) -> Result<Command, Missing> {
    kubernetes(&format!("Helm {major}"), &format!("bin/helm{major}"))
}

/// Python with schemas of Kubernetes and an implementation of CEL.
pub fn kubernetes_python() -> Result<Command, Missing> {
    kubernetes("the schemas of Kubernetes", "venv/bin/python")
}

/// What plays a compose file with podman.
pub fn podman_compose() -> Result<Command, Missing> {
    existing("podman-compose", cache().join("kubernetes/venv/bin/podman-compose"))?;
    let mut command = kubernetes_python()?;
    command.args(["-m", "podman_compose"]);
    Ok(command)
}

/// Prometheus' own judge of rules.
pub fn promtool() -> Result<Command, Missing> {
    existing("promtool", PathBuf::from("/usr/bin/promtool"))
}

/// Without the caller's clusters, plugins and repositories.
fn kubernetes(what: &str, program: &str) -> Result<Command, Missing> {
    let mut command = existing(what, cache().join("kubernetes").join(program))?;
    command.env("KUBECONFIG", "/nonexistent").env("HOME", "/nonexistent");
    Ok(command)
}

fn existing(what: &str, program: PathBuf) -> Result<Command, Missing> {
    if program.exists() { Ok(Command::new(program)) } else { Err(Missing(what.to_string())) }
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// What it printed, if it ended well; panics with what it complained about otherwise.
    pub fn ok(self) -> String {
        assert!(self.status.success(), "ended with {}: {}{}", self.status, self.stderr, self.stdout);
        self.stdout
    }
}

/// Runs a program to its end; past the deadline it is killed and the test panics.
pub fn run(command: &mut Command, input: &[u8], deadline: Duration) -> Ran {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("could not start {name}: {error}"));
    let stdout = collect(child.stdout.take().expect("stdout is a pipe"));
    let stderr = collect(child.stderr.take().expect("stderr is a pipe"));
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_vec();
    // A program may end without reading its input; that is for its status to tell.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let status = within(deadline, || child.try_wait().expect("our own child can be waited for"));
    if status.is_none() {
        // The whole group: a shell's children would keep the pipes open.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _ = child.wait();
    }
    let _ = writer.join();
    let (stdout, stderr) = (joined(stdout), joined(stderr));
    let Some(status) = status else { panic!("{name} did not end within {deadline:?}: {stderr}{stdout}") };
    Ran { status, stdout, stderr }
}

/// A script that can be run at once. Another program writes it: whatever another thread of ours starts in that moment has a
/// copy of our open file until it runs its own image, and a file that anybody may still write to cannot be run.
pub fn write_script(path: &Path, text: &str) {
    const DEADLINE: Duration = Duration::from_secs(60);
    let mut writer = Command::new("sh");
    writer.args(["-c", r#"cat >"$0" && chmod 755 "$0""#]).arg(path);
    run(&mut writer, text.as_bytes(), DEADLINE).ok();
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

fn joined(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}
