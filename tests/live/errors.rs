//! What a client hears when the database says no, or nothing more.

use std::net::SocketAddr;
use std::thread;

use attache_kit::*;
use attache_wire::testing::contains;

use crate::house::*;
use crate::raw::{self, Message, Raw};
use crate::servers::{self, Account, Db};

#[test]
fn the_databases_own_refusals_pass_verbatim() {
    for db in servers::each() {
        let account = db.account("refusal_verbatim");
        let house = db.route(&account).start();
        let report = house.refusal("no_such_database");
        assert_eq!(report.code(), "3D000");
        assert_eq!(report.message(), "database \"no_such_database\" does not exist");

        let mut psql = house.psql("refusal_verbatim");
        let ran = house.run(psql.args(["-c", "select 1"]).env("PGOPTIONS", "-c no_such_setting=1"));
        assert!(ran.stderr.contains("unrecognized configuration parameter \"no_such_setting\""), "{ran:?}");
    }
}

#[test]
fn too_many_connections_is_the_databases_word() {
    for db in servers::each() {
        let account = db.account("refusal_full");
        db.server.sql("alter role refusal_full connection limit 1");
        let house = db.route(&account).unprobed().start();
        let mut one = house.raw("refusal_full");
        let report = house.refusal("refusal_full");
        assert_eq!(report.code(), "53300");
        assert_eq!(report.message(), "too many connections for role \"refusal_full\"");
        assert_eq!(one.value("select 1"), "1");
    }
}

#[test]
fn too_many_sessions_is_ours() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("refusal_ours");
    let house = db.route(&account).key("client: { max_sessions: 1 }").start();
    let one = house.raw("refusal_ours");
    house.refuses("refusal_ours", "53300", "too_many_sessions");
    drop(one);
    eventually("the place to be free again", SOON, || {
        let ran = house.run(house.psql("refusal_ours").args(["-c", "select 1"]));
        ran.status.success().then_some(())
    });
}

#[test]
fn a_rejected_credential_is_told_in_our_words() {
    for db in servers::each() {
        let account = db.account("refusal_rejected");
        db.server.password("refusal_rejected", "another password", Encryption::Scram);
        let house = db.route(&account).unprobed().start();
        let line = house.refuses("refusal_rejected", "28P01", "credential_rejected");
        assert_eq!((&line["stage"], &line["ended_by"]), (&"login".into(), &"upstream".into()), "{line}");
        let report = house.refusal("refusal_rejected");
        assert!(report.message().starts_with("attache: "), "{report:?}");
        assert!(!report.message().contains("refusal_rejected"), "the user is not the client's business");

        db.server.password("refusal_rejected", SECRET, Encryption::Scram);
        assert_eq!(house.query("refusal_rejected", "select 1"), "1", "the next session is tried anew");
    }
}

/// Access rules go by the database that the client asks for: they say nothing of the credential, and another
/// generation would not help.
#[test]
fn a_database_that_the_servers_rules_close_is_told_in_the_servers_words_at_once() {
    for version in Version::ALL {
        let Some(db) = Db::own(version) else { continue };
        let account = db.account("closed_out");
        db.server.database("closed", "closed_out");
        db.server.rewrite_hba(&["host closed_out all all scram-sha-256"]);
        let house = db.route(&account).unprobed().upstream("wait: 1h").start();
        assert_eq!(house.query("closed_out", "select 1"), "1");
        let report = house.refusal("closed");
        assert_eq!(report.code(), "28000", "{report:?}");
        assert!(report.message().contains("no pg_hba.conf entry"), "{report:?}");
        let rejected = |line: &serde_json::Value| line["message"] == "credential rejected";
        assert_eq!(house.attache.count(rejected), 0, "a client must not make the credential look rejected");
    }
}

#[test]
fn a_role_that_does_not_exist_or_may_not_log_in_is_a_rejected_credential() {
    for db in servers::each() {
        let account = db.account("refusal_role");
        let house = db.route(&account).unprobed().start();
        db.server.sql("alter role refusal_role nologin");
        house.refuses("refusal_role", "28P01", "credential_rejected");
        let stranger =
            Account::new("no_such_role", Mounted::new(&[("username", "no_such_role"), ("password", SECRET)]));
        let house = db.route(&stranger).unprobed().start();
        house.refuses("postgres", "28P01", "credential_rejected");
    }
}

