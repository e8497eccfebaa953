//! One fault at a time, in the middle of what a session does: cut, truncated, stalled, one way only, slowed.
//!
//! What is lost is told as an error, at once; what only takes long arrives whole; a login that is cut is tried again. Never is
//! an answer another's, and nothing is left behind.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use attache_kit::{Direction, Fault, Flavour, Relay, eventually};
use tokio::time::{sleep, timeout};

use crate::ground::Ground;
use crate::house::{House, SOON, Settings};
use crate::judge::Kind;
use crate::load::{Driver, Trouble, World};
use crate::report::{Report, Size};
use crate::{ending, mysql, postgres, redis, tcp};

/// Long enough to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(100);
const WAYS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];
/// Operations of one kind differ by so many bytes at most.
const SPREAD: u64 = 40;
/// Places in the bytes of an operation, in hundredths of them. The last ones may be those of what a driver does behind an
/// answer: it closes its statements.
const PLACES: [u64; 4] = [0, 5, 40, 70];

#[test]
fn a_fault_in_the_middle_is_told_or_outlived_and_leaves_nothing() {
    let _turn = crate::beside_the_long_one();
    let grounds: [fn(); 5] = [
        || faults(postgres::Cluster::start),
        || faults(|| mysql::Servers::start(Flavour::MariaDb)),
        || faults(|| mysql::Servers::start(Flavour::MySql)),
        || faults(redis::Servers::start),
        || faults(tcp::Server::start),
    ];
    thread::scope(|scope| grounds.map(|ground| scope.spawn(ground)).map(|ground| ground.join().unwrap()));
}

fn faults<G: Ground>(start: impl FnOnce() -> Option<G>) {
    let Some(ground) = start() else { return };
    let (house, world) = (House::start(&ground, &Settings::plain()), World::new());
    let at_first: Size = ending::settled(&house, &world, &ground);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = Bench::<G> { ground: &ground, house: &house, world: &world };
    runtime.block_on(async {
        for number in 0..G::Driver::OPERATIONS {
            bench.is_cut(number).await;
            bench.is_stalled(number).await;
            bench.is_slowed(number).await;
        }
        bench.one_way_only().await;
        // The null protocol cannot tell when a server has taken a client's login.
        if G::REFUSES {
            bench.login_is_cut().await;
        }
    });
    world.over.store(true, Ordering::SeqCst);
    let mut report = Report { at_first, ..Report::default() };
    ending::check(&mut report, &house, &world, &ground);
    let tally = world.tally.lock().unwrap();
    assert_eq!(tally.complaints, [""; 0], "{}", G::PROTOCOL);
}

struct Bench<'a, G> {
    ground: &'a G,
    house: &'a House,
    world: &'a World,
}

