//! The script of the credential: database and Secret change, in either order and far apart; the folder breaks and heals.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use attache_kit::Chance;
use attache_kit::wait::within;

use crate::ground::{Ground, USERS, password};
use crate::house::House;
use crate::load::World;
use crate::script::{self, Change, Damage, First};
use crate::timeline::Effect;

/// Behind the folder's change: noticed, read, tried.
const NOTICED: Duration = Duration::from_secs(2);
/// A new generation is tried at once, and every few seconds while the network does not let it.
const ACCEPTED: Duration = Duration::from_secs(30);
/// Sessions of an old password end or take over the new one within seconds, where they do.
const SETTLED: Duration = Duration::from_secs(8);
/// When something had been forgotten, it would show by then.
const STILL: Duration = Duration::from_millis(500);
const BARS: Effect = Effect { cuts: None, bars: true };
const NONE: Effect = Effect { cuts: None, bars: false };

/// Whose password is in use, and which.
pub struct Credential<'a, G> {
    world: &'a World,
    ground: &'a G,
    house: &'a House,
    user: usize,
    number: usize,
}

impl<'a, G: Ground> Credential<'a, G> {
    pub fn new(world: &'a World, ground: &'a G, house: &'a House) -> Self {
        Credential { world, ground, house, user: 0, number: 0 }
    }

    /// Until the world is over. At the end database and Secret agree, and that has been noticed.
    pub fn play(&mut self, chance: Chance) {
        let mut deck = script::changes(chance, G::REFUSES);
        while !self.world.is_over() {
            self.pause(script::moment(&mut deck.chance));
            let change = deck.draw()(&mut deck.chance);
            self.make(change);
        }
        // One that was refused before is tried again in its own time; a new one at once.
        let before = self.read_last();
        self.password(First::Server, Duration::ZERO, None);
        self.wait_until_accepted(before);
    }

    fn make(&mut self, change: Change) {
        match change {
            Change::Password { first, gap, meanwhile } => self.password(first, gap, meanwhile),
            Change::OtherUser { first, gap } => self.other_user(first, gap),
            Change::Mistyped(lasts) => self.mistyped(lasts),
            Change::Damaged(damage, lasts) => {
                let _spell = self.world.timeline.begin(format!("folder: {damage:?}"), NONE);
                self.damage(damage);
                self.pause(lasts);
                self.heal(damage);
            }
        }
    }

    fn password(&mut self, first: First, gap: Duration, meanwhile: Option<Damage>) {
        self.number += 1;
        let what = format!("password, {first:?} first, {gap:?} apart, {meanwhile:?}");
        let _spell = self.world.timeline.begin(what, NONE);
        match first {
            First::Server => {
                // From here on nobody can log in with what the folder holds.
                let effect = if G::REFUSES { BARS } else { NONE };
                let _barred = self.world.timeline.begin("(barred by the old password)", effect);
                self.change_server();
                if let Some(damage) = meanwhile {
                    self.damage(damage);
                }
                self.pause(gap);
                self.change_folder();
                thread::sleep(NOTICED);
            }
            First::Folder => {
                self.change_folder();
                self.pause(gap);
                self.change_server();
            }
        }
    }

    /// The old user goes when the new one is in use, as the runbook says; or, where the database was late, at once: then
    /// sessions find out which of the two works.
    fn other_user(&mut self, first: First, gap: Duration) {
        let _spell = self.world.timeline.begin(format!("other user, {first:?} first, {gap:?} apart"), NONE);
        let old = self.user;
        self.user = 1 - self.user;
        self.number += 1;
        match first {
            First::Server => {
                self.change_server();
                self.pause(gap);
                let before = self.read_last();
                self.change_folder();
                self.wait_until_accepted(before);
                if self.settles() {
                    // Whoever is still there is lost, and nothing excuses it.
                    self.ground.end_sessions_of(USERS[old]);
                }
            }
            First::Folder => {
                self.change_folder();
                self.pause(gap);
                self.change_server();
            }
        }
        self.ground.password(USERS[old], &format!("{}-gone", password(self.number)));
    }

    fn mistyped(&mut self, lasts: Duration) {
        let _spell = self.world.timeline.begin(format!("mistyped, {lasts:?}"), NONE);
        self.house.put(&self.ground.secret(USERS[self.user], &password(usize::MAX)));
        self.pause(lasts);
        self.change_folder();
    }

    /// What the process has read last: the generation, and the end of its certificate.
    fn read_last(&self) -> (u64, Option<u64>) {
        let credential = self.house.credential();
        (credential["generation"].as_u64().unwrap_or_default(), credential["certificate_not_after"].as_u64())
    }

    fn wait_until_accepted(&self, before: (u64, Option<u64>)) {
        let accepted = || {
            let now = self.read_last();
            // Of two certificates that no server has asked for yet, the second is no new generation.
            let is_new = now.0 > before.0 || now.0 == before.0 && now.1 != before.1;
            (is_new && self.house.credential()["state"] == "ok").then_some(())
        };
        if within(ACCEPTED, accepted).is_none() {
            let complaint = format!("not accepted within {ACCEPTED:?}: {}", self.house.credential());
            self.world.complain(complaint);
        }
    }

    /// Whether the process says that the old user may go, and still says so a moment later.
    fn settles(&self) -> bool {
        let settled = || (self.house.credential()["settled"] == true).then_some(());
        let ends = G::RENEWS || self.world.retires.load(Ordering::SeqCst);
        if !ends || within(SETTLED, settled).is_none() {
            return false;
        }
        thread::sleep(STILL);
        let still = settled().is_some();
        drop(self.world.timeline.begin(format!("settled: {still}"), NONE));
        still
    }

    fn change_server(&self) {
        self.ground.password(USERS[self.user], &password(self.number));
    }

    fn change_folder(&self) {
        self.house.put(&self.ground.secret(USERS[self.user], &password(self.number)));
    }

    fn damage(&self, damage: Damage) {
        let secret = &self.house.secret;
        let keys = self.ground.secret(USERS[self.user], &password(self.number));
        let last = keys.last().expect("a Secret has a key").0;
        match damage {
            Damage::Gone => secret.break_(),
            Damage::Unlinked => secret.unlink(),
            Damage::Unreadable => secret.unreadable(last),
            Damage::EmptyFile => {
                let emptied = keys.iter().map(|(key, value)| (*key, if *key == last { "" } else { value }));
                secret.write(&emptied.collect::<Vec<_>>());
            }
            Damage::MissingKey => {
                let rest = keys.iter().filter(|(key, _)| *key != last);
                secret.write(&rest.map(|(key, value)| (*key, value.as_str())).collect::<Vec<_>>());
            }
        }
    }

    fn heal(&self, damage: Damage) {
        match damage {
            Damage::Gone | Damage::Unlinked | Damage::Unreadable => self.house.secret.heal(),
            Damage::EmptyFile | Damage::MissingKey => self.change_folder(),
        }
    }

    fn pause(&self, long: Duration) {
        self.world.pause(long);
    }
}