#[test]
fn a_server_that_shuts_down_is_waited_for_and_then_quoted() {
    for version in Version::ALL {
        let Some(mut db) = Db::own(version) else { continue };
        let account = db.account("closing");
        let route = db.route(&account).unprobed().upstream("wait: 600ms");
        let house = route.start();
        let addr = db.server.addr();
        let mut holder = house.raw("closing");
        thread::scope(|scope| {
            // It waits for the session that is left.
            let stopping = scope.spawn(|| db.server.stop(Stop::Smart));
            eventually("the server to refuse", SOON, || is_closing(addr).then_some(()));
            let report = house.refusal("closing");
            assert_eq!(report.code(), "57P03");
            assert_eq!(report.message(), "the database system is shutting down");
            let line = house.attache.wait_for("the end", SOON, |line| line["result"] == "server_not_ready");
            assert!(
                line["retries"].as_u64() > Some(0) && line["duration_ms"].as_f64() >= Some(600.0),
                "{line}"
            );
            assert_eq!(holder.value("select 1"), "1", "a session that lives is left in peace");
            holder.send(&raw::message(b'X', b""));
            stopping.join().unwrap();
        });
        drop(house);
    }
}

/// Whether this is what the server says to its own clients.
fn is_closing(addr: SocketAddr) -> bool {
    let mut client = Raw::connect(addr);
    client.send(&raw::startup(raw::PROTOCOL_3_0, &[("user", "postgres"), ("database", "postgres")]));
    let first = client.message().expect("an answer");
    first.tag == b'E' && first.report().code() == "57P03"
}

#[test]
fn a_server_that_comes_back_in_time_is_never_missed() {
    for version in Version::ALL {
        let Some(mut db) = Db::own(version) else { continue };
        let account = db.account("returning");
        let house = db.route(&account).unprobed().start();
        db.server.stop(Stop::Fast);
        thread::scope(|scope| {
            let client = scope.spawn(|| house.query("returning", "select 1"));
            house.attache.wait_for("a retry", SOON, |line| line["message"] == "trying again");
            db.server.start_again();
            assert_eq!(client.join().unwrap(), "1");
        });
    }
}

#[test]
fn a_server_that_is_not_there_is_unavailable_after_the_wait() {
    let nobody = ports::reserve();
    let route = Account::somebody().route_to(nobody.addr()).tls("insecure-no-verify");
    let house = route.upstream("wait: 300ms").start();
    let line = house.refuses("app", "08006", "connect_refused");
    assert_eq!(line["stage"], "dial", "{line}");
}

/// A server stops in the middle of a statement: with a word, without one, and by violence.
#[test]
fn a_client_always_hears_how_its_statement_ended() {
    for version in Version::ALL {
        for stop in [Stop::Fast, Stop::Immediate] {
            let Some(mut db) = Db::own(version) else { continue };
            let account = db.account("killed");
            let house = db.route(&account).unprobed().start();
            let mut client = house.raw("killed");
            client.send(&raw::query("select pg_sleep(60)"));
            running(&db, "killed");
            db.server.stop(stop);
            let report = last_error(&mut client);
            match stop {
                // The server's own last word, and none of ours behind it.
                Stop::Fast => assert_eq!(report.code(), "57P01"),
                Stop::Immediate | Stop::Smart => assert_eq!(
                    (report.code(), house.ended(report.session())["result"].as_str()),
                    ("08006", Some("closed"))
                ),
            }
        }
    }
}

fn running(db: &Db, role: &str) {
    let sql = format!(
        "select count(*) from pg_stat_activity where usename = '{role}' and state = 'active' and query like '%sleep%'"
    );
    eventually("the statement to run", SOON, || (db.server.sql(&sql) == "1").then_some(()));
}

/// The one ErrorResponse before the end.
fn last_error(client: &mut Raw) -> raw::Report {
    let messages: Vec<Message> = std::iter::from_fn(|| client.message()).collect();
    let errors: Vec<_> = messages.iter().filter(|message| message.tag == b'E').collect();
    assert_eq!(errors.len(), 1, "{messages:?}");
    assert_eq!(messages.last(), errors.first().copied(), "nothing follows: {messages:?}");
    errors[0].report()
}

#[test]
fn a_backend_that_is_killed_is_told_between_two_messages() {
    for version in Version::ALL {
        let Some(db) = Db::own(version) else { continue };
        let account = db.account("backend_killed");
        let house = db.route(&account).unprobed().start();
        let mut client = house.raw("backend_killed");
        client.send(&raw::query("select pg_sleep(60)"));
        running(&db, "backend_killed");
        let backend = rustix::process::Pid::from_raw(i32::try_from(client.pid()).unwrap()).unwrap();
        rustix::process::kill_process(backend, Signal::KILL).unwrap();
        let report = last_error(&mut client);
        assert_eq!(report.code(), "08006");
        let line = house.ended(report.session());
        assert_eq!((&line["stage"], &line["ended_by"]), (&"relay".into(), &"upstream".into()), "{line}");
    }
}

