//! What real servers said, replayed at every split point.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use attache_redis::Intent;
use attache_transcripts::{Transcript, unescape};
use attache_wire::testing::run_every_split;
use attache_wire::{Fault, Protocol, Terms, Watch};
use support::{House, redis, terms, transcripts, watch};

#[test]
fn every_recorded_login_is_repeated_octet_by_octet() {
    let logins = transcripts("login");
    assert!(logins.len() >= 15, "the transcripts are there");
    logins.iter().for_each(check_login);
}

fn check_login(transcript: &Transcript) {
    let name = &transcript.name;
    let options = transcript.find("cluster").map(|value| format!(r#"{{"cluster": "{value}"}}"#));
    let protocol = redis(&options.unwrap_or_else(|| "{}".to_owned()), transcript.find("database"));
    let terms = Terms { ask_role: true, ..terms(transcript.find("user"), transcript.find("password")) };
    let said = transcript.octets("S");
    let run = run_every_split(|| protocol.login(&Intent::Session, None, terms.clone()), &[&said], None);
    assert_eq!(shown(&run.output), shown(&transcript.octets("C")), "{name}");

    let ended = match run.end {
        Ok(Some(greeting)) => {
            let version = protocol.server_version(&greeting);
            assert_eq!(version.is_some(), transcript.find("cluster").is_none(), "{name}");
            assert!(version.is_none_or(|version| version.starts_with("7.0.")), "{name}");
            assert!(run.unread.is_empty(), "{name}");
            format!("ready {}", protocol.role(&greeting).unwrap().name())
        }
        Err(Fault::Rejected(rejection)) => {
            let frames = shown(&said);
            assert!(frames.contains(&shown(&rejection.frame)), "{name}: passed on as it came");
            format!("rejected {:?} {}", rejection.kind, rejection.code)
        }
        Err(Fault::Unsupported(text)) if text.contains("cluster") => "cluster".to_owned(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(ended, transcript.value("end"), "{name}");
}

fn shown(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}

#[test]
fn every_recorded_session_is_quiet_when_it_should_be() {
    let sessions = transcripts("session");
    assert!(sessions.len() >= 25, "the transcripts are there");
    for transcript in &sessions {
        for size in [usize::MAX, 1, 7, 100] {
            check_session(transcript, size);
        }
    }
}

/// Feeds a session in pieces of this size.
fn check_session(transcript: &Transcript, size: usize) {
    let mut watch = watch(&redis("{}", None));
    for (at, (kind, text)) in transcript.lines.iter().enumerate() {
        let context = format!("{} line {} in pieces of {size}", transcript.name, at + 1);
        let settled = |context: &str| assert!(watch.answered() && watch.may_speak(), "{context}");
        match kind.as_str() {
            "C" => send(&mut *watch, &unescape(text), size),
            "S" => {
                let octets = unescape(text);
                hear(&mut *watch, &octets, size, &context);
            }
            "quiet" if transcript.name.ends_with("quit") => {
                assert!(watch.client_left() && watch.answered() && !watch.may_speak(), "{context}");
            }
            "quiet" => {
                settled(&context);
                assert!(watch.quiet(), "{context}");
            }
            "busy" => {
                settled(&context);
                assert!(!watch.quiet(), "{context}");
            }
            "settled" => settled(&context),
            "open" => assert!(!watch.quiet() && !watch.answered(), "{context}"),
            "new" => watch = support::watch(&redis("{}", None)),
            "#" => {}
            other => panic!("{context}: {other}"),
        }
    }
}

/// Wherever a login could be put in between, nothing that comes behind it is seen otherwise; and every quiet moment is
/// such a moment.
#[test]
fn every_recorded_session_goes_on_as_it_would_have_around_a_new_password() {
    let renewed: usize = transcripts("session").iter().map(check_renewal).sum();
    assert!(renewed > 100, "{renewed} moments");
}

fn check_renewal(transcript: &Transcript) -> usize {
    let (mut plain, mut house, mut renewed) = (watch(&redis("{}", None)), House::new("{}"), 0);
    for (at, (kind, text)) in transcript.lines.iter().enumerate() {
        let context = format!("{} line {}", transcript.name, at + 1);
        match kind.as_str() {
            "C" => {
                let octets = unescape(text);
                send(&mut *plain, &octets, usize::MAX);
                send(&mut *house.watch, &octets, usize::MAX);
            }
            "S" => {
                let octets = unescape(text);
                plain.from_server(&octets).unwrap();
                house.watch.from_server(&octets).unwrap();
            }
            "new" => (plain, house) = (watch(&redis("{}", None)), House::new("{}")),
            _ => {}
        }
        let seen =
            |watch: &dyn Watch| (watch.quiet(), watch.answered(), watch.may_speak(), watch.client_left());
        assert_eq!(seen(&*plain), seen(&*house.watch), "{context}");
        assert_eq!(plain.takes_a_login(), house.watch.takes_a_login(), "{context}");
        assert!(!plain.quiet() || plain.client_left() || plain.takes_a_login(), "{context}");
        assert!(!plain.takes_a_login() || plain.answered(), "{context}");
        if plain.takes_a_login() {
            let push = b">2\r\n+invalidate\r\n_\r\n";
            let (_, left, end) = house.renews(&[&push[..], b"+OK\r\n", push].concat());
            assert_eq!((left, end), (push.repeat(2), Ok(())), "{context}");
            renewed += 1;
        }
    }
    renewed
}

/// What is held back is shown again in front of the next piece.
fn send(watch: &mut dyn Watch, octets: &[u8], size: usize) {
    use attache_wire::Passage;
    let (mut passed, mut seen) = (0, 0);
    while seen < octets.len() {
        seen = seen.saturating_add(size).min(octets.len());
        match watch.from_client(&octets[passed..seen]).unwrap() {
            Passage::All => passed = seen,
            Passage::Hold(count) => passed += count,
            Passage::Until(_) | Passage::Bye(_) | Passage::Instead { .. } => {
                panic!("nothing here pauses the relay: {}", shown(&octets[passed..]))
            }
        }
    }
    assert_eq!(passed, octets.len());
}

/// Nothing is answered before it is: whoever asked is told last.
fn hear(watch: &mut dyn Watch, octets: &[u8], size: usize, context: &str) {
    let random = context.contains("random");
    let pieces = octets.chunks(size.min(octets.len().max(1)));
    let last = pieces.len() - 1;
    for (index, piece) in pieces.enumerate() {
        watch.from_server(piece).unwrap();
        assert!(!random || index == last || !watch.answered(), "{context}: answered too early");
    }
}
