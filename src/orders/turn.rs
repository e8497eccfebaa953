//! The moments that are drawn for one session when a rotation concerns it: to log in again, and to end.
//!
//! Sessions that may stay are logged in again where the protocol [renews](attache_wire::Protocol::RENEWS); where the policy
//! is that they end, they end. Both are spread, for a thousand logins in the same millisecond are an attack.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::{Order, Policy, Rotation};
use crate::chance;
use crate::config::domain::Live;
use crate::failure::Cause;

/// The share of `within` over which the ends of sessions are spread. The rest is for those that are busy.
const ENDS_BY: (u32, u32) = (3, 4);
/// Over how long renewals are spread, at most: short enough for whoever waits to revoke the old password.
const RENEWALS_OVER: Duration = Duration::from_secs(5);
/// The first pause after a renewal that failed; it doubles up to the second.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a session is given to come to a quiet moment by itself. One on which many callers share a connection never
/// does.
const ROOM_AFTER: Duration = Duration::from_millis(200);
/// For how long at most the client is then kept from saying more, so that what is outstanding is answered.
const ROOM_FOR: Duration = Duration::from_millis(500);

/// What one session has to do in a rotation, and when.
#[derive(Debug)]
pub(super) struct Turn {
    /// What the moments were drawn for; `None` while nobody has to do anything.
    drawn_for: Option<Rotation>,
    /// With which generation it is to be renewed.
    generation: u64,
    renew_at: Option<Instant>,
    room: Room,
    end_at: Option<Instant>,
    /// After the next renewal that fails.
    pause: Duration,
    /// Rings at the next moment.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            drawn_for: None,
            generation: 0,
            renew_at: None,
            room: Room::from(Instant::now()),
            end_at: None,
            pause: FIRST_PAUSE,
            alarm: None,
        }
    }
}

impl Turn {
    /// What is to be done now. Sets the alarm for whatever comes next.
    pub(super) fn order(&mut self, rotation: Rotation) -> Order {
        self.draw(rotation);
        let now = Instant::now();
        let (is_over, is_due) = (passed(self.end_at, now), passed(self.renew_at, now));
        let room = if is_due { Some(self.room.next(now)) } else { self.renew_at };
        let next = [room, self.end_at].into_iter().flatten().filter(|at| *at > now).min();
        self.alarm = next.map(|at| Box::pin(sleep_until(at)));
        match rotation.policy.on_rotation.live {
            Live::Cut if is_over => Order::Now(Cause::CredentialRotated),
            Live::Drain if is_over => Order::WhenFree(Cause::CredentialRotated),
            Live::Keep if is_due && self.room.is_open(now) => Order::MakeRoom,
            Live::Keep if is_due => Order::Renew,
            Live::Keep | Live::Drain | Live::Cut => Order::GoOn,
        }
    }

    /// Another generation is tried at once; whoever was refused the same one waits on.
    fn draw(&mut self, rotation: Rotation) {
        if self.drawn_for == Some(rotation) {
            return;
        }
        self.drawn_for = Some(rotation);
        if rotation.generation != self.generation || self.is_fresh() {
            self.pause = FIRST_PAUSE;
            self.renew_at(renewal(&rotation));
        }
        self.generation = rotation.generation;
        // One rotation after the other must not put the end off for ever.
        self.end_at = match (self.end_at, end(&rotation)) {
            (Some(before), Some(drawn)) => Some(before.min(drawn)),
            (_, drawn) => drawn,
        };
    }

    /// Nobody has to do anything at the moment.
    pub(super) fn rest(&mut self) {
        (self.drawn_for, self.end_at, self.alarm) = (None, None, None);
    }

    /// The session could not be renewed, and is to try again later, but not before this time is over.
    pub(super) fn put_off(&mut self, least: Duration) {
        self.renew_at(Some(Instant::now() + least + chance::about(self.pause)));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// The session cannot be renewed with this generation.
    pub(super) fn give_up(&mut self) {
        self.renew_at = None;
    }

    fn renew_at(&mut self, at: Option<Instant>) {
        self.renew_at = at;
        self.room = Room::from(at.unwrap_or_else(Instant::now) + ROOM_AFTER);
    }

    /// Ready when it is time to ask again.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.as_mut().map_or(Poll::Pending, |alarm| alarm.as_mut().poll(cx))
    }

    /// Whether no renewal with this generation was tried yet.
    fn is_fresh(&self) -> bool {
        self.renew_at.is_some() && self.pause == FIRST_PAUSE
    }
}

/// The while in which a client is kept from saying more; it comes again, later and later.
#[derive(Debug)]
struct Room {
    opens_at: Instant,
    pause: Duration,
}

impl Room {
    fn from(opens_at: Instant) -> Self {
        Self { opens_at, pause: FIRST_PAUSE }
    }

    /// When it opens or closes next.
    fn next(&mut self, now: Instant) -> Instant {
        if self.opens_at + ROOM_FOR <= now {
            self.opens_at = now + chance::about(self.pause);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        if self.is_open(now) { self.opens_at + ROOM_FOR } else { self.opens_at }
    }

    fn is_open(&self, now: Instant) -> bool {
        self.opens_at <= now
    }
}

fn passed(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| at <= now)
}

fn renewal(rotation: &Rotation) -> Option<Instant> {
    let Policy { on_rotation, renews } = rotation.policy;
    match on_rotation.live {
        Live::Keep => renews.then(|| rotation.since + some_of(RENEWALS_OVER.min(on_rotation.within / 4))),
        Live::Drain | Live::Cut => None,
    }
}

fn end(rotation: &Rotation) -> Option<Instant> {
    let on_rotation = rotation.policy.on_rotation;
    match on_rotation.live {
        Live::Keep => None,
        Live::Drain => Some(rotation.since + some_of(on_rotation.within * ENDS_BY.0 / ENDS_BY.1)),
        Live::Cut => Some(rotation.since),
    }
}

/// From nothing to all of it, each as likely as the other.
fn some_of(duration: Duration) -> Duration {
    let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    Duration::from_millis(chance::up_to(millis).into())
}
