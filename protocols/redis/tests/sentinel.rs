//! What Sentinels said, and what none has said yet.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use attache_redis::{MAX_REPLY_LEN, Redis};
use attache_transcripts::Transcript;
use attache_wire::testing::{Run, run, run_every_split};
use attache_wire::{Approach, Fault, Insecure, Protocol, RejectionKind, Report, Terms, TlsFacts, TlsStart};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use support::{SECRET, terms, transcripts};

/// What became of the questions, at any split of what the Sentinel said.
fn ask(master: &str, approach: &Approach, said: &[u8]) -> Run<Option<Report>> {
    run_every_split(|| Redis::ask_sentinel(master, approach.clone()).unwrap(), &[said], None)
}

/// One that may have been shown this user and secret.
fn anew(user: Option<&str>, secret: Option<&str>) -> Approach {
    Approach::Anew(terms(user, secret))
}

/// The same on a link on which it was asked before.
fn again(user: Option<&str>, secret: Option<&str>) -> Approach {
    Approach::Again(terms(user, secret).credential)
}

fn heed(master: &str, said: &[u8]) -> Run<()> {
    run_every_split(|| Redis::heed_sentinel(master).unwrap(), &[said], None)
}

/// Of a Sentinel that asks for no login.
fn report(said: &[u8]) -> Result<Option<Option<Report>>, Fault> {
    ask("orders", &anew(None, None), said).end
}

#[test]
fn every_recorded_sentinel_is_asked_octet_by_octet() {
    let transcripts = transcripts("sentinel");
    assert!(transcripts.len() >= 13, "the transcripts are there");
    for transcript in &transcripts {
        let name = &transcript.name;
        let (said, master) = (transcript.octets("S"), transcript.value("master"));
        let ended = match name.contains("announcement") {
            true => match heed(master, &said).end.unwrap() {
                Some(()) => "changed".to_owned(),
                None => "waiting".to_owned(),
            },
            false => asked(transcript, master, &said),
        };
        assert_eq!(ended, transcript.value("end"), "{name}");
    }
}

fn asked(transcript: &Transcript, master: &str, said: &[u8]) -> String {
    let approach = if transcript.find("again").is_some() { again } else { anew };
    let approach = approach(transcript.find("user"), transcript.find("password"));
    let run = ask(master, &approach, said);
    let sent = |octets: &[u8]| octets.escape_ascii().to_string();
    assert_eq!(sent(&run.output), sent(&transcript.octets("C")), "{}", transcript.name);
    match run.end {
        Ok(Some(Some(report))) => {
            assert!(run.unread.is_empty(), "{}", transcript.name);
            shown(&report)
        }
        Ok(Some(None)) => "unknown".to_owned(),
        Ok(None) => "waiting".to_owned(),
        Err(Fault::Rejected(rejection)) => format!("rejected {:?} {}", rejection.kind, rejection.code),
        Err(Fault::Unsupported(text)) if text.contains("no Sentinel") => "no sentinel".to_owned(),
        Err(other) => panic!("{}: {other:?}", transcript.name),
    }
}

fn shown(report: &Report) -> String {
    let replicas: String = report.replicas.iter().map(|address| format!(" {address}")).collect();
    let announces = if report.announces { "announces" } else { "silent" };
    format!("epoch {} primary {} replicas{replicas} {announces}", report.epoch, report.primary)
}

/// The three answers and the one to SUBSCRIBE.
fn said(host: &str, port: &str, epoch: &str, replicas: &str) -> Vec<u8> {
    let subscribed = "*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n";
    let text = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let master = format!("*4\r\n{}{}{}{}", text("flags"), text("master"), text("config-epoch"), text(epoch));
    format!("*2\r\n{}{}{master}{replicas}{subscribed}", text(host), text(port)).into_bytes()
}

