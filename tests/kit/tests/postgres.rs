//! The kit's servers are what the live tests take them for.

#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::process::Command;
use std::time::Duration;

use attache_kit::tools::{self, Ran};
use attache_kit::{Encryption, Leaf, Missing, Pki, Postgres, Setup, Stop, Version, available, eventually};

const DEADLINE: Duration = Duration::from_secs(60);

fn start(version: Version, setup: Setup) -> Option<Postgres> {
    available(Postgres::start(version, setup))
}

fn psql(conninfo: &str, password: &str, sql: &str) -> Ran {
    let mut psql = tools::postgres_tool("psql").unwrap();
    psql.args(["-X", "-q", "-A", "-t", "-w", "-c", sql, conninfo]).env("PGPASSWORD", password);
    tools::run(&mut psql, b"", DEADLINE)
}

fn conninfo(server: &Postgres, host: &str, rest: &str) -> String {
    format!("host={host} hostaddr=127.0.0.1 port={} user=app dbname=postgres {rest}", server.port())
}

#[test]
fn both_versions_run_with_verified_tls_and_scram() {
    for version in Version::ALL {
        let pki = Pki::new();
        let setup = Setup::new().tls(&pki.server()).hba("hostssl all app all scram-sha-256");
        let Some(server) = start(version, setup) else { return };
        server.role("app", "right 'horse", Encryption::Scram);
        let tls = format!("sslmode=verify-full sslrootcert={} channel_binding=require", pki.ca().display());

        let secure = conninfo(&server, "db.internal", &tls);
        let sql = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        assert_eq!(psql(&secure, "right 'horse", sql).ok().trim(), "TLSv1.3");
        assert!(server.sql("SHOW server_version").starts_with(&version.number().to_string()));

        let wrong = psql(&secure, "wrong", "SELECT 1");
        assert!(wrong.stderr.contains("password authentication failed"), "{}", wrong.stderr);
        let name = psql(&conninfo(&server, "other.example", &tls), "right 'horse", "SELECT 1");
        assert!(name.stderr.contains("does not match host name"), "{}", name.stderr);
        let plain = psql(&conninfo(&server, "db.internal", "sslmode=disable"), "right 'horse", "SELECT 1");
        assert!(plain.stderr.contains("no pg_hba.conf entry"), "{}", plain.stderr);
    }
}

