//! What a client says when it connects: what is passed on, what is ignored, and what it is refused for.

use attache_kit::*;

use crate::house::*;
use crate::raw::{self, PROTOCOL_3_0, PROTOCOL_3_2, Raw};
use crate::servers;

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];
const TOO_LONG: usize = 10_001;

#[test]
fn a_client_that_prefers_encryption_goes_on_without() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("options_prefer");
    let house = db.route(&account).start();
    for (name, value) in [
        ("PGSSLMODE", "prefer"),
        ("PGSSLMODE", "allow"),
        ("PGSSLMODE", "disable"),
        ("PGGSSENCMODE", "prefer"),
        ("PGCHANNELBINDING", "prefer"),
    ] {
        let ran = house.run(house.psql("options_prefer").args(["-c", "select 1"]).env(name, value));
        assert_eq!(ran.ok(), "1\n", "{name}={value}");
    }
}

#[test]
fn both_kinds_of_encryption_are_declined_and_then_the_session_begins() {
    let Some(db) = servers::of(Version::V18) else { return };
    let account = db.account("options_decline");
    let house = db.route(&account).start();
    let mut client = Raw::connect(house.addr());
    for request in [GSSENC_REQUEST, SSL_REQUEST] {
        client.send(&request);
        assert_eq!(client.read_exact(1), b"N");
    }
    client.send(&raw::startup(PROTOCOL_3_0, &[("user", "nobody"), ("database", "options_decline")]));
    client.until(b'Z');
    assert_eq!(client.value("select current_user"), "options_decline");
}

#[test]
fn a_client_that_requires_what_is_not_here_is_told_so() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("options_require");
    let house = db.route(&account).start();
    for (name, value, error) in [
        ("PGSSLMODE", "require", "server does not support SSL, but SSL was required"),
        ("PGGSSENCMODE", "require", "GSSAPI"),
        ("PGCHANNELBINDING", "require", "channel binding required"),
    ] {
        let ran = house.run(house.psql("options_require").args(["-c", "select 1"]).env(name, value));
        assert!(!ran.status.success());
        assert!(ran.stderr.contains(error), "{name}={value}: {}", ran.stderr);
    }
}

#[test]
fn direct_tls_is_answered_with_an_alert() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("options_direct");
    let house = db.route(&account).unprobed().start();
    let mut client = Raw::connect(house.addr());
    // A record of a handshake, and the beginning of its ClientHello.
    client.send(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
    let answer = client.rest();
    assert_eq!(answer[..7], [0x15, 3, 3, 0, 2, 2, 40], "fatal alert: handshake_failure");
    house.attache.wait_for("why", SOON, |line| line["result"] == "unsupported" && line["stage"] == "accept");
}

#[test]
fn what_a_client_asks_of_its_session_it_gets() {
    for db in servers::each() {
        let account = db.account("options_passed");
        let house = db.route(&account).start();
        let mut psql = house.psql("options_passed");
        psql.env("PGOPTIONS", "-c geqo=off -c statement_timeout=12345")
            .env("PGAPPNAME", "the orders service");
        psql.env("PGCLIENTENCODING", "LATIN1").env("PGTZ", "Pacific/Chatham");
        psql.args(["-c", "show geqo", "-c", "show statement_timeout", "-c", "show client_encoding"]);
        psql.args([
            "-c",
            "show timezone",
            "-c",
            "select application_name from pg_stat_activity where pid = pg_backend_pid()",
        ]);
        let said = house.run(&mut psql).ok();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines, ["off", "12345ms", "LATIN1", "Pacific/Chatham", "the orders service"]);
    }
}

#[test]
fn the_greeting_is_the_servers_own() {
    for db in servers::each() {
        let account = db.account("options_greeting");
        let house = db.route(&account).start();
        let client = house.raw("options_greeting");
        let number = db.version().number().to_string();
        assert!(client.parameter("server_version").unwrap().starts_with(&number));
        assert_eq!(client.parameter("session_authorization").as_deref(), Some("options_greeting"));
        assert_eq!(client.greeting[0], raw::Message { tag: b'R', body: vec![0; 4] });
        let pid = db.server.sql("select pid from pg_stat_activity where usename = 'options_greeting' and state = 'idle' and application_name = ''");
        assert_eq!(pid, client.pid().to_string());
    }
}

#[test]
fn whatever_user_and_password_a_client_names_is_ignored() {
    for db in servers::each() {
        let account = db.account("options_user");
        let house = db.route(&account).start();
        for user in ["postgres", "options_user", "no such user", ""] {
            let parameters = [("user", user), ("database", "options_user")];
            let mut client = Raw::log_in(house.addr(), &parameters);
            assert_eq!(client.value("select session_user"), "options_user", "{user:?}");
        }
        let mut psql = house.psql("options_user");
        psql.args(["-c", "select session_user"]).env("PGPASSWORD", "wrong").env("PGUSER", "postgres");
        assert_eq!(house.run(&mut psql).ok(), "options_user\n");
    }
}

