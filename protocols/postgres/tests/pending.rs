//! What is outstanding, against a model of a server that knows.
#![allow(clippy::unwrap_used)]

mod model;
mod support;

use attache_postgres::SessionWatch;
use attache_wire::{Passage, Watch};
use model::{Asked, Deed, Release, Server};
use proptest::prelude::*;

/// A client, a watch and a server, with what is under way between them.
#[derive(Debug)]
struct Session {
    watch: SessionWatch,
    server: Server,
}

/// What happens next between a client and a server that is behind or not.
#[derive(Debug, Clone, Copy)]
enum Event {
    Asks(Asked),
    Reads,
    Arrives,
    Interrupted,
}

impl Session {
    fn with(release: Release) -> Self {
        Self { watch: SessionWatch::default(), server: Server::of(release) }
    }

    fn go_on(&mut self, event: Event) -> Result<(), TestCaseError> {
        let Self { watch, server } = self;
        match event {
            Event::Asks(asked) => {
                prop_assert_eq!(watch.from_client(&asked.bytes()), Ok(Passage::All));
                server.ask(asked);
            }
            Event::Reads => server.read(),
            Event::Arrives => server.said().iter().for_each(|said| watch.from_server(said).unwrap()),
            Event::Interrupted => server.interrupt(),
        }
        prop_assert!(
            server.is_gone() || !(watch.quiet() && watch.answered()) || server.rests(),
            "{watch:?} {server:?}"
        );
        prop_assert!(
            server.is_gone() || !watch.quiet() || server.has_no_more_than_ready(),
            "{watch:?} {server:?}"
        );
        Ok(())
    }

    /// Everything is read and answered.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        while self.server.has_more_to_read() {
            self.go_on(Event::Reads)?;
        }
        while self.server.has_more_to_say() {
            self.go_on(Event::Arrives)?;
        }
        Ok(())
    }
}

fn release() -> impl Strategy<Value = Release> {
    prop::sample::select(vec![Release::V13, Release::V14])
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => Just(Deed::Work),
        1 => Just(Deed::Fail),
        2 => (1_u8..3).prop_map(Deed::Copy),
        1 => Just(Deed::Open),
        1 => Just(Deed::Close),
    ]
}

/// What happens while the client says nothing.
fn meanwhile() -> impl Strategy<Value = Event> {
    prop_oneof![6 => Just(Event::Reads), 8 => Just(Event::Arrives), 1 => Just(Event::Interrupted)]
}

fn anything() -> impl Strategy<Value = Event> {
    let tag = prop::sample::select(b"QQFPBDCEEEHSSSSdcccf".to_vec());
    let asks = (tag, deed()).prop_map(|(tag, deed)| Event::Asks(Asked { tag, deed }));
    prop_oneof![2 => asks, 5 => meanwhile()]
}

/// What a client does that keeps to the protocol, however far it is ahead.
fn exchange() -> impl Strategy<Value = Vec<Asked>> {
    let plain = prop::sample::select(vec![Deed::Work, Deed::Work, Deed::Fail, Deed::Open, Deed::Close]);
    let command = (prop::sample::select(b"PBDEEC".to_vec()), plain.clone());
    let commands = prop::collection::vec(command.prop_map(|(tag, deed)| Asked { tag, deed }), 0..5);
    prop_oneof![
        plain.prop_map(|deed| vec![Asked { tag: b'Q', deed }]),
        commands.clone().prop_map(|commands| [commands, asked(b"S")].concat()),
        (1_u8..3, data(), data()).prop_map(|(times, first, second)| {
            let query = vec![Asked { tag: b'Q', deed: Deed::Copy(times) }];
            [query, first, if times > 1 { second } else { Vec::new() }].concat()
        }),
        data().prop_map(|data| [copy(), data, asked(b"S")].concat()),
        commands.prop_map(|commands| [copy(), asked(b"dc"), commands, asked(b"S")].concat()),
    ]
}

/// The data of a COPY, and its end.
fn data() -> impl Strategy<Value = Vec<Asked>> {
    let piece = (prop::sample::select(b"ddSSH".to_vec()), prop::sample::select(vec![Deed::Work, Deed::Fail]));
    let pieces = prop::collection::vec(piece.prop_map(|(tag, deed)| Asked { tag, deed }), 0..6);
    (pieces, prop::sample::select(vec![b"c", b"c", b"f"]))
        .prop_map(|(pieces, end)| [pieces, asked(end)].concat())
}

/// A COPY of the extended protocol.
fn copy() -> Vec<Asked> {
    [asked(b"PB"), vec![Asked { tag: b'E', deed: Deed::Copy(1) }]].concat()
}

fn asked(tags: &[u8]) -> Vec<Asked> {
    tags.iter().map(|tag| Asked { tag: *tag, deed: Deed::Work }).collect()
}

proptest! {
    #[test]
    fn whatever_a_client_says_a_quiet_session_has_a_server_that_rests(
        release in release(),
        events in prop::collection::vec(anything(), 0..120),
    ) {
        let mut session = Session::with(release);
        for event in events {
            session.go_on(event)?;
        }
    }

    /// Whatever its COPYs came to: no query of later on is needed. It sends a Sync with the command, as some drivers do, but no
    /// data before they are asked for.
    #[test]
    fn a_client_that_waits_for_answers_is_quiet_between_them(
        release in release(),
        steps in prop::collection::vec((exchange(), prop::collection::vec(meanwhile(), 0..40)), 0..8),
    ) {
        let mut session = Session::with(release);
        for (exchange, meanwhile) in steps {
            let mut meanwhile = meanwhile.into_iter();
            let mut waits = false;
            for asked in exchange {
                if waits && asked.tag != b'S' {
                    session.settle()?;
                }
                session.go_on(Event::Asks(asked))?;
                meanwhile.by_ref().take(4).try_for_each(|event| session.go_on(event))?;
                waits = matches!(asked.deed, Deed::Copy(_)) || matches!(asked.tag, b'c' | b'f') || (waits && asked.tag == b'S');
            }
            session.settle()?;
            prop_assert!(session.watch.quiet() || session.server.is_in_transaction(), "{session:?}");
        }
    }

    #[test]
    fn a_client_that_keeps_to_the_protocol_is_quiet_once_it_is_answered_again(
        release in release(),
        steps in prop::collection::vec((exchange(), prop::collection::vec(meanwhile(), 0..40)), 0..8),
    ) {
        let mut session = Session::with(release);
        for (asked, meanwhile) in steps {
            let mut meanwhile = meanwhile.into_iter();
            for asked in asked {
                session.go_on(Event::Asks(asked))?;
                meanwhile.by_ref().take(4).try_for_each(|event| session.go_on(event))?;
            }
            meanwhile.try_for_each(|event| session.go_on(event))?;
        }
        session.settle()?;
        session.go_on(Event::Asks(Asked { tag: b'Q', deed: Deed::Close }))?;
        session.settle()?;
        prop_assert!(session.watch.quiet(), "{session:?}");
    }
}
