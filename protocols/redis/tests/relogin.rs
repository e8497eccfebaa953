//! What goes to the server in place of a command of the client's, and what the client hears of it.
#![allow(clippy::unwrap_used)]

mod support;

use attache_redis::Intent;
use attache_wire::{Fault, Insecure, Passage, Protocol, RejectionKind, Terms, Verdict, Watch};
use support::{House, SECRET, command, commands, terms};

fn ours(words: &str) -> Vec<u8> {
    command(&words.replace("SECRET", SECRET))
}

const HELLO_3: &str = "%1\r\n$5\r\nproto\r\n:3\r\n";

#[test]
fn auth_in_every_form_carries_our_login_and_keeps_its_place() {
    for client in ["AUTH nobodys", "auth app nobodys"] {
        for client in [command(client), format!("{client}\r\n").into_bytes()] {
            let mut house = House::new("{}");
            house.passes(&command("PING"), b"+PONG\r\n");
            let pause = house.pauses(&client, b"+OK\r\n");
            assert_eq!((pause.asked, pause.told.as_str()), (ours("AUTH orders SECRET"), "+OK\r\n"));
            assert!(house.watch.quiet());
        }
    }
}

#[test]
fn a_password_alone_is_sent_alone() {
    let mut house = House::new("{}");
    house.terms = terms(None, Some(SECRET));
    assert_eq!(house.pauses(&command("AUTH a b"), b"+OK\r\n").asked, ours("AUTH SECRET"));
    let hello = house.pauses(&command("HELLO 3 AUTH a b"), HELLO_3.as_bytes());
    assert_eq!(hello.asked, ours("HELLO 3 AUTH default SECRET"));
}

#[test]
fn without_a_password_a_login_is_said_yes_to_in_its_place() {
    let mut house = House::new("{}");
    house.terms = terms(None, None);
    let pause = house.pauses(&command("AUTH a b"), b"+PONG\r\n");
    assert_eq!((pause.asked, pause.told.as_str()), (command("PING"), "+OK\r\n"));
    let hello = house.pauses(&command("HELLO 3 AUTH a b SETNAME c"), HELLO_3.as_bytes());
    assert_eq!((hello.asked, hello.told.as_str()), (command("HELLO 3 SETNAME c"), HELLO_3));
}

#[test]
fn hello_keeps_its_version_its_name_and_its_reply() {
    let mut house = House::new("{}");
    let pause = house.pauses(&command("HELLO 3 SETNAME x AUTH a b"), HELLO_3.as_bytes());
    assert_eq!((pause.asked, pause.told.as_str()), (ours("HELLO 3 SETNAME x AUTH orders SECRET"), HELLO_3));
    let pause = house.pauses(&command("HELLO 4"), b"-NOPROTO unsupported protocol version\r\n");
    assert_eq!(pause.asked, command("HELLO 4"));
    assert_eq!(pause.told, "-NOPROTO unsupported protocol version\r\n");
    assert!(house.watch.quiet());
}

#[test]
fn in_a_transaction_the_servers_own_answer_is_passed_on() {
    let mut house = House::new("{}");
    house.passes(&command("MULTI"), b"+OK\r\n");
    for client in ["AUTH x", "HELLO 3", "HELLO 2 AUTH a b"] {
        assert_eq!(house.pauses(&command(client), b"+QUEUED\r\n").told, "+QUEUED\r\n");
    }
    assert!(!house.watch.quiet() && house.watch.answered());
    house.passes(&command("EXEC"), b"*3\r\n+OK\r\n%0\r\n*0\r\n");
    assert!(house.watch.quiet());
}

#[test]
fn a_login_that_fails_is_told_without_our_name() {
    let mut house = House::new("{}");
    let said = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    assert_eq!(house.pauses(&command("AUTH x"), said).told.as_bytes(), said);
    let told = house.pauses(&command("AUTH x"), b"-NOPERM User orders may not\r\n").told;
    assert!(told.starts_with("-NOPERM ") && told.ends_with("\r\n") && !told.contains("orders"), "{told}");
    assert!(house.watch.quiet(), "the session goes on");
}

