//! What stands in the way of the first login is told in one line, and the command is not started.

use attache_kit::tools::Ran;
use attache_kit::{Leaf, Pki, Postgres, Setup, Version, available, ports};

use crate::house::{SECRET, code, dev, server};

/// One line with all of this, exit code 1, and no trace of the command.
fn explained(ran: &Ran, expected: &[&str]) {
    assert_eq!(
        (code(ran), ran.stdout.as_str(), ran.stderr.lines().count()),
        (Some(1), "", 1),
        "{}",
        ran.stderr
    );
    for part in expected {
        assert!(ran.stderr.contains(part), "{part} is missing: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains(SECRET), "{}", ran.stderr);
}

fn with_command(url: &str, more: &[&str]) -> Ran {
    dev(&[&[url], more, &["--", "echo", "started"]].concat())
}

#[test]
fn a_wrong_password() {
    let Some(server) = server() else { return };
    let file = server.password("wrong", "wrong");
    let ran = with_command(&server.url("app"), &["--password-file", &file]);
    explained(
        &ran,
        &["localhost:", "login: credential_rejected", "28P01", "check the user in the URL, and the password"],
    );
}

#[test]
fn a_database_that_does_not_exist() {
    let Some(server) = server() else { return };
    let file = server.password("database", SECRET);
    let ran = with_command(&server.url("app").replace("/app?", "/nothing?"), &["--password-file", &file]);
    explained(&ran, &["server_refused", "3D000", "\"nothing\""]);
}

#[test]
fn an_unknown_authority() {
    let Some(server) = server() else { return };
    let file = server.password("authority", SECRET);
    let (other, url) = (Pki::new(), server.url("app"));
    let ca = other.ca().to_str().unwrap();
    let ran = with_command(&url, &["--password-file", &file, "--ca", ca]);
    explained(&ran, &["tls: certificate_unknown_authority", "--ca FILE"]);
    // What a URL asks for without verification is verified all the same.
    let url = url.split_once('?').unwrap().0;
    let ran = with_command(&format!("{url}?sslmode=require"), &["--password-file", &file]);
    explained(&ran, &["tls: certificate_unknown_authority", "--ca FILE"]);
}

#[test]
fn a_certificate_for_another_name_until_the_name_is_given() {
    let pki = Pki::new();
    let pair = pki.issue(Leaf::server(&["orders.example"]));
    let Some(postgres) =
        available(Postgres::start(Version::V15, Setup::new().tls(&pair).hba("host all all all trust")))
    else {
        return;
    };
    let url = format!("postgres://postgres@localhost:{}?sslrootcert={}", postgres.port(), pki.ca().display());
    explained(&with_command(&url, &[]), &["tls: certificate_wrong_name", "orders.example", "--server-name"]);
    for way in [&["--server-name", "orders.example"][..], &["--tls", "verify-ca"]] {
        let ran = with_command(&url, way);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("started\n", ""));
    }
    let ran = with_command(&format!("{url}&sslmode=verify-ca"), &[]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("started\n", ""));
}

#[test]
fn a_server_without_tls_until_that_is_said_to_be_meant() {
    let Some(postgres) = available(Postgres::start(Version::V15, Setup::new().hba("host all all all trust")))
    else {
        return;
    };
    let url = format!("postgres://postgres@localhost:{}", postgres.port());
    explained(&with_command(&url, &[]), &["tls: tls_declined", "--tls off"]);
    explained(&with_command(&format!("{url}?sslmode=prefer"), &[]), &["tls: tls_declined"]);
    for (url, way) in [(url.clone(), &["--tls", "off"][..]), (format!("{url}?sslmode=disable"), &[])] {
        let ran = with_command(&url, way);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("started\n", ""));
    }
}

#[test]
fn a_weak_mode_in_the_url_is_said_to_have_been_raised() {
    let Some(server) = server() else { return };
    let file = server.password("raised", SECRET);
    let url = server.url("app") + "&sslmode=require";
    let ran = with_command(&url, &["--password-file", &file]);
    assert_eq!((code(&ran), ran.stdout.as_str()), (Some(0), "started\n"));
    assert!(ran.stderr.contains("WARN") && ran.stderr.contains("verified in full"), "{}", ran.stderr);
}

#[test]
fn an_unknown_name() {
    let ran = with_command("postgres://app@nothing.invalid", &[]);
    // A machine without a name server, or with a broken one, cannot know better.
    explained(&ran, &["nothing.invalid:5432: dns: name_"]);
}

#[test]
fn a_port_that_nobody_listens_on() {
    let nobody = ports::reserve();
    for scheme in ["postgres://app@", "tcp://"] {
        let ran = with_command(&format!("{scheme}{}", nobody.addr()), &["--tls", "off"]);
        explained(&ran, &["tcp: connect_refused", "check the port"]);
    }
}

#[test]
fn an_address_that_is_taken() {
    let Some(server) = server() else { return };
    let file = server.password("taken", SECRET);
    let taken = server.postgres.addr().to_string();
    let ran = with_command(&server.url("app"), &["--password-file", &file, "--listen", &taken]);
    explained(&ran, &[&format!("cannot listen on {taken}")]);
}

#[test]
fn wrong_arguments_are_2_and_a_password_in_the_url_is_not_repeated() {
    for arguments in [
        &["postgres://app:hunter2@db/app"][..],
        &["postgres://app@db/app?password=hunter2"],
        &["postgres://app@db", "--listen", "0.0.0.0:5432"],
        &["postgres://app@db", "--tls", "off", "--ca", "/ca.pem"],
        &["postgres://app@db", "--tls", "perhaps"],
        &["postgres://app@d b"],
        &["tcp://db"],
        &["tcp://db:1", "--password-file", "/dev/null"],
        &["mongodb://app@db"],
        &["db"],
        &[],
    ] {
        let ran = dev(arguments);
        assert_eq!((code(&ran), ran.stdout.as_str()), (Some(2), ""), "{arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.is_empty() && !ran.stderr.contains("hunter2"), "{arguments:?}: {}", ran.stderr);
    }
    let ran = dev(&["postgres://app:hunter2@db/app"]);
    assert!(ran.stderr.contains("--password-file"), "{}", ran.stderr);
}
