//! What a session is told to do: to go on, to log in again, to end at a quiet moment, or to end now; and why.
//!
//! The process says so when it drains, and a route when its credential was rotated, when a reload has changed or
//! removed it, or when a server has lost its role. A session hears of it by the [bell](crate::bell) and works out
//! what it means for itself: until then it pays one atomic read for each wake-up.

mod turn;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use attache_wire::ServerRole;
use tokio::time::{Instant, sleep_until};

use crate::bell::{Bell, Listener};
use crate::config::domain::{self, Live, OnRotation, Role};
use crate::drain::{Drain, Phase, Phases, moments};
use crate::failure::Cause;
use crate::net::dial::Place;
use crate::secret::{InForce, Source};

use turn::Turn;

/// So many places of the wrong role are remembered; names whose addresses change could bring any number.
const MOST_DEMOTED: usize = 64;

/// What a session has to do, from the least urgent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    GoOn,
    /// To log in again at the first moment when the client does not notice.
    Renew,
    /// The same, and the client is kept from saying more until there is such a moment.
    MakeRoom,
    /// To end at the first moment when nothing is outstanding, and nothing is known that would be lost.
    WhenFree(Cause),
    /// To end at the first moment when nothing is outstanding.
    WhenQuiet(Cause),
    Now(Cause),
}

impl Order {
    fn urgency(self) -> u8 {
        match self {
            Self::GoOn => 0,
            Self::Renew => 1,
            Self::MakeRoom => 2,
            Self::WhenFree(_) => 3,
            Self::WhenQuiet(_) => 4,
            Self::Now(_) => 5,
        }
    }

    /// The more urgent one.
    fn or(self, other: Self) -> Self {
        if other.urgency() > self.urgency() { other } else { self }
    }
}

/// What a route says to its sessions, through all its reloads that do not concern them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Orders(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Rung after each change.
    bell: Bell,
    standing: Mutex<Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    rotation: Option<Rotation>,
    /// The generation that the folder holds.
    held: Option<u64>,
    /// Where servers are that have lost the role which the route asks for.
    demoted: Vec<Spot>,
    retired: Option<Phase>,
}

/// Sessions of other generations are renewed, or end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rotation {
    /// The newest that the server accepts.
    generation: u64,
    since: Instant,
    policy: Policy,
}

/// What a rotation means for sessions of other generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Policy {
    on_rotation: OnRotation,
    /// Whether the protocol can log them in again.
    renews: bool,
}

impl Policy {
    fn concerns_anyone(self) -> bool {
        self.renews || self.on_rotation.live != Live::Keep
    }
}

impl Standing {
    /// The rotation that a session of this generation is concerned by, if there is one. What the folder holds may be
    /// accepted at any moment, or have been a moment ago: whoever logged in with it stays.
    fn rotation_for(&self, generation: u64) -> Option<Rotation> {
        let stays = |rotation: &Rotation| [Some(rotation.generation), self.held].contains(&Some(generation));
        self.rotation.filter(|rotation| generation > 0 && !stays(rotation))
    }
}

/// What decides which orders concern a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// With which generation it logged in; 0 on a route without a credential.
    pub generation: u64,
    pub spot: Spot,
}

/// Where a server is, as far as sessions have to remember it: a fingerprint of the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot(u64);

impl Spot {
    pub fn of(place: &Place) -> Self {
        let mut hasher = DefaultHasher::new();
        match place {
            Place::Tcp(address) => address.hash(&mut hasher),
            Place::Unix(path) => path.hash(&mut hasher),
        }
        Self(hasher.finish())
    }
}

impl Orders {
    /// Follows a credential: once a newer generation is accepted, sessions of others are renewed or end, as the
    /// policy says; renewed only where the protocol can.
    pub async fn follow_rotation(self, source: Source, on_rotation: OnRotation, renews: bool) {
        let policy = Policy { on_rotation, renews };
        let (mut verdicts, mut changes) = (source.verdicts(), source.subscribe());
        loop {
            verdicts.catch_up();
            changes.catch_up();
            self.rotated(source.in_force(), policy);
            tokio::select! {
                biased;
                () = verdicts.changed() => {}
                () = changes.changed() => {}
            }
        }
    }

    /// These are the generations that are good. Where the server accepts none, or has gone back to an older one, nobody has to
    /// leave.
    fn rotated(&self, in_force: InForce, policy: Policy) {
        let mut standing = self.standing();
        let known = standing.rotation.map(|rotation| (rotation.generation, rotation.policy));
        let wanted = in_force.successor().filter(|_| policy.concerns_anyone());
        let wanted = wanted.map(|generation| (generation, policy));
        if (known, standing.held) != (wanted, in_force.held) {
            if known != wanted {
                let since = Instant::now();
                standing.rotation = wanted.map(|(generation, policy)| Rotation { generation, since, policy });
            }
            standing.held = in_force.held;
            drop(standing);
            self.0.bell.ring();
        }
    }

