//! What one sidecar takes of a node: the figures that the requests and the limit in the manifests come from.
//!
//! Processor time and memory hold on a shared machine too, so this may run beside other work.

use std::fs;
use std::thread;
use std::time::Duration;

use attache_kit::{Launch, Process, tools};

use crate::house::{House, Question};
use crate::idle::Session;
use crate::options::Options;
use crate::recipe::Recipes;
use crate::report::table;

/// How long each of them is looked at.
const SECONDS: u64 = 10;
const CLIENTS: &str = "10";
/// Queries a second.
const RATES: [u32; 3] = [100, 300, 1000];
/// Logins a second.
const LOGINS: u32 = 10;
/// Answers that are longer than all buffers on their way, which the server makes as it sends them.
const UNREAD: &str = "select repeat('x', 1000), generate_series(1, 100000)";
const MIB: f64 = 1024.0 * 1024.0;
const NANOSECONDS: f64 = 1e9;

pub(crate) fn run(house: &House, recipes: &Recipes, options: &Options) {
    let mut rows = vec![["", "millicores", "MiB resident"].map(str::to_owned)];
    with_sessions(&mut rows, recipes, options.idle);
    with_load(&mut rows, house, recipes);
    rows.push(checked(recipes));
    rows.push(webhook(options));
    println!("\nOne sidecar, TLS to the server");
    table(rows.into_iter());
}

fn with_sessions(rows: &mut Vec<[String; 3]>, recipes: &Recipes, count: usize) {
    let recipe = recipes.idle_tls();
    let process = recipe.start();
    rows.push(looked_at("nobody", &process, rest));
    let open = |_| Session::open(recipe.listen.addr()).unwrap_or_else(|error| panic!("a session: {error}"));
    let mut sessions: Vec<Session> = (0..count).map(open).collect();
    rows.push(looked_at(&format!("{count} idle sessions"), &process, rest));
    for session in &mut sessions {
        session.ask(UNREAD).expect("a session takes a question");
    }
    // Until all of them are stuck.
    rest();
    rows.push(looked_at(&format!("{count} sessions that read nothing"), &process, rest));
}

fn with_load(rows: &mut Vec<[String; 3]>, house: &House, recipes: &Recipes) {
    let recipe = &recipes.attache_tls;
    let process = recipe.start();
    let port = recipe.listen.number();
    for rate in RATES {
        rows.push(looked_at(&format!("{rate} queries a second"), &process, || {
            pgbench(house, port, rate, Question::Point, &[]);
        }));
    }
    rows.push(looked_at(&format!("{LOGINS} logins a second"), &process, || {
        pgbench(house, port, LOGINS, Question::One, &["-C"]);
    }));
}

/// The most that it holds at any moment.
fn checked(recipes: &Recipes) -> [String; 3] {
    let mut check = recipes.attache_tls.check().spawn().expect("it was started before");
    let mut most = 0.0;
    let status = loop {
        most = high_water(check.id()).map_or(most, |now| now.max(most));
        if let Some(status) = check.try_wait().expect("our own child can be waited for") {
            break status;
        }
    };
    assert!(status.success(), "the check failed: {status}");
    ["`attache check`, at its most".to_owned(), String::new(), format!("{most:.1}")]
}

/// In MiB; nothing once the process has ended.
fn high_water(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok().map(|kibibytes: f64| kibibytes / 1024.0)
}

fn webhook(options: &Options) -> [String; 3] {
    let arguments =
        ["webhook", "--self-signed", "localhost", "--listen", "127.0.0.1:0", "--health", "127.0.0.1:0"];
    let process = arguments.into_iter().fold(Launch::binary(&options.binary), Launch::arg).start();
    process.wait_for("its start", Duration::from_secs(SECONDS), |line| line["message"] == "started");
    looked_at("the webhook", &process, rest)
}

fn rest() {
    thread::sleep(Duration::from_secs(SECONDS));
}

fn pgbench(house: &House, port: u16, rate: u32, question: Question, more: &[&str]) {
    let mut pgbench = house.pgbench();
    pgbench.arg(house.script(question)).args(["-c", CLIENTS, "-R", &rate.to_string()]);
    pgbench.args(["-T", &SECONDS.to_string(), "-h", "127.0.0.1", "-p", &port.to_string()]);
    pgbench.args(more).arg("postgres").env("PGSSLMODE", "disable");
    tools::run(&mut pgbench, b"", Duration::from_secs(SECONDS + 60)).ok();
}

fn looked_at(name: &str, process: &Process, meanwhile: impl FnOnce()) -> [String; 3] {
    let before = processor_time(process.pid());
    meanwhile();
    let spent = (processor_time(process.pid()) - before) / SECONDS as f64;
    let resident = process.resident_bytes() as f64 / MIB;
    [name.to_owned(), format!("{:.1}", spent * 1e3), format!("{resident:.1}")]
}

/// Of all threads, in seconds; `/proc/PID/stat` counts in hundredths only.
fn processor_time(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is running");
    let of_thread = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|spent| spent.parse::<f64>().ok()).unwrap_or_default()
    };
    threads.filter_map(Result::ok).map(of_thread).sum::<f64>() / NANOSECONDS
}
