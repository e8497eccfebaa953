//! The drivers of other languages on every way. What they do is in `clients/`.

use std::path::Path;
use std::process::Command;

use attache_kit::{LONG, Missing, available, tools};

use crate::ways;

#[test]
fn redis_py_works() {
    each_way_serves("redis_py", "redis_py_client.py", tools::python);
}

#[test]
fn ioredis_works() {
    each_way_serves("ioredis", "ioredis_client.js", tools::node);
}

#[test]
fn node_redis_works() {
    each_way_serves("node_redis", "node_redis_client.js", tools::node);
}

fn each_way_serves(name: &str, script: &str, program: fn() -> Result<Command, Missing>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live_redis/clients");
    for way in ways::each(name) {
        let Some(mut command) = available(program()) else { return };
        command.arg(folder.join(script)).env("WAY", way.json().to_string());
        let ran = tools::run(command.env("PYTHONDONTWRITEBYTECODE", "1"), b"", LONG);
        way.heard(&ran.stdout);
        way.heard(&ran.stderr);
        assert!(ran.status.success(), "{}: {}{}", way.name, ran.stderr, ran.stdout);
        assert_eq!(ran.stdout, "done\n", "{}", way.name);
    }
}