    /// Whether sessions of this generation have to end, now or in a while.
    pub fn retires(&self, generation: u64) -> bool {
        let rotation = self.standing().rotation_for(generation);
        rotation.is_some_and(|rotation| rotation.policy.on_rotation.live != Live::Keep)
    }

    /// A server has told its role. Sessions of a route that writes do not stay on one that has become a replica.
    pub fn heard_role(&self, place: &Place, wanted: Role, role: ServerRole) {
        let spot = Spot::of(place);
        let mut standing = self.standing();
        let known = standing.demoted.iter().position(|demoted| *demoted == spot);
        match (wanted == Role::Primary && role == ServerRole::Replica, known) {
            (true, None) => {
                standing.demoted.truncate(MOST_DEMOTED - 1);
                standing.demoted.insert(0, spot);
            }
            (false, Some(at)) => drop(standing.demoted.remove(at)),
            (true, Some(_)) | (false, None) => return,
        }
        drop(standing);
        self.0.bell.ring();
    }

    /// A reload has taken the route away from its sessions: they have as long to end as the process would give them.
    pub async fn retire(self, policy: domain::Drain) {
        for (moment, phase) in moments(Instant::now(), policy) {
            sleep_until(moment).await;
            self.standing().retired = Some(phase);
            self.0.bell.ring();
        }
    }

    /// What concerns a session, and the process's drain.
    pub fn follow(&self, drain: &Drain, facts: Facts) -> Ears {
        let mut ears = Ears {
            process: drain.watch(),
            phase: drain.phase(),
            route: self.0.bell.listen(),
            heard: self.0.bell.level(),
            task: None,
            orders: self.clone(),
            facts,
            turn: None,
            order: Order::GoOn,
        };
        ears.look();
        ears
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a session hears its orders.
#[derive(Debug)]
pub struct Ears {
    process: Phases,
    phase: Phase,
    route: Listener,
    heard: u64,
    /// Whom both wake.
    task: Option<Waker>,
    orders: Orders,
    facts: Facts,
    /// Where a rotation has concerned this session. Boxed, for few sessions at a time are concerned.
    turn: Option<Box<Turn>>,
    order: Order,
}

impl Ears {
    pub fn order(&self) -> Order {
        self.order
    }

    /// The session has moved to another link, or another generation.
    pub fn moved(&mut self, facts: Facts) {
        if self.facts != facts {
            self.facts = facts;
            self.turn = None;
            self.look();
        }
    }

    /// The session could not be logged in again. It is told to once more later, but not before this time is over.
    pub fn put_off(&mut self, least: Duration) {
        self.turn.iter_mut().for_each(|turn| turn.put_off(least));
        self.look();
    }

    /// The session cannot be logged in again with the generation that is accepted now.
    pub fn give_up(&mut self) {
        self.turn.iter_mut().for_each(|turn| turn.give_up());
        self.look();
    }

    /// Ready once there is another order.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Order> {
        while self.poll_news(cx).is_ready() {
            let before = self.order;
            self.look();
            if self.order != before {
                return Poll::Ready(self.order);
            }
        }
        Poll::Pending
    }

    fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.sit_down(cx.waker());
        }
        let before = (self.phase, self.heard);
        (self.phase, self.heard) = (self.process.phase(), self.route.level());
        let mut news = (self.phase, self.heard) != before;
        if let Some(turn) = &mut self.turn {
            news |= turn.poll(cx).is_ready();
        }
        if news { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Before the levels are read: whoever raises one later finds the waker.
    fn sit_down(&mut self, waker: &Waker) {
        self.process.sit_down(waker);
        self.route.sit_down(waker);
        self.task = Some(waker.clone());
    }

    /// Works out what everything together means.
    fn look(&mut self) {
        let orders = self.orders.clone();
        let standing = orders.standing();
        let of_process = in_phase(self.phase, Cause::ShuttingDown);
        let of_reload = standing.retired.map_or(Order::GoOn, |phase| in_phase(phase, Cause::RouteChanged));
        let demoted = standing.demoted.contains(&self.facts.spot);
        let of_role = if demoted { Order::WhenQuiet(Cause::ServerDemoted) } else { Order::GoOn };
        let of_rotation = self.of_rotation(standing.rotation_for(self.facts.generation));
        self.order = of_process.or(of_reload).or(of_role).or(of_rotation);
    }

    fn of_rotation(&mut self, rotation: Option<Rotation>) -> Order {
        match rotation {
            Some(rotation) => self.turn.get_or_insert_default().order(rotation),
            None => {
                self.turn.iter_mut().for_each(|turn| turn.rest());
                Order::GoOn
            }
        }
    }
}

fn in_phase(phase: Phase, cause: Cause) -> Order {
    match phase {
        Phase::Serving | Phase::Draining => Order::GoOn,
        Phase::Closing => Order::WhenQuiet(cause),
        Phase::Cut => Order::Now(cause),
    }
}

#[cfg(test)]
mod tests;