#[test]
fn the_routes_database_overrides_the_clients() {
    for db in servers::each() {
        let account = db.account("options_database");
        let house = db.route(&account).key("database: options_database").start();
        assert_eq!(house.query("no_such_database", "select current_database()"), "options_database");
        let mut nameless = Raw::log_in(house.addr(), &[("user", "nobody")]);
        assert_eq!(nameless.value("select current_database()"), "options_database");
    }
}

#[test]
fn a_replication_connection_speaks_its_commands() {
    for db in servers::each() {
        let account = db.account("options_replication");
        db.server.sql("alter role options_replication replication");
        let house = db.route(&account).start();
        for (replication, database) in [("database", "options_replication"), ("true", "options_replication")]
        {
            let parameters = [("user", "nobody"), ("database", database), ("replication", replication)];
            let mut client = Raw::log_in(house.addr(), &parameters);
            let messages = client.query("IDENTIFY_SYSTEM");
            assert!(messages.iter().any(|message| message.tag == b'D'), "{replication}: {messages:?}");
        }
    }
}

#[test]
fn a_newer_protocol_and_unknown_options_are_negotiated_down() {
    const NEGOTIATE: u8 = b'v';
    const PROTOCOL_3_9: u32 = 3 << 16 | 9;
    for db in servers::each() {
        let account = db.account("options_newer");
        let house = db.route(&account).start();
        let plain = [("user", "nobody"), ("database", "options_newer")];
        let asking = [plain[0], plain[1], ("_pq_.shiny", "yes"), ("_pq_.dull", "no")];
        let newest = if db.version() == Version::V18 { PROTOCOL_3_2 } else { PROTOCOL_3_0 };
        for (version, parameters) in [
            (PROTOCOL_3_9, &plain[..]),
            (PROTOCOL_3_0, &asking),
            (PROTOCOL_3_2, &asking),
            (PROTOCOL_3_9, &asking),
        ] {
            let mut client = Raw::log_in_as(house.addr(), version, parameters);
            let told: Vec<_> =
                client.greeting.iter().filter(|message| message.tag == NEGOTIATE).cloned().collect();
            assert_eq!(told.len(), 1, "{version:#x} {parameters:?}: {told:?}");
            let spoken = u32::from_be_bytes(told[0].body[..4].try_into().unwrap());
            assert_eq!(spoken, newest.min(version), "{version:#x} on {:?}", db.version());
            let refused = String::from_utf8_lossy(&told[0].body[8..]).into_owned();
            let options: String = parameters[2..].iter().map(|(name, _)| format!("{name}\0")).collect();
            assert_eq!(refused, options);
            assert_eq!(client.value("select 1"), "1");
        }
    }
}

#[test]
fn a_startup_packet_that_is_too_long_is_refused_before_the_server_is_asked() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("options_long");
    let relay = Relay::to(db.server.addr());
    let house = db.route(&account).over(relay.addr()).unprobed().start();
    let packet = |length: usize| {
        let fixed =
            raw::startup(PROTOCOL_3_0, &[("user", "u"), ("database", "options_long"), ("options", "")]);
        let padding = " ".repeat(length - fixed.len());
        raw::startup(PROTOCOL_3_0, &[("user", "u"), ("database", "options_long"), ("options", &padding)])
    };
    let mut client = Raw::connect(house.addr());
    client.send(&packet(TOO_LONG)[..8]);
    assert_eq!(client.last_words().code(), "08P01");
    assert_eq!(relay.connections(), 0);
    // With the longer name of the user it would be too long for the server.
    let mut client = Raw::connect(house.addr());
    client.send(&packet(TOO_LONG - 1));
    let report = client.last_words();
    assert_eq!(house.ended(report.session())["result"], "too_long");
    let mut client = Raw::connect(house.addr());
    client.send(&packet(TOO_LONG - "options_long".len()));
    client.until(b'Z');
}

#[test]
fn a_client_that_says_nothing_is_not_waited_for() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("options_slow");
    let route = db.route(&account).unprobed().key("client: { login_timeout: 300ms }");
    let house = route.start();
    let (mut silent, mut slow) = (Raw::connect(house.addr()), Raw::connect(house.addr()));
    slow.send(&raw::startup(PROTOCOL_3_0, &[("user", "nobody")])[..10]);
    for client in [&mut silent, &mut slow] {
        let report = client.last_words();
        assert_eq!(report.code(), "08006");
        assert_eq!(house.ended(report.session())["result"], "timed_out");
    }
}

#[test]
fn another_protocol_is_told_apart() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("options_other");
    let house = db.route(&account).unprobed().start();
    for (words, code) in [
        (&b"GET / HTTP/1.1\r\nHost: db\r\n\r\n"[..], "08P01"),
        (&raw::startup(2 << 16, &[("user", "nobody")]), "0A000"),
        (&raw::startup(PROTOCOL_3_0, &[("", "nobody")]), "08P01"),
    ] {
        let mut client = Raw::connect(house.addr());
        client.send(words);
        assert_eq!(client.last_words().code(), code);
    }
}