#[test]
fn reset_is_followed_by_a_login_that_the_client_does_not_see() {
    let protocol = support::redis("{}", Some("3"));
    let mut house =
        House { watch: support::watch(&protocol), protocol, terms: terms(Some("orders"), Some(SECRET)) };
    house.passes(&commands(&["MULTI", "WATCH k"]), b"+OK\r\n-ERR WATCH inside MULTI is not allowed\r\n");
    let pause = house.pauses(&command("RESET"), b"+RESET\r\n+OK\r\n+OK\r\n");
    assert_eq!(pause.asked, [command("RESET"), ours("AUTH orders SECRET"), command("SELECT 3")].concat());
    assert_eq!(pause.told, "+RESET\r\n");
    assert!(house.watch.quiet(), "the transaction is gone");

    let pause = house.pauses(b"reset\r\n", b"-ERR unknown command 'reset'\r\n");
    assert_eq!((pause.asked, pause.told.as_str()), (command("RESET"), "-ERR unknown command 'reset'\r\n"));
    let failed = house.tries(&command("RESET"), b"+RESET\r\n-WRONGPASS no\r\n");
    let Err(Fault::Rejected(rejection)) = failed else { panic!("{failed:?}") };
    assert_eq!(rejection.kind, RejectionKind::Credential);
}

#[test]
fn reset_may_be_answered_by_another_link() {
    let mut house = House::new("{}");
    house.passes(&commands(&["MULTI", "PING"]), b"+OK\r\n+QUEUED\r\n");
    assert!(house.protocol.starts_anew(&Intent::Reset) && !house.protocol.starts_anew(&Intent::Auth));
    let login = house.protocol.login(&Intent::Reset, None, house.terms.clone());
    let greeting =
        attache_wire::testing::run(login, &[b"+OK\r\n*0\r\n+PONG\r\n"], &[], None).end.unwrap().unwrap();
    let mut out = bytes::BytesMut::new();
    house.protocol.rewelcome(&mut house.watch, &Intent::Reset, greeting, &mut out);
    assert_eq!(&out[..], b"+RESET\r\n");
    assert!(house.watch.quiet());
}

