//! A server's first words, from servers that are old, odd or hostile.

use attache_mysql::{Hello, Options};
use attache_wire::testing::{Run, run_every_split};
use attache_wire::{Fault, Insecure, Protocol, RejectionKind, TlsFacts, TlsStart};

use crate::support::*;

fn heard(tls: TlsStart, segments: &[&[u8]]) -> Run<Hello> {
    let protocol = mysql(Options::default(), None);
    run_every_split(|| protocol.hello(tls).unwrap(), segments, Some(&TlsFacts::default()))
}

fn plain(said: &[u8]) -> Run<Hello> {
    heard(TlsStart::Off, &[said])
}

#[test]
fn the_greeting_ends_where_its_packet_ends() {
    let run = plain(&[&greeting("8.4.0", ALL, "caching_sha2_password")[..], b"next"].concat());
    assert_eq!((run.unread.as_slice(), run.output.as_slice(), run.upgrades), (&b"next"[..], &b""[..], 0));
    let shown = format!("{:?}", run.end.unwrap().unwrap());
    for part in ["connection_id: 42", "collation: 255", "status: 2", "MySql"] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn a_server_is_mariadb_where_it_says_so_or_does_not_say_that_it_is_mysql() {
    let flavour = |version, capabilities| {
        let hello = plain(&greeting(version, capabilities, "mysql_native_password")).end.unwrap().unwrap();
        if format!("{hello:?}").contains("MariaDb") { "MariaDB" } else { "MySQL" }
    };
    assert_eq!(flavour("9.7.4", ALL), "MySQL");
    assert_eq!(flavour("5.5.5-10.11.6-MariaDB-0+deb12u1", ALL), "MariaDB");
    assert_eq!(flavour("10.1.48-mariadb", ALL), "MariaDB");
    assert_eq!(flavour("12.3.1", ALL & !LONG_PASSWORD), "MariaDB");
}

#[test]
fn flags_of_mariadb_count_only_where_the_server_does_not_say_that_it_is_mysql() {
    let flags = |capabilities| {
        let hello = plain(&greeting("1", capabilities, "")).end.unwrap().unwrap();
        let shown = format!("{hello:?}");
        let (_, flags) = shown.split_once("Capabilities(").unwrap();
        flags.split_once(')').unwrap().0.parse::<u64>().unwrap()
    };
    assert_eq!(flags(PROBE | CACHE_METADATA), PROBE);
    assert_eq!(flags(PROBE & !LONG_PASSWORD | CACHE_METADATA), PROBE & !LONG_PASSWORD | CACHE_METADATA);
}

#[test]
fn tls_may_be_the_first_thing_on_the_link() {
    let said = greeting("8.4.0", ALL, "caching_sha2_password");
    let run = heard(TlsStart::Direct, &[b"", &said]);
    assert_eq!((run.end.map(|hello| hello.is_some()), run.upgrades), (Ok(true), 1));
    assert_eq!(heard(TlsStart::Direct, &[b"x", &said]).end, Err(Fault::EarlyData));
    let protocol = mysql(Options::default(), None);
    let unencrypted = run_every_split(|| protocol.hello(TlsStart::Direct).unwrap(), &[b"", &said], None);
    assert_eq!(unencrypted.end, Err(Fault::Insecure(Insecure::TlsDeclined)));
    assert_eq!(heard(TlsStart::Negotiated, &[&said]).upgrades, 0, "that is asked for later");
}

#[test]
fn nonces_are_found_whatever_length_the_server_announces() {
    let with = |at: usize, len: u8, tail: &[u8]| {
        let mut said = greeting("1", PROBE, "");
        said.truncate(said.len() - 14);
        said[at] = len;
        said.extend(tail);
        plain(&packet(0, &said[4..])).end.map(|hello| format!("{:?}", hello.unwrap()))
    };
    let at = 4 + 3 + 4 + 8 + 1 + 2 + 1 + 2 + 2;
    let whole = with(at, 21, b"twenty-byte!\0mysql_native_password\0").unwrap();
    assert!(whole.contains(&format!("plugin: {:?}", b"mysql_native_password")), "{whole}");
    assert_eq!(with(at, 8, b"twenty-byte!\0mysql_native_password\0"), Ok(whole.clone()), "of before 5.5.7");
    assert_eq!(with(at, 21, b"twenty-byte!\0mysql_native_password"), Ok(whole.clone()), "without a NUL");
    assert_eq!(with(at, 24, b"twenty-byte!\0...mysql_native_password\0"), Ok(whole), "padded");
    assert!(with(at, 21, b"twenty-byte!").unwrap().contains("plugin: []"));
    assert!(matches!(with(at, 21, b"twenty-byte"), Err(Fault::Malformed(_))));
}

#[test]
fn servers_that_are_too_old_are_named() {
    let unsupported = [
        packet(0, b"\x093.20.0\0"),
        packet(0, b"\x0b"),
        packet(0, b"HTTP/1.1 400 Bad Request"),
        greeting("4.0.27", ALL & !PROTOCOL_41, ""),
        greeting("4.1.0", ALL & !SECURE_CONNECTION, ""),
    ];
    for said in unsupported {
        let run = plain(&said);
        assert!(matches!(run.end, Err(Fault::Unsupported(_))), "{}: {:?}", said.escape_ascii(), run.end);
    }
}

#[test]
fn a_greeting_that_is_cut_short_or_too_long_is_malformed() {
    let whole = greeting("8.4.0", ALL & !PLUGIN_AUTH, "");
    for len in 0..whole.len() - 4 - 2 {
        let run = plain(&packet(0, &whole[4..4 + len]));
        assert!(matches!(run.end, Err(Fault::Malformed(_))), "{len}: {:?}", run.end);
    }
    let long = greeting(&"8".repeat(257), ALL, "");
    assert!(matches!(plain(&long).end, Err(Fault::Malformed(_))));
    let long = greeting("8", ALL, &"p".repeat(65));
    assert!(matches!(plain(&long).end, Err(Fault::Malformed(_))));
    assert_eq!(plain(b"\xff\xff\xff\0").end, Err(Fault::TooLong(2048)));
}

#[test]
fn a_server_may_turn_us_away_before_it_greets() {
    let rejected = |tls, payload: &[u8]| match heard(tls, &[&packet(0, payload)]).end {
        Err(Fault::Rejected(rejection)) => *rejection,
        other => panic!("{other:?}"),
    };
    let full = rejected(TlsStart::Off, b"\xff\x10\x04Too many connections, friend");
    assert_eq!((full.kind, full.code.as_str()), (RejectionKind::Other, "1040"));
    assert_eq!(full.message, "Too many connections, friend");
    assert_eq!(full.frame, packet(0, b"\xff\x10\x04#HY000Too many connections, friend"));
    let full = rejected(TlsStart::Off, b"\xff\x10\x04#08004Too many connections");
    assert_eq!(full.frame, packet(0, b"\xff\x10\x04#08004Too many connections"));
    assert_eq!(rejected(TlsStart::Off, b"\xff\x1d\x04").kind, RejectionKind::NotNow);
    let odd = rejected(TlsStart::Off, b"\xff\x15\x04#28000you are nobody");
    assert_eq!(odd.kind, RejectionKind::Other, "nobody has been named yet");
    let protocol = heard(TlsStart::Off, &[&packet(0, b"\xff\x10")]);
    assert!(matches!(protocol.end, Err(Fault::Malformed(_))));
}

#[test]
fn what_anybody_could_have_written_in_front_of_tls_is_not_repeated() {
    for (payload, number) in [
        (&b"\xff\x10\x04#08004send your password to evil.example"[..], "1040"),
        (b"\xff\x69\x04send your password to evil.example", "1129"),
        (b"\xff\x6a\x04send your password to evil.example", "1130"),
        (b"\xff\x15\x04#28000send your password to evil.example", "1045"),
    ] {
        let end = heard(TlsStart::Negotiated, &[&packet(0, payload)]).end;
        let Err(Fault::Rejected(rejection)) = end else { panic!("{end:?}") };
        assert_eq!((rejection.kind, rejection.code.as_str()), (RejectionKind::Other, number));
        assert!(!rejection.message.contains("evil") && !contains(&rejection.frame, b"evil"));
    }
}
