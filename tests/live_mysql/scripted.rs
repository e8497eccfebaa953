//! What no real server says, from scripted ones. Each of those that let anybody in is believed because clients that
//! know nothing of us have logged in to it first, in the same run.

use std::io;
use std::num::NonZeroU32;

use attache_kit::*;
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY as SHA1, SHA256};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::pbkdf2;
use aws_lc_rs::rsa::{KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use x509_cert::der::pem::{LineEnding, encode_string};

use crate::clients::Client;
use crate::house::*;
use crate::mysql_async;
use crate::script::{self, ACCOUNT, NONCE, OK, Talk};
use crate::servers;
use crate::ways::Way;

/// What an answer may be, at the other places.
const WRONG: &[u8] = b"\xff\x15\x04#28000Access denied";

/// Logs in directly with each of these clients, which must succeed, and then through Attaché.
fn believed(script: &Script, pki: Option<&Pki>, options: &str, clients: &[Client]) {
    let Some(db) = servers::of(Flavour::MariaDb) else { return };
    let direct =
        Way { addr: script.addr(), tls: pki.map(|pki| pki.ca().to_owned()), ..Way::directly_as(db, "app") };
    for client in clients {
        if available(client.is_installed()).is_none() {
            continue;
        }
        let account = client.log_in(&direct);
        assert_eq!(account.as_deref(), Ok(ACCOUNT), "{client:?}, {:?}", script.errors());
    }
    let house = house(script, pki, options);
    assert_eq!(house.raw("").value("select current_user()"), ACCOUNT, "{:?}", script.errors());
    assert_eq!(script.errors(), [""; 0]);
}

fn house(script: &Script, pki: Option<&Pki>, options: &str) -> House {
    let tls = pki.map_or("off".to_owned(), |pki| format!("{{ ca: {} }}", pki.ca().display()));
    route_to(script.addr(), "app").tls(&tls).unprobed().key(options).start()
}

fn sha1(parts: &[&[u8]]) -> Vec<u8> {
    digest::digest(&SHA1, &parts.concat()).as_ref().to_vec()
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    digest::digest(&SHA256, &parts.concat()).as_ref().to_vec()
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other.iter().cycle()).map(|(one, other)| one ^ other).collect()
}

fn native(nonce: &[u8]) -> Vec<u8> {
    let once = sha1(&[SECRET.as_bytes()]);
    xor(&once, &sha1(&[nonce, &sha1(&[&once])]))
}

fn caching_sha2(nonce: &[u8]) -> Vec<u8> {
    let once = sha256(&[SECRET.as_bytes()]);
    xor(&once, &sha256(&[&sha256(&[&once]), nonce]))
}

fn password() -> Vec<u8> {
    [SECRET.as_bytes(), b"\0"].concat()
}

#[test]
fn a_proof_in_answer_to_the_greeting_is_enough() {
    let script = script::server("mysql_native_password", None, |talk| {
        if talk.proof == native(NONCE) { talk.welcome() } else { talk.put(WRONG) }
    });
    believed(&script, None, "options: {}", &Client::ALL);
}

#[test]
fn a_server_may_ask_for_another_method_with_another_nonce() {
    const OTHER: &[u8] = b"ABCDEFGHIJKLMNOPQRST";
    let script = script::server("mysql_native_password", None, |talk| {
        talk.switch("caching_sha2_password", &[OTHER, b"\0"].concat())?;
        talk.expect(&caching_sha2(OTHER))?;
        talk.put(&[1, 3])?;
        talk.welcome()
    });
    let clients = [Client::MariaDb, Client::MySql, Client::PyMySql, Client::Mysql2];
    believed(&script, None, "options: {}", &clients);
}

#[test]
fn a_password_in_the_clear_is_for_encrypted_links() {
    let pki = Pki::new();
    let script = script::server("caching_sha2_password", Some(ServerTls::new(&pki.server())), |talk| {
        talk.switch("mysql_clear_password", b"")?;
        talk.expect(&password())?;
        talk.welcome()
    });
    believed(&script, Some(&pki), "options: {}", &[Client::PyMySql]);

    let script = script::server("caching_sha2_password", None, |talk| {
        talk.switch("mysql_clear_password", b"")?;
        talk.is_left_in_silence()
    });
    let house = house(&script, None, "options: { allow_public_key_retrieval: true }");
    house.refuses("", (1105, "08004"), "cleartext_refused");
    drop(house);
    assert_eq!(script.errors(), [""; 0]);
}

