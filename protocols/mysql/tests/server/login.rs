//! What the server is told at login, by greetings of all kinds.

use std::sync::Arc;

use attache_mysql::{Hello, Intent, Options};
use attache_wire::testing::{run, run_every_split};
use attache_wire::{Credential, Fault, Insecure, Protocol, Terms, TlsFacts, TlsStart};
use bytes::Buf;

use crate::support::*;

const EVERYTHING: u64 = ALL | CACHE_METADATA;

/// A HandshakeResponse41, taken apart.
#[derive(Debug, PartialEq)]
struct Response {
    sequence: u8,
    flags: u64,
    max_packet: u32,
    collation: u8,
    user: String,
    proof: usize,
    database: Option<String>,
    plugin: Option<String>,
    attributes: Option<Vec<u8>>,
}

fn response(packet: (u8, &[u8])) -> Response {
    let (sequence, mut rest) = packet;
    let flags: u64 = rest.get_u32_le().into();
    let (max_packet, collation) = (rest.get_u32_le(), rest.get_u8());
    assert_eq!(rest.split_off(..19).unwrap(), [0; 19]);
    let flags = flags | u64::from(rest.get_u32_le()) << 32;
    let text = |rest: &mut &[u8]| {
        let end = rest.iter().position(|octet| *octet == 0).unwrap();
        let text = String::from_utf8(rest[..end].to_vec()).unwrap();
        rest.advance(end + 1);
        text
    };
    let user = text(&mut rest);
    let proof = rest.get_u8().into();
    rest.advance(proof);
    let database = (flags & CONNECT_WITH_DB != 0).then(|| text(&mut rest));
    let plugin = (flags & PLUGIN_AUTH != 0).then(|| text(&mut rest));
    let attributes = (flags & CONNECT_ATTRS != 0).then(|| {
        let len = rest.get_u8().into();
        rest.split_off(..len).unwrap().to_vec()
    });
    assert!(rest.is_empty());
    Response { sequence, flags, max_packet, collation, user, proof, database, plugin, attributes }
}

fn sent(intent: &Intent, hello: Hello, database: Option<&str>, options: Options) -> Result<Response, Fault> {
    let login = mysql(options, database).login(intent, Some(hello), terms(TlsStart::Off, PASSWORD));
    let run = run(login, &[b""], &[], None);
    run.end.map(|_| response(packets(&run.output)[0]))
}

fn wanted(hello: &Hello, flags: u64) -> Intent {
    intent(hello, Options::default(), flags, "shop", b"\x0cprogram_name\x03app")
}

#[test]
fn what_the_client_wants_is_asked_of_the_server() {
    let hello = hello(ALL);
    let client = PROBE | CONNECT_WITH_DB | DEPRECATE_EOF | SESSION_TRACK | QUERY_ATTRIBUTES;
    let sent = sent(&wanted(&hello, client), hello, None, Options::default()).unwrap();
    let attributes =
        [&b"\x0cprogram_name\x03app\x0fattache_version\x05"[..], env!("CARGO_PKG_VERSION").as_bytes()];
    assert_eq!(
        sent,
        Response {
            sequence: 1,
            flags: client,
            max_packet: 0x4000_0000,
            collation: 45,
            user: "orders".to_owned(),
            proof: 32,
            database: Some("shop".to_owned()),
            plugin: Some("caching_sha2_password".to_owned()),
            attributes: Some(attributes.concat()),
        }
    );
}

#[test]
fn flags_that_only_a_login_knows_are_ours() {
    let client = PROTOCOL_41 | SECURE_CONNECTION | DEPRECATE_EOF;
    let flags = |offered, client| {
        let hello = hello(offered);
        sent(&wanted(&hello, client), hello, None, Options::default()).unwrap().flags
    };
    assert_eq!(flags(ALL, client), PROBE | DEPRECATE_EOF, "an old client at a new server");
    let old = LONG_PASSWORD | PROTOCOL_41 | SECURE_CONNECTION;
    assert_eq!(flags(old, ALL & !CONNECT_WITH_DB), old, "a new client at an old server");
    let never = COMPRESS | SSL | EXPIRED_PASSWORDS | MULTI_FACTOR | 0b111 << 29 | 1 << 26;
    assert_eq!(flags(ALL | never, ALL | never) & never, 0);
}

