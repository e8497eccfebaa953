//! What clients of MySQL say, at the beginning and at a change of user, and both directions of their sessions.

use attache_mysql::{Hello, Intent, MAX_RESPONSE_LEN, Mysql, Options, SessionWatch};
use attache_wire::testing::{Run, contains, passed_on, run};
use attache_wire::{Fault, Opening, Passage, Protocol, Relay, TlsStart, Watch};
use bytes::BytesMut;

use crate::split::same_at_any_split;
use crate::{NONCE, SECRET, terms};

/// Flags that every link has here: 4.1, a database at login, named methods with answers of any length.
const BASICS: u64 = 0x0028_8208;
/// Flags that no session has: TLS and compression, which are not offered.
const NEVER: u64 = 0x0400_0820;
/// The flag of a server that is MySQL's own.
const MYSQL: u64 = 1;
/// The flag of a session whose queries have attributes.
const QUERY_ATTRIBUTES: u64 = 1 << 27;
/// The longest that a client is greeted with or asked, in octets.
const MAX_ASKED_LEN: usize = 512;

/// The most of a client's bytes that wait for more, in octets.
const MAX_HELD_LEN: usize = 4 + 64;

/// A client's answer to the greeting. The first octet chooses whose server it is, and what the route allows.
pub fn my_accept(data: &[u8]) {
    let Some(([choice], said)) = data.split_first_chunk() else { return };
    let (protocol, flags) = (mysql(*choice), u64::MAX >> 25 & !u64::from(choice & 1));
    let hello = hello(&protocol, flags);
    let accepted = same_at_any_split(|| protocol.accept(Some(&hello), NONCE), &[said], None);
    assert!(accepted.output.len() <= MAX_ASKED_LEN, "a greeting and a question");
    if let Ok(Some(Opening::Session(intent))) = accepted.end {
        let login = protocol.login(&intent, Some(hello), terms(TlsStart::Off));
        let sent = run(login, &[], &[], None).output;
        assert!(sent.len() <= MAX_RESPONSE_LEN + MAX_ASKED_LEN && !contains(&sent, SECRET));
    }
}

/// A client's COM_CHANGE_USER. The first octet chooses flags of its session.
pub fn my_reopen(data: &[u8]) {
    let Some(([choice], said)) = data.split_first_chunk() else { return };
    let protocol = mysql(*choice);
    let mut watch = watch(&protocol, u64::from(choice & 1) | u64::from(choice & 2) << 19);
    let reopen = || protocol.reopen(&watch, NONCE).expect("MySQL can");
    let Run { end, output, .. } = same_at_any_split(reopen, &[said], None);
    assert!(output.len() <= MAX_ASKED_LEN, "one question");
    if let Ok(Some(intent)) = end {
        let (hello, mut heard) = (hello(&protocol, BASICS), BytesMut::new());
        let login = protocol.login(&intent, Some(hello), terms(TlsStart::Off));
        if let Ok(Some(greeting)) = run(login, &[OK], &[], None).end {
            protocol.rewelcome(&mut watch, &intent, greeting, &mut heard);
            assert!(watch.quiet() && heard.ends_with(&OK[4..]));
        }
    }
}

/// Both directions of a session. Eight octets choose its flags, of which the two highest stand for a link that may be kept and for an id of ours;
/// then an octet says which direction, and how many octets follow.
pub fn my_watch(data: &[u8]) {
    let Some((flags, mut data)) = data.split_first_chunk() else { return };
    let (protocol, flags) = (mysql(2), u64::from_le_bytes(*flags));
    let (mut whole, mut pieces) = (watch(&protocol, flags), watch(&protocol, flags));
    if flags >> 63 == 1 {
        whole.may_be_kept();
        pieces.may_be_kept();
    }
    let (mut held, mut held_pieces) = (Vec::new(), Vec::new());
    while let Some(([header], rest)) = data.split_first_chunk() {
        let (bytes, rest) = rest.split_at(usize::from(header >> 1).min(rest.len()));
        data = rest;
        let stopped = if header & 1 == 0 {
            let all = show(&mut whole, &mut held, bytes, usize::MAX);
            assert_eq!(all, show(&mut pieces, &mut held_pieces, bytes, 1));
            assert!(all != Ok(false) || held == held_pieces, "the same is held back");
            all != Ok(false)
        } else {
            let all = whole.from_server(bytes);
            assert_eq!(all, bytes.chunks(1).try_for_each(|piece| pieces.from_server(piece)));
            all.is_err()
        };
        if stopped {
            return;
        }
        assert_eq!(facts(&whole), facts(&pieces));
        assert!(whole.answered() || !whole.quiet());
        assert!(!(whole.client_left() && whole.may_speak()));
    }
}

