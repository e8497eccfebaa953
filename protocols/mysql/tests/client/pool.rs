//! What a client has to do with links that wait and links that are reused: ids of ours, KILL by them, and goodbyes.

use attache_mysql::{Intent, Mysql, SessionWatch};
use attache_wire::testing::{run, run_every_split};
use attache_wire::{Fault, Opening, Passage, Protocol, Relay, Watch};
use bytes::BytesMut;

use crate::support::*;

const KILL: &[u8] = b"\x03KILL QUERY 1879048199";

/// The first id of ours whose number is 7.
const TOLD: [u8; 4] = [7, 0, 0, 0x70];

/// What a client wants that was greeted with an id of ours.
fn told(flags: u64) -> Intent {
    let (hello, ticket) = mysql(true).disguise_hello(&hello(flags | BASICS), 7).unwrap();
    assert_eq!(ticket, TOLD);
    let accept = mysql(true).accept(Some(&hello), NONCE);
    let run = run(accept, &[&response(flags, &[7; 20], "mysql_native_password")], &[], None);
    let greeting = packets(&run.output)[0];
    assert!(greeting.windows(5).any(|window| window == [&b"\0"[..], &TOLD].concat()), "{greeting:?}");
    match run.end {
        Ok(Some(Opening::Session(intent))) => intent,
        other => panic!("not a session: {other:?}"),
    }
}

fn watch_of(protocol: &Mysql, intent: &Intent, flags: u64) -> SessionWatch {
    match protocol.relay(intent, &greeted(intent, flags | BASICS)) {
        Relay::Watched(watch) => *watch,
        Relay::Opaque => panic!("not watched"),
    }
}

#[test]
fn a_kill_stops_the_relay_where_the_client_has_an_id_of_ours() {
    let (ping, kill) = (packet(0, b"\x0e"), packet(0, KILL));
    let both = [&ping[..], &kill].concat();
    for end in 1..=both.len() {
        let mut watch = watch_of(&mysql(true), &told(0), 0);
        let expected = match end {
            1..=4 => Passage::Hold(0),
            5 => Passage::All,
            _ if end == both.len() => Passage::Until(5),
            _ => Passage::Hold(5),
        };
        assert_eq!(watch.from_client(&both[..end]), Ok(expected), "{end}");
    }
    let mut usual = watch(0);
    assert_eq!(usual.from_client(&kill), Ok(Passage::All), "the server's own id");
    let mut watch = watch_of(&mysql(true), &told(0), 0);
    for other in [&b"\x03KILL QUERY 42"[..], b"\x03select 1", b"\x0c\x2a\0\0\0", b"\x0e", b"\x03"] {
        assert_eq!(watch.from_client(&packet(0, other)), Ok(Passage::All), "{other:?}");
    }
}

#[test]
fn a_kill_is_passed_on_with_the_servers_id_and_answered_with_its_answer() {
    let error = b"\xff\x46\x04#HY000Unknown thread id: 42";
    for (command, aimed, answer) in [
        (KILL, &b"\x03KILL QUERY 42"[..], &b"\0\0\0\x02\0\0\0"[..]),
        (b"\x0c\x07\0\0\x70", b"\x0c\x2a\0\0\0", error),
    ] {
        let protocol = mysql(true);
        let mut watch = watch_of(&protocol, &told(0), 0);
        let command = packet(0, command);
        assert_eq!(watch.from_client(&command), Ok(Passage::Until(0)));
        let read = run_every_split(|| protocol.reopen(&watch, NONCE).unwrap(), &[&command], None);
        assert!(read.output.is_empty() && read.unread.is_empty());
        let intent = read.end.unwrap().unwrap();
        assert_eq!(protocol.aim(&intent).as_deref(), Some(&TOLD[..]));
        let intent = protocol.aimed(intent, &[42, 0, 0, 0]);
        let machine = || protocol.relogin(&watch, &intent, terms()).unwrap();
        let ordered = run_every_split(machine, &[&packet(1, answer)], None);
        assert_eq!(ordered.output, packet(0, aimed));
        let mut out = BytesMut::new();
        protocol.rewelcome(&mut watch, &intent, ordered.end.unwrap().unwrap(), &mut out);
        assert_eq!(&out[..], packet(1, answer));
        assert!(watch.quiet() && watch.from_client(&packet(0, b"\x0e")) == Ok(Passage::All));
    }
}

#[test]
fn what_is_no_kill_is_no_wish() {
    let protocol = mysql(true);
    let watch = watch_of(&protocol, &told(0), 0);
    let run = run(protocol.reopen(&watch, NONCE).unwrap(), &[&packet(0, b"\x03KILL 42")], &[], None);
    assert!(matches!(run.end, Err(Fault::Malformed(_))), "{:?}", run.end);
}

fn kept(flags: u64) -> SessionWatch {
    let mut watch = watch(flags);
    watch.may_be_kept();
    watch
}

#[test]
fn a_goodbye_is_kept_from_the_server_where_the_link_can_be_reset() {
    let goodbye = packet(0, b"\x01");
    let mut idle = kept(0);
    assert!(idle.reusable());
    assert_eq!(idle.from_client(&goodbye[..4]), Ok(Passage::Hold(0)));
    assert_eq!(idle.from_client(&goodbye), Ok(Passage::Bye(0)));
    assert!(idle.reusable() && idle.client_left());
    let mut usual = watch(0);
    assert_eq!(usual.from_client(&goodbye), Ok(Passage::All), "its link is not kept");
    assert!(!usual.reusable());
    let ping = packet(0, b"\x0e");
    let mut behind = kept(0);
    assert_eq!(behind.from_client(&[&goodbye[..], &ping].concat()), Ok(Passage::Bye(0)), "nobody hears more");
    assert!(behind.reusable());
    let mut before = kept(0);
    assert_eq!(before.from_client(&[&ping[..], &goodbye].concat()), Ok(Passage::All), "it is to be answered");
    assert!(!before.reusable());
}

#[test]
fn a_goodbye_at_any_other_moment_is_passed_on() {
    const OPEN: &[u8] = b"\0\0\0\x03\0\0\0";
    const OK: &[u8] = b"\0\0\0\x02\0\0\0";
    let error = b"\xff\x28\x04#42000no";
    for (command, answer) in [
        (&b"\x03select 1"[..], &b""[..]),
        (b"\x03begin", OPEN),
        (b"\x03call p()", error),
        (b"\x1b\0\0", OK),
        (b"\x15\x01\0\0\0", OK),
        (b"\x7f", error),
    ] {
        let mut watch = kept(0);
        watch.from_client(&packet(0, command)).unwrap();
        if !answer.is_empty() {
            watch.from_server(&packet(1, answer)).unwrap();
        }
        assert!(!watch.reusable(), "{command:?}");
        assert_eq!(watch.from_client(&packet(0, b"\x01")), Ok(Passage::All), "{command:?}");
        assert!(!watch.reusable() && watch.client_left(), "{command:?}");
    }
    let mut half = kept(0);
    half.from_client(&packet(0, b"\x03select 1")[..7]).unwrap();
    assert!(!half.reusable());
}
