//! A link is logged in for whoever comes, and made as it was for the next one.

use attache_mysql::{Greeting, Options};
use attache_wire::testing::{Run, run_every_split};
use attache_wire::{Boxed, Fault, Protocol, ServerRole, Terms, TlsStart};

use crate::support::*;

const QUESTION: &[u8] = b"select @@global.read_only, @@global.innodb_read_only, @@character_set_client, \
      @@character_set_results, @@collation_connection, @@global.init_connect /*!80000 , current_role() */ \
      /*M!100005 , current_role(), hex(concat(user(),current_user())) */";
const COLUMN: &[u8] = b"\x03def\0\0\0\x01x\0\x0c\x3f\0\x01\0\0\0\x08\x80\0\0\0\0";
const EOF: &[u8] = b"\xfe\0\0\x02\0";
const SET: &[u8] =
    b"SET character_set_client=utf8mb4,character_set_results=utf8mb4,collation_connection=utf8mb4_bin";

fn row(values: &[&str]) -> Vec<u8> {
    values.iter().flat_map(|value| [&[value.len() as u8], value.as_bytes()].concat()).collect()
}

fn numbered(answer: &[&[u8]]) -> Vec<u8> {
    answer.iter().zip(1..).flat_map(|(payload, sequence)| packet(sequence, payload)).collect()
}

fn answer(values: &[&str]) -> Vec<u8> {
    let (count, row) = ([values.len() as u8], row(values));
    let columns = std::iter::repeat_n(COLUMN, values.len());
    numbered(&[&count[..]].into_iter().chain(columns).chain([EOF, &row, EOF]).collect::<Vec<_>>())
}

fn said() -> Vec<u8> {
    answer(&["0", "0", "utf8mb4", "utf8mb4", "utf8mb4_bin", "", "NONE"])
}

/// A login that is made for whoever comes.
fn logged_in(database: &str, ask_role: bool, answer: &[u8]) -> Run<Greeting> {
    let protocol = mysql(Options::default(), None);
    let (hello, flags) = (hello(ALL), PROBE | if database.is_empty() { 0 } else { CONNECT_WITH_DB });
    let shared = protocol.shared(&intent(&hello, Options::default(), flags, database, b"")).unwrap();
    let terms = Terms { ask_role, ..terms(TlsStart::Off, PASSWORD) };
    let said = [packet(2, OK), answer.to_vec()].concat();
    run_every_split(|| protocol.login(&shared.intent, Some(hello.clone()), terms.clone()), &[&said], None)
}

fn greeting(database: &str, answer: &[u8]) -> Greeting {
    logged_in(database, false, answer).end.unwrap().unwrap()
}

fn machine(greeting: &Greeting) -> Option<Boxed<Greeting>> {
    let protocol = mysql(Options::default(), None);
    let intent = intent(&hello(ALL), Options::default(), PROBE, "", b"");
    protocol.reset(&watch(&protocol, &intent, greeting), greeting.clone())
}

fn reset(database: &str, answers: &[&[u8]]) -> Run<Greeting> {
    let greeting = greeting(database, &said());
    let answers: Vec<u8> = answers.iter().flat_map(|payload| packet(1, payload)).collect();
    run_every_split(|| machine(&greeting).unwrap(), &[&answers], None)
}

#[test]
fn the_login_finds_out_what_a_reset_will_have_to_restore() {
    let run = logged_in("shop", true, &said());
    assert!(run.output.ends_with(&packet(0, &[b"\x03", QUESTION].concat())), "{}", run.output.escape_ascii());
    let greeting = run.end.unwrap().unwrap();
    let protocol = mysql(Options::default(), None);
    assert_eq!(protocol.role(&greeting), Some(ServerRole::Primary), "in one go with the role");
    assert_eq!(protocol.role(&self::greeting("shop", &said())), None, "which nobody wanted to know here");
}

#[test]
fn everything_is_restored_at_once() {
    let run = reset("shop", &[OK; 4]);
    let expected = [
        packet(0, b"\x1f"),
        packet(0, &[b"\x03", SET].concat()),
        packet(0, b"\x03SET ROLE NONE"),
        packet(0, b"\x02shop"),
    ];
    assert_eq!(run.output, expected.concat());
    let greeting = run.end.unwrap().unwrap();
    assert_eq!(greeting, self::greeting("shop", &said()), "the next client hears what the first one heard");
    assert!(machine(&greeting).is_some(), "and again");
    let run = reset("", &[OK; 4]);
    assert_eq!(
        packets(&run.output).last().unwrap().1,
        b"\x03SET collation_connection=IF(DATABASE() IS NULL,@@collation_connection,'?')"
    );
    assert!(run.end.unwrap().is_some());
}

#[test]
fn each_command_has_to_be_answered_with_an_ok() {
    let error = &b"\xff\x28\x04#42000no"[..];
    let (more, open) = (&b"\0\0\0\x0a\0\0\0"[..], &b"\0\0\0\x03\0\0\0"[..]);
    for wrong in [error, more, open, b"\x01", b"", b"\0"] {
        for at in 0..4 {
            let mut answers = [OK; 4];
            answers[at] = wrong;
            let run = reset("shop", &answers);
            assert!(matches!(run.end, Err(Fault::Malformed(_))), "{wrong:?} at {at}: {:?}", run.end);
        }
    }
    assert_eq!(reset("shop", &[OK; 3]).end, Ok(None));
    let greeting = greeting("shop", &said());
    let late = run_every_split(|| machine(&greeting).unwrap(), &[&packet(2, OK)], None);
    assert!(matches!(late.end, Err(Fault::Malformed(_))), "the end of another's reply: {:?}", late.end);
}

/// MariaDB 12 lets a session become another user's (SET SESSION AUTHORIZATION), for instance behind another statement,
/// and no reset undoes that.
#[test]
fn a_link_that_has_become_another_users_is_not_used_again() {
    let said = answer(&["0", "0", "utf8mb4", "utf8mb4", "utf8mb4_bin", "", "NONE", "614025"]);
    let greeting = greeting("shop", &said);
    let reset = |answers: &[&[u8]]| {
        let answers: Vec<u8> = answers.iter().flat_map(|payload| packet(1, payload)).collect();
        run_every_split(|| machine(&greeting).unwrap(), &[&answers], None)
    };
    let run = reset(&[OK; 5]);
    assert!(contains(&run.output, b"HEX(CONCAT(USER(),CURRENT_USER()))='614025'"), "{run:?}");
    assert!(run.end.unwrap().is_some());
    let other = b"\xff\xf9\x04#HY000Unknown collation: '?'";
    assert!(matches!(reset(&[OK, OK, other, OK, OK]).end, Err(Fault::Malformed(_))));
}

/// What cannot be restored, or is not known, ends the link.
#[test]
fn a_link_of_which_not_everything_is_known_is_not_reset() {
    for answer in [
        error(1, 1193, "Unknown system variable"),
        answer(&["0", "0", "utf8mb4", "utf8mb4", "utf8mb4_bin", "set @x = 1", "NONE"]),
        answer(&["0", "0", "utf8 or", "utf8mb4", "utf8mb4_bin", "", "NONE"]),
    ] {
        assert!(machine(&greeting("shop", &answer)).is_none(), "{}", answer.escape_ascii());
    }
    let old = greeting("shop", &answer(&["0", "0", "latin1", "latin1", "latin1_bin", ""]));
    assert!(machine(&old).is_some(), "without roles");
    let probe = Case::plain().hears(&packet(2, OK)).end.unwrap().unwrap();
    assert!(machine(&probe).is_none(), "nobody has asked");
}