#[test]
fn a_cut_between_two_messages_is_told_and_one_within_a_message_is_not() {
    const RESET: Fault = Fault::Reset { after: 1_500_000, direction: Direction::ToClient };
    const CLOSE: Fault = Fault::Close { after: 1_500_000, direction: Direction::ToClient };
    const ROWS: &str = "select repeat('x', 1000000) from generate_series(1, 100)";
    for db in servers::each() {
        let account = db.account("cut");
        let relay = Relay::to(db.server.addr());
        let house = db.route(&account).over(relay.addr()).tls("off").unprobed().start();
        let mut idle = house.raw("cut");
        relay.cut();
        assert_eq!(last_error(&mut idle).code(), "08006");

        for fault in [RESET, CLOSE] {
            relay.set(Fault::None);
            let mut client = house.raw("cut");
            relay.set(fault);
            client.send(&raw::query(ROWS));
            let heard = client.rest();
            let ours = contains(&heard, b"C08006");
            assert_eq!(is_torn(&heard), !ours, "our words in half a row would be taken for data");
            // A reset may overtake what was on its way, an orderly close does not.
            assert!(fault == RESET || heard.ends_with(b"xxxx") && heard.len() > 1_000_000, "{}", heard.len());
        }
    }
}

/// Whether these bytes end within a message.
fn is_torn(mut bytes: &[u8]) -> bool {
    while let [_, length @ ..] = bytes {
        let Some(length) = length.first_chunk().map(|length| u32::from_be_bytes(*length) as usize) else {
            return true;
        };
        match bytes.get(1 + length..) {
            Some(rest) => bytes = rest,
            None => return true,
        }
    }
    false
}

#[test]
fn an_error_in_a_session_is_the_servers_own() {
    for db in servers::each() {
        let account = db.account("statement_errors");
        let house = db.route(&account).start();
        let mut client = house.raw("statement_errors");
        for (sql, code) in [
            ("select * from no_such_table", "42P01"),
            ("select 1/0", "22012"),
            ("selec", "42601"),
            ("do $$ begin raise exception using errcode = 'ABCDE'; end $$", "ABCDE"),
        ] {
            let messages = client.query(sql);
            assert_eq!(messages[0].report().code(), code);
        }
        db.server.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'statement_errors' and application_name = ''");
        assert_eq!(last_error(&mut client).code(), "57P01");
    }
}

#[test]
fn a_statement_is_never_in_the_log() {
    const MARK: &str = "forty_two_is_the_answer";
    for db in servers::each() {
        let account = db.account("statement_text");
        let house = db.route(&account).start();
        let mut client = house.raw("statement_text");
        client.query(&format!("select '{MARK}'"));
        client.query(&format!("selec '{MARK}'"));
        drop(client);
        house.attache.wait_for("the end", SOON, |line| line["message"] == "session ended");
        assert!(!house.attache.stderr().contains(MARK));
    }
}

#[test]
fn a_server_that_starts_up_is_waited_for() {
    const NOT_YET: &[u8] = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
    let server = Script::serve(|mut peer| {
        peer.read_startup()?;
        if peer.number() < 3 {
            return peer.send_message(b'E', NOT_YET);
        }
        peer.send_message(b'R', &[0; 4])?;
        peer.send_message(b'Z', b"I")?;
        peer.read_to_end().map(drop)
    });
    let house = Account::somebody().route_to(server.addr()).tls("off").unprobed().start();
    let client = house.raw("app");
    assert_eq!(client.greeting.len(), 2, "the refusals on the way are not told: {:?}", client.greeting);
    assert_eq!(server.accepted(), 4);
}

#[test]
fn what_a_client_is_told_names_no_server() {
    let nobody = ports::reserve();
    let route = Account::somebody().route_to(nobody.addr()).tls("insecure-no-verify");
    let house = route.unprobed().upstream("wait: 0s").start();
    let report = format!("{:?}", house.refusal("app"));
    for secret in ["localhost", "127.0.0.1", &nobody.number().to_string(), "/"] {
        assert!(!report.contains(secret), "{report}");
    }
}

/// A statement that is too long to be looked at: known from its length, before any of it is held.
#[test]
fn a_session_that_only_reads_is_told_when_a_statement_is_too_long() {
    let Some(db) = servers::of(Version::V15) else { return };
    let account = db.account("reads_little");
    let house = db.route(&account).key("options: { read_only: true }").start();
    let long = raw::query(&"x".repeat(4 << 20));
    let mut session = house.raw("reads_little");
    session.send(&long[..100]);
    let report = session.last_words();
    assert_eq!(report.code(), "08P01", "{report:?}");
    assert_eq!(house.ended(report.session())["result"], "too_long");
    assert_eq!(house.raw("reads_little").value(&format!("select {}1", " ".repeat(1 << 20))), "1");
}
