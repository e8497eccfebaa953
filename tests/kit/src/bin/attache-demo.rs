//! The demonstration behind `make demo`: a real database, a client that holds no password, and a password that
//! changes under load.
#![expect(clippy::print_stdout, reason = "telling a story is what it is for")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use attache_kit::ports::{self, Port};
use attache_kit::postgres::{Encryption, Postgres, Setup, Version};
use attache_kit::process::{Launch, Process, Signal};
use attache_kit::{Metrics, Mounted, Pki, eventually, http, tools};
use tempfile::NamedTempFile;

const LOAD_SECONDS: u64 = 16;
/// Between the two halves of a rotation: what a kubelet may take, in small.
const HALF_WAY: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let binary = std::env::args().nth(1).expect("usage: attache-demo PATH-OF-ATTACHE");
    println!("\nAttaché: an application that holds no password, while the password changes.\n");
    let stage = Stage::set(&binary);
    stage.ask_who_we_are();
    let load = stage.start_load();
    stage.rotate_under_load();
    let failures = load.into_iter().map(Load::finish).sum::<usize>();
    stage.show_generations();
    stage.show_health();
    stage.end();
    match failures {
        0 => println!("\nNot one transaction failed.\n"),
        some => println!("\n{some} of the clients saw a failure: that should not be.\n"),
    }
    ExitCode::from(u8::from(failures > 0))
}

/// Everything that takes part.
struct Stage {
    database: Postgres,
    secret: Mounted,
    attache: Process,
    listen: Port,
    health: Port,
    started: Instant,
    /// What the load does, again and again.
    script: NamedTempFile,
    _pki: Pki,
}

impl Stage {
    fn set(binary: &str) -> Stage {
        let pki = Pki::new();
        let database = Postgres::start(Version::V15, Setup::new().tls(&pki.server()));
        let database = database.unwrap_or_else(|error| panic!("no PostgreSQL 15 to show: {error:?}"));
        database.role("app", "first-password", Encryption::Scram);
        database
            .sql("create table visits (at timestamptz default now()); grant insert, select on visits to app");
        say("a private PostgreSQL 15, which asks for TLS and SCRAM-SHA-256, runs on port", &database.port());
        let secret = Mounted::new(&[("username", "app"), ("password", "first-password")]);
        say(
            "its password lies in a folder that is mounted as a Kubernetes Secret is:",
            &secret.path().display(),
        );
        let (listen, health, control) = (ports::reserve(), ports::reserve(), ports::reserve());
        let config = format!(
            "health: {}
control: {}
routes:
  visits:
    protocol: postgres
    listen: {}
    upstream:
      endpoints: \"localhost:{}\"
      tls: {{ ca: {} }}
    credential: {{ path: {} }}
",
            health.addr(),
            control.addr(),
            listen.addr(),
            database.port(),
            pki.ca().display(),
            secret.path().display(),
        );
        println!("\n   attache.yaml:\n{}", indent(&config));
        let attache = Launch::binary(binary).config(&config).start();
        attache.wait_for("a listener", SOON, |line| line["message"] == "listening");
        say("attache stands in between, and listens on", &listen.addr());
        let mut script = NamedTempFile::new().expect("a temporary file can be made");
        writeln!(script, "insert into visits default values;").expect("a temporary file can be written");
        Stage { database, secret, attache, listen, health, started: Instant::now(), script, _pki: pki }
    }

    fn client(&self, tool: &str, arguments: &[&str]) -> Command {
        let mut client =
            tools::postgres_tool(tool).expect("PostgreSQL's clients are installed with its server");
        client.args(["-h", "127.0.0.1", "-p", &self.listen.number().to_string(), "-U", "anybody"]);
        client.args(arguments);
        client
    }

    fn ask_who_we_are(&self) {
        let question =
            "select 'logged in as ' || current_user || ', encrypted with ' || version || ' ' || cipher
            from pg_stat_ssl where pid = pg_backend_pid()";
        println!(
            "\n   $ psql -h 127.0.0.1 -p {} -U anybody postgres     (no password anywhere)",
            self.listen.number()
        );
        let mut psql = self.client("psql", &["-XAt", "-d", "postgres", "-c", question]);
        println!("{}", indent(&tools::run(&mut psql, b"", SOON).ok()));
    }

