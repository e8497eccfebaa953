//! What real servers said, replayed at every split point.

use attache_mysql::{Greeting, Hello, Intent, Mysql, Options};
use attache_transcripts::Transcript;
use attache_wire::testing::{Run, run, run_every_split};
use attache_wire::{
    Fault, Insecure, Machine, Protocol, Rejection, RejectionKind, ServerRole, Terms, TlsFacts, TlsStart,
};
use bytes::BytesMut;

use crate::support::*;

/// One recorded login, and what it takes to repeat it.
struct Recorded {
    transcript: Transcript,
    protocol: Mysql,
    hello: Hello,
    intent: Intent,
    terms: Terms,
    facts: Option<TlsFacts>,
}

#[test]
fn every_recorded_login_is_repeated_octet_by_octet() {
    let transcripts = transcripts("login");
    assert!(transcripts.len() > 30, "the transcripts are there");
    for transcript in transcripts {
        let (recorded, said) = Recorded::open(transcript);
        let login = || {
            recorded.protocol.login(&recorded.intent, Some(recorded.hello.clone()), recorded.terms.clone())
        };
        let run = recorded.repeat(0, login, &said);
        recorded.check(run);
    }
}

impl Recorded {
    /// The server's first words, and what it said behind them.
    fn open(transcript: Transcript) -> (Self, Vec<Vec<u8>>) {
        let (protocol, options) = protocol(&transcript);
        let mut said = part_of(&transcript, 0).segments();
        let heard = run_every_split(|| protocol.hello(TlsStart::Negotiated).unwrap(), &[&said[0]], None);
        said[0] = heard.unread;
        let hello = heard.end.unwrap().unwrap();
        let flags = transcript.value("flags").parse().unwrap();
        let intent = intent(&hello, options, flags, "", b"\x0cprogram_name\x04shop");
        let (terms, facts) = (recorded_terms(&transcript), (said.len() > 1).then(TlsFacts::default));
        (Self { transcript, protocol, hello, intent, terms, facts }, said)
    }

