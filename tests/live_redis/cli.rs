//! `redis-cli` as people use it, without a password or with any.

use std::fmt::Write as _;

use crate::house::Clients;
use crate::servers;

#[test]
fn a_client_without_a_password_works_as_the_account_of_the_route() {
    for db in servers::each() {
        let house = db.route().start();
        assert_eq!(house.cli(&["SET", "cli:one", "1"], ""), "OK\n");
        assert_eq!(house.cli(&["GET", "cli:one"], ""), "1\n");
        assert_eq!(house.cli(&["ACL", "WHOAMI"], ""), "app\n");
        assert_eq!(house.cli(&["-3", "GET", "cli:one"], ""), "1\n");
        assert_eq!(house.cli(&["-n", "3", "EXISTS", "cli:one"], ""), "0\n");
        assert_eq!(house.cli(&["-a", "anything", "--user", "whoever", "GET", "cli:one"], ""), "1\n");
        assert_eq!(house.cli(&["-3", "-a", "anything", "GET", "cli:one"], ""), "1\n");
    }
}

#[test]
fn a_transaction_goes_through() {
    for db in servers::each() {
        let house = db.route().start();
        let said = house.cli(&[], "DEL cli:sum\nMULTI\nINCR cli:sum\nINCRBY cli:sum 41\nEXEC\nGET cli:sum\n");
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[lines.len() - 6..], ["OK", "QUEUED", "QUEUED", "1", "42", "42"], "{said}");
    }
}

#[test]
fn thousands_of_commands_are_piped() {
    const COMMANDS: usize = 10_000;
    for db in servers::each() {
        let house = db.route().start();
        let mut input = "DEL cli:piped\r\n".to_owned();
        for number in 1..COMMANDS {
            write!(input, "RPUSH cli:piped value-{number}\r\n").unwrap();
        }
        let said = house.cli(&["--pipe"], &input);
        assert!(said.contains(&format!("errors: 0, replies: {COMMANDS}")), "{said}");
        assert_eq!(house.cli(&["LLEN", "cli:piped"], ""), format!("{}\n", COMMANDS - 1));
    }
}

#[test]
fn what_a_client_says_of_itself_is_accepted_and_does_not_matter() {
    for db in servers::each() {
        let house = db.route().start();
        let said = house
            .cli(&[], "AUTH anything\nAUTH who ever\nACL WHOAMI\nHELLO 3 AUTH x y\nACL WHOAMI\nHELLO 2\n");
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[..3], ["OK", "OK", "app"], "{said}");
        assert!(said.contains("\nproto 3\n") && said.contains("\nproto\n2\n"), "{said}");
        assert_eq!(lines.iter().filter(|line| **line == "app").count(), 2, "{said}");
        assert!(!said.contains("ERR"), "{said}");
    }
}

#[test]
fn reset_does_not_log_out() {
    for db in servers::each() {
        let house = db.route().start();
        let said = house.cli(&[], "MULTI\nSET cli:reset 1\nRESET\nACL WHOAMI\nEXISTS cli:reset\n");
        assert_eq!(said.lines().collect::<Vec<_>>(), ["OK", "QUEUED", "RESET", "app", "0"]);
    }
}
