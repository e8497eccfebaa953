//! What real servers said, replayed at every split point.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use attache_postgres::{ChannelBinding, Greeting, Intent, Postgres, SessionWatch};
use attache_transcripts::{Transcript, unescape};
use attache_wire::testing::run_every_split;
use attache_wire::{Fault, Protocol, Rejection, RejectionKind, Terms, TlsFacts, TlsStart, Watch};
use support::{NONCE, client_hears, credential, intent, messages, postgres, transcripts};

#[test]
fn every_recorded_login_is_repeated_octet_by_octet() {
    let logins = transcripts("login");
    assert!(logins.len() > 20, "the transcripts are there");
    logins.iter().for_each(check_login);
}

fn check_login(transcript: &Transcript) {
    let name = &transcript.name;
    let protocol = postgres(binding(transcript), None);
    let (intent, facts, terms) = (intent(&transcript.octets("A")), facts(transcript), terms(transcript));
    let segments = transcript.segments();
    let segments: Vec<&[u8]> = segments.iter().map(Vec::as_slice).collect();
    let run = run_every_split(|| protocol.login(&intent, None, terms.clone()), &segments, facts.as_ref());

    assert_eq!(shown(&run.output), shown(&transcript.octets("C")), "{name}");
    assert!(run.unread.is_empty(), "{name}");
    assert_eq!(run.upgrades, usize::from(facts.is_some()), "{name}");
    let said = messages(segments.last().unwrap());
    match run.end {
        Ok(Some(greeting)) => check_greeting(name, &protocol, &intent, greeting, &said),
        Err(Fault::Rejected(rejection)) => check_rejection(name, &rejection, &said),
        other => panic!("{name}: {other:?}"),
    }
}

/// The client hears what the server said, without the questions of its authentication.
fn check_greeting(name: &str, protocol: &Postgres, intent: &Intent, greeting: Greeting, said: &[&[u8]]) {
    let key = said.iter().find(|message| message[0] == b'K').map(|message| &message[5..]);
    assert_eq!(protocol.ticket(&greeting).as_deref(), key, "{name}");
    let version = protocol.server_version(&greeting).unwrap();
    assert!(name.contains(&format!("-{}", &version[..2])), "{name}: {version}");

    let asked = |message: &&[u8]| message[0] == b'R' && message[5..] != [0, 0, 0, 0];
    let mut expected: Vec<u8> =
        said.iter().filter(|message| !asked(message)).flat_map(|m| m.to_vec()).collect();
    if name == "postgresql-18-too-new" {
        // We passed on 3.2, which this server took without a word.
        expected.splice(..0, *b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0");
    }
    assert_eq!(shown(&client_hears(protocol, intent, greeting)), shown(&expected), "{name}");
}

fn check_rejection(name: &str, rejection: &Rejection, said: &[&[u8]]) {
    let expected = match name.splitn(3, '-').last() {
        Some("wrong-password") => (RejectionKind::Credential, "28P01"),
        // Access rules (pg_hba.conf): another generation of the credential would not help.
        Some("tls-required") => (RejectionKind::Other, "28000"),
        Some("no-such-database") => (RejectionKind::Other, "3D000"),
        other => panic!("{other:?} was rejected: {rejection:?}"),
    };
    assert_eq!((rejection.kind, rejection.code.as_str()), expected);
    assert_eq!(rejection.frame, *said.last().unwrap(), "passed on as it came");
}

fn shown(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}

fn binding(transcript: &Transcript) -> ChannelBinding {
    match transcript.value("binding") {
        "prefer" => ChannelBinding::Prefer,
        "require" => ChannelBinding::Require,
        "disable" => ChannelBinding::Disable,
        other => panic!("{other}"),
    }
}

fn terms(transcript: &Transcript) -> Terms {
    let tls = match transcript.value("tls") {
        "off" => TlsStart::Off,
        "direct" => TlsStart::Direct,
        "negotiated" => TlsStart::Negotiated,
        other => panic!("{other}"),
    };
    let credential = credential(transcript.value("user"), Some(transcript.value("password").as_bytes()));
    Terms {
        credential: Some(credential),
        tls,
        allow_cleartext: false,
        ask_role: false,
        private: false,
        nonce: NONCE,
    }
}

fn facts(transcript: &Transcript) -> Option<TlsFacts> {
    let (_, hash) = transcript.lines.iter().find(|(kind, _)| kind == "TLS")?;
    let escaped: String =
        hash.as_bytes().chunks(2).map(|pair| format!("\\x{}", str::from_utf8(pair).unwrap())).collect();
    Some(TlsFacts { server_end_point: Some(unescape(&escaped)), alpn: Some(b"postgresql".to_vec()) })
}

#[test]
fn every_recorded_session_is_quiet_when_it_should_be() {
    let sessions = transcripts("session");
    assert!(sessions.len() > 30, "the transcripts are there");
    for transcript in &sessions {
        check_session(transcript, usize::MAX);
        check_session(transcript, 1);
        check_session(transcript, 7);
    }
}

/// Feeds a session in pieces of this size.
fn check_session(transcript: &Transcript, size: usize) {
    let mut watch = SessionWatch::default();
    assert!(watch.quiet() && watch.may_speak());
    for (at, (kind, text)) in transcript.lines.iter().enumerate() {
        let octets = unescape(text);
        let context = format!("{} line {} in pieces of {size}", transcript.name, at + 1);
        match kind.as_str() {
            "C" => octets.chunks(size).for_each(|piece| assert!(watch.from_client(piece).is_ok())),
            "S" => octets.chunks(size).for_each(|piece| assert!(watch.from_server(piece).is_ok())),
            "quiet" => assert!(watch.quiet(), "{context}"),
            "busy" => assert!(!watch.quiet(), "{context}"),
            "#" => {}
            other => panic!("{context}: {other}"),
        }
    }
    assert_eq!(watch.client_left(), transcript.name.ends_with("terminate"));
    assert_eq!(watch.may_speak(), !watch.client_left());
}
