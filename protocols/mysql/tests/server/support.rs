//! Transcripts, and short ways to make packets.

use std::sync::Arc;

use attache_mysql::{Greeting, Hello, Intent, Mysql, Options, SessionWatch};
use attache_transcripts::Transcript;
pub(crate) use attache_wire::testing::contains;
use attache_wire::testing::{Run, run, run_every_split};
use attache_wire::{
    Credential, Fault, Machine, Nonce, Opening, Protocol, Relay, Secret, Step, Terms, TlsFacts, TlsStart,
    Turn,
};

/// The nonce of every recorded login.
pub(crate) const NONCE: Nonce = [7; 24];
pub(crate) const PASSWORD: &str = "hunter2-and-more";

pub(crate) const LONG_PASSWORD: u64 = 1;
pub(crate) const CONNECT_WITH_DB: u64 = 1 << 3;
pub(crate) const COMPRESS: u64 = 1 << 5;
pub(crate) const LOCAL_FILES: u64 = 1 << 7;
pub(crate) const PROTOCOL_41: u64 = 1 << 9;
pub(crate) const SSL: u64 = 1 << 11;
pub(crate) const TRANSACTIONS: u64 = 1 << 13;
pub(crate) const SECURE_CONNECTION: u64 = 1 << 15;
pub(crate) const PLUGIN_AUTH: u64 = 1 << 19;
pub(crate) const CONNECT_ATTRS: u64 = 1 << 20;
pub(crate) const PLUGIN_AUTH_LENENC: u64 = 1 << 21;
pub(crate) const EXPIRED_PASSWORDS: u64 = 1 << 22;
pub(crate) const SESSION_TRACK: u64 = 1 << 23;
pub(crate) const DEPRECATE_EOF: u64 = 1 << 24;
pub(crate) const OPTIONAL_METADATA: u64 = 1 << 25;
pub(crate) const QUERY_ATTRIBUTES: u64 = 1 << 27;
pub(crate) const MULTI_FACTOR: u64 = 1 << 28;
pub(crate) const CACHE_METADATA: u64 = 1 << 36;

/// What servers of today can do, without what MariaDB has for itself.
pub(crate) const ALL: u64 = 0xffff_ffff & !(COMPRESS | 1 << 26);
/// What a probe has on its link: all that a login needs.
pub(crate) const PROBE: u64 = LONG_PASSWORD
    | PROTOCOL_41
    | TRANSACTIONS
    | SECURE_CONNECTION
    | PLUGIN_AUTH
    | CONNECT_ATTRS
    | PLUGIN_AUTH_LENENC;

pub(crate) const OK: &[u8] = b"\0\0\0\x02\0\0\0";

pub(crate) fn mysql(options: Options, database: Option<&str>) -> Mysql {
    Mysql::new(options, database.map(str::to_owned))
}

pub(crate) fn credential(user: &str, secret: Option<&[u8]>) -> Arc<Credential> {
    let secret = secret.map(|secret| Secret::new(secret.to_vec().into()));
    Arc::new(Credential::new(Some(user.to_owned()), secret, 1))
}

pub(crate) fn terms(tls: TlsStart, password: &str) -> Terms {
    let credential = Some(credential("orders", Some(password.as_bytes())));
    Terms { credential, tls, allow_cleartext: false, ask_role: false, private: false, nonce: NONCE }
}

pub(crate) fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let [low, middle, high, _] = (payload.len() as u32).to_le_bytes();
    [&[low, middle, high, sequence], payload].concat()
}

pub(crate) fn error(sequence: u8, number: u16, text: &str) -> Vec<u8> {
    packet(sequence, &[&[0xff], &number.to_le_bytes()[..], b"#HY000", text.as_bytes()].concat())
}

pub(crate) fn switch(sequence: u8, plugin: &str, data: &[u8]) -> Vec<u8> {
    packet(sequence, &[b"\xfe", plugin.as_bytes(), b"\0", data].concat())
}

/// The nonce of every greeting here.
pub(crate) fn nonce() -> [u8; 20] {
    *b"nonce-of-twenty-byte"
}

pub(crate) fn greeting(version: &str, capabilities: u64, plugin: &str) -> Vec<u8> {
    let flags = capabilities.to_le_bytes();
    let (head, tail) = (&nonce()[..8], &nonce()[8..]);
    packet(
        0,
        &[
            b"\x0a",
            version.as_bytes(),
            b"\0\x2a\0\0\0",
            head,
            b"\0",
            &flags[..2],
            b"\xff\x02\0",
            &flags[2..4],
            b"\x15\0\0\0\0\0\0",
            &flags[4..],
            tail,
            b"\0",
            plugin.as_bytes(),
            b"\0",
        ]
        .concat(),
    )
}

pub(crate) fn hello_of(greeting: &[u8]) -> Hello {
    let hello = run(mysql(Options::default(), None).hello(TlsStart::Off).unwrap(), &[greeting], &[], None);
    hello.end.unwrap().unwrap()
}