#[test]
fn names_and_addresses_of_both_kinds_are_taken_and_nothing_else() {
    for host in ["10.0.0.7", "redis-0.redis.blue.svc.cluster.local", "fd00::7", "redis_1"] {
        let report = report(&said(host, "6379", "12", "*0\r\n")).unwrap().unwrap().unwrap();
        assert_eq!((report.primary.host.as_str(), report.primary.port, report.epoch), (host, 6379, 12));
    }
    let long = "x".repeat(254);
    for (host, port) in [
        ("", "6379"),
        ("a b", "6379"),
        ("a/b", "6379"),
        (&long, "6379"),
        ("a", "0"),
        ("a", "65536"),
        ("a", "+1"),
        ("a", ""),
    ] {
        let end = report(&said(host, port, "12", "*0\r\n"));
        assert!(matches!(end, Err(Fault::Malformed(_))), "{host}:{port}: {end:?}");
    }
    assert!(matches!(report(&said("a", "1", "-1", "*0\r\n")), Err(Fault::Malformed(_))));
    assert!(matches!(report(&said("a", "1", "1", "*1\r\n*0\r\n")), Err(Fault::Malformed(_))));
}

#[test]
fn replicas_that_cannot_be_reached_are_left_out() {
    let replica = |port: u16, flags: &str| {
        let port = port.to_string();
        let fields = ["ip", "10.0.0.7", "flags", flags, "port", &port];
        let fields: String = fields.iter().map(|text| format!("${}\r\n{text}\r\n", text.len())).collect();
        format!("*6\r\n{fields}")
    };
    let all = [
        (1, "slave"),
        (2, "s_down,slave"),
        (3, "o_down,slave"),
        (4, "slave,disconnected"),
        (5, "slave,reconf_sent"),
    ];
    let all: String = all.iter().map(|(port, flags)| replica(*port, flags)).collect();
    let report = report(&said("a", "1", "1", &format!("*5\r\n{all}"))).unwrap().unwrap().unwrap();
    assert_eq!(report.replicas.iter().map(|address| address.port).collect::<Vec<_>>(), [1, 5]);
}

#[test]
fn a_sentinel_that_does_not_know_says_so_in_several_ways() {
    let rest = "-ERR No such master with that name\r\n".repeat(2);
    let subscribed = "-NOPERM no\r\n";
    for first in [
        "*-1\r\n",
        "$-1\r\n",
        "-IDONTKNOW I have not enough information to reply.\r\n",
        "-ERR No such master\r\n",
    ] {
        assert_eq!(report(format!("{first}{rest}{subscribed}").as_bytes()), Ok(Some(None)), "{first}");
    }
}

#[test]
fn announcements_between_the_answers_are_passed_over_and_what_follows_is_left() {
    let message = b"*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$20\r\norders a 1 b 2 extra\r\n";
    let unsubscribed = b"*3\r\n$11\r\nunsubscribe\r\n$14\r\n+switch-master\r\n:0\r\n";
    let said = [&message[..], message, unsubscribed, &said("b", "2", "9", "*0\r\n"), message].concat();
    let run = ask("orders", &again(None, None), &said);
    assert_eq!(run.end.unwrap().unwrap().unwrap().primary.port, 2);
    assert_eq!(run.unread, message, "it is heeded when the answers are worked through");
    assert_eq!(heed("orders", message).end, Ok(Some(())));
    assert_eq!(heed("order", message).end, Ok(None));
    assert_eq!(heed("orders", b"*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$6\r\nord").end, Ok(None));
}

#[test]
fn a_machine_that_is_dropped_in_the_midst_of_an_announcement_loses_nothing() {
    use attache_wire::{Machine, Step, Turn};
    let message = b"*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$14\r\norders a 1 b 2\r\n";
    for cut in 1..message.len() {
        let (mut input, mut output) = (bytes::BytesMut::from(&message[..cut]), bytes::BytesMut::new());
        let mut turn = |input: &mut bytes::BytesMut| {
            let mut machine = Redis::heed_sentinel("orders").unwrap();
            machine.step(&mut Turn { input, output: &mut output, tls: None })
        };
        assert_eq!(turn(&mut input), Ok(Step::Read));
        input.extend_from_slice(&message[cut..]);
        assert_eq!(turn(&mut input), Ok(Step::Done(())), "cut at {cut}");
    }
}

