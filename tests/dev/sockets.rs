//! Servers behind a Unix socket, as the URLs of their own clients name them.

use attache_kit::{Flavour, available, tools};

use crate::house::{Cache, SECRET, code, dev, mysql, psql, server};

/// A path where a host stands in a URL.
fn encoded(path: &std::path::Path) -> String {
    path.to_str().unwrap().replace('/', "%2F")
}

#[test]
fn a_postgresql_behind_a_socket_is_found_as_libpq_finds_it() {
    let (Some(server), Some(psql)) = (server(), psql()) else { return };
    let file = server.password("behind", SECRET);
    let (folder, port) = (server.postgres.socket_dir(), server.postgres.port());
    for url in [
        format!("postgres://app@/app?host={}&port={port}", folder.display()),
        format!("postgres://app@{}:{port}/app", encoded(&folder)),
    ] {
        let query = "select current_user || ' ' || coalesce(inet_server_addr()::text, 'socket')";
        let ran = dev(&[&url, "--password-file", &file, "--", &psql, "-XAtqc", query]);
        assert_eq!((code(&ran), ran.stdout.as_str()), (Some(0), "app socket\n"), "{url}: {}", ran.stderr);
        assert_eq!(ran.stderr, "", "{url}");
    }
}

#[test]
fn a_mariadb_behind_a_socket_is_found_as_its_drivers_find_it() {
    let Some((maria, _)) = mysql(Flavour::MariaDb) else { return };
    let Some(client) = available(tools::mariadb_tool("mariadb")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, SECRET).unwrap();
    let url = format!("mysql://app@localhost/app?socket={}", maria.socket().display());
    let client = client.get_program().to_str().unwrap();
    let script = format!("{client} --protocol=tcp --skip-ssl -N -e 'select current_user()'");
    let ran = dev(&[&url, "--password-file", file.to_str().unwrap(), "--", "sh", "-c", &script]);
    assert_eq!(code(&ran), Some(0), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("app@"), "{}", ran.stdout);
}

#[test]
fn a_redis_behind_a_socket_is_found() {
    let Some(cache) = Cache::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, SECRET).unwrap();
    let url = format!("redis://app@{}/2", encoded(&cache.redis.socket()));
    let script = "redis-cli -u \"$REDIS_URL\" acl whoami";
    let ran = dev(&[&url, "--password-file", file.to_str().unwrap(), "--", "sh", "-c", script]);
    assert_eq!((code(&ran), ran.stdout.trim()), (Some(0), "app"), "{}", ran.stderr);
}

#[test]
fn what_a_socket_does_not_have_is_told_by_name() {
    for (arguments, told) in [
        (&["postgres://app@/app?host=/run/pg&sslmode=verify-full"][..], "sslmode"),
        (&["postgres://app@/app?host=/run/pg", "--ca", "/ca.pem"], "--ca"),
        (&["rediss://%2Frun%2Fredis.sock"], "rediss://"),
        (&["mysql://app@db/app?socket=/run/mysqld.sock"], "a host and a socket"),
        (&["postgres://app@db/app?sslcert=/c.pem&sslkey=/k.pem"], "sslcert"),
        (&["mysql://app@db/app?ssl-cert=/c.pem"], "ssl-cert"),
        (&["rediss://db?ssl_certfile=/c.pem"], "ssl_certfile"),
        (&["postgres://app@db/app?sslmode=disable&sslnegotiation=direct"], "negotiation"),
        (&["postgres://app@db/app?scram_client_key=hunter2"], "--password-file"),
    ] {
        let ran = dev(arguments);
        assert_eq!((code(&ran), ran.stderr.lines().count()), (Some(2), 1), "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(told) && !ran.stderr.contains("hunter2"),
            "{arguments:?}: {}",
            ran.stderr
        );
    }
}
