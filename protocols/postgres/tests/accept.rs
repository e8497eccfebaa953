//! The client's first packets.
#![allow(clippy::unwrap_used)]

mod support;

use attache_postgres::{Accept, CancelRequest, ChannelBinding, Intent, MAX_STARTUP_LEN};
use attache_wire::testing::{Run, run_every_split};
use attache_wire::{Fault, Opening, Protocol};
use support::{postgres, startup};

const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const GSS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";

fn accept(input: &[u8]) -> Run<Opening<Intent, CancelRequest>> {
    run_every_split(Accept::default, &[input], None)
}

fn session(input: &[u8]) -> (Intent, Run<()>) {
    let run = accept(input);
    match run.end {
        Ok(Some(Opening::Session(intent))) => {
            (intent, Run { end: Ok(None), output: run.output, unread: run.unread, upgrades: run.upgrades })
        }
        other => panic!("not a session: {other:?}"),
    }
}

#[test]
fn a_startup_packet_is_kept_in_order_and_what_follows_stays_unread() {
    let packet = startup(0, &["user", "app", "database", "shop", "options", "-c x=y", "user", "again"]);
    let (intent, run) = session(&[&packet[..], b"Q\0\0\0\x05\0"].concat());
    let names: Vec<&[u8]> = intent.parameters().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"user"[..], b"database", b"options", b"user"]);
    assert_eq!(intent.parameter("user"), Some(&b"again"[..]));
    assert_eq!(run.unread, b"Q\0\0\0\x05\0");
    assert!(run.output.is_empty());
}

#[test]
fn encryption_is_declined_in_either_order_and_the_session_goes_on() {
    let packet = startup(2, &["user", "app"]);
    for requests in [&[SSL][..], &[GSS], &[SSL, GSS], &[GSS, SSL]] {
        let (intent, run) = session(&[&requests.concat(), &packet[..]].concat());
        assert_eq!(run.output, vec![b'N'; requests.len()]);
        assert_eq!(intent.minor(), 2);
    }
}

#[test]
fn encryption_is_declined_once_each() {
    for requests in [&[SSL, SSL][..], &[GSS, GSS], &[SSL, GSS, SSL], &[GSS, SSL, GSS]] {
        assert!(matches!(accept(&requests.concat()).end, Err(Fault::Malformed(_))));
    }
}

#[test]
fn direct_tls_is_answered_with_an_alert_at_the_first_octet() {
    let run = accept(b"\x16\x03\x01\x02\x00\x01");
    assert!(matches!(run.end, Err(Fault::Unsupported(_))));
    assert_eq!(run.output, b"\x15\x03\x03\x00\x02\x02\x28");
    let run = accept(&[SSL, b"\x16\x03\x01"].concat());
    assert_eq!(run.output, b"N\x15\x03\x03\x00\x02\x02\x28");
}

#[test]
fn cancel_requests_carry_keys_of_4_to_256_octets() {
    let cancel = |key: usize| {
        let length = u32::try_from(12 + key).unwrap().to_be_bytes();
        [&length[..], b"\x04\xd2\x16\x2e\0\0\x10\x01", &vec![b'k'; key]].concat()
    };
    for key in [4, 32, 256] {
        let run = accept(&[&cancel(key)[..], b"rest"].concat());
        let Ok(Some(Opening::Errand(request))) = run.end else { panic!("{:?}", run.end) };
        let ticket = postgres(ChannelBinding::Prefer, None).errand_ticket(&request);
        assert_eq!(ticket, [&b"\0\0\x10\x01"[..], &vec![b'k'; key]].concat());
        assert_eq!(run.unread, b"rest");
        assert!(!format!("{request:?}").contains("kkkk"), "the key is not shown");
    }
    for key in [0, 3, 257] {
        assert!(matches!(accept(&cancel(key)).end, Err(Fault::Malformed(_))), "{key}");
    }
}

#[test]
fn lengths_and_versions_are_judged_before_the_body_is_there() {
    for length in [0, 7, 10_001, 0x4745_5420_u32] {
        assert!(matches!(accept(&length.to_be_bytes()).end, Err(Fault::Malformed(_))), "{length}");
    }
    for major in [0_u16, 1, 2, 4, 0xffff] {
        let packet = [&b"\0\0\x20\0"[..], &major.to_be_bytes(), b"\0\0"].concat();
        assert!(matches!(accept(&packet).end, Err(Fault::Unsupported(_))), "{major}");
    }
    assert!(matches!(accept(b"\0\0\0\x08\x04\xd2\x16\x31").end, Err(Fault::Unsupported(_))));
}

#[test]
fn the_longest_startup_packet_is_taken() {
    let value = "x".repeat(MAX_STARTUP_LEN - startup(0, &["user", ""]).len());
    let (intent, _) = session(&startup(0, &["user", &value]));
    assert_eq!(intent.parameter("user").unwrap().len(), value.len());
    let longer = startup(0, &["user", &format!("{value}x")]);
    assert!(matches!(accept(&longer[..8]).end, Err(Fault::Malformed(_))));
}

#[test]
fn startup_packets_that_are_not_a_list_of_pairs_are_refused() {
    for body in
        [&b""[..], b"user\0app\0", b"user\0app", b"user\0\0", b"user\0app\0\0x\0", b"\0\0", b"a\0b\0\0\0"]
    {
        let length = u32::try_from(8 + body.len()).unwrap().to_be_bytes();
        let run = accept(&[&length[..], b"\0\x03\0\0", body].concat());
        assert!(matches!(run.end, Err(Fault::Malformed(_))), "{:?}: {:?}", body.escape_ascii(), run.end);
    }
}

#[test]
fn nothing_yet_means_more_is_read() {
    let packet = startup(0, &["user", "app"]);
    assert_eq!(accept(&packet[..packet.len() - 1]).end, Ok(None));
    assert_eq!(accept(b"").end, Ok(None));
    assert_eq!(accept(SSL).end, Ok(None));
}

#[test]
fn replication_is_visible() {
    let intent = |parameters: &[&str]| session(&startup(0, parameters)).0;
    assert!(intent(&["replication", "database"]).is_replication());
    assert!(intent(&["replication", "true"]).is_replication());
    assert!(!intent(&["replication", "Off"]).is_replication());
    assert!(!intent(&["user", "replication"]).is_replication());
}