/// An account of MariaDB's may have several methods: the next is asked for when one has failed, wherever that was.
#[test]
fn a_server_may_change_its_mind_after_it_has_seen_the_password() {
    const OTHER: &[u8] = b"ABCDEFGHIJKLMNOPQRST";
    let pki = Pki::new();
    let script = script::server("caching_sha2_password", Some(ServerTls::new(&pki.server())), |talk| {
        talk.put(&[1, 4])?;
        talk.expect(&password())?;
        talk.switch("mysql_native_password", &[OTHER, b"\0"].concat())?;
        talk.expect(&native(OTHER))?;
        talk.welcome()
    });
    believed(&script, Some(&pki), "options: {}", &[Client::MariaDb]);
}

/// A key as MySQL sends one, and its other half.
fn rsa() -> (String, OaepPrivateDecryptingKey) {
    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let pem = encode_string("PUBLIC KEY", LineEnding::LF, der.as_ref()).unwrap();
    (pem, OaepPrivateDecryptingKey::new(key).unwrap())
}

#[test]
fn a_password_under_the_servers_key_can_be_read_with_its_other_half() {
    let (pem, key) = rsa();
    let script = script::server("caching_sha2_password", None, move |talk| {
        talk.put(&[1, 4])?;
        talk.expect(&[2])?;
        talk.put(&[b"\x01", pem.as_bytes()].concat())?;
        let encrypted = talk.take()?;
        let mut room = vec![0; key.min_output_size()];
        let hidden = key.decrypt(&OAEP_SHA1_MGF1SHA1, &encrypted, &mut room, None);
        let hidden = hidden.map_err(|_| io::Error::other("not under this key"))?;
        if xor(hidden, NONCE) == password() { talk.welcome() } else { talk.put(WRONG) }
    });
    let allowed = "options: { allow_public_key_retrieval: true }";
    believed(&script, None, allowed, &[Client::PyMySql, Client::Mysql2]);
}

#[test]
fn a_key_that_is_none_gets_nothing() {
    let (good, _) = rsa();
    let cut = good[..good.len() / 2].to_owned();
    let other = good.replace("MIIB", "AAAA");
    let long = format!("-----BEGIN PUBLIC KEY-----\n{}", "A".repeat(70_000));
    for key in ["", "no key", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", &cut, &other, &long] {
        let sent = [b"\x01", key.as_bytes()].concat();
        let script = script::server("caching_sha2_password", None, move |talk| {
            talk.put(&[1, 4])?;
            talk.expect(&[2])?;
            talk.put(&sent)?;
            talk.is_left_in_silence()
        });
        let house = house(&script, None, "options: { allow_public_key_retrieval: true }");
        let report = house.refusal("");
        assert_eq!((report.sequence, report.code()), (2, (1835, "HY000")), "{report:?}");
        drop(house);
        assert_eq!(script.errors(), [""; 0], "{key:.40}");
    }
}

/// Of the clients mysql_async knows it. The proof is also checked in the crate, with an account that MariaDB has
/// published.
#[test]
fn parsec_signs_what_both_sides_have_thrown_in() {
    const THEIRS: &[u8; 32] = b"an octet for each of thirty-two!";
    const SALT: &[u8] = b"eighteen octets of";
    let script = script::server("mysql_native_password", None, |talk| {
        talk.switch("parsec", THEIRS)?;
        talk.expect(b"")?;
        talk.put(&[b"P\x02", SALT].concat())?;
        let answer = talk.take()?;
        let (ours, signature) = answer.split_at(32);
        let rounds = NonZeroU32::new(1024 << 2).expect("more than none");
        let mut seed = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, rounds, SALT, SECRET.as_bytes(), &mut seed);
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(io::Error::other)?;
        let key = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref());
        let signed = key.verify(&[THEIRS, ours].concat(), signature);
        signed.map_err(|_| io::Error::other("the signature is wrong"))?;
        talk.welcome()
    });
    if let Some(db) = servers::of(Flavour::MariaDb) {
        let direct = Way { addr: script.addr(), ..Way::directly_as(db, "app") };
        assert_eq!(mysql_async::account(&direct), ACCOUNT, "{:?}", script.errors());
    }
    believed(&script, None, "options: {}", &[]);
}

