//! Private MariaDB and MySQL servers: accounts, TLS, endings.

#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::time::Duration;

use attache_kit::mysql::Setup;
use attache_kit::tools::{self, Ran};
use attache_kit::{Flavour, Leaf, Mysql, Pki, Require, available, eventually};

const DEADLINE: Duration = Duration::from_secs(60);

fn start(flavour: Flavour, setup: Setup) -> Option<Mysql> {
    available(Mysql::start(flavour, setup))
}

/// The server's own client, without TLS unless `options` say otherwise.
fn client(server: &Mysql, user: &str, password: &str, options: &[&str]) -> Ran {
    let mut client = tool(server.flavour());
    if server.flavour() == Flavour::MySql {
        client.arg("--get-server-public-key");
    }
    client.args(["--batch", "--skip-column-names", "--protocol=tcp", "--host=127.0.0.1"]);
    client.arg(format!("--port={}", server.port())).arg(format!("--user={user}")).args(options);
    client.args(["-e", "SELECT current_user(); SHOW STATUS LIKE 'Ssl_version'"]).env("MYSQL_PWD", password);
    tools::run(&mut client, b"", DEADLINE)
}

fn tool(flavour: Flavour) -> Command {
    match flavour {
        Flavour::MariaDb => tools::mariadb_tool("mariadb").unwrap(),
        Flavour::MySql => tools::mysql_tool("mysql").unwrap(),
    }
}

/// How the two clients spell: no TLS, TLS, and a certificate that must be good.
fn spelled(flavour: Flavour) -> [&'static str; 3] {
    match flavour {
        Flavour::MariaDb => ["--skip-ssl", "--ssl", "--ssl-verify-server-cert"],
        Flavour::MySql => ["--ssl-mode=disabled", "--ssl-mode=required", "--ssl-mode=verify_identity"],
    }
}

