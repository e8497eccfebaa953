//! What servers of MySQL say: first, at a login, and at a second one on the same link.

use attache_mysql::{Greeting, Hello, Intent, MAX_LOGIN_PACKET_LEN, Mysql, Options};
use attache_wire::testing::{Run, contains, run};
use attache_wire::{Opening, Protocol, Relay, Terms, TlsFacts, TlsStart};
use bytes::BytesMut;

use crate::split::same_at_any_split;
use crate::{NONCE, SECRET, facts, terms, tls_start};

/// The greeting of a server that can do everything, MariaDB's flags included.
const GREETING: &[u8] =
    b"\x50\0\0\0\x0a11.8-MariaDB\0\x2a\0\0\0noncenon\0\xfe\xff\x2d\x02\0\xff\xff\x15\0\0\0\0\0\0\
    \x3f\0\0\0of-twenty-by\0mysql_native_password\0";
/// A client that can do as much.
const RESPONSE: &[u8] =
    b"\x3d\0\0\x01\xd6\xa7\xff\x0b\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x3f\0\0\0\
    app\0\x01xmysql_native_password\0\0";
const OK: &[u8] = b"\x07\0\0\x02\0\0\0\x02\0\0\0";

/// A server's first words. The first octet chooses how TLS starts.
pub fn my_hello(data: &[u8]) {
    let Some(([choice], said)) = data.split_first_chunk() else { return };
    let protocol = mysql(*choice);
    let (tls, facts) = (tls_start(*choice), (choice & 0x20 != 0).then(facts));
    let segments: &[&[u8]] = if tls == TlsStart::Direct { &[&[], said] } else { &[said] };
    let heard = same_at_any_split(|| hello_machine(&protocol, tls), segments, facts.as_ref());
    assert!(heard.output.is_empty(), "nobody has asked us");
    if let Ok(Some(hello)) = heard.end {
        let greeted = run(protocol.accept(Some(&hello), NONCE), &[&[]], &[], None);
        assert!(greeted.output.len() < 1024, "what a client is greeted with is bounded");
        let login = protocol.login(&protocol.probe_intent(), Some(hello), terms(TlsStart::Off));
        assert!(!contains(&run(login, &[&[]], &[], None).output, SECRET));
    }
}

/// A server's side of a login. The first octet chooses the terms.
pub fn my_login(data: &[u8]) {
    let Some(([choice], said)) = data.split_first_chunk() else { return };
    if offers_a_key(said) || asks_for_much_work(said) {
        return;
    }
    let protocol = mysql(*choice);
    let (allow_cleartext, ask_role, private) = (choice & 0x10 != 0, choice & 0x40 != 0, choice & 0x80 != 0);
    let terms = Terms { allow_cleartext, ask_role, private, ..terms(tls_start(*choice)) };
    let facts = (choice & 0x20 != 0).then(facts);
    let segments: &[&[u8]] = if terms.tls == TlsStart::Off { &[said] } else { &[&[], said] };
    let (hello, intent) = opening(&protocol);
    let login = || protocol.login(&intent, Some(hello.clone()), terms.clone());
    let ended = same_at_any_split(login, segments, facts.as_ref());
    check(&protocol, &intent, &terms, facts.as_ref().filter(|_| ended.upgrades > 0), ended);
}

/// A server's side of a login on a link that is logged in.
pub fn my_relogin(data: &[u8]) {
    let Some(([choice], said)) = data.split_first_chunk() else { return };
    if offers_a_key(said) || asks_for_much_work(said) {
        return;
    }
    let protocol = mysql(*choice);
    let (allow_cleartext, private) = (choice & 0x10 != 0, choice & 0x80 != 0);
    let (hello, intent) = opening(&protocol);
    let login = protocol.login(&intent, Some(hello), terms(TlsStart::Off));
    let greeting = run(login, &[OK], &[], None).end.ok().flatten().expect("the server lets us in");
    let Relay::Watched(watch) = protocol.relay(&intent, &greeting) else {
        unreachable!("sessions are watched")
    };
    let terms = Terms { allow_cleartext, private, ..terms(TlsStart::Off) };
    let relogin = || protocol.relogin(&watch, &intent, terms.clone()).expect("MySQL can");
    let ended = same_at_any_split(relogin, &[said], None);
    check(&protocol, &intent, &terms, None, ended);
}

fn check(protocol: &Mysql, intent: &Intent, terms: &Terms, tls: Option<&TlsFacts>, ended: Run<Greeting>) {
    let may_tell = terms.allow_cleartext || terms.private || tls.is_some();
    assert!(may_tell || !contains(&ended.output, SECRET), "the secret on a link that others read");
    assert!(!format!("{:?}", ended.end).contains(SECRET), "the secret in a text");
    if let Ok(Some(greeting)) = ended.end {
        let mut heard = BytesMut::new();
        protocol.welcome(intent, greeting, &mut heard);
        assert!(!contains(&heard, SECRET), "the secret told to the client");
        assert!(heard.len() <= MAX_LOGIN_PACKET_LEN, "what a client hears is bounded");
    }
}

/// What is encrypted with a key is another each time. The unit tests have that.
fn offers_a_key(said: &[u8]) -> bool {
    contains(said, "BEGIN PUBLIC KEY")
}

/// Many rounds are allowed, but a fuzzer would find nothing else any more.
fn asks_for_much_work(said: &[u8]) -> bool {
    said.windows(2).any(|pair| matches!(pair, [b'P', 2..=9]))
}

fn opening(protocol: &Mysql) -> (Hello, Intent) {
    let hello = run(hello_machine(protocol, TlsStart::Off), &[GREETING], &[], None);
    let hello = hello.end.ok().flatten().expect("a well-formed greeting");
    match run(protocol.accept(Some(&hello), NONCE), &[RESPONSE], &[], None).end {
        Ok(Some(Opening::Session(intent))) => (hello, intent),
        other => unreachable!("a well-formed response: {other:?}"),
    }
}

fn hello_machine(protocol: &Mysql, tls: TlsStart) -> attache_wire::Boxed<Hello> {
    protocol.hello(tls).expect("the server speaks first")
}

fn mysql(choice: u8) -> Mysql {
    let allow_public_key_retrieval = choice & 0b100 != 0;
    Mysql::new(Options { allow_public_key_retrieval, ..Options::default() }, None)
}