#[test]
fn what_is_none_is_named_and_what_is_long_is_not_waited_for() {
    for said in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"\x15\x03\x01\0\x02\x02\x46", b"*x\r\n"] {
        let end = report(said);
        assert!(matches!(end, Err(Fault::Malformed(_))), "{end:?}");
    }
    let long = format!("${MAX_REPLY_LEN}\r\n{}", "x".repeat(MAX_REPLY_LEN + 8));
    let machine = || Redis::ask_sentinel("orders", anew(None, None)).unwrap();
    assert_eq!(run(machine(), &[long.as_bytes()], &[], None).end, Err(Fault::TooLong(MAX_REPLY_LEN)));
    let deep = ["*1\r\n".repeat(10_000).as_str(), ":1\r\n"].concat();
    assert!(matches!(run(machine(), &[deep.as_bytes()], &[], None).end, Err(Fault::Malformed(_))));
}

#[test]
fn tls_comes_first_and_plain_text_never_sees_the_password() {
    let strict = |tls| Terms { allow_cleartext: false, tls, ..terms(Some("attache"), Some(SECRET)) };
    let machine = |tls| Redis::ask_sentinel("orders", Approach::Anew(strict(tls))).unwrap();
    let facts = TlsFacts::default();
    let answers = [&b"+OK\r\n"[..], &said("a", "1", "1", "*0\r\n")].concat();
    let direct = run_every_split(|| machine(TlsStart::Direct), &[b"", &answers], Some(&facts));
    assert_eq!((direct.end.unwrap().unwrap().is_some(), direct.upgrades), (true, 1));
    assert_eq!(
        run(machine(TlsStart::Direct), &[b"+OK\r\n", b""], &[], Some(&facts)).end,
        Err(Fault::EarlyData)
    );
    let declined = run(machine(TlsStart::Direct), &[b"", b""], &[], None);
    assert_eq!(declined.end, Err(Fault::Insecure(Insecure::TlsDeclined)));
    assert_eq!(declined.output, b"");
    let plain = run(machine(TlsStart::Off), &[b""], &[], None);
    assert_eq!(plain.end, Err(Fault::Insecure(Insecure::CleartextPassword)));
    assert_eq!(plain.output, b"");
}

#[test]
fn a_sentinel_that_is_up_to_something_does_not_put_the_password_into_the_log() {
    for approach in [anew, again] {
        let refusal = |words: &str| {
            let said = format!("+OK\r\n-NOPERM {words}\r\n");
            let end = ask("orders", &approach(Some("attache"), Some(SECRET)), said.as_bytes()).end;
            let Err(Fault::Rejected(rejection)) = end else { panic!("{end:?}") };
            assert_eq!((rejection.kind, rejection.code.as_str()), (RejectionKind::Other, "NOPERM"));
            rejection
        };
        let hidden = refusal(&format!("it is {SECRET}"));
        assert!(!format!("{hidden:?}").contains(SECRET), "{hidden:?}");
        let plain = refusal("this user has no permissions to run the 'sentinel|master' command");
        assert_eq!(plain.message, "this user has no permissions to run the 'sentinel|master' command");
    }
}

proptest! {
    #[test]
    fn any_octets_come_to_an_end(said in vec(any::<u8>(), 0..300), asked in any::<bool>()) {
        ask("orders", &if asked { again(None, None) } else { anew(None, None) }, &said);
        heed("orders", &said);
    }

    /// What a Sentinel said, with some octets changed.
    #[test]
    fn answers_that_are_wrong_come_to_an_end_and_name_only_what_can_be_a_server(
        which in any::<Index>(),
        edits in vec((any::<Index>(), select(b"*$:+->\r\n0129ax ".to_vec())), 1..8),
        cut in any::<Index>(),
    ) {
        let transcripts = transcripts("sentinel");
        let mut said = which.get(&transcripts).octets("S");
        for (at, octet) in edits {
            let at = at.index(said.len());
            said[at] = octet;
        }
        for approach in [anew(None, None), again(None, None)] {
            let machine = || Redis::ask_sentinel("orders", approach.clone()).unwrap();
            let whole = run(machine(), &[&said], &[], None);
            prop_assert_eq!(&run(machine(), &[&said], &[cut.index(said.len())], None), &whole);
            if let Ok(Some(Some(report))) = whole.end {
                let named = report.replicas.iter().chain([&report.primary]);
                named.for_each(|address| assert!(!address.host.is_empty() && address.port > 0));
            }
        }
    }
}
