//! What the programs that come with Redis do besides single commands: streams, copies, loads.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use attache_kit::{House, LONG, Rendered, SOON, tools};

use crate::house::Clients;
use crate::servers;

/// A `redis-cli` that goes on until it is dropped, and its lines.
struct Going {
    child: Child,
    lines: Receiver<String>,
}

impl Going {
    fn start(house: &House, arguments: &[&str]) -> Going {
        let mut cli = house.tool("redis-cli");
        let cli = cli.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = cli.spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        Going { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(SOON).expect("another line")
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: ChildStdout) -> Receiver<String> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
    });
    told
}

#[test]
fn a_monitor_shows_what_others_do() {
    let Some(db) = servers::shared() else { return };
    let house = db.route().start();
    let monitor = Going::start(&house, &["monitor"]);
    assert_eq!(monitor.line(), "OK");
    assert_eq!(house.cli(&["ECHO", "to the monitor"], ""), "to the monitor\n");
    while !monitor.line().ends_with("\"ECHO\" \"to the monitor\"") {}
}

#[test]
fn subscribers_hear_of_channels_and_patterns() {
    let Some(db) = servers::shared() else { return };
    let house = db.route().start();
    for (command, protocol, kind) in
        [("SUBSCRIBE", "-2", "message"), ("PSUBSCRIBE", "-2", "pmessage"), ("SUBSCRIBE", "-3", "message")]
    {
        let channel = format!("programs:{command}{protocol}");
        let subscriber = Going::start(&house, &[protocol, "--no-raw", "--csv", command, &channel]);
        while !subscriber.line().to_lowercase().starts_with(&format!("\"{}\"", command.to_lowercase())) {}
        assert_eq!(house.cli(&["PUBLISH", &channel, "hello"], ""), "1\n");
        let line = subscriber.line();
        assert!(line.starts_with(&format!("\"{kind}\"")) && line.ends_with("\"hello\""), "{line}");
    }
}

/// It asks for the stream of a replica.
#[test]
fn a_copy_of_all_data_is_made() {
    let Some(db) = servers::Db::own() else { return };
    let house = db.route().start();
    let input: String = (0..1000).map(|number| format!("SET copied:{number} value-{number}\r\n")).collect();
    house.cli(&["--pipe"], &input);
    let folder = Rendered::new(&[]);
    let file = folder.path().join("copy.rdb");
    let file = file.to_str().unwrap();
    house.cli(&["--rdb", file], "");
    let said = tools::run(tools::redis_tool("redis-check-rdb").unwrap().arg(file), b"", LONG).ok();
    assert!(said.contains("RDB looks OK") && said.contains("1000 keys read"), "{said}");
}

#[test]
fn keys_are_walked_through() {
    let Some(db) = servers::Db::own() else { return };
    let house = db.route().start();
    let input: String = (0..500).map(|number| format!("SET walked:{number} {number}\r\n")).collect();
    house.cli(&["--pipe"], &format!("{input}LPUSH walked:list 1 2 3\r\n"));
    assert_eq!(house.cli(&["--scan", "--pattern", "walked:*"], "").lines().count(), 501);
    let said = house.cli(&["--bigkeys"], "");
    assert!(said.contains("Sampled 501 keys") && said.contains("has 3 items"), "{said}");
}

/// And in the process between there is never much of it.
#[test]
fn a_value_of_100_megabytes_goes_both_ways_through_little_memory() {
    const LEN: usize = 100_000_000;
    const MEMORY: u64 = 16 << 20;
    let Some(db) = servers::Db::own() else { return };
    let house = db.route().start();
    let value: String = (0..LEN / 10).map(|number| format!("{number:010}")).collect();
    assert_eq!(house.cli(&["PING"], ""), "PONG\n");
    let before = peak_bytes(house.attache.pid());
    assert_eq!(house.cli(&["-x", "SET", "large"], &value), "OK\n");
    let back = house.cli(&["GET", "large"], "");
    assert!(back.strip_suffix('\n') == Some(value.as_str()), "{} octets came back", back.len());
    let grown = peak_bytes(house.attache.pid()).saturating_sub(before);
    assert!(grown < MEMORY, "it held up to {grown} octets more than before");
    let on_the_server =
        house.cli(&["EVAL", "return redis.sha1hex(redis.call('get', KEYS[1]))", "1", "large"], "");
    let digest = tools::run(&mut Command::new("sha1sum"), value.as_bytes(), LONG).ok();
    assert!(digest.starts_with(on_the_server.trim()), "{on_the_server}{digest}");
}

/// The most memory that a process has had.
fn peak_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn redis_benchmark_runs_all_its_loads() {
    let Some(db) = servers::Db::own() else { return };
    let house = db.route().start();
    for pipeline in ["1", "16"] {
        let mut benchmark = house.tool("redis-benchmark");
        benchmark.args(["-n", "2000", "-c", "20", "-P", pipeline, "--csv"]);
        let said = house.run(&mut benchmark, "");
        assert!(said.lines().count() >= 20, "{said}");
        assert!(said.contains("\"MSET (10 keys)\",\""), "{said}");
    }
}
