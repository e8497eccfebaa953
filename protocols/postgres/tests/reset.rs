//! A link is made as it was after its login, and the next client hears what holds now.
#![allow(clippy::unwrap_used)]

mod support;

use attache_postgres::{ChannelBinding, Greeting, Postgres, SessionWatch};
use attache_wire::testing::{Run, run, run_every_split};
use attache_wire::{Boxed, Fault, Passage, Protocol, TlsStart, Watch};
use proptest::prelude::*;
use support::{client_hears, error, intent, login, message, messages, postgres, startup, terms, welcome};

const CHANCE: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";

fn protocol() -> Postgres {
    postgres(ChannelBinding::Prefer, None)
}

fn greeting_of(said: &[u8]) -> Greeting {
    run(login(ChannelBinding::Prefer, terms(TlsStart::Off, "secret")), &[said], &[], None)
        .end
        .unwrap()
        .unwrap()
}

fn heard(greeting: Greeting) -> Vec<u8> {
    client_hears(&protocol(), &intent(&startup(0, &["user", "app"])), greeting)
}

fn parameter(name: &str, value: &str) -> Vec<u8> {
    message(b'S', format!("{name}\0{value}\0").as_bytes())
}

/// A watch of a session in which the server has said this.
fn watch(said: &[Vec<u8>]) -> SessionWatch {
    let mut watch = SessionWatch::default();
    watch.may_be_kept();
    said.iter().for_each(|bytes| watch.from_server(bytes).unwrap());
    watch
}

fn machine(said: &[Vec<u8>]) -> Boxed<Greeting> {
    protocol().reset(&watch(said), greeting_of(&welcome())).unwrap()
}

/// The answer to a reset, with something more before its end.
fn answer(more: &[Vec<u8>]) -> Vec<u8> {
    let lifted = [message(b'C', b"RESET\0"), message(b'C', b"SET\0"), message(b'Z', b"I")].concat();
    [lifted, message(b'C', b"DISCARD ALL\0"), more.concat(), message(b'Z', b"I")].concat()
}

fn reset(said: &[Vec<u8>], answer: &[u8]) -> Run<Greeting> {
    run_every_split(|| machine(said), &[answer], None)
}

#[test]
fn limits_are_lifted_before_everything_is_discarded() {
    let run = reset(&[], &answer(&[]));
    let asked = [message(b'Q', b"reset all; set statement_timeout to 0\0"), message(b'Q', b"DISCARD ALL\0")];
    assert_eq!(messages(&run.output), asked);
    assert_eq!(heard(run.end.unwrap().unwrap()), welcome());
}

#[test]
fn notices_and_notifications_are_nobodys() {
    let more = [message(b'N', b"notice"), message(b'A', b"\0\0\0\x07mine\0\0")];
    let run = reset(&[], &[more.concat(), answer(&more)].concat());
    assert_eq!(heard(run.end.unwrap().unwrap()), welcome());
}