    /// Runs a machine on what the server said, and compares what is sent. What is encrypted with the server's key is
    /// another each time.
    fn repeat<M>(&self, part: usize, make: impl Fn() -> M, said: &[Vec<u8>]) -> Run<Greeting>
    where
        M: Machine<Output = Greeting>,
    {
        let name = &self.transcript.name;
        let segments: Vec<&[u8]> = said.iter().map(Vec::as_slice).collect();
        let expected = part_of(&self.transcript, part).octets("C");
        let run = match name.ends_with("rsa") {
            true => run(make(), &segments, &[], self.facts.as_ref()),
            false => run_every_split(make, &segments, self.facts.as_ref()),
        };
        let sent = as_recorded(&run.output);
        if name.ends_with("rsa") {
            assert_eq!(unencrypted(&sent), unencrypted(&expected), "{name}");
        } else {
            assert_eq!(sent.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{name}");
        }
        assert!(run.unread.is_empty(), "{name}");
        assert_eq!(run.upgrades, usize::from(self.facts.is_some() && part == 0), "{name}");
        run
    }

    fn check(&self, run: Run<Greeting>) {
        let name = &self.transcript.name;
        match run.end {
            Ok(Some(greeting)) => self.check_greeting(greeting),
            Err(Fault::Rejected(rejection)) => self.check_rejection(&rejection),
            Err(Fault::Insecure(Insecure::CleartextPassword)) if name.ends_with("refused") => {}
            other => panic!("{name}: {other:?}"),
        }
    }

    fn check_greeting(&self, greeting: Greeting) {
        let name = &self.transcript.name;
        let version = self.protocol.server_version(&greeting).unwrap();
        let product = if version.contains("MariaDB") { "mariadb" } else { "mysql" };
        assert!(name.starts_with(&format!("{product}-{}", &version[..3])), "{name}: {version}");
        let role = match (self.transcript.value("role"), name.ends_with("read-only")) {
            ("false", _) => None,
            (_, true) => Some(ServerRole::Replica),
            (_, false) => Some(ServerRole::Primary),
        };
        assert_eq!(self.protocol.role(&greeting), role, "{name}");
        self.log_in_again(&greeting);
        self.check_welcome(greeting);
    }

    /// The client hears the server's OK, numbered for it.
    fn check_welcome(&self, greeting: Greeting) {
        let mut heard = BytesMut::new();
        self.protocol.welcome(&self.intent, greeting, &mut heard);
        let said = part_of(&self.transcript, 0).segments().pop().unwrap();
        let said = packets(&said);
        let ok = said.iter().rfind(|(sequence, payload)| *sequence > 1 && payload[0] == 0).unwrap();
        assert_eq!(packets(&heard), [(2, ok.1)], "{}", self.transcript.name);
    }

    /// Twice: the second time with what the first one left behind.
    fn log_in_again(&self, greeting: &Greeting) {
        let mut last = None;
        for part in 1..3 {
            let watch = watch(&self.protocol, &self.intent, last.as_ref().unwrap_or(greeting));
            let make = || OnLink {
                machine: self.protocol.relogin(&watch, &self.intent, self.terms.clone()).unwrap(),
                tls: self.facts.clone(),
            };
            let run = self.repeat(part, make, &part_of(&self.transcript, part).segments());
            last = Some(run.end.unwrap().unwrap());
        }
    }

    fn check_rejection(&self, rejection: &Rejection) {
        let name = &self.transcript.name;
        let expected = match name.rsplit('-').next() {
            Some("password" | "required") => (RejectionKind::Credential, "1045"),
            Some("database") => (RejectionKind::Other, "1044"),
            other => panic!("{other:?} was rejected: {rejection:?}"),
        };
        assert_eq!((rejection.kind, rejection.code.as_str()), expected);
        let said = self.transcript.segments().pop().unwrap();
        assert_eq!(packets(&rejection.frame), [(2, packets(&said).last().unwrap().1)], "{name}");
    }
}

/// What is sent, if we were of the version that the transcripts were recorded with.
fn as_recorded(sent: &[u8]) -> Vec<u8> {
    const RECORDED: &[u8] = b"\x0fattache_version\x050.1.0";
    const PROGRAM: &[u8] = b"\x0cprogram_name\x04shop";
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let ours = [PROGRAM, &RECORDED[..16], &[version.len() as u8], version].concat();
    let rewritten = packets(sent).into_iter().map(|(sequence, payload)| {
        let Some([head @ .., len]) = payload.strip_suffix(&ours[..]) else {
            return packet(sequence, payload);
        };
        assert_eq!(usize::from(*len), ours.len());
        let len = (PROGRAM.len() + RECORDED.len()) as u8;
        packet(sequence, &[head, &[len], PROGRAM, RECORDED].concat())
    });
    rewritten.flatten().collect()
}

fn unencrypted(sent: &[u8]) -> Vec<(u8, &[u8])> {
    packets(sent).into_iter().filter(|(_, payload)| payload.len() != 256).collect()
}

fn protocol(transcript: &Transcript) -> (Mysql, Options) {
    let has = |key| transcript.lines.iter().any(|(known, _)| known == key);
    let options = Options { allow_public_key_retrieval: has("retrieve"), ..Options::default() };
    let database = has("database").then(|| transcript.value("database"));
    (mysql(options.clone(), database), options)
}

fn recorded_terms(transcript: &Transcript) -> Terms {
    let tls = match transcript.value("tls") {
        "off" => TlsStart::Off,
        "negotiated" => TlsStart::Negotiated,
        other => panic!("{other}"),
    };
    let credential = credential(transcript.value("user"), Some(transcript.value("password").as_bytes()));
    Terms {
        credential: Some(credential),
        ask_role: transcript.value("role") == "true",
        private: transcript.value("private") == "true",
        ..terms(tls, "")
    }
}