#[test]
fn each_flavour_takes_passwords_of_each_of_its_plugins() {
    for flavour in Flavour::ALL {
        let pki = Pki::new();
        let Some(server) = start(flavour, Setup::new().tls(&pki.server())) else { continue };
        let [_, tls, _] = spelled(flavour);
        for plugin in flavour.plugins() {
            let name = format!("{plugin:?}").to_lowercase();
            server.user(&name, r"right 'horse\", *plugin, Require::Nothing);
            let said = client(&server, &name, r"right 'horse\", &[tls]).ok();
            assert!(said.starts_with(&format!("{name}@%\n")), "{said}");
            assert!(said.contains("TLSv1.3"), "{said}");
            let wrong = client(&server, &name, "wrong", &[tls]);
            assert!(wrong.stderr.contains("ERROR 1045 (28000): Access denied"), "{}", wrong.stderr);

            server.password(&name, "two", *plugin);
            assert!(!client(&server, &name, r"right 'horse\", &[tls]).status.success());
            client(&server, &name, "two", &[tls]).ok();
        }
    }
}

#[test]
fn accounts_can_demand_tls_and_a_certificate() {
    for flavour in Flavour::ALL {
        let pki = Pki::new();
        let setup = Setup::new().tls(&pki.server()).client_ca(pki.ca());
        let Some(server) = start(flavour, setup) else { continue };
        let [plain, tls, _] = spelled(flavour);
        server.user("secure", "pw", flavour.plugin(), Require::Tls);
        server.user("certified", "pw", flavour.plugin(), Require::Certificate);

        assert!(client(&server, "secure", "pw", &[plain]).stderr.contains("ERROR 1045"));
        client(&server, "secure", "pw", &[tls]).ok();
        assert!(client(&server, "certified", "pw", &[tls]).stderr.contains("ERROR 1045"));
        let pair = pki.client("certified");
        let (cert, key) =
            (format!("--ssl-cert={}", pair.cert.display()), format!("--ssl-key={}", pair.key.display()));
        client(&server, "certified", "pw", &[tls, &cert, &key]).ok();
    }
}

#[test]
fn certificates_change_while_it_runs() {
    for flavour in Flavour::ALL {
        let pki = Pki::new();
        let setup = Setup::new().tls(&pki.server()).client_ca(pki.ca());
        let Some(server) = start(flavour, setup) else { continue };
        server.user("app", "pw", flavour.plugin(), Require::Nothing);
        let ca = format!("--ssl-ca={}", pki.ca().display());
        let verified = [ca.as_str(), spelled(flavour)[2]];
        client(&server, "app", "pw", &verified).ok();

        server.install_certificate(&pki.issue(Leaf::server(&["other.example"])));
        let refused = client(&server, "app", "pw", &verified);
        assert!(refused.stderr.contains("ERROR 2026"), "{}", refused.stderr);
        server.install_certificate(&pki.server());
        client(&server, "app", "pw", &verified).ok();
    }
}

#[test]
fn a_server_without_tls_offers_none() {
    for flavour in Flavour::ALL {
        let Some(server) = start(flavour, Setup::new()) else { continue };
        server.user("app", "pw", flavour.plugin(), Require::Nothing);
        let refused = client(&server, "app", "pw", &[spelled(flavour)[2]]);
        assert!(refused.stderr.contains("ERROR 2026"), "{}", refused.stderr);
    }
}

#[test]
fn a_server_comes_back_on_its_port_with_its_data() {
    for flavour in Flavour::ALL {
        let Some(mut server) = start(flavour, Setup::new()) else { continue };
        server.user("app", "pw", flavour.plugin(), Require::Nothing);
        server.database("my_orders", "app");
        server.sql_in("my_orders", "CREATE TABLE t AS SELECT 7 AS n");
        let port = server.port();
        for ending in [Mysql::stop, Mysql::crash] {
            ending(&mut server);
            assert!(server.try_sql("SELECT 1").is_err());
            server.start_again();
            assert_eq!((server.port(), server.sql_in("my_orders", "SELECT n FROM t").as_str()), (port, "7"));
        }
        assert_eq!(server.sessions_of("app"), 0);
    }
}

#[test]
fn accounts_cannot_write_to_a_server_that_is_read_only() {
    for flavour in Flavour::ALL {
        let pki = Pki::new();
        let Some(server) = start(flavour, Setup::new().tls(&pki.server())) else { continue };
        server.user("app", "pw", flavour.plugin(), Require::Nothing);
        server.database("app", "app");
        let write = |table: &str| {
            let mut tool = tool(flavour);
            tool.args(["--protocol=tcp", "--user=app", "--database=app", spelled(flavour)[1]]);
            tool.arg(format!("--port={}", server.port())).env("MYSQL_PWD", "pw");
            tools::run(tool.args(["-e", &format!("CREATE TABLE {table} (n int)")]), b"", DEADLINE)
        };
        write("one").ok();
        server.read_only(true);
        assert!(write("two").stderr.contains("ERROR 1290"), "a read-only server took a write");
        server.read_only(false);
        write("two").ok();
    }
}

#[test]
fn each_mysql_has_an_rsa_key_and_an_identity_of_its_own() {
    let Some(one) = start(Flavour::MySql, Setup::new()) else { return };
    let two = start(Flavour::MySql, Setup::new()).unwrap();
    let keys = [&one, &two].map(|server| std::fs::read_to_string(server.public_key()).unwrap());
    assert!(keys[0].starts_with("-----BEGIN PUBLIC KEY-----"), "{}", keys[0]);
    assert_ne!(keys[0], keys[1]);
    assert_ne!(one.sql("SELECT @@server_uuid"), two.sql("SELECT @@server_uuid"));
}

#[test]
fn settings_of_the_test_stand_above_those_of_the_kit() {
    for flavour in Flavour::ALL {
        let Some(server) = start(flavour, Setup::new().set("max-connections", "17")) else { continue };
        assert_eq!(server.sql("SELECT @@max_connections, @@max_allowed_packet"), "17\t134217728");
    }
}

#[test]
fn a_stopped_server_leaves_no_process_and_no_file() {
    for flavour in Flavour::ALL {
        let Some(server) = start(flavour, Setup::new()) else { continue };
        let folder = server.socket().parent().unwrap().parent().unwrap().to_path_buf();
        let addr = server.addr();
        assert!(folder.exists());
        drop(server);
        assert!(!folder.exists());
        let gone = || std::net::TcpStream::connect(addr).is_err().then_some(());
        eventually("the port to be free", DEADLINE, gone);
    }
}