#[test]
fn reset_ends_what_it_ends() {
    let mut house = House::new("{}");
    house.passes(&command("MONITOR"), b"+OK\r\n+1700000000.1 [0 127.0.0.1:1] \"PING\"\r\n");
    let said = b"+1700000000.2 [0 127.0.0.1:1] \"PING\"\r\n+RESET\r\n+OK\r\n";
    let told = house.pauses(&command("RESET"), said).told;
    assert_eq!(told, "+1700000000.2 [0 127.0.0.1:1] \"PING\"\r\n+RESET\r\n");
    assert!(house.watch.quiet());

    house.passes(&command("SUBSCRIBE a"), b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    let message = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n";
    let told = house.pauses(&command("RESET"), format!("{message}+RESET\r\n+OK\r\n").as_bytes()).told;
    assert_eq!(told, format!("{message}+RESET\r\n"));
    assert!(house.watch.quiet());

    house.passes(&command("CLIENT REPLY OFF"), b"");
    assert_eq!(house.pauses(&command("RESET"), b"+RESET\r\n+OK\r\n").told, "+RESET\r\n");
    assert!(house.watch.quiet(), "replies are on again");
}

#[test]
fn a_route_may_refuse_reset() {
    let mut house = House::new(r#"{"reset": "refuse"}"#);
    let pause = house.pauses(&command("RESET"), b"-ERR unknown command\r\n");
    assert!(!pause.asked.windows(5).any(|window| window == b"RESET"));
    assert!(pause.told.starts_with("-NOPERM ") && pause.told.contains("'reset'"), "{}", pause.told);
}

#[test]
fn a_command_that_is_refused_fails_on_the_server_too() {
    for (client, name) in [
        ("ACL SETUSER a on", "acl|setuser"),
        ("CONFIG GET *", "config|get"),
        ("CONFIG SET requirepass x", "config|set"),
        ("MIGRATE h 1 k 0 1 AUTH x", "migrate"),
        ("DEBUG SLEEP 1", "debug"),
        ("MODULE LIST", "module"),
        ("replicaof elsewhere.example.com 6379", "replicaof"),
        ("SLAVEOF 10.0.0.1 6379", "replicaof"),
    ] {
        let mut house = House::new("{}");
        house.passes(&command("MULTI"), b"+OK\r\n");
        let pause = house.pauses(&command(client), b"-ERR unknown command 'ATTACHE.REFUSED'\r\n");
        assert_eq!(pause.asked, command("ATTACHE.REFUSED"), "nothing of it reaches the server");
        assert!(pause.told.starts_with("-NOPERM ") && pause.told.contains(name), "{}", pause.told);
        assert_eq!(pause.told.matches("\r\n").count(), 1);
        house.passes(&command("EXEC"), b"-EXECABORT Transaction discarded because of previous errors.\r\n");
        assert!(house.watch.quiet());

        let mut house = House::new(&format!(r#"{{"allow_commands": ["{name}"]}}"#));
        house.passes(&command(client), b"+OK\r\n");
        assert!(house.watch.quiet());
    }
}

#[test]
fn where_replies_are_off_none_is_waited_for() {
    for (client, asked) in [
        ("AUTH x", ours("AUTH orders SECRET")),
        ("HELLO 3", command("HELLO 3")),
        ("DEBUG x", command("ATTACHE.REFUSED")),
    ] {
        let mut house = House::new("{}");
        house.passes(&command("CLIENT REPLY OFF"), b"");
        let pause = house.pauses(&command(client), b"");
        assert_eq!((&pause.asked, pause.told.as_str()), (&asked, ""));
        house.passes(&command("CLIENT REPLY ON"), b"+OK\r\n");
        house.passes(&command("CLIENT REPLY SKIP"), b"");
        assert_eq!(house.pauses(&command(client), b"").told, "");
        house.passes(&command("PING"), b"+PONG\r\n");
        assert!(house.watch.quiet(), "one reply was skipped, and no more");
    }
}

#[test]
fn pushes_before_the_reply_reach_the_client_before_it() {
    let mut house = House::new("{}");
    house.pauses(&command("HELLO 3"), HELLO_3.as_bytes());
    house.passes(&command("SUBSCRIBE a"), b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    let pushes = format!(
        ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$9999\r\n{}\r\n>2\r\n+invalidate\r\n_\r\n",
        "x".repeat(9999)
    );
    let make = |said: String| {
        let protocol = &house.protocol;
        let intent = Intent::Auth;
        attache_wire::testing::run(
            protocol.relogin(&house.watch, &intent, house.terms.clone()).unwrap(),
            &[said.as_bytes()],
            &[5000],
            None,
        )
    };
    let run = make(format!("{pushes}+OK\r\n>2\r\n+late\r\n_\r\n"));
    assert_eq!(run.unread, b">2\r\n+late\r\n_\r\n", "what comes behind the reply is the relay's");
    let mut out = bytes::BytesMut::new();
    house.protocol.rewelcome(&mut house.watch, &Intent::Auth, run.end.unwrap().unwrap(), &mut out);
    assert_eq!(out, format!("{pushes}+OK\r\n").as_bytes());
    assert!(house.watch.answered() && !house.watch.quiet(), "a subscriber is never quiet");
}

/// The login may be tried again: what came in front of the rejection is not to be lost with it.
#[test]
fn pushes_before_a_rejection_are_left_for_the_relay() {
    let mut house = House::new("{}");
    house.pauses(&command("HELLO 3"), HELLO_3.as_bytes());
    let push = ">2\r\n+invalidate\r\n_\r\n";
    for client in ["AUTH x", "HELLO 3 AUTH a b"] {
        let said = format!("{push}-WRONGPASS no\r\n{push}");
        let (unread, told) = house.rejects(&command(client), said.as_bytes());
        assert_eq!((unread.as_str(), told.as_str()), (push.repeat(2).as_str(), "-WRONGPASS no\r\n"));
    }
}

#[test]
fn what_comes_before_the_reply_is_bounded() {
    let house = House::new("{}");
    let relogin = house.protocol.relogin(&house.watch, &Intent::Auth, house.terms.clone()).unwrap();
    let push = format!(">2\r\n+x\r\n$1048576\r\n{}\r\n", "x".repeat(1 << 20)).repeat(17);
    let end = attache_wire::testing::run(relogin, &[push.as_bytes()], &[], None).end;
    assert_eq!(end, Err(Fault::TooLong(attache_redis::MAX_AHEAD_LEN)));
}

#[test]
fn what_the_server_said_to_our_login_is_known_and_to_anything_else_is_not() {
    let wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    let cases: [(&str, &[u8], Verdict); 11] = [
        ("AUTH x", b"+OK\r\n", Verdict::Accepted),
        ("AUTH x", wrong, Verdict::Rejected),
        ("AUTH x", b"-ERR unknown command 'AUTH'\r\n", Verdict::Unknown),
        ("AUTH x", b"+QUEUED\r\n", Verdict::Unknown),
        ("HELLO 3 AUTH a b", HELLO_3.as_bytes(), Verdict::Accepted),
        ("HELLO 3 AUTH a b", wrong, Verdict::Rejected),
        ("HELLO 4 AUTH a b", b"-NOPROTO unsupported protocol version\r\n", Verdict::Unknown),
        ("HELLO 3", HELLO_3.as_bytes(), Verdict::Unknown),
        ("RESET", b"+RESET\r\n+OK\r\n", Verdict::Accepted),
        ("RESET", b"-ERR unknown command 'reset'\r\n", Verdict::Unknown),
        ("CONFIG GET *", b"-ERR unknown command\r\n", Verdict::Unknown),
    ];
    for (client, server, expected) in cases {
        for secret in [Some(SECRET), None] {
            let mut house = House::new("{}");
            house.terms = terms(Some("orders"), secret);
            let server = match (client, secret) {
                ("RESET", None) => server.strip_suffix(b"+OK\r\n").unwrap_or(server),
                _ => server,
            };
            let (shows, verdict) = house.judges(&command(client), server);
            let carries = !matches!(client, "HELLO 3" | "CONFIG GET *");
            let expected = if secret.is_some() { expected } else { Verdict::Unknown };
            assert_eq!((shows, verdict), (carries, expected), "{client}, {}", server.escape_ascii());
        }
    }
}

#[test]
fn a_new_password_is_used_where_the_client_does_not_notice() {
    let mut house = House::new("{}");
    let wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    assert_eq!(house.renews(b"+OK\r\n"), (ours("AUTH orders SECRET"), Vec::new(), Ok(())));
    let (_, left, end) = house.renews(wrong);
    assert!(matches!(end, Err(Fault::Rejected(rejection)) if rejection.kind == RejectionKind::Credential));
    assert!(left.is_empty() && house.watch.quiet(), "the session is as it was");
    house.terms = terms(Some("orders_b"), Some(SECRET));
    assert_eq!(house.renews(b"+OK\r\n").0, ours("AUTH orders_b SECRET"), "another user will do");
    house.terms = terms(None, Some(SECRET));
    assert_eq!(house.renews(b"+OK\r\n").0, ours("AUTH SECRET"));
    house.terms = Terms { allow_cleartext: false, ..house.terms };
    let (asked, _, end) = house.renews(b"");
    assert_eq!((asked.as_slice(), end), (&b""[..], Err(Fault::Insecure(Insecure::CleartextPassword))));
}

#[test]
fn what_comes_around_the_answer_to_a_new_password_is_the_clients() {
    let push = ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n";
    let attribute = "|1\r\n+k\r\n+v\r\n";
    for answer in ["+OK\r\n".to_owned(), format!("{attribute}+OK\r\n"), "-WRONGPASS no\r\n".to_owned()] {
        let mut house = House::new("{}");
        house.pauses(&command("HELLO 3"), HELLO_3.as_bytes());
        house.passes(&command("SUBSCRIBE a"), b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
        let (asked, left, end) = house.renews(format!("{push}{push}{answer}{push}>2\r\n+half").as_bytes());
        assert_eq!(asked, ours("AUTH orders SECRET"));
        assert_eq!(left, format!("{push}{push}{push}>2\r\n+half").into_bytes());
        assert_eq!(end.is_ok(), answer.ends_with("+OK\r\n"));
        assert!(!house.watch.may_speak(), "half a push");
        house.watch.from_server(b"\r\n_\r\n").unwrap();
        assert!(house.watch.answered() && house.watch.takes_a_login());
    }
}

#[test]
fn half_a_command_that_is_held_back_goes_on_behind_a_new_password() {
    for client in [command("SET k v"), b"SET k v\r\n".to_vec(), command("SUBSCRIBE a")] {
        let mut held_back = 0;
        for end in 1..client.len() {
            let mut house = House::new("{}");
            let passed = match house.watch.from_client(&client[..end]).unwrap() {
                Passage::All => end,
                Passage::Hold(passed) => passed,
                other => panic!("{other:?} at {end}"),
            };
            assert_eq!(house.watch.takes_a_login(), passed == 0, "{end}");
            if passed == 0 {
                held_back += 1;
                assert_eq!(house.renews(b"+OK\r\n").2, Ok(()));
                // The relay shows it what is held once more.
                assert_eq!(house.watch.from_client(&client[..end]), Ok(Passage::Hold(0)), "{end}");
            }
            assert_eq!(house.watch.from_client(&client[passed..]), Ok(Passage::All), "{end}");
            assert!(!house.watch.takes_a_login() && !house.watch.answered());
            let answer = match client.contains(&b'U') {
                true => &b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"[..],
                false => b"+OK\r\n",
            };
            house.watch.from_server(answer).unwrap();
            assert!(house.watch.answered());
        }
        assert!(held_back > 5, "{held_back}");
    }
}

#[test]
fn a_certificate_is_not_shown_in_the_midst_of_a_session() {
    let house = House::new("{}");
    let renewal = |user, secret| house.protocol.renewal(terms(user, secret).credential.as_deref().unwrap());
    assert_eq!(renewal(Some("orders"), Some(SECRET)), Some(Intent::Renewal));
    assert_eq!(renewal(None, Some(SECRET)), Some(Intent::Renewal));
    assert_eq!(renewal(Some("orders"), None), None);
}

#[test]
fn where_a_login_cannot_be_put_in_between_there_is_none() {
    let renewed = |client: &[u8], server: &[u8]| {
        let mut house = House::new("{}");
        let _ = house.watch.from_client(client);
        house.watch.from_server(server).unwrap();
        house.watch.takes_a_login()
    };
    assert!(renewed(b"", b""));
    assert!(renewed(&command("WATCH k"), b"+OK\r\n"));
    assert!(renewed(b"*2\r\n$4\r\nAU", b""), "what is held back has not been passed on");
    assert!(renewed(&commands(&["MULTI", "DISCARD"]), b"+OK\r\n+OK\r\n"));
    assert!(renewed(&command("BLPOP k 0"), b"*-1\r\n"));
    assert!(!renewed(&command("PING"), b""), "a reply is owed");
    assert!(!renewed(&command("BLPOP k 0"), b""), "it may be owed for long");
    assert!(!renewed(&command("MULTI"), b"+OK\r\n"), "it would be part of the transaction");
    assert!(!renewed(&command("MONITOR"), b"+OK\r\n"));
    assert!(!renewed(&command("SUBSCRIBE a"), b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"));
    assert!(!renewed(&command("CLIENT REPLY OFF"), b""));
    assert!(!renewed(&command("CLIENT REPLY SKIP"), b""));
    assert!(!renewed(&command("SYNC"), b""));
    assert!(!renewed(b"", b"+half a push"));
    assert!(!renewed(b"*2\r\n$3\r\nGET\r\n", b""), "half a command has been passed on");
    assert!(!renewed(&command("QUIT"), b"+OK\r\n"), "it has left");
}

#[test]
fn room_is_made_in_front_of_a_command_that_a_login_may_come_before() {
    let mut house = House::new("{}");
    house.watch.make_room(true);
    let get = command("GET k");
    for end in 1..get.len() {
        let stopped = house.watch.from_client(&get[..end]).unwrap();
        assert!(matches!(stopped, Passage::Hold(0) | Passage::Until(0)), "{stopped:?} at {end}");
        if stopped == Passage::Until(0) {
            break;
        }
    }
    assert!(house.watch.takes_a_login());
    assert_eq!(house.renews(b"+OK\r\n").2, Ok(()));
    house.watch.make_room(false);
    house.passes(&get, b"$-1\r\n");

    // A transaction is finished first, and so is what has begun.
    house.passes(&command("MULTI"), b"+OK\r\n");
    house.watch.make_room(true);
    let pipeline = commands(&["GET k", "EXEC", "GET k", "GET k"]);
    let before = commands(&["GET k", "EXEC"]).len();
    assert_eq!(house.watch.from_client(&pipeline), Ok(Passage::Until(before)));
    assert!(!house.watch.takes_a_login());
    house.watch.from_server(b"+QUEUED\r\n*1\r\n$-1\r\n").unwrap();
    assert!(house.watch.takes_a_login());
    assert_eq!(house.renews(b"+OK\r\n").2, Ok(()));
    house.watch.make_room(false);
    house.passes(&commands(&["GET k", "GET k"]), b"$-1\r\n$-1\r\n");
    assert!(house.watch.quiet());

    for (state, answer) in [
        ("MONITOR", "+OK\r\n"),
        ("CLIENT REPLY OFF", ""),
        ("SUBSCRIBE a", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"),
    ] {
        let mut house = House::new("{}");
        house.passes(&command(state), answer.as_bytes());
        house.watch.make_room(true);
        house.passes(&command("PING"), b"");
    }
}

#[test]
fn a_subscriber_that_may_be_denied_a_command_waits_with_it() {
    let confirmed = b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n";
    let mut house = House::new("{}");
    let pipeline = commands(&["SUBSCRIBE a", "MULTI", "PING"]);
    let subscribe = command("SUBSCRIBE a").len();
    assert_eq!(house.watch.from_client(&pipeline), Ok(Passage::Until(subscribe)));
    assert!(!house.watch.answered());
    house.watch.from_server(confirmed).unwrap();
    let pause = house.paused(&command("MULTI"), b"").unwrap();
    assert_eq!(
        (pause.asked, pause.told.as_str()),
        (command("MULTI"), ""),
        "it goes to the server as it came"
    );
    assert!(!house.watch.answered(), "its reply comes by the relay");
    house.passes(
        &command("UNSUBSCRIBE"),
        b"-ERR Can't execute 'multi'\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n",
    );
    assert!(house.watch.quiet(), "the server has denied it: there is no transaction");
}

#[test]
fn the_password_needs_a_link_that_nobody_reads() {
    let mut house = House::new("{}");
    house.terms = Terms { allow_cleartext: false, ..house.terms };
    for client in ["AUTH x", "HELLO 3 AUTH a b"] {
        assert_eq!(house.tries(&command(client), b""), Err(Fault::Insecure(Insecure::CleartextPassword)));
    }
    assert_eq!(
        house.tries(&command("RESET"), b"+RESET\r\n"),
        Err(Fault::Insecure(Insecure::CleartextPassword))
    );
    assert_eq!(house.pauses(&command("HELLO 3"), HELLO_3.as_bytes()).told, HELLO_3);
    house.terms = Terms { private: true, ..house.terms };
    assert_eq!(house.pauses(&command("AUTH x"), b"+OK\r\n").told, "+OK\r\n");
}

#[test]
fn where_replies_are_not_told_apart_a_login_ends_the_session() {
    for lost in
        [&b"SYNC\r\n"[..], b"CLIENT REPLY OFF\r\nSUBSCRIBE a\r\n", b"MULTI\r\nSUBSCRIBE a\r\nEXEC\r\n"]
    {
        for client in ["AUTH x", "CONFIG GET *", "RESET"] {
            let mut house = House::new("{}");
            assert_eq!(house.watch.from_client(lost), Ok(Passage::All));
            assert_eq!(house.watch.from_client(&command("PING")), Ok(Passage::All));
            assert!(
                matches!(house.watch.from_client(&command(client)), Err(Fault::Unsupported(_))),
                "{client}"
            );
        }
    }
}