#[test]
fn files_of_the_client_are_not_to_be_asked_for_unless_the_route_allows_it() {
    let flags = |allow_local_infile| {
        let options = Options { allow_local_infile, ..Options::default() };
        let hello = hello(ALL);
        let intent = intent(&hello, options.clone(), PROBE | LOCAL_FILES, "", b"");
        sent(&intent, hello, None, options).unwrap().flags & LOCAL_FILES
    };
    assert_eq!((flags(false), flags(true)), (0, LOCAL_FILES));
}

#[test]
fn flags_of_mariadb_stand_in_its_half_where_both_sides_do_not_say_that_they_are_mysql() {
    let flags =
        |hello: Hello, client| sent(&wanted(&hello, client), hello, None, Options::default()).unwrap().flags;
    let client = PROBE & !LONG_PASSWORD | CACHE_METADATA;
    assert_eq!(flags(mariadb(EVERYTHING), client), client);
    assert_eq!(
        flags(mariadb(EVERYTHING), client | LONG_PASSWORD),
        PROBE & !LONG_PASSWORD,
        "a client of MySQL's"
    );
    assert_eq!(flags(hello(EVERYTHING), client), PROBE, "a server of MySQL's");
}

/// The client was greeted as another server greets, which then failed.
#[test]
fn a_server_that_cannot_do_what_the_client_was_promised_is_refused() {
    for promised in [DEPRECATE_EOF, SESSION_TRACK, OPTIONAL_METADATA, QUERY_ATTRIBUTES, CACHE_METADATA] {
        let intent = wanted(&mariadb(EVERYTHING), PROBE & !LONG_PASSWORD | promised);
        let poorer = mariadb(EVERYTHING & !promised);
        let end = sent(&intent, poorer, None, Options::default());
        let Err(Fault::Unsupported(text)) = end else { panic!("{end:?}") };
        assert!(text.contains("promised"), "{text}");
        assert!(sent(&intent, mariadb(EVERYTHING), None, Options::default()).is_ok());
    }
}

#[test]
fn the_routes_database_comes_before_the_clients() {
    let database = |route, client| {
        let hello = hello(ALL);
        let intent = intent(&hello, Options::default(), PROBE | CONNECT_WITH_DB, client, b"");
        sent(&intent, hello, route, Options::default()).unwrap().database
    };
    assert_eq!(database(None, "shop").as_deref(), Some("shop"));
    assert_eq!(database(Some("stock"), "shop").as_deref(), Some("stock"));
    assert_eq!(database(Some("stock"), "").as_deref(), Some("stock"));
    assert_eq!(database(None, ""), None);
    let intent = wanted(&hello(ALL), PROBE);
    let end = sent(&intent, hello(ALL & !CONNECT_WITH_DB), Some("stock"), Options::default());
    assert!(matches!(end, Err(Fault::Unsupported(_))), "{end:?}");
}

#[test]
fn a_login_starts_with_a_hash_by_the_servers_own_method_or_one_that_every_server_knows() {
    let first = |hello: Hello| {
        let sent = sent(&wanted(&hello, PROBE), hello, None, Options::default()).unwrap();
        (sent.plugin.unwrap_or_default(), sent.proof)
    };
    let by = |version, plugin| first(hello_of(&greeting(version, ALL, plugin)));
    let (native, sha2) = (("mysql_native_password".to_owned(), 20), ("caching_sha2_password".to_owned(), 32));
    assert_eq!(by("8.4.0", "caching_sha2_password"), sha2);
    assert_eq!(by("8.0.11", "mysql_native_password"), native);
    assert_eq!(by("5.7.44", "sha256_password"), sha2);
    assert_eq!(by("9.7.4", "authentication_kerberos_client"), sha2);
    assert_eq!(by("10.11-MariaDB", "client_ed25519"), native);
    assert_eq!(by("10.11-MariaDB", "mysql_clear_password"), native);
    assert_eq!(first(hello(ALL & !PLUGIN_AUTH)), (String::new(), 20));
}