pub(crate) fn hello(capabilities: u64) -> Hello {
    hello_of(&greeting("8.4.0", capabilities, "caching_sha2_password"))
}

pub(crate) fn mariadb(capabilities: u64) -> Hello {
    let capabilities = capabilities & !LONG_PASSWORD;
    hello_of(&greeting("5.5.5-10.11.6-MariaDB", capabilities, "mysql_native_password"))
}

/// One login, at every split point.
pub(crate) struct Case {
    pub(crate) options: Options,
    pub(crate) hello: Hello,
    pub(crate) terms: Terms,
}

impl Case {
    /// On a link without TLS to a MySQL server.
    pub(crate) fn plain() -> Self {
        Self { options: Options::default(), hello: hello(ALL), terms: terms(TlsStart::Off, PASSWORD) }
    }

    /// On a link with TLS, by the servers whose greeting this is.
    pub(crate) fn encrypted() -> Self {
        Self { terms: terms(TlsStart::Negotiated, PASSWORD), ..Self::plain() }
    }

    /// What comes of it if the server says this, after TLS if there is any.
    pub(crate) fn hears(&self, said: &[u8]) -> Run<Greeting> {
        let protocol = mysql(self.options.clone(), None);
        let make = || protocol.login(&protocol.probe_intent(), Some(self.hello.clone()), self.terms.clone());
        match self.terms.tls {
            TlsStart::Off => run_every_split(make, &[said], None),
            TlsStart::Direct | TlsStart::Negotiated => {
                run_every_split(make, &[b"", said], Some(&TlsFacts::default()))
            }
        }
    }

    /// The same where what is sent is different each time.
    pub(crate) fn hears_once(&self, said: &[u8]) -> Run<Greeting> {
        let protocol = mysql(self.options.clone(), None);
        let login = protocol.login(&protocol.probe_intent(), Some(self.hello.clone()), self.terms.clone());
        run(login, &[said], &[], None)
    }
}

/// A machine on a link whose TLS handshake, if there was any, is long over.
pub(crate) struct OnLink<M> {
    pub(crate) machine: M,
    pub(crate) tls: Option<TlsFacts>,
}

impl<M: Machine> Machine for OnLink<M> {
    type Output = M::Output;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<M::Output>, Fault> {
        self.machine.step(&mut Turn { input: turn.input, output: turn.output, tls: self.tls.as_ref() })
    }

    fn limit(&self) -> usize {
        self.machine.limit()
    }
}

/// What a client wants that sets these flags, and names this database.
pub(crate) fn intent(
    hello: &Hello,
    options: Options,
    flags: u64,
    database: &str,
    attributes: &[u8],
) -> Intent {
    let mut response =
        [&flags.to_le_bytes()[..4], b"\0\0\0\x40\x2d", &[0; 19], &flags.to_le_bytes()[4..]].concat();
    response.extend(b"app\0\x01x");
    if flags & CONNECT_WITH_DB != 0 {
        response.extend([database.as_bytes(), b"\0"].concat());
    }
    if flags & PLUGIN_AUTH != 0 {
        response.extend(b"mysql_native_password\0");
    }
    if flags & CONNECT_ATTRS != 0 {
        response.push(attributes.len() as u8);
        response.extend(attributes);
    }
    let accept = mysql(options, None).accept(Some(hello), NONCE);
    match run(accept, &[&packet(1, &response)], &[], None).end {
        Ok(Some(Opening::Session(intent))) => intent,
        other => panic!("not a session: {other:?}"),
    }
}

pub(crate) fn watch(protocol: &Mysql, intent: &Intent, greeting: &Greeting) -> SessionWatch {
    match protocol.relay(intent, greeting) {
        Relay::Watched(watch) => *watch,
        Relay::Opaque => panic!("sessions are watched"),
    }
}

/// Payloads with their numbers.
pub(crate) fn packets(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let len = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) as usize;
        found.push((bytes[3], &bytes[4..4 + len]));
        bytes = &bytes[4 + len..];
    }
    found
}

#[track_caller]
pub(crate) fn assert_unsaid(run: &Run<Greeting>, fault: Fault) {
    assert_eq!(run.end, Err(fault));
    assert!(!contains(&run.output, PASSWORD.as_bytes()), "the secret stays here");
}

pub(crate) fn transcripts(folder: &str) -> Vec<Transcript> {
    Transcript::all(format!("{}/tests/server/data/{folder}", env!("CARGO_MANIFEST_DIR")))
}

/// The lines from one mark to the next: `R` is where the session logs in again.
pub(crate) fn part_of(transcript: &Transcript, at: usize) -> Transcript {
    let parts: Vec<_> = transcript.lines.split(|(kind, _)| kind == "R").collect();
    Transcript { name: transcript.name.clone(), lines: parts[at].to_vec() }
}
