//! What the seed draws: which change comes next, how long it lasts, what follows.
//!
//! Each kind lies in a deck that is shuffled anew when it is empty, so that two minutes see every kind, in an order that
//! differs from seed to seed.

use std::time::Duration;

use attache_kit::{Chance, Direction, Fault};

const LONGEST_GAP: Duration = Duration::from_secs(10);
/// The octets of a login: a fault that comes after so many hits it anywhere.
const OCTETS_OF_A_LOGIN: usize = 4000;

/// A change of the credential.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The password in use changes here and there, so far apart.
    Password { first: First, gap: Duration, meanwhile: Option<Damage> },
    /// The other user takes over, with a new password. Then the one before loses its own.
    OtherUser { first: First, gap: Duration },
    /// The Secret holds a wrong password for a while.
    Mistyped(Duration),
    /// The folder cannot be read for a while.
    Damaged(Damage, Duration),
}

/// Which side changes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    Server,
    Folder,
}

/// What is wrong with the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    Gone,
    /// `..data` is missing.
    Unlinked,
    EmptyFile,
    MissingKey,
    Unreadable,
}

impl Damage {
    const ALL: [Damage; 5] =
        [Damage::Gone, Damage::Unlinked, Damage::EmptyFile, Damage::MissingKey, Damage::Unreadable];
}

/// What happens to servers, network and configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Upheaval {
    Restart {
        how: Stopping,
        down: Duration,
    },
    /// The primary becomes another one.
    Failover(Stopping),
    Certificate,
    /// Every connection is reset.
    Cut,
    Network {
        fault: Fault,
        lasts: Duration,
    },
    Reload,
    /// A configuration that cannot be: the one before goes on.
    BadReload,
}

/// How a server goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopping {
    InOrder,
    Crash,
    /// Not at all: it goes on, and does not know that another one has its place.
    Unaware,
}

/// A shuffled deck that never ends.
pub struct Deck<T> {
    all: Vec<T>,
    left: Vec<T>,
    pub chance: Chance,
}

impl<T: Clone> Deck<T> {
    pub fn new(all: Vec<T>, chance: Chance) -> Deck<T> {
        Deck { all, left: Vec::new(), chance }
    }

    pub fn draw(&mut self) -> T {
        if self.left.is_empty() {
            self.left = self.all.clone();
            self.chance.shuffle(&mut self.left);
        }
        self.left.pop().expect("a deck has a card")
    }
}

/// The changes that a protocol's credential can go through; `refusable` where the server can say no to one.
pub fn changes(chance: Chance, refusable: bool) -> Deck<fn(&mut Chance) -> Change> {
    let mut all: Vec<fn(&mut Chance) -> Change> = vec![
        |chance| password(chance, First::Folder),
        |chance| password(chance, First::Server),
        |chance| Change::OtherUser { first: First::Server, gap: gap_of(chance) },
        damaged,
        damaged,
        damaged,
    ];
    if refusable {
        all.extend([
            (|chance| password(chance, First::Server)) as fn(&mut Chance) -> Change,
            |chance| password(chance, First::Folder),
            |chance| {
                let meanwhile = Some(chance.pick(&Damage::ALL));
                Change::Password { first: First::Server, gap: gap_of(chance), meanwhile }
            },
            |chance| Change::OtherUser { first: First::Folder, gap: gap_of(chance) },
            |chance| Change::Mistyped(gap_of(chance)),
        ]);
    }
    Deck::new(all, chance)
}

fn gap_of(chance: &mut Chance) -> Duration {
    chance.between(Duration::ZERO, LONGEST_GAP)
}

fn password(chance: &mut Chance, first: First) -> Change {
    Change::Password { first, gap: gap_of(chance), meanwhile: None }
}

fn damaged(chance: &mut Chance) -> Change {
    Change::Damaged(chance.pick(&Damage::ALL), moment(chance))
}

/// The pause between two changes of a script, and the time that a short trouble lasts.
pub fn moment(chance: &mut Chance) -> Duration {
    chance.between(Duration::from_millis(300), Duration::from_secs(4))
}

/// What can happen around the servers of a protocol, of which some can fail over.
pub fn upheavals(chance: Chance, failovers: &[Stopping]) -> Deck<Kind> {
    let mut all = Kind::EVERYWHERE.to_vec();
    all.extend(failovers.iter().map(|how| Kind::Failover(*how)));
    Deck::new(all, chance)
}

/// A card of the deck, whose details are drawn when it is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Restart,
    Crash,
    Failover(Stopping),
    Certificate,
    Cut,
    Hang,
    Refuse,
    HangUp,
    Delay,
    Trickle,
    Stall(Direction),
    Truncate(Direction),
    Reset(Direction),
    Reload,
    BadReload,
}

impl Kind {
    const EVERYWHERE: [Kind; 18] = [
        Kind::Restart,
        Kind::Crash,
        Kind::Certificate,
        Kind::Cut,
        Kind::Hang,
        Kind::Hang,
        Kind::Refuse,
        Kind::HangUp,
        Kind::Delay,
        Kind::Trickle,
        Kind::Stall(Direction::ToServer),
        Kind::Stall(Direction::ToClient),
        Kind::Truncate(Direction::ToServer),
        Kind::Truncate(Direction::ToClient),
        Kind::Reset(Direction::ToClient),
        Kind::Reload,
        Kind::Reload,
        Kind::BadReload,
    ];

    pub fn played(self, chance: &mut Chance) -> Upheaval {
        let after = chance.below(OCTETS_OF_A_LOGIN) as u64;
        let some_ms = Duration::from_millis(5 + chance.below(60) as u64);
        let fault = match self {
            Kind::Restart => return Upheaval::Restart { how: Stopping::InOrder, down: moment(chance) / 2 },
            Kind::Crash => return Upheaval::Restart { how: Stopping::Crash, down: moment(chance) / 2 },
            Kind::Failover(how) => return Upheaval::Failover(how),
            Kind::Certificate => return Upheaval::Certificate,
            Kind::Cut => return Upheaval::Cut,
            Kind::Reload => return Upheaval::Reload,
            Kind::BadReload => return Upheaval::BadReload,
            Kind::Hang => Fault::Blackhole,
            Kind::Refuse => Fault::Refuse,
            Kind::HangUp => Fault::Hangup,
            Kind::Delay => Fault::Delay(some_ms),
            Kind::Trickle => Fault::Trickle { bytes: 400, pause: some_ms / 5 },
            Kind::Stall(direction) => Fault::Stall { after, direction },
            Kind::Truncate(direction) => Fault::Close { after, direction },
            Kind::Reset(direction) => Fault::Reset { after, direction },
        };
        Upheaval::Network { fault, lasts: moment(chance) }
    }
}

#[test]
fn the_same_seed_gives_the_same_script() {
    let script = |seed| {
        let chance = Chance::new(seed);
        let mut changes = changes(chance.of("changes"), true);
        let mut upheavals = upheavals(chance.of("upheavals"), &[Stopping::Crash]);
        let drawn: Vec<_> = (0..40)
            .map(|_| {
                let (change, kind) = (changes.draw(), upheavals.draw());
                (change(&mut changes.chance), kind.played(&mut upheavals.chance))
            })
            .collect();
        drawn
    };
    assert_eq!(script(7), script(7));
    assert_ne!(script(7), script(8));
}