impl<G: Ground> Bench<'_, G> {
    /// A session that has done this operation once, and how many bytes it then was, each way.
    async fn session(&self, number: usize) -> (G::Driver, [u64; 2]) {
        self.others_have_gone().await;
        let mut session = self.connected().await.expect("nothing is wrong with the network");
        session.begin().await.unwrap();
        self.operate(&mut session, number).await.unwrap();
        let carried = self.carried().await;
        (session, carried)
    }

    async fn others_have_gone(&self) {
        let gone = async {
            while self.ground.relays().iter().any(|relay| relay.live() > 0) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, gone).await.expect("sessions end, and probes too");
    }

    async fn connected(&self) -> Result<G::Driver, Trouble> {
        // Counted, for the end to compare.
        self.world.tally.lock().unwrap().note(Kind::Connecting, Duration::ZERO, Duration::ZERO);
        let token = self.world.name_of_an_act();
        timeout(SOON, G::Driver::connect(self.house.addr(), &token)).await.expect("in time")
    }

    async fn operate(&self, session: &mut G::Driver, number: usize) -> Result<(), Trouble> {
        let act = self.world.name_of_an_act();
        timeout(SOON, session.operate(number, &act)).await.expect("an answer or an error, in time")
    }

    /// By the session's connection, while no probe has one too, and once nothing more comes.
    async fn carried(&self) -> [u64; 2] {
        let settled = async {
            let mut before = Vec::new();
            loop {
                let live: Vec<_> = self.ground.relays().iter().flat_map(Relay::carried).collect();
                match live.as_slice() {
                    [(to_server, to_client)] if live == before => return [*to_server, *to_client],
                    _ => before = live,
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, settled).await.expect("probes end")
    }

    fn set(&self, fault: Fault) {
        self.ground.relays().iter().for_each(|relay| relay.set(fault));
    }

    /// How many bytes this operation takes, each way.
    async fn length(&self, number: usize) -> [u64; 2] {
        let (mut session, before) = self.session(number).await;
        self.operate(&mut session, number).await.unwrap();
        let after = self.carried().await;
        session.leave().await;
        // The names of acts differ in length.
        [after[0] - before[0], after[1] - before[1]].map(|length| length.saturating_sub(SPREAD))
    }

    async fn is_cut(&self, number: usize) {
        let lengths = self.length(number).await;
        for (direction, length) in WAYS.into_iter().zip(lengths) {
            for place in PLACES.map(|part| length * part / 100) {
                for how in ["reset", "truncated"] {
                    let (mut session, carried) = self.session(number).await;
                    let after = carried[direction as usize] + place;
                    self.set(match how {
                        "reset" => Fault::Reset { after, direction },
                        _ => Fault::Close { after, direction },
                    });
                    let outcome = self.operate(&mut session, number).await;
                    self.set(Fault::None);
                    let place = format!("{} {number} {how} {direction:?} {place}", G::PROTOCOL);
                    assert!(matches!(outcome, Err(Trouble::Failed(_))), "{place}: {outcome:?}");
                    let gone = timeout(SOON, session.leave()).await;
                    gone.unwrap_or_else(|_| panic!("{place}: the goodbye hangs"));
                }
            }
        }
    }

    async fn is_stalled(&self, number: usize) {
        let lengths = self.length(number).await;
        for (direction, length) in WAYS.into_iter().zip(lengths) {
            let (mut session, carried) = self.session(number).await;
            self.set(Fault::Stall { after: carried[direction as usize] + length / 2, direction });
            {
                let mut operation = pin!(self.operate(&mut session, number));
                let early = timeout(SILENCE, &mut operation).await;
                assert!(early.is_err(), "{} {number} {direction:?}: {early:?}", G::PROTOCOL);
                self.set(Fault::None);
                operation.await.unwrap();
            }
            self.operate(&mut session, number).await.unwrap();
            session.leave().await;
        }
    }

    async fn is_slowed(&self, number: usize) {
        let slow = Duration::from_millis(5);
        for fault in [Fault::Delay(slow), Fault::Trickle { bytes: 1000, pause: slow / 5 }] {
            let (mut session, _) = self.session(number).await;
            self.set(fault);
            self.operate(&mut session, number).await.unwrap();
            self.set(Fault::None);
            session.leave().await;
        }
    }

    /// The server hears its clients, and they do not hear it: whoever gives up is let go, though the server's end never
    /// comes.
    async fn one_way_only(&self) {
        let (mut session, carried) = self.session(0).await;
        let direction = Direction::ToClient;
        self.set(Fault::Stall { after: carried[direction as usize], direction });
        let act = self.world.name_of_an_act();
        assert!(timeout(SILENCE, session.operate(0, &act)).await.is_err(), "{}", G::PROTOCOL);
        session.vanish();
        if !G::RETIRES {
            // Nobody knows that this was more than the end of what the client had to say.
            self.set(Fault::None);
        }
        let active = || self.house.metrics().value("attache_sessions_active", &[]).unwrap_or_default();
        let end = Instant::now() + SOON;
        while active() > 0.0 {
            assert!(Instant::now() < end, "{}: the session stays", G::PROTOCOL);
            // The runtime must go on: a driver says goodbye in the background.
            sleep(SILENCE).await;
        }
        self.set(Fault::None);
    }

    async fn login_is_cut(&self) {
        let (session, _) = self.session(0).await;
        session.leave().await;
        // The first handshake was longer: this one, and all that follow, resume it.
        self.others_have_gone().await;
        let session = self.connected().await.unwrap();
        let carried = self.carried().await;
        session.leave().await;
        for (direction, length) in WAYS.into_iter().zip(carried) {
            let mut cut = 0;
            for part in [0, 5, 10, 40, 70] {
                let after = length * part / 100;
                let reset = Fault::Reset { after, direction };
                self.set(if part == 40 { reset } else { Fault::Close { after, direction } });
                cut += usize::from(self.is_saved(&format!("{direction:?} {after} of {length}")).await);
            }
            // Full and resumed handshakes differ in length.
            assert!(cut >= 3, "{} {direction:?} {length}: {cut} logins were cut", G::PROTOCOL);
        }
        eventually("no session", SOON, || (self.ground.sessions() == 0).then_some(()));
    }

    /// Connects while the network cuts logins, and after the first cut it does not any more. Says whether there was one.
    async fn is_saved(&self, place: &str) -> bool {
        let retries = || self.house.metrics().value("attache_login_retries_total", &[]).unwrap_or_default();
        let before = retries();
        let end = Instant::now() + SOON;
        let mut connecting = pin!(self.connected());
        let early = loop {
            assert!(Instant::now() < end, "{} {place}: not tried again", G::PROTOCOL);
            match timeout(SILENCE, &mut connecting).await {
                Ok(session) => break Some(session),
                Err(_) if retries() > before => break None,
                Err(_) => {}
            }
        };
        self.set(Fault::None);
        let cut = early.is_none();
        let session = match early {
            Some(session) => session,
            None => connecting.await,
        };
        session.unwrap_or_else(|heard| panic!("{} {place}: {heard:?}", G::PROTOCOL)).leave().await;
        cut
    }
}
