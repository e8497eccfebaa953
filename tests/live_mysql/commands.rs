//! `attache check` and `attache dev` with both servers.

use attache_kit::tools::Ran;
use attache_kit::*;
use serde_json::Value;

use crate::servers::{self, Db};

fn check(config: &str) -> (Ran, Vec<Value>) {
    let launch = Launch::binary(env!("CARGO_BIN_EXE_attache")).config(config);
    let ran = launch.command(&["check", "--json", "-c", "{config}"]);
    assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{ran:?}");
    let steps = serde_json::from_str(&ran.stdout).unwrap();
    (ran, steps)
}

#[test]
fn check_goes_the_whole_way_and_says_where_it_ends() {
    for db in servers::each() {
        db.account("checked");
        let house = db.route("checked").upstream("role: primary").start();
        let config = std::fs::read_to_string(house.attache.config_path()).unwrap();
        let (ran, steps) = check(&config);
        assert_eq!(ran.status.code(), Some(0), "{ran:?}");
        let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
        let expected = [
            "configuration",
            "credential",
            "authorities",
            "dns",
            "tcp",
            "tls",
            "login",
            "role",
            "round_trip",
        ];
        assert_eq!(names, expected);
        assert!(steps.iter().all(|step| step["ok"] == true), "{steps:?}");
        let version =
            if db.flavour() == Flavour::MySql { "server version 9." } else { "server version 10.11" };
        assert!(steps[6]["detail"].as_str().unwrap().starts_with(version), "{steps:?}");
        assert_eq!(steps[7]["detail"], "primary");

        db.server.password("checked", "another password", db.flavour().plugin());
        let (ran, steps) = check(&config);
        assert_eq!(ran.status.code(), Some(1));
        let login = steps.iter().find(|step| step["step"] == "login").unwrap();
        assert_eq!(login["cause"], "credential_rejected", "{login}");
    }
}

#[test]
fn check_says_that_a_password_would_be_readable() {
    let Some(db) = servers::of(Flavour::MySql) else { return };
    db.account("checked_plain");
    let house = db.route("checked_plain").tls("off").unprobed().start();
    let config = std::fs::read_to_string(house.attache.config_path()).unwrap();
    let (ran, steps) = check(&config);
    assert_eq!(ran.status.code(), Some(1));
    let login = steps.iter().find(|step| step["step"] == "login").unwrap();
    assert_eq!(login["cause"], "cleartext_refused", "{login}");
}

const BY_URL: &str = r#"
import os, pymysql, urllib.parse
url = urllib.parse.urlsplit(os.environ["DATABASE_URL"])
session = pymysql.connect(host=url.hostname, port=url.port, user=url.username, database=url.path[1:])
cursor = session.cursor()
cursor.execute("select current_user(), database()")
print(*cursor.fetchone(), "MYSQL_PWD" in os.environ)
"#;

fn dev(db: &Db, command: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, SECRET).unwrap();
    let ca = db.pki.ca().display();
    let url = format!(
        "mysql://developer@localhost:{}/developer?ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}",
        db.server.port()
    );
    let launch = Launch::binary(env!("CARGO_BIN_EXE_attache")).env("HOME", "/nonexistent");
    // What would lead a client past us.
    let launch = launch.env("MYSQL_HOST", "192.0.2.1").env("MYSQL_PWD", "of the developer");
    let own = ["dev", &url, "--password-file", file.to_str().unwrap(), "--"];
    launch.command(&[&own[..], command].concat())
}

#[test]
fn dev_leads_a_command_to_the_server_by_its_environment_alone() {
    for db in servers::each() {
        db.account("developer");
        let tool = match db.flavour() {
            Flavour::MariaDb => tools::mariadb_tool("mariadb").unwrap(),
            Flavour::MySql => tools::mysql_tool("mysql").unwrap(),
        };
        let words = std::iter::once(tool.get_program()).chain(tool.get_args());
        let mut command: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
        command.extend(["--batch", "--skip-column-names", "--protocol=tcp", "-e", "select current_user()"]);
        let ran = dev(db, &command);
        assert_eq!((ran.status.code(), ran.stdout.as_str()), (Some(0), "developer@%\n"), "{}", ran.stderr);

        let Some(python) = available(tools::python()) else { continue };
        let ran = dev(db, &[python.get_program().to_str().unwrap(), "-c", BY_URL]);
        assert_eq!(ran.stdout, "developer@% developer False\n", "{}", ran.stderr);
    }
}

#[test]
fn dev_says_how_to_connect() {
    for db in servers::each() {
        db.account("lone_developer");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, SECRET).unwrap();
        let scheme = if db.flavour() == Flavour::MySql { "mysql" } else { "mariadb" };
        let url = format!("{scheme}://lone_developer@localhost:{}/lone_developer", db.server.port());
        let ca = db.pki.ca().to_str().unwrap().to_owned();
        let arguments =
            ["dev", &url, "--ca", &ca, "--password-file", file.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let launch = Launch::binary(env!("CARGO_BIN_EXE_attache")).env("HOME", "/nonexistent");
        let mut process = arguments.into_iter().fold(launch, |launch, argument| launch.arg(argument)).start();
        let text = eventually("the directions", SOON, || {
            Some(process.stdout()).filter(|text| text.contains("Ctrl-C ends it."))
        });
        let line = text.lines().find(|line| line.contains("mysql --protocol=tcp")).expect("an example");
        let tool = match db.flavour() {
            Flavour::MariaDb => tools::mariadb_tool("mariadb").unwrap(),
            Flavour::MySql => tools::mysql_tool("mysql").unwrap(),
        };
        let mut client = tool;
        client.args(line.split_whitespace().skip_while(|word| *word != "mysql").skip(1));
        client.args(["--batch", "--skip-column-names", "-e", "select current_user(), database()"]);
        let said = tools::run(&mut client, b"", SOON).ok();
        assert_eq!(said, "lone_developer@%\tlone_developer\n");
        process.signal(Signal::INT);
        assert_eq!(process.wait_exit(SOON).code(), Some(0));
    }
}
