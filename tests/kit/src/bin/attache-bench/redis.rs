//! Redis: GET and SET by redis-benchmark, one at a time and in pipelines.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use attache_kit::{Launch, Mounted, Pki, Redis, Rendered, ports, tools};

use crate::beside::{Counted, Lane, measure};
use crate::options::Options;

const TWEMPROXY: &str = "/usr/sbin/nutcracker";
const APP: &str = "app";
const PASSWORD: &str = "correct-horse";
const CLIENTS: &str = "50";
const KEYS: &str = "10000";
/// So many requests that a load takes about its seconds: the tool takes no time.
const REQUESTS_PER_SECOND: usize = 80_000;
/// Of pipelines, for each request of those.
const REQUESTS_PER_PIPELINE: usize = 8;
/// For whatever a load takes longer.
const SOON: Duration = Duration::from_secs(120);

struct Load {
    title: &'static str,
    command: &'static str,
    pipeline: usize,
}

const LOADS: [Load; 4] = [
    Load { title: "Redis, 50 clients, GET", command: "get", pipeline: 1 },
    Load { title: "Redis, 50 clients, SET", command: "set", pipeline: 1 },
    Load { title: "Redis, 50 clients, GET, pipelines of 16", command: "get", pipeline: 16 },
    Load { title: "Redis, 50 clients, SET, pipelines of 16", command: "set", pipeline: 16 },
];

pub(crate) fn run(options: &Options) {
    if !LOADS.iter().any(|load| load.title.contains(&options.only)) {
        return;
    }
    let Some(server) = server() else { return };
    let secret = Mounted::new(&[("username", APP), ("password", PASSWORD)]);
    let mut lanes =
        vec![Lane::direct(server.port()), Lane::attache(options, "redis", server.port(), &secret)];
    lanes.extend(Lane::haproxy(server.addr()));
    lanes.extend(twemproxy(&server));
    for load in LOADS {
        measure(load.title, &lanes, options, &|port, seconds| load.run(port, seconds));
    }
}

impl Load {
    fn run(&self, port: u16, seconds: usize) -> Counted {
        let each = if self.pipeline == 1 { 1 } else { REQUESTS_PER_PIPELINE };
        let queries = seconds * REQUESTS_PER_SECOND * each;
        let mut benchmark = tools::redis_tool("redis-benchmark").expect("it comes with the client");
        benchmark.args(["-h", "127.0.0.1", "-c", CLIENTS, "-r", KEYS, "--csv", "-t", self.command]);
        benchmark.args([("-p", port.into()), ("-P", self.pipeline), ("-n", queries)].map(argument).concat());
        Counted { queries: queries as f64, rate: rate(&ran(&mut benchmark)) }
    }
}

fn argument((name, value): (&str, usize)) -> [String; 2] {
    [name.to_owned(), value.to_string()]
}

fn ran(command: &mut Command) -> String {
    tools::run(command, b"", SOON).ok()
}

/// Of the line `"GET","81967.21",…`, behind the names of the columns.
fn rate(printed: &str) -> f64 {
    let line = printed.lines().last().unwrap_or_default();
    let rate = line.split(',').nth(1).and_then(|rate| rate.trim_matches('"').parse().ok());
    rate.unwrap_or_else(|| panic!("redis-benchmark said nothing of a rate: {printed}"))
}

/// With values for all keys, or nothing where it is not installed. Whoever is not Attaché may do everything without a
/// login: twemproxy knows no users.
fn server() -> Option<Redis> {
    let server = match Redis::start(&Pki::new()) {
        Ok(server) => server,
        Err(error) => {
            println!("Redis is left out: {error:?}");
            return None;
        }
    };
    server.user(APP, PASSWORD);
    server.command(&["ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all"]);
    Load { title: "", command: "set", pipeline: 16 }.run(server.port(), 1);
    Some(server)
}

/// It reads every command, and sends those of all clients over one connection. `None` where it is not installed.
fn twemproxy(server: &Redis) -> Option<Lane> {
    if !Path::new(TWEMPROXY).exists() {
        println!("{TWEMPROXY} is not installed and left out; tests/scripts/setup bench installs it");
        return None;
    }
    let (listen, stats) = (ports::reserve(), ports::reserve());
    let config = format!(
        "bench:\n  listen: {}\n  redis: true\n  backlog: 1024\n  servers:\n   - {}:1\n",
        listen.addr(),
        server.addr(),
    );
    let files = Rendered::new(&[("nutcracker.yml", config.as_str())]);
    let file = files.path().join("nutcracker.yml").to_string_lossy().into_owned();
    let stats_port = stats.number().to_string();
    let arguments = ["-c", &file, "-a", "127.0.0.1", "-s", &stats_port];
    let launch = arguments.into_iter().fold(Launch::binary(Path::new(TWEMPROXY)), Launch::arg);
    Some(Lane::through("twemproxy", launch.start(), vec![listen, stats], Some(files)))
}
