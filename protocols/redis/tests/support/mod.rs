//! Transcripts, and short ways to say things.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use attache_redis::{Greeting, Intent, Options, Redis, SessionWatch};
use attache_transcripts::Transcript;
use attache_wire::testing::run;
use attache_wire::{Credential, Fault, Passage, Protocol, Relay, Secret, Terms, TlsStart, Verdict, Watch};
use bytes::BytesMut;

pub(crate) const SECRET: &str = "correct-horse-battery";

pub(crate) fn redis(options: &str, database: Option<&str>) -> Redis {
    Redis::new(serde_json::from_str::<Options>(options).unwrap(), database.map(str::to_owned))
}

pub(crate) fn terms(user: Option<&str>, secret: Option<&str>) -> Terms {
    let secret = secret.map(|secret| Secret::new(secret.as_bytes().to_vec().into()));
    Terms {
        credential: Some(Arc::new(Credential::new(user.map(str::to_owned), secret, 1))),
        tls: TlsStart::Off,
        allow_cleartext: true,
        ask_role: false,
        private: false,
        nonce: [7; 24],
    }
}

/// A command as an array of its words.
pub(crate) fn command(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let words_of = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
    format!("*{}\r\n{}", words.len(), words.iter().map(words_of).collect::<String>()).into_bytes()
}

pub(crate) fn commands(lines: &[&str]) -> Vec<u8> {
    lines.iter().flat_map(|line| command(line)).collect()
}

/// A session from its login on.
pub(crate) fn watch(protocol: &Redis) -> Box<SessionWatch> {
    let login = protocol.login(&Intent::Session, None, terms(None, None));
    let said = b"*0\r\n+PONG\r\n+OK\r\n";
    let greeting = run(login, &[said], &[], None).end.unwrap().unwrap();
    match protocol.relay(&Intent::Session, &greeting) {
        Relay::Watched(watch) => watch,
        Relay::Opaque => panic!("a session is watched"),
    }
}

/// What came of a pause: what went to the server, and what to the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) asked: Vec<u8>,
    pub(crate) told: String,
}

/// A session in the house's hands.
pub(crate) struct House {
    pub(crate) protocol: Redis,
    pub(crate) watch: Box<SessionWatch>,
    pub(crate) terms: Terms,
}

impl House {
    pub(crate) fn new(options: &str) -> Self {
        let protocol = redis(options, None);
        let watch = watch(&protocol);
        Self { protocol, watch, terms: terms(Some("orders"), Some(SECRET)) }
    }

    /// What passes both ways without a pause.
    pub(crate) fn passes(&mut self, client: &[u8], server: &[u8]) {
        assert_eq!(self.watch.from_client(client), Ok(Passage::All), "{}", client.escape_ascii());
        self.watch.from_server(server).unwrap();
    }

    /// A command that pauses the relay, to which the server says this.
    pub(crate) fn pauses(&mut self, client: &[u8], server: &[u8]) -> Pause {
        self.tries(client, server).unwrap()
    }

    pub(crate) fn tries(&mut self, client: &[u8], server: &[u8]) -> Result<Pause, Fault> {
        assert_eq!(self.watch.from_client(client), Ok(Passage::Until(0)), "{}", client.escape_ascii());
        self.paused(client, server)
    }

    /// Whether a command that pauses the relay shows our credential, and what the server says to that.
    pub(crate) fn judges(&mut self, client: &[u8], server: &[u8]) -> (bool, Verdict) {
        let intent = self.intends(client);
        let relogin = self.protocol.relogin(&self.watch, &intent, self.terms.clone()).unwrap();
        let greeting = run(relogin, &[server], &[], None).end.unwrap().unwrap();
        (self.protocol.shows_credential(&intent), self.protocol.verdict(&greeting))
    }

    /// What is left unread by a login that is rejected, at any split, and what the client is told in the end.
    pub(crate) fn rejects(&mut self, client: &[u8], server: &[u8]) -> (String, String) {
        let intent = self.intends(client);
        let make = || self.protocol.relogin(&self.watch, &intent, self.terms.clone()).unwrap();
        let run = attache_wire::testing::run_every_split(make, &[server], None);
        let greeting = run.end.unwrap().unwrap();
        assert_eq!(self.protocol.verdict(&greeting), Verdict::Rejected);
        let told = self.welcomes(&intent, greeting);
        self.watch.from_server(&run.unread).unwrap();
        (String::from_utf8(run.unread).unwrap(), told)
    }

    fn intends(&mut self, client: &[u8]) -> Intent {
        assert_eq!(self.watch.from_client(client), Ok(Passage::Until(0)), "{}", client.escape_ascii());
        run(self.protocol.reopen(&self.watch, [7; 24]).unwrap(), &[client], &[], None).end.unwrap().unwrap()
    }

    /// The pause itself, once everything before it is answered.
    pub(crate) fn paused(&mut self, client: &[u8], server: &[u8]) -> Result<Pause, Fault> {
        assert!(self.watch.answered());
        let reopened = run(self.protocol.reopen(&self.watch, [7; 24]).unwrap(), &[client], &[], None);
        assert!(reopened.unread.is_empty() && reopened.output.is_empty());
        self.logs_in(&reopened.end?.unwrap(), server)
    }

    /// What became of an intent, at any split of what the server says.
    pub(crate) fn logs_in(&mut self, intent: &Intent, server: &[u8]) -> Result<Pause, Fault> {
        let make = || self.protocol.relogin(&self.watch, intent, self.terms.clone()).unwrap();
        let run = attache_wire::testing::run_every_split(make, &[server], None);
        assert_eq!(run.unread, b"", "{}", run.output.escape_ascii());
        let greeting = run.end?.unwrap_or_else(|| panic!("it waits: {}", run.output.escape_ascii()));
        Ok(Pause { asked: run.output, told: self.welcomes(intent, greeting) })
    }

    /// What becomes of a new password, at any split of what the server says: the octets that went to the server, those
    /// that are left for the client, and whether it was accepted.
    pub(crate) fn renews(&mut self, server: &[u8]) -> (Vec<u8>, Vec<u8>, Result<(), Fault>) {
        assert!(self.watch.takes_a_login());
        let intent = self.protocol.renewal(self.terms.credential.as_deref().unwrap()).unwrap();
        let make = || self.protocol.relogin(&self.watch, &intent, self.terms.clone()).unwrap();
        let run = attache_wire::testing::run_every_split(make, &[server], None);
        let end = run.end.map(|greeting| {
            let greeting = greeting.expect("it is answered");
            assert_eq!(self.protocol.verdict(&greeting), Verdict::Accepted);
        });
        self.watch.from_server(&run.unread).unwrap();
        (run.output, run.unread, end)
    }

    fn welcomes(&mut self, intent: &Intent, greeting: Greeting) -> String {
        let mut out = BytesMut::new();
        self.protocol.rewelcome(&mut self.watch, intent, greeting, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }
}

pub(crate) fn transcripts(folder: &str) -> Vec<Transcript> {
    Transcript::all(format!("{}/tests/data/{folder}", env!("CARGO_MANIFEST_DIR")))
}