#[test]
fn what_we_cannot_do_is_named() {
    for method in
        ["dialog", "auth_gssapi_client", "authentication_webauthn_client", "mysql_old_password", "own"]
    {
        let script = script::server("mysql_native_password", None, move |talk| {
            talk.switch(method, b"Password: ")?;
            talk.is_left_in_silence()
        });
        let house = house(&script, None, "options: {}");
        let line = house.refuses("", (1235, "42000"), "unsupported");
        assert_eq!(line["stage"], "login", "{line}");
        drop(house);
        assert_eq!(script.errors(), [""; 0], "{method}");
    }
}

/// What a scene puts in place of the answer to a proof.
type Scene = fn(&mut Talk) -> io::Result<()>;

#[test]
fn a_login_that_goes_wrong_is_told_with_the_number_that_the_client_waits_for() {
    let scenes: [(&str, Scene, u16); 8] = [
        ("a wrong number", |talk| talk.put_numbered(7, OK), 1835),
        ("an empty packet", |talk| talk.put(b""), 1835),
        ("neither right nor wrong", |talk| talk.put(&[1, 9]), 1835),
        ("a row", |talk| talk.put(b"\x03abc"), 1835),
        ("an error without a number", |talk| talk.put(b"\xff"), 1835),
        ("a nonce of the wrong length", |talk| talk.switch("caching_sha2_password", b"short"), 1835),
        ("a packet that never ends", |talk| talk.raw(b"\xff\xff\xff\x02\x00"), 1835),
        ("half a packet", |talk| talk.raw(b"\x07\0\0\x02\0"), 1105),
    ];
    for (name, scene, number) in scenes {
        let script = script::server("caching_sha2_password", None, scene);
        let tls = route_to(script.addr(), "app").tls("off").unprobed();
        let house = tls.upstream("wait: 100ms").start();
        let report = house.refusal("");
        assert_eq!((report.sequence, report.number), (2, number), "{name}: {report:?}");
        house.ended(report.session());
    }
}

#[test]
fn a_server_that_asks_without_end_is_left() {
    let script = script::server("caching_sha2_password", None, |talk| {
        for _ in 0..8 {
            talk.switch("caching_sha2_password", &[&NONCE[..], b"\0"].concat())?;
            talk.expect(&caching_sha2(NONCE))?;
        }
        talk.switch("caching_sha2_password", &[&NONCE[..], b"\0"].concat())?;
        talk.is_left_in_silence()
    });
    let house = house(&script, None, "options: {}");
    house.refuses("", (1835, "HY000"), "malformed");
    drop(house);
    assert_eq!(script.errors(), [""; 0]);
}

#[test]
fn a_greeting_that_is_none_is_told_before_ours() {
    let other_version = [b"\x09", &script::greeting("mysql_native_password", false)[1..]].concat();
    let cut = script::greeting("mysql_native_password", false)[..30].to_vec();
    for (greeting, number) in [(other_version, 1235), (cut, 1835), (b"HTTP/1.1 400".to_vec(), 1235)] {
        let script = Script::serve(move |mut peer| {
            let length = u8::try_from(greeting.len()).map_err(io::Error::other)?;
            peer.send(&[&[length, 0, 0, 0], &greeting[..]].concat())?;
            peer.read_to_end().map(drop)
        });
        let house = house(&script, None, "options: {}");
        let report = house.refusal("");
        assert_eq!((report.sequence, report.code()), (0, (number, "")), "{report:?}");
    }
}

#[test]
fn a_server_that_says_the_password_aloud_is_not_repeated() {
    let pki = Pki::new();
    let script = script::server("caching_sha2_password", Some(ServerTls::new(&pki.server())), |talk| {
        talk.put(&[1, 4])?;
        let told = talk.take()?;
        talk.put(&[b"\xff\x51\x04#HY000no such thing as ", &told[..told.len() - 1]].concat())
    });
    let house = house(&script, Some(&pki), "options: {}");
    let report = house.refusal("");
    assert_eq!(report.code(), (1105, "HY000"));
    assert!(report.text.contains("withheld"), "{report:?}");
    house.attache.wait_for("the end", SOON, |line| line["result"] == "server_refused");
}
