//! Redis: logins, sessions with their pauses, and the one command of a pause.

use std::sync::Arc;

use attache_redis::{Cluster, Intent, Options, Redis, SessionWatch};
use attache_wire::testing::{contains, run};
use attache_wire::{Approach, Credential, Passage, Protocol, Relay, Terms, TlsStart, Watch};
use bytes::BytesMut;

use crate::split::same_at_any_split;
use crate::{NONCE, SECRET, facts, secret};

/// The longest text of ours that takes the place of a server's, in octets.
const OWN_WORDS_LEN: usize = 200;

/// A server's side of a login. The first octet chooses the terms.
pub fn redis_login(data: &[u8]) {
    let Some(([choice], said)) = data.split_first_chunk() else { return };
    let protocol = redis(*choice);
    let terms = terms(*choice);
    let facts = (choice & 0x20 != 0).then(facts);
    let segments: &[&[u8]] = if terms.tls == TlsStart::Off { &[said] } else { &[b"", said] };
    let make = || protocol.login(&Intent::Session, None, terms.clone());
    let ended = same_at_any_split(make, segments, facts.as_ref());
    let may_tell = terms.allow_cleartext || ended.upgrades > 0;
    assert!(may_tell || !contains(&ended.output, SECRET), "the secret on a link without TLS");
    assert!(!format!("{:?}", ended.end).contains(SECRET), "the secret in a text");
}

/// Both directions of a session. An octet says which direction, and how many octets follow.
pub fn redis_watch(mut data: &[u8]) {
    let protocol = redis(0);
    let (mut whole, mut pieces) = (watch(&protocol), watch(&protocol));
    let (mut held, mut held_pieces) = (Vec::new(), Vec::new());
    while let Some(([header], rest)) = data.split_first_chunk() {
        let (bytes, rest) = rest.split_at(usize::from(header >> 1).min(rest.len()));
        data = rest;
        if header & 1 == 0 {
            let one = goes_on(&mut whole, &mut held, bytes);
            let other = bytes.chunks(1).all(|piece| goes_on(&mut pieces, &mut held_pieces, piece));
            assert_eq!(one, other);
            if !one {
                return reopen(&protocol, &whole, &held);
            }
            assert_eq!(held, held_pieces);
        } else {
            assert!(whole.from_server(bytes).is_ok());
            bytes.chunks(1).for_each(|piece| assert!(pieces.from_server(piece).is_ok()));
        }
        assert_eq!(whole.quiet(), pieces.quiet());
        assert_eq!(whole.answered(), pieces.answered());
        assert_eq!(whole.may_speak(), pieces.may_speak());
        assert_eq!(whole.client_left(), pieces.client_left());
        assert_eq!(whole.takes_a_login(), pieces.takes_a_login());
        assert!(!whole.quiet() || (whole.answered() && held.is_empty()));
        assert!(!whole.quiet() || whole.takes_a_login() || whole.client_left());
    }
}