#[test]
fn the_clients_attributes_are_never_crowded_out() {
    let hello = hello(ALL);
    let protocol = mysql(Options::default(), None);
    let attributes = [&b"\x01k\xfc\xf0\xff"[..], &[b'v'; 0xfff0]].concat();
    let mut response =
        [&PROBE.to_le_bytes()[..4], b"\0\0\0\x40\xff", &[0; 23], b"app\0\x01xmysql_native_password\0"]
            .concat();
    response.extend([&b"\xfc"[..], &(attributes.len() as u16).to_le_bytes(), &attributes].concat());
    let accepted = run(protocol.accept(Some(&hello), NONCE), &[&packet(1, &response)], &[], None);
    let Ok(Some(attache_wire::Opening::Session(intent))) = accepted.end else { panic!("{:?}", accepted.end) };
    let login = protocol.login(&intent, Some(hello), terms(TlsStart::Off, PASSWORD));
    let sent = run(login, &[b""], &[], None).output;
    assert!(sent.ends_with(&attributes), "theirs alone");
}

#[test]
fn tls_is_asked_for_before_anything_is_said() {
    let run = Case::encrypted().hears(&packet(3, OK));
    let sent = packets(&run.output);
    assert_eq!((sent[0].0, sent[0].1.len()), (1, 32));
    assert_eq!(sent[0].1, &sent[1].1[..32], "the head of what follows");
    let response = response(sent[1]);
    assert_eq!((response.sequence, response.flags), (2, PROBE | SSL));
    assert_eq!((run.end.map(|greeting| greeting.is_some()), run.upgrades), (Ok(true), 1));
}

#[test]
fn a_server_without_tls_is_refused_before_anything_is_said() {
    let declined = Case { hello: hello(ALL & !SSL), ..Case::encrypted() }.hears(b"");
    assert_eq!((declined.end, declined.output.len()), (Err(Fault::Insecure(Insecure::TlsDeclined)), 0));
    let case = Case::encrypted();
    let protocol = mysql(Options::default(), None);
    let login = || protocol.login(&protocol.probe_intent(), Some(case.hello.clone()), case.terms.clone());
    let early = run_every_split(login, &[&packet(2, OK), b""], Some(&TlsFacts::default()));
    assert_eq!(early.end, Err(Fault::EarlyData));
    let unencrypted = run_every_split(login, &[b"", &packet(3, OK)], None);
    assert_eq!(unencrypted.end, Err(Fault::Insecure(Insecure::TlsDeclined)));
    assert_eq!(unencrypted.output.len(), 36, "the request and nothing else");
    let direct = Case { terms: terms(TlsStart::Direct, PASSWORD), ..Case::plain() };
    let login = protocol.login(&protocol.probe_intent(), Some(direct.hello), direct.terms);
    assert_eq!(run(login, &[b""], &[], None).end, Err(Fault::Insecure(Insecure::TlsDeclined)));
}

#[test]
fn a_login_needs_a_user_and_names_without_a_nul() {
    let end = |credential, database| {
        let terms = Terms { credential, ..terms(TlsStart::Off, "") };
        let protocol = mysql(Options::default(), database);
        run(protocol.login(&protocol.probe_intent(), Some(hello(ALL)), terms), &[b""], &[], None)
    };
    let nobody = Some(Arc::new(Credential::new(None, None, 1)));
    for credential in [None, nobody, Some(credential("a\0b", None)), Some(credential("a", Some(b"p\0q")))] {
        let run = end(credential, None);
        assert!(matches!(run.end, Err(Fault::Incomplete(_))) && run.output.is_empty(), "{:?}", run.end);
    }
    let run = end(Some(credential("a", None)), Some("a\0b"));
    assert!(matches!(run.end, Err(Fault::Unsupported(_))) && run.output.is_empty(), "{:?}", run.end);
}

#[test]
fn the_greeting_ends_with_the_ok() {
    let run = Case::plain().hears(&[&packet(2, OK)[..], b"next"].concat());
    assert_eq!(run.unread, b"next");
    let shown = format!("{:?}", run.end.unwrap().unwrap());
    assert!(shown.contains("8.4.0") && !shown.contains("nonce"), "{shown}");
}
