//! Ctrl-C: the client sends KILL QUERY with the number that the greeting gave it, over a connection of its own.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};

use attache_kit::*;
use rustix::process::{Pid, Signal, kill_process};

use crate::ways::{self, Way};

#[test]
fn ctrl_c_ends_the_statement_and_not_the_session() {
    for way in ways::each("ctrl_c") {
        let mut client = start(&way);
        let mut input = client.stdin.take().unwrap();
        input.write_all(b"select sleep(60) as sleeping from dual where 1 = 1;\n").unwrap();
        let running = "select count(*) from information_schema.processlist where info like 'select sleep(60) as sleeping%'";
        // MySQL cannot tell while somebody else runs a statement that is no text.
        let so_many = |count: &str| (way.db.server.try_sql(running).as_deref() == Ok(count)).then_some(());
        eventually("the statement to run", SOON, || so_many("1"));

        kill_process(Pid::from_child(&client), Signal::INT).unwrap();
        eventually("the statement to end", SOON, || so_many("0"));
        input.write_all(b"select 'still here';\n").unwrap();
        drop(input);
        let said = client.wait_with_output().unwrap();
        let said =
            String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        assert!(said.contains("still here"), "{}: {said}", way.name);
    }
}

fn start(way: &Way) -> Child {
    let mut client = way.program();
    // On, although an error has ended a statement: that is what a person at a terminal has.
    client.args(["--force", "--unbuffered"]).process_group(0);
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}