    fn start_load(&self) -> Vec<Load> {
        let path = self.script.path().to_str().expect("a temporary file has a plain name");
        let seconds = LOAD_SECONDS.to_string();
        let common = ["-n", "-c", "4", "-T", &seconds, "-f", path, "postgres"];
        let staying = self.client("pgbench", &common);
        let reconnecting = self.client("pgbench", &[&["-C"], common.as_slice()].concat());
        println!(
            "   two pgbench begin: 4 clients that stay connected, 4 that connect for each transaction\n"
        );
        vec![Load::start("stay connected", staying), Load::start("connect each time", reconnecting)]
    }

    fn rotate_under_load(&self) {
        let wait = |moment| eventually("the next act", SOON, || (Instant::now() >= moment).then_some(()));
        let begin = Instant::now();
        wait(begin + HALF_WAY);
        self.change_database("second-password");
        wait(begin + 2 * HALF_WAY);
        self.change_secret("second-password");
        wait(begin + 3 * HALF_WAY);
        self.change_secret("third-password");
        wait(begin + 4 * HALF_WAY);
        self.change_database("third-password");
        println!();
    }

    fn change_database(&self, password: &str) {
        self.database.password("app", password, Encryption::Scram);
        self.tell(&format!("ALTER ROLE app PASSWORD '{password}'"));
    }

    fn change_secret(&self, password: &str) {
        self.secret.credential("app", password);
        self.tell(&format!("the mounted folder is swapped: password = {password}"));
    }

    fn tell(&self, what: &str) {
        println!("   {:5.1} s  {what}", self.started.elapsed().as_secs_f64());
    }

    /// From the log: one line a session, with the generation that served it.
    fn show_generations(&self) {
        let mut sessions = BTreeMap::<u64, (usize, u64)>::new();
        for line in
            self.attache.log().iter().filter(|line| line["kind"] == "session" && line["result"] == "ok")
        {
            let entry = sessions.entry(line["generation"].as_u64().unwrap_or_default()).or_default();
            entry.0 += 1;
            entry.1 += u64::from(line["retries"].as_u64() > Some(0));
        }
        println!("\n   sessions that ended well, by the generation of the password that opened them:");
        for (generation, (count, retried)) in sessions {
            println!("     generation {generation}: {count:6}   of these saved by trying again: {retried}");
        }
    }

    fn show_health(&self) {
        let ready = http::get(self.health.addr(), "/readyz").expect("the health listener answers");
        println!("\n   GET /readyz: {} {}", ready.status, ready.body.trim());
        let shown = [
            "attache_sessions_total",
            "attache_login_retries_total",
            "attache_credential_generation",
            "attache_upstream_up",
        ];
        let metrics = Metrics::scrape(self.health.addr());
        for line in metrics.text().lines().filter(|line| shown.iter().any(|name| line.starts_with(name))) {
            println!("     {line}");
        }
    }

    fn end(mut self) {
        self.attache.signal(Signal::TERM);
        println!("\n   SIGTERM: attache ends with {}", self.attache.wait_exit(SOON));
    }
}

/// One pgbench.
struct Load {
    name: &'static str,
    process: Child,
}

impl Load {
    fn start(name: &'static str, mut command: Command) -> Load {
        let process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pgbench starts");
        Load { name, process }
    }

    /// Waits for its end and shows what it counted; returns 1 if anything failed.
    fn finish(self) -> usize {
        let ended = self.process.wait_with_output().expect("a child can be waited for");
        let out = String::from_utf8_lossy(&ended.stdout);
        let line = |start: &str| out.lines().find_map(|line| line.strip_prefix(start)).unwrap_or("?").trim();
        let failed = line("number of failed transactions:");
        println!(
            "   {:18} transactions: {:>7}   failed: {failed}",
            self.name,
            line("number of transactions actually processed:")
        );
        if ended.status.success() && failed.starts_with("0 ") {
            return 0;
        }
        println!("{}", indent(&String::from_utf8_lossy(&ended.stderr)));
        1
    }
}

fn say(what: &str, value: &dyn std::fmt::Display) {
    println!(" - {what} {value}");
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("     {line}\n")).collect()
}