/// A pause: a client's command and a line feed, then what the server says to what takes its place. The first octet
/// chooses the state of the session.
pub fn redis_relogin(data: &[u8]) {
    const STATES: [(&[u8], &[u8]); 6] = [
        (b"", b""),
        (b"MULTI\r\n", b"+OK\r\n"),
        (b"MONITOR\r\n", b"+OK\r\n"),
        (b"SUBSCRIBE a\r\n", b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"),
        (b"CLIENT REPLY OFF\r\n", b""),
        (b"CLIENT REPLY SKIP\r\n", b""),
    ];
    let Some(([choice], rest)) = data.split_first_chunk() else { return };
    let (command, said) =
        rest.split_at(rest.iter().position(|octet| *octet == b'\n').map_or(rest.len(), |at| at + 1));
    let protocol = redis(*choice);
    let mut session = watch(&protocol);
    let (asked, answered) = STATES[usize::from(*choice) % STATES.len()];
    assert_eq!(session.from_client(asked), Ok(Passage::All));
    assert!(session.from_server(answered).is_ok() && session.answered());
    let Some(machine) = protocol.reopen(&session, NONCE) else { return };
    let Ok(Some(intent)) = run(machine, &[command], &[], None).end else { return };
    let relogin = || protocol.relogin(&session, &intent, terms(0x10)).expect("Redis can");
    let ended = run(relogin(), &[said], &[], None);
    let every: Vec<usize> = (1..said.len()).collect();
    for cuts in [&[said.len() / 2][..], &every] {
        let other = run(relogin(), &[said], cuts, None);
        assert_eq!((&other.end, &other.output), (&ended.end, &ended.output));
        // Frames are put aside as they come: after a fault nobody reads on.
        assert!(ended.end.is_err() || other.unread == ended.unread);
    }
    if let Ok(Some(greeting)) = ended.end {
        let mut heard = BytesMut::new();
        protocol.rewelcome(&mut session, &intent, greeting, &mut heard);
        assert!(heard.len() <= said.len() + OWN_WORDS_LEN, "what the server said, and a line of ours");
        // What a server sends unasked is no part of the exchange.
        let may_send_unasked = matches!(asked, b"MONITOR\r\n" | b"SUBSCRIBE a\r\n") || said.contains(&b'>');
        assert!(may_send_unasked || !contains(&heard, SECRET), "the secret told to the client");
    }
}

/// What a Sentinel says: to questions, or unasked. The first octet chooses which, and the terms.
pub fn redis_sentinel(data: &[u8]) {
    let Some(([choice], said)) = data.split_first_chunk() else { return };
    if choice & 6 == 6 {
        let heard = same_at_any_split(|| Redis::heed_sentinel("orders").expect("Redis can"), &[said], None);
        return assert!(heard.output.is_empty());
    }
    let terms = terms(*choice);
    let again = choice & 2 != 0;
    let facts = (choice & 0x20 != 0).then(facts);
    let segments: &[&[u8]] = if again || terms.tls == TlsStart::Off { &[said] } else { &[b"", said] };
    let approach = match again {
        true => Approach::Again(terms.credential.clone()),
        false => Approach::Anew(terms.clone()),
    };
    let make = || Redis::ask_sentinel("orders", approach.clone()).expect("Redis can");
    let ended = same_at_any_split(make, segments, facts.as_ref());
    let may_tell = terms.allow_cleartext || ended.upgrades > 0;
    assert!((may_tell && !again) || !contains(&ended.output, SECRET), "the secret on a link without TLS");
    assert!(!format!("{:?}", ended.end).contains(SECRET), "the secret in a text");
    if let Ok(Some(Some(report))) = ended.end {
        for address in report.replicas.iter().chain([&report.primary]) {
            assert!((1..=253).contains(&address.host.len()) && address.port > 0);
            assert!(!address.host.contains(|letter: char| letter.is_control() || letter == ' '));
        }
    }
}

/// What stops a relay is read in the pause in the same way whatever its pieces.
fn reopen(protocol: &Redis, watch: &SessionWatch, held: &[u8]) {
    let make = || protocol.reopen(watch, NONCE).expect("Redis can");
    let read = same_at_any_split(make, &[held], None);
    assert!(read.output.is_empty());
}

/// Whether everything was passed on or held back.
fn goes_on(watch: &mut SessionWatch, held: &mut Vec<u8>, bytes: &[u8]) -> bool {
    held.extend(bytes);
    match watch.from_client(held) {
        Ok(Passage::All) => held.clear(),
        Ok(Passage::Hold(count)) => drop(held.drain(..count)),
        Ok(Passage::Until(count)) => {
            held.drain(..count);
            return false;
        }
        Ok(Passage::Bye(_) | Passage::Instead { .. }) => unreachable!("its link is not kept"),
        Err(_) => return false,
    }
    true
}

fn watch(protocol: &Redis) -> SessionWatch {
    let login = protocol.login(&Intent::Session, None, terms(0x10));
    let greeting = run(login, &[b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n"], &[], None).end;
    match greeting.map(|greeting| protocol.relay(&Intent::Session, &greeting.expect("it was answered"))) {
        Ok(Relay::Watched(watch)) => *watch,
        Ok(Relay::Opaque) | Err(_) => unreachable!("a login that is accepted, and a session that is watched"),
    }
}

fn redis(choice: u8) -> Redis {
    let cluster = if choice & 4 == 0 { Cluster::Refuse } else { Cluster::Passthrough };
    Redis::new(Options { cluster, ..Options::default() }, (choice & 8 != 0).then(|| "1".to_owned()))
}

fn terms(choice: u8) -> Terms {
    Terms {
        credential: Some(Arc::new(Credential::new(Some("orders".to_owned()), Some(secret()), 1))),
        tls: if choice & 1 == 0 { TlsStart::Off } else { TlsStart::Direct },
        allow_cleartext: choice & 0x10 != 0,
        ask_role: choice & 0x40 != 0,
        private: false,
        nonce: NONCE,
    }
}
