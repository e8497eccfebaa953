//! Several databases at once, and every kind of URL.

use std::fs;

use attache_kit::{Flavour, eventually, tools};

use crate::house::{Cache, SECRET, SOON, code, dev, launch, mysql, psql, serve, server, usual_port_is_taken};

#[test]
fn a_redis_url_says_whether_there_is_tls_and_which_database() {
    let Some(cache) = Cache::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password").display().to_string();
    fs::write(&file, SECRET).unwrap();
    let script = "redis-cli -u \"$REDIS_URL\" client info | tr ' ' '\\n' | grep -E '^(user|db)='; echo $REDIS_PASSWORD";
    let with = |url: &str, more: &[&str]| {
        let command = [&["dev", url, "--password-file", &file], more, &["--", "sh", "-c", script]].concat();
        launch().env("REDIS_PASSWORD", "the-developers-own").command(&command)
    };
    let ran = with(&cache.url("app@", 2), &[]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("db=2\nuser=app\n\n", ""));

    let plain = format!("redis://app@localhost:{}/3", cache.redis.port());
    let ran = with(&plain, &[]);
    assert_eq!(code(&ran), Some(1));
    assert!(ran.stderr.contains("cleartext_refused") && ran.stderr.contains("rediss://"), "{}", ran.stderr);
    let ran = with(&plain, &["--allow-cleartext"]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("db=3\nuser=app\n\n", ""));

    let ran = dev(&[&plain.replace("/3", "/orders"), "--allow-cleartext", "--", "true"]);
    assert_eq!(code(&ran), Some(2));
    assert!(ran.stderr.contains("is a number"), "{}", ran.stderr);
}

#[test]
fn a_redis_password_needs_no_user() {
    let Some(cache) = Cache::own() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password").display().to_string();
    fs::write(&file, SECRET).unwrap();
    // Somebody else's file, which is no user of this password.
    fs::write(folder.path().join("username"), "nobody").unwrap();
    let url = cache.url("", 0);
    cache.redis.command(&["ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all"]);
    let command = ["--", "sh", "-c", "redis-cli -u \"$REDIS_URL\" set x 1"];
    let ran = dev(&[&[url.as_str()], &command[..]].concat());
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("OK\n", ""));
    cache.redis.user("default", SECRET);
    let ran = dev(&[&[url.as_str(), "--password-file", &file], &command[..]].concat());
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("OK\n", ""));
    let ran = dev(&[&[url.as_str()], &command[..]].concat());
    assert_eq!(code(&ran), Some(1));
    assert!(ran.stderr.contains("NOAUTH") && ran.stderr.contains("--password-file"), "{}", ran.stderr);
}

#[test]
fn three_databases_are_found_by_one_command() {
    let (Some(server), Some(psql), Some(cache), Some((maria, pki))) =
        (server(), psql(), Cache::shared(), mysql(Flavour::MariaDb))
    else {
        return;
    };
    let file = server.password("three", SECRET);
    let third = format!("mysql://app@localhost:{}/app?ssl-ca={}", maria.port(), pki.ca().display());
    let named = |name: &str| format!("{name}={file}");
    let script = format!(
        "{psql} -XAtqc 'select current_user' && {psql} \"$ORDERS_DATABASE_URL\" -XAtqc 'select 2' && \
         redis-cli -u \"$REDIS_URL\" acl whoami && mysql -h $MYSQL_HOST -P $MYSQL_TCP_PORT --loose-skip-ssl -BNe 'select 3'"
    );
    let ran = dev(&[
        &format!("orders={}", server.url("app")),
        &cache.url("app@", 0),
        &third,
        "--password-file",
        &named("orders"),
        "--password-file",
        &named("mysql"),
        "--password-file",
        &named("redis"),
        "--",
        "sh",
        "-c",
        &script,
    ]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("app\n2\napp\n3\n", ""));
}