#[test]
fn every_way_to_log_in_can_be_asked_for() {
    let pki = Pki::new();
    let setup = Setup::new()
        .tls(&pki.server())
        .client_ca(pki.ca())
        .hba("host all trusted all trust")
        .hba("host all clear all password")
        .hba("host all weak all md5")
        .hba("hostssl all app all cert");
    let Some(server) = start(Version::V15, setup) else { return };
    for role in ["trusted", "clear", "app"] {
        server.role(role, "pw", Encryption::Scram);
    }
    server.role("weak", "pw", Encryption::Md5);
    let as_role = |role: &str, password: &str| {
        let info = format!("hostaddr=127.0.0.1 port={} dbname=postgres user={role}", server.port());
        psql(&info, password, "SELECT current_user")
    };
    assert_eq!(as_role("trusted", "").ok().trim(), "trusted");
    assert_eq!(as_role("clear", "pw").ok().trim(), "clear");
    assert_eq!(as_role("weak", "pw").ok().trim(), "weak");
    assert!(!as_role("weak", "other").status.success());
    assert!(server.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'weak'").starts_with("md5"));

    let pair = pki.client("app");
    let files = format!("sslmode=require sslcert={} sslkey={}", pair.cert.display(), pair.key.display());
    assert_eq!(psql(&conninfo(&server, "localhost", &files), "", "SELECT 1").ok().trim(), "1");
    assert!(!psql(&conninfo(&server, "localhost", "sslmode=require"), "", "SELECT 1").status.success());
}

#[test]
fn a_server_comes_back_on_its_port_with_its_data() {
    let Some(mut server) = start(Version::V15, Setup::new()) else { return };
    server.sql("CREATE TABLE t AS SELECT 7 AS n");
    let port = server.port();
    for how in [Stop::Smart, Stop::Fast, Stop::Immediate] {
        server.stop(how);
        assert!(server.try_sql("SELECT 1").is_err());
        server.start_again();
        assert_eq!((server.port(), server.sql("SELECT n FROM t").as_str()), (port, "7"));
    }
    assert!(server.log().contains("database system was not properly shut down"), "immediate is a crash");
}

#[test]
fn rules_passwords_and_certificates_change_while_it_runs() {
    let pki = Pki::new();
    let Some(server) = start(Version::V18, Setup::new().tls(&pki.server())) else { return };
    server.role("app", "one", Encryption::Scram);
    server.database("orders", "app");
    let info =
        conninfo(&server, "localhost", &format!("sslmode=verify-full sslrootcert={}", pki.ca().display()));
    assert_eq!(psql(&info, "one", "SELECT 1").ok().trim(), "1");

    server.password("app", "two", Encryption::Scram);
    assert!(!psql(&info, "one", "SELECT 1").status.success());
    assert_eq!(psql(&info, "two", "SELECT 1").ok().trim(), "1");

    server.install_certificate(&pki.issue(Leaf::server(&["localhost"]).expired()));
    let expired = psql(&info, "two", "SELECT 1").stderr;
    assert!(expired.contains("certificate verify failed"), "{expired}");

    server.install_certificate(&pki.server());
    server.rewrite_hba(&["host all all all reject"]);
    let rejected = psql(&info, "two", "SELECT 1").stderr;
    assert!(rejected.contains("rejects connection"), "{rejected}");
    eventually("the last session to be over", DEADLINE, || (server.sessions_of("app") == 0).then_some(()));
}

#[test]
fn a_standby_follows_and_can_take_over() {
    for version in Version::ALL {
        let Some(mut primary) = start(version, Setup::new()) else { return };
        primary.role("app", "pw", Encryption::Scram);
        let standby = Postgres::standby_of(&primary).unwrap();
        assert!(standby.in_recovery());
        primary.sql("CREATE TABLE t AS SELECT 7 AS n");
        eventually("the row to arrive", DEADLINE, || {
            (standby.try_sql("SELECT n FROM t") == Ok("7".into())).then_some(())
        });
        assert!(standby.try_sql("INSERT INTO t VALUES (8)").is_err(), "a standby took a write");

        primary.stop(Stop::Immediate);
        standby.promote();
        standby.sql("INSERT INTO t VALUES (8)");
        assert_eq!(standby.sql("SELECT count(*) FROM t"), "2");
    }
}

#[test]
fn many_servers_start_side_by_side() {
    if start(Version::V15, Setup::new()).is_none() {
        return;
    }
    let starters: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(|| Postgres::start(Version::V15, Setup::new()).unwrap().sql("SELECT 1")))
        .collect();
    for starter in starters {
        assert_eq!(starter.join().unwrap(), "1");
    }
}

#[test]
fn logical_replication_is_ready_to_use() {
    for version in Version::ALL {
        let Some(server) = start(version, Setup::new()) else { return };
        server.sql("SELECT pg_create_logical_replication_slot('s', 'test_decoding'); CREATE TABLE t (n int)");
        server.sql("INSERT INTO t VALUES (7)");
        assert!(
            server
                .sql("SELECT data FROM pg_logical_slot_get_changes('s', NULL, NULL)")
                .contains("n[integer]:7")
        );
    }
}

#[test]
fn a_stopped_server_leaves_no_process_and_no_file() {
    let Some(server) = start(Version::V15, Setup::new()) else { return };
    let (folder, port) = (server.socket_dir().parent().unwrap().to_path_buf(), server.port());
    assert!(folder.exists());
    drop(server);
    assert!(!folder.exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// Runs in a process of its own, which the test below starts and kills.
#[test]
fn helper_holds_a_server_until_it_is_killed() {
    let Some(report) = std::env::var_os("ATTACHE_KIT_HOLD") else { return };
    let server = Postgres::start(Version::V15, Setup::new()).unwrap();
    std::fs::write(report, server.socket_dir().parent().unwrap().to_str().unwrap()).unwrap();
    // Until then the other one holds its end.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn a_server_ends_with_a_test_process_that_is_killed() {
    if let Err(Missing(_)) = tools::postgres_tool("postgres") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_holds_a_server_until_it_is_killed"])
        .env("ATTACHE_KIT_HOLD", &report)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let place = eventually("the other process to start its server", DEADLINE, || {
        std::fs::read_to_string(&report).ok().filter(|place| !place.is_empty())
    });
    assert!(std::path::Path::new(&place).join("data/postmaster.pid").exists());
    holder.kill().unwrap();
    holder.wait().unwrap();
    eventually("the keeper to clean up", DEADLINE, || (!std::path::Path::new(&place).exists()).then_some(()));
}
