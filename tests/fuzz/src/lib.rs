//! One harness per machine: arbitrary bytes go in, and what must hold for all bytes is asserted.
//!
//! The fuzz targets call these functions, and so does the test that replays the corpora. A machine
//! must come to the same end however its input is split, keep its bounds, and never panic.

mod mysql_client;
mod mysql_server;
mod redis;
mod split;

use std::sync::Arc;

use attache_postgres::{ChannelBinding, MAX_GREETING_LEN, Options, Postgres, SessionWatch};
use attache_tcp::Tcp;
use attache_wire::scram::{Binding, ClientFirst, KeyCache};
use attache_wire::testing::{Run, contains, passed_on, run};
use attache_wire::{Credential, Nonce, Opening, Protocol, Secret, Terms, TlsFacts, TlsStart, Watch};
use bytes::BytesMut;

pub use mysql_client::{my_accept, my_guard, my_reopen, my_watch};
pub use mysql_server::{my_hello, my_login, my_relogin};
pub use redis::{redis_login, redis_relogin, redis_sentinel, redis_watch};
use split::same_at_any_split;

const NONCE: Nonce = [7; 24];

/// A harness and the name of its target and corpus.
pub type Harness = (&'static str, fn(&[u8]));

/// Every harness.
pub const HARNESSES: [Harness; 18] = [
    ("tcp", tcp),
    ("pg_accept", pg_accept),
    ("pg_login", pg_login),
    ("pg_cancel", pg_cancel),
    ("pg_watch", pg_watch),
    ("pg_guard", pg_guard),
    ("my_hello", my_hello),
    ("my_login", my_login),
    ("my_relogin", my_relogin),
    ("my_accept", my_accept),
    ("my_reopen", my_reopen),
    ("my_watch", my_watch),
    ("my_guard", my_guard),
    ("redis_login", redis_login),
    ("redis_relogin", redis_relogin),
    ("redis_sentinel", redis_sentinel),
    ("redis_watch", redis_watch),
    ("scram_client", scram_client),
];

const SECRET: &str = "hunter2-and-more";

/// The null protocol eats nothing and says nothing.
pub fn tcp(data: &[u8]) {
    let protocol = Tcp::new(Default::default(), None);
    let accepted = same_at_any_split(|| protocol.accept(None, NONCE), &[data], None);
    assert_eq!((accepted.unread.as_slice(), accepted.output.as_slice()), (data, &b""[..]));
}

/// A client's first packets.
pub fn pg_accept(data: &[u8]) {
    let protocol = postgres(0);
    let accepted = same_at_any_split(|| protocol.accept(None, NONCE), &[data], None);
    assert!(accepted.output.len() <= 2 + 7, "two refusals and one alert");
    if let Ok(Some(Opening::Session(intent))) = accepted.end {
        let sent = run(protocol.login(&intent, None, terms(TlsStart::Off)), &[], &[], None);
        assert!(sent.output.len() <= attache_postgres::MAX_STARTUP_LEN);
    }
}

/// A server's side of a login. The first octet chooses the terms, the second how much the server says
/// before the TLS handshake.
pub fn pg_login(data: &[u8]) {
    let Some(([choice, early], said)) = data.split_first_chunk() else { return };
    let protocol = postgres(*choice);
    let (allow_cleartext, ask_role) = (choice & 0x10 != 0, choice & 0x40 != 0);
    let terms = Terms { allow_cleartext, ask_role, ..terms(tls_start(*choice)) };
    let (early, late) = said.split_at(usize::from(*early % 4).min(said.len()));
    let facts = (choice & 0x20 != 0).then(facts);
    let intent = protocol.probe_intent();
    let ended =
        same_at_any_split(|| protocol.login(&intent, None, terms.clone()), &[early, late], facts.as_ref());
    check_login(&protocol, &terms, facts.as_ref(), ended);
}

fn check_login(
    protocol: &Postgres,
    terms: &Terms,
    tls: Option<&TlsFacts>,
    ended: Run<attache_postgres::Greeting>,
) {
    let may_tell = terms.allow_cleartext || (tls.is_some() && ended.upgrades > 0);
    assert!(may_tell || !contains(&ended.output, SECRET), "the secret on a link without TLS");
    assert!(!format!("{:?}", ended.end).contains(SECRET), "the secret in a text");
    if let Ok(Some(greeting)) = ended.end {
        let mut heard = BytesMut::new();
        protocol.welcome(&protocol.probe_intent(), greeting, &mut heard);
        assert!(!contains(&heard, SECRET), "the secret told to the client");
        assert!(heard.len() <= MAX_GREETING_LEN + 13, "the greeting is bounded");
    }
}

/// A server's side of a cancel request.
pub fn pg_cancel(data: &[u8]) {
    const REQUEST: &[u8] = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\x10\x01key!";
    let Some(([choice], said)) = data.split_first_chunk() else { return };
    let protocol = postgres(*choice);
    let facts = (choice & 0x20 != 0).then(facts);
    let request = match run(protocol.accept(None, NONCE), &[REQUEST], &[], None).end {
        Ok(Some(Opening::Errand(request))) => request,
        other => unreachable!("a well-formed request: {other:?}"),
    };
    let deliver = || protocol.deliver(request.clone(), tls_start(*choice));
    let delivered = same_at_any_split(deliver, &[said, &[]], facts.as_ref());
    assert_eq!(delivered.end == Ok(Some(())), delivered.output.ends_with(REQUEST));
}

/// Both directions of a session. An octet says which direction, and how many octets follow.
pub fn pg_watch(mut data: &[u8]) {
    let (mut whole, mut pieces) = (SessionWatch::default(), SessionWatch::default());
    while let Some(([header], rest)) = data.split_first_chunk() {
        let (bytes, rest) = rest.split_at(usize::from(header >> 1).min(rest.len()));
        data = rest;
        if header & 1 == 0 {
            assert!(whole.from_client(bytes).is_ok());
            bytes.chunks(1).for_each(|piece| assert!(pieces.from_client(piece).is_ok()));
        } else {
            assert!(whole.from_server(bytes).is_ok());
            bytes.chunks(1).for_each(|piece| assert!(pieces.from_server(piece).is_ok()));
        }
        assert_eq!(whole.quiet(), pieces.quiet());
        assert_eq!(whole.may_speak(), pieces.may_speak());
        assert_eq!(whole.client_left(), pieces.client_left());
        assert!(!(whole.quiet() && whole.client_left() && whole.may_speak()));
    }
}

/// A client's stream on a route that only reads. The first octet says what surrounds it: nothing, or one message.
pub fn pg_guard(data: &[u8]) {
    let Some(([choice], said)) = data.split_first_chunk() else { return };
    let stream = match choice & 3 {
        0 => message(b'Q', &[said, b"\0"].concat()),
        1 => message(b'P', &[b"\0", said, b"\0\0\0"].concat()),
        2 => message(b'F', said),
        _ => said.to_vec(),
    };
    let shown = |size| passed_on(&mut SessionWatch::new(true), stream.chunks(size)).ok();
    let whole = shown(usize::MAX);
    assert_eq!(whole, shown(1));
    if choice & 3 != 3 {
        let passed = whole.expect("a message that is whole");
        assert!(passed == stream || contains(&passed, "is refused, because this route is read-only"));
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 4).expect("inputs are short");
    [&[tag][..], &len.to_be_bytes(), body].concat()
}

/// A server's side of SCRAM: its two messages, with a line feed between them.
pub fn scram_client(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (first, last) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    if asks_for_much_work(first) {
        return;
    }
    let (secret, cache) = (secret(), KeyCache::default());
    let client = ClientFirst::new("", &NONCE, Binding::Unsupported);
    if let Ok((message, end)) = client.answer(first, &secret, &cache) {
        assert!(!message.contains(SECRET) && message.len() < 2048);
        // A server that knows the password is not among the arbitrary ones.
        assert!(end.verify(last).is_err());
    }
}

/// Hundreds of thousands of rounds are allowed, but a fuzzer would find nothing else any more.
fn asks_for_much_work(first: &[u8]) -> bool {
    let text = String::from_utf8_lossy(first);
    let count = text.rsplit_once(",i=").map(|(_, count)| count.split(',').next().unwrap_or_default());
    count.and_then(|count| count.parse::<u64>().ok()).is_some_and(|count| count > 5000)
}

fn postgres(choice: u8) -> Postgres {
    let channel_binding = match (choice >> 2) & 3 {
        0 => ChannelBinding::Require,
        1 => ChannelBinding::Disable,
        _ => ChannelBinding::Prefer,
    };
    Postgres::new(Options { channel_binding, ..Options::default() }, None)
}

fn tls_start(choice: u8) -> TlsStart {
    match choice & 3 {
        0 => TlsStart::Direct,
        1 => TlsStart::Negotiated,
        _ => TlsStart::Off,
    }
}

fn terms(tls: TlsStart) -> Terms {
    let credential = Arc::new(Credential::new(Some("orders".to_owned()), Some(secret()), 1));
    Terms {
        credential: Some(credential),
        tls,
        allow_cleartext: false,
        ask_role: false,
        private: false,
        nonce: NONCE,
    }
}

fn secret() -> Secret {
    Secret::new(SECRET.as_bytes().to_vec().into())
}

fn facts() -> TlsFacts {
    TlsFacts { server_end_point: Some(vec![1; 32]), alpn: Some(b"postgresql".to_vec()) }
}