/// A client's stream on a route that only reads. The first octet says whether queries have attributes, and what surrounds
/// it: nothing, or one command.
pub fn my_guard(data: &[u8]) {
    let Some(([choice], said)) = data.split_first_chunk() else { return };
    let flags = if choice & 4 == 0 { 0 } else { QUERY_ATTRIBUTES };
    let command: &[u8] = match choice & 3 {
        0 => b"\x03",
        1 => b"\x03\0\x01",
        2 => b"\x16",
        _ => &[],
    };
    let stream = if command.is_empty() { said.to_vec() } else { packet(0, &[command, said].concat()) };
    let protocol = Mysql::new(Options { read_only: true, ..Options::default() }, None);
    let shown = |size| passed_on(&mut watch(&protocol, flags), stream.chunks(size)).ok();
    let whole = shown(usize::MAX);
    assert_eq!(whole, shown(1));
    if !command.is_empty() {
        let passed = whole.expect("a command that is whole");
        assert!(passed == stream || contains(&passed, "is refused, because this route is read-only"));
    }
}

/// Shows pieces as a relay does. Says whether it has to pause.
fn show(watch: &mut SessionWatch, held: &mut Vec<u8>, bytes: &[u8], size: usize) -> Result<bool, Fault> {
    for piece in bytes.chunks(size) {
        held.extend_from_slice(piece);
        match watch.from_client(held)? {
            Passage::All => held.clear(),
            Passage::Hold(passed) => {
                held.drain(..passed);
                assert!(held.len() <= MAX_HELD_LEN, "a header, or what may be a KILL");
            }
            Passage::Until(passed) => {
                held.drain(..passed);
                return Ok(true);
            }
            Passage::Instead { .. } => unreachable!("nothing is guarded"),
            Passage::Bye(_) => {
                assert!(watch.reusable() && watch.client_left());
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn facts(watch: &SessionWatch) -> (bool, bool, bool, bool, u8) {
    (watch.quiet(), watch.answered(), watch.may_speak(), watch.client_left(), watch.next_number())
}

const OK: &[u8] = b"\x07\0\0\x02\0\0\0\x02\0\0\0";

/// The watch of a session whose links both have these flags.
fn watch(protocol: &Mysql, flags: u64) -> SessionWatch {
    let ours = flags >> 62 & 1 == 1;
    let flags = flags & !NEVER & u64::MAX >> 25 | BASICS;
    let hello = hello(protocol, flags);
    let disguised = protocol.disguise_hello(&hello, 7).filter(|_| ours).map(|(hello, _)| hello);
    let accept = protocol.accept(disguised.as_ref().or(Some(&hello)), NONCE);
    let intent = match run(accept, &[&response(flags)], &[], None).end {
        Ok(Some(Opening::Session(intent))) => intent,
        other => unreachable!("a well-formed response: {other:?}"),
    };
    relayed(protocol, &intent, hello)
}

fn relayed(protocol: &Mysql, intent: &Intent, hello: Hello) -> SessionWatch {
    let login = protocol.login(intent, Some(hello), terms(TlsStart::Off));
    // The second is the answer to what a route that only reads asks for.
    let said = [OK, &packet(1, &OK[4..])].concat();
    let greeting = run(login, &[&said], &[], None).end.ok().flatten().expect("the server lets us in");
    match protocol.relay(intent, &greeting) {
        Relay::Watched(watch) => *watch,
        Relay::Opaque => unreachable!("sessions are watched"),
    }
}

fn hello(protocol: &Mysql, flags: u64) -> Hello {
    let flags = flags | BASICS;
    let extended = if flags & MYSQL == 0 { (flags >> 32) as u32 } else { 0 };
    let payload = [
        &b"\x0a9.7.4\0\x2a\0\0\0noncenon\0"[..],
        &(flags as u16).to_le_bytes(),
        b"\x2d\x02\0",
        &((flags >> 16) as u16).to_le_bytes(),
        b"\x15\0\0\0\0\0\0",
        &extended.to_le_bytes(),
        b"of-twenty-by\0mysql_native_password\0",
    ];
    let machine = protocol.hello(TlsStart::Off).expect("the server speaks first");
    run(machine, &[&packet(0, &payload.concat())], &[], None)
        .end
        .ok()
        .flatten()
        .expect("a well-formed greeting")
}

fn response(flags: u64) -> Vec<u8> {
    let extended = if flags & MYSQL == 0 { (flags >> 32) as u32 } else { 0 };
    let payload = [
        &(flags as u32).to_le_bytes()[..],
        b"\0\0\0\x01\x2d",
        &[0; 19],
        &extended.to_le_bytes(),
        b"app\0\x01xshop\0mysql_native_password\0",
    ];
    packet(1, &payload.concat())
}

fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    let [low, middle, ..] = (payload.len() as u32).to_le_bytes();
    [&[low, middle, 0, number], payload].concat()
}

fn mysql(choice: u8) -> Mysql {
    Mysql::new(Options { allow_local_infile: choice & 2 != 0, ..Options::default() }, None)
}
