//! The drivers of other languages on every way. What they do is in `clients/`.

use std::process::Command;

use attache_kit::*;

use crate::ways;

#[test]
fn pymysql_works() {
    each_way_serves("pymysql", "pymysql_client.py", tools::python);
}

#[test]
fn mysqlclient_works() {
    each_way_serves("mysqlclient", "mysqlclient_client.py", tools::python);
}

#[test]
fn mysql2_works() {
    each_way_serves("mysql2", "mysql2_client.js", tools::node);
}

fn each_way_serves(name: &str, script: &str, program: fn() -> Result<Command, Missing>) {
    for way in ways::each(name) {
        let Some(command) = available(program()) else { return };
        let ran = way.run_script(command, script);
        assert!(
            ran.status.success(),
            "{}: {}{}\n{}",
            way.name,
            ran.stderr,
            ran.stdout,
            way.db.server.log_tail()
        );
        assert_eq!(ran.stdout, "done\n", "{}", way.name);
    }
}