#[test]
fn parameters_are_told_as_they_are_now() {
    let during = [parameter("application_name", "mine"), parameter("TimeZone", "UTC")];
    let run =
        reset(&during, &answer(&[parameter("application_name", ""), parameter("server_version", "18.5")]));
    let greeting = run.end.unwrap().unwrap();
    assert_eq!(protocol().server_version(&greeting).as_deref(), Some("18.5"));
    let told = heard(greeting);
    let told: Vec<_> = messages(&told).into_iter().filter(|message| message[0] == b'S').collect();
    let expected = [
        parameter("server_version", "18.5"),
        parameter("application_name", ""),
        parameter("TimeZone", "UTC"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_value_that_is_too_long_to_be_followed_has_to_be_reported_again() {
    let during = [parameter("search_path", &"x".repeat(200))];
    let run = reset(&during, &answer(&[]));
    assert!(matches!(run.end, Err(Fault::Unsupported(_))), "{:?}", run.end);
    let run = reset(&during, &answer(&[parameter("search_path", "public")]));
    assert!(run.end.unwrap().is_some());
}

#[test]
fn more_parameters_than_can_be_kept_in_mind_end_the_link() {
    let many: Vec<_> = (0..65).map(|number| parameter(&format!("p{number}"), "x")).collect();
    assert!(watch(&many[..64]).reusable());
    assert!(!watch(&many).reusable());
    assert!(protocol().reset(&watch(&many), greeting_of(&welcome())).is_none());
}

#[test]
fn any_other_answer_ends_the_link() {
    let stray = [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat();
    let discarded = [message(b'C', b"DISCARD ALL\0"), message(b'Z', b"I")].concat();
    let in_transaction = answer(&[]).strip_suffix(b"I").unwrap().iter().copied().chain(*b"T").collect();
    for answer in
        [stray.clone(), [stray, answer(&[])].concat(), discarded, in_transaction, message(b'Z', b"I")]
    {
        let run = reset(&[], &answer);
        assert!(matches!(run.end, Err(Fault::Malformed(_))), "{:?}", run.end);
    }
    let run = reset(&[], &error("25001", "DISCARD ALL cannot run inside a transaction block"));
    assert!(matches!(run.end, Err(Fault::Rejected(_))), "{:?}", run.end);
}

#[test]
fn a_client_of_a_link_that_is_shared_has_a_key_of_its_own() {
    let disguised = |key: &[u8]| {
        let key = message(b'K', &[b"\0\0\0\x07", key].concat());
        let said = [support::auth(0, b""), key, message(b'Z', b"I")].concat();
        let greeting = protocol().disguise(&greeting_of(&said), &CHANCE).unwrap();
        let ticket = protocol().ticket(&greeting).unwrap();
        let told = heard(greeting);
        assert_eq!(messages(&told)[1], message(b'K', &ticket));
        ticket
    };
    assert_eq!(disguised(b"key!"), b"\0\0\0\x070123");
    assert_eq!(disguised(&[9; 32]), [b"\0\0\0\x07", &CHANCE[..]].concat());
    assert_eq!(disguised(&[9; 256]), [b"\0\0\0\x07", &CHANCE[..]].concat());
}

#[test]
fn everything_that_reaches_the_server_is_part_of_the_key_except_the_user() {
    let key = |minor, parameters: &[&str], database| {
        let intent = intent(&startup(minor, parameters));
        postgres(ChannelBinding::Prefer, database).shared(&intent).map(|shared| shared.key)
    };
    let one = key(0, &["user", "a", "database", "x"], None).unwrap();
    assert_eq!(key(0, &["user", "b", "database", "x"], None).unwrap(), one);
    assert_ne!(key(0, &["user", "a", "database", "y"], None).unwrap(), one);
    assert_ne!(key(0, &["user", "a", "database", "x", "application_name", "z"], None).unwrap(), one);
    assert_ne!(key(2, &["user", "a", "database", "x"], None).unwrap(), one);
    let overridden = key(0, &["user", "a", "database", "x"], Some("z"));
    assert_eq!(overridden, key(0, &["user", "a", "database", "y"], Some("z")));
    assert_eq!(key(0, &["user", "a", "replication", "database"], None), None);
}

#[test]
fn a_goodbye_is_kept_from_the_server_only_when_nothing_is_outstanding() {
    let goodbye = message(b'X', b"");
    let mut fresh = watch(&[]);
    assert_eq!(fresh.from_client(&goodbye), Ok(Passage::Bye(0)));
    assert!(fresh.client_left() && fresh.reusable());
    // Not where the link is not to be kept.
    assert_eq!(SessionWatch::default().from_client(&goodbye), Ok(Passage::All));

    let query = message(b'Q', b"select 1\0");
    let mut asking = watch(&[]);
    assert_eq!(asking.from_client(&[query.clone(), goodbye.clone()].concat()), Ok(Passage::All));
    asking.from_server(&message(b'Z', b"I")).unwrap();
    assert!(!asking.reusable(), "the server has heard the goodbye");

    let mut split = watch(&[]);
    assert_eq!(split.from_client(&goodbye[..2]), Ok(Passage::All));
    assert_eq!(split.from_client(&goodbye[2..]), Ok(Passage::All));
    assert!(!split.reusable());

    let mut answered = watch(&[]);
    answered.from_client(&query).unwrap();
    assert!(!answered.reusable());
    answered.from_server(&message(b'Z', b"I")).unwrap();
    assert!(answered.reusable());
    answered.from_server(&error("57P01", "terminating")).unwrap();
    assert!(!answered.reusable());
}

proptest! {
    /// Only the whole answer, and nothing but it, makes a link fit for another session.
    #[test]
    fn of_any_bytes_in_any_pieces_only_the_answer_will_do(
        tail in proptest::collection::vec(any::<u8>(), 0..60),
        kept in 0..answer(&[]).len(),
        cuts in proptest::collection::vec(0..100usize, 0..4),
    ) {
        let said = [&answer(&[])[..kept], &tail].concat();
        let mut cuts = cuts;
        cuts.sort_unstable();
        let whole = run(machine(&[]), &[&said], &[], None);
        let pieces = run(machine(&[]), &[&said], &cuts, None);
        prop_assert_eq!(&whole.end, &pieces.end);
        if let Ok(Some(_)) = whole.end {
            prop_assert!(said.starts_with(&answer(&[])) || said.windows(2).any(|pair| matches!(pair[0], b'N' | b'S' | b'A')));
        }
    }
}