#[test]
fn two_of_a_kind_have_ports_and_variables_of_their_own() {
    let Some(server) = server() else { return };
    let file = server.password("two", SECRET);
    let _taken = usual_port_is_taken();
    let (one, two) = (format!("one={}", server.url("app")), format!("two={}", server.url("app")));
    let process = serve(&[
        &one,
        &two,
        "--password-file",
        &format!("one={file}"),
        "--password-file",
        &format!("two={file}"),
    ]);
    let text = eventually("the directions", SOON, || {
        Some(process.stdout()).filter(|text| text.contains("Ctrl-C ends it."))
    });
    let export = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(&format!("export {name}=")));
        line.unwrap_or_else(|| panic!("{name} is missing: {text}")).to_owned()
    };
    assert_eq!(export("PGPORT"), export("ONE_PGPORT"));
    assert_ne!(export("PGPORT"), export("TWO_PGPORT"));
    assert_eq!(text.matches("(5432 is taken)").count(), 2, "{text}");
    for name in ["one: localhost", "two: localhost", "jdbc:postgresql://127.0.0.1:"] {
        assert!(text.contains(name), "{name} is missing: {text}");
    }
    let jdbc = format!("jdbc:postgresql://127.0.0.1:{}/app?user=app&sslmode=disable", export("TWO_PGPORT"));
    assert!(text.contains(&jdbc), "{text}");
}

#[test]
fn what_stands_in_the_way_is_told_for_each_of_several() {
    let (Some(server), Some(cache)) = (server(), Cache::shared()) else { return };
    let (file, wrong) = (server.password("right", SECRET), server.password("wrong-one", "wrong"));
    let ran = dev(&[
        &server.url("app"),
        &cache.url("app@", 0),
        "tcp://nothing.invalid:1",
        "--password-file",
        &format!("postgres={file}"),
        "--password-file",
        &format!("redis={wrong}"),
        "--",
        "echo",
        "started",
    ]);
    assert_eq!(
        (code(&ran), ran.stdout.as_str(), ran.stderr.lines().count()),
        (Some(1), "", 2),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("redis: localhost:") && ran.stderr.contains("WRONGPASS"), "{}", ran.stderr);
    assert!(ran.stderr.contains("tcp: nothing.invalid:1: dns: name_"), "{}", ran.stderr);
}

#[test]
fn options_that_do_not_say_whom_they_are_for_are_explained() {
    for (arguments, why) in [
        (&["postgres://a@b", "rediss://c", "--password-file", "/p"][..], "--password-file postgres=… and"),
        (&["postgres://a@b", "rediss://c", "--listen", "127.0.0.1:0"], "--listen postgres=… and"),
        (&["postgres://a@b", "postgres://a@c"], "orders=postgres://"),
        (&["postgres://a@b", "--ca", "/a", "--ca", "/b"], "--ca is said twice"),
        (&["redis://a@b", "--ca", "/a"], "rediss://"),
        (
            &["a=postgres://a@b", "c=rediss://d@e", "--password-file", "a=-", "--password-file", "c=-"],
            "standard input",
        ),
        (&["postgres://a@b", "orders"], "orders is no URL"),
        (&["redis://:hunter2@b"], "--password-file"),
    ] {
        let ran = dev(arguments);
        assert_eq!((code(&ran), ran.stdout.as_str()), (Some(2), ""), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(why) && !ran.stderr.contains("hunter2"), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn the_first_password_of_standard_input_leaves_the_rest_to_the_command() {
    let Some(cache) = Cache::shared() else { return };
    let attache = env!("CARGO_BIN_EXE_attache");
    let line = format!(
        "printf '{SECRET}\\nthe rest' | {attache} dev '{}' --password-file - -- cat",
        cache.url("app@", 0)
    );
    let ran = tools::run(std::process::Command::new("sh").args(["-c", &line]), b"", SOON);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("the rest", ""));
}
