//! The project's file: found from below, checked like a configuration, and served.

use std::fs;
use std::path::Path;
use std::process::Command;

use attache_kit::tools::{self, Ran};

use crate::house::{Cache, SECRET, SOON, code, psql, server};

/// `attache dev` in this folder, by somebody whose home is the project.
fn dev_in(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_attache"));
    command.arg("dev").args(arguments).current_dir(folder);
    command.env(
        "HOME",
        folder.ancestors().find(|folder| folder.join("attache.dev.yaml").exists()).unwrap_or(folder),
    );
    tools::run(&mut command, b"", SOON)
}

#[test]
fn a_project_file_is_found_from_below_and_says_everything() {
    let (Some(server), Some(psql), Some(cache)) = (server(), psql(), Cache::shared()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("services/orders");
    fs::create_dir_all(&below).unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    fs::write(folder.path().join("secrets/orders"), SECRET).unwrap();
    fs::write(folder.path().join("cache"), SECRET).unwrap();
    fs::copy(server.pki.ca(), folder.path().join("ca.pem")).unwrap();
    let text = format!(
        "databases:\n  orders:\n    url: postgres://app@localhost:{}/app\n    password_file: secrets/orders\n    ca: ca.pem\n    \
         listen: 127.0.0.1:0\n  cache:\n    url: {}\n    password_file: ~/cache\n",
        server.postgres.port(),
        cache.url("app@", 4),
    );
    fs::write(folder.path().join("attache.dev.yaml"), text).unwrap();
    let script = format!("{psql} -XAtqc 'select current_user' && redis-cli -u \"$CACHE_REDIS_URL\" ping");
    let ran = dev_in(&below, &["--", "sh", "-c", &script]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("app\nPONG\n", ""));
    // One of them by its name, and something said over the file.
    let ran = dev_in(&below, &["orders", "--", "sh", "-c", "echo \"$PGPORT$REDIS_URL\""]);
    assert!(ran.status.success() && ran.stdout.trim().parse::<u16>().is_ok(), "{}{}", ran.stdout, ran.stderr);
    fs::write(folder.path().join("wrong"), "wrong").unwrap();
    let ran = dev_in(&below, &["orders", "--password-file", "../../wrong", "--", "true"]);
    assert!(code(&ran) == Some(1) && ran.stderr.contains("credential_rejected"), "{}", ran.stderr);
    let ran = dev_in(&below, &["ordres", "--", "true"]);
    assert_eq!(code(&ran), Some(2));
    assert!(
        ran.stderr.contains("there is cache, orders") || ran.stderr.contains("there is orders, cache"),
        "{}",
        ran.stderr
    );
}

#[test]
fn mistakes_in_a_project_file_are_told_all_at_once_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attache.dev.yaml");
    let text = "databases:\n  orders:\n    url: postgres://app:hunter2@db/orders\n    passwort_file: x\n    listen: 0.0.0.0:5432\n  \
                Cache:\n    url: rediss://cache\n    password: hunter2\n    tls: verfy-full\n    read_only: perhaps\n  third: {}\n";
    fs::write(&file, text).unwrap();
    let ran = dev_in(folder.path(), &[]);
    assert_eq!((code(&ran), ran.stdout.as_str()), (Some(2), ""), "{}", ran.stderr);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    for (line, key, hint) in [
        (3, "databases.orders.url", "--password-file"),
        (4, "databases.orders.passwort_file", "password_file"),
        (5, "databases.orders.listen", "127.0.0.1:5433"),
        (6, "databases.Cache", "small letters"),
        (8, "databases.Cache.password", "secrets are never written here"),
        (9, "databases.Cache.tls", "did you mean verify-full?"),
        (10, "databases.Cache.read_only", "expected true or false"),
        (11, "databases.third", "url is missing"),
    ] {
        let place = format!("attache.dev.yaml:{line}: {key}");
        let told = ran.stderr.lines().find(|told| told.contains(&place));
        assert!(told.is_some_and(|told| told.contains(hint)), "{place} … {hint}: {}", ran.stderr);
    }
    fs::write(&file, "databases: {}\n").unwrap();
    let ran = dev_in(folder.path(), &[]);
    assert!(code(&ran) == Some(2) && ran.stderr.contains("there is no database"), "{}", ran.stderr);
}

#[test]
fn without_a_url_and_without_a_project_file_both_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["orders"]] {
        let ran = dev_in(folder.path(), arguments);
        assert_eq!(code(&ran), Some(2));
        assert!(ran.stderr.contains("attache.dev.yaml"), "{}", ran.stderr);
    }
    let ran = dev_in(folder.path(), &["--project", "nothing.yaml"]);
    assert!(code(&ran) == Some(2) && ran.stderr.contains("nothing.yaml"), "{}", ran.stderr);
}

#[test]
fn an_editor_gets_a_schema_of_the_project_file() {
    let schema =
        tools::run(Command::new(env!("CARGO_BIN_EXE_attache")).args(["schema", "--dev"]), b"", SOON).ok();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let one = &schema["properties"]["databases"]["patternProperties"]["^[-_a-z0-9]{1,63}$"];
    assert_eq!(one["required"], serde_json::json!(["url"]));
    for key in ["password_file", "read_only", "listen", "tls", "ca", "server_name", "allow_cleartext"] {
        assert!(one["properties"][key].is_object(), "{key}");
    }
    assert_eq!(one["additionalProperties"], serde_json::json!(false));
}
