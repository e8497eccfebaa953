//! The script of servers, network and configuration.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use attache_kit::{Chance, Fault};

use crate::ground::Ground;
use crate::house::{House, Settings};
use crate::load::World;
use crate::script::{self, Upheaval};
use crate::timeline::Effect;

/// A cut is felt when the next operation is on its way.
const FELT: Duration = Duration::from_secs(1);
/// A demoted server is noticed by probes, and its sessions end when they are quiet.
const DEMOTED: Duration = Duration::from_secs(8);
/// Sessions that a route ends for their old password may be told so this much after it has stopped doing so: an idle client
/// reads it with its next operation, three seconds later.
const LAST_RETIRED: Duration = Duration::from_secs(4);

pub struct Surroundings<'a, G> {
    pub world: &'a World,
    pub ground: &'a G,
    pub house: &'a House,
}

impl<G: Ground> Surroundings<'_, G> {
    pub fn play(&self, chance: Chance) {
        let mut deck = script::upheavals(chance, G::FAILOVERS);
        while !self.world.is_over() {
            self.world.pause(script::moment(&mut deck.chance));
            let upheaval = deck.draw().played(&mut deck.chance);
            self.make(upheaval, &mut deck.chance);
        }
    }

    fn make(&self, upheaval: Upheaval, chance: &mut Chance) {
        let begin = |what: String, effect| self.world.timeline.begin(what, effect);
        let lost = |tail, bars| Effect { cuts: Some(tail), bars };
        match upheaval {
            Upheaval::Restart { how, down } => {
                let _spell = begin(format!("restart {how:?}, down {down:?}"), lost(FELT, true));
                self.ground.restart(how, &mut || self.world.pause(down));
            }
            Upheaval::Failover(how) => {
                let _spell = begin(format!("failover {how:?}"), lost(DEMOTED, true));
                self.ground.fail_over(how);
            }
            Upheaval::Certificate => {
                let _spell = begin("certificate".to_owned(), Effect::default());
                self.ground.renew_certificate();
            }
            Upheaval::Cut => {
                let _spell = begin("cut".to_owned(), lost(FELT, false));
                self.ground.relays().iter().for_each(attache_kit::Relay::cut);
            }
            Upheaval::Network { fault, lasts } => {
                let _spell = begin(format!("network {}, {lasts:?}", named(fault)), effect(fault));
                self.ground.relays().iter().for_each(|relay| relay.set(fault));
                self.world.pause(lasts);
                self.ground.relays().iter().for_each(|relay| relay.set(Fault::None));
            }
            Upheaval::Reload => self.reload(&Settings::drawn::<G>(chance)),
            Upheaval::BadReload => {
                let _spell = begin("bad reload".to_owned(), Effect::default());
                self.house.reload_nonsense();
            }
        }
    }

    pub fn reload(&self, settings: &Settings) {
        let _spell = self.world.timeline.begin(format!("reload: {settings:?}"), Effect::default());
        if settings.retires {
            self.world.retires.store(true, Ordering::SeqCst);
        }
        self.house.reload(settings);
        if !settings.retires && self.world.retires.load(Ordering::SeqCst) {
            thread::sleep(LAST_RETIRED);
            self.world.retires.store(false, Ordering::SeqCst);
        }
    }
}

fn effect(fault: Fault) -> Effect {
    match fault {
        Fault::None | Fault::Delay(_) | Fault::Trickle { .. } => Effect::default(),
        Fault::Refuse | Fault::Hangup | Fault::Blackhole | Fault::Stall { .. } => {
            Effect { cuts: None, bars: true }
        }
        Fault::Reset { .. } | Fault::Close { .. } => Effect { cuts: Some(FELT), bars: true },
    }
}

/// The first word alone counts as its kind.
fn named(fault: Fault) -> String {
    match fault {
        Fault::Reset { after, direction } => format!("reset {direction:?}, after {after}"),
        Fault::Close { after, direction } => format!("truncate {direction:?}, after {after}"),
        Fault::Stall { after, direction } => format!("stall {direction:?}, after {after}"),
        Fault::Delay(delay) => format!("delay, {delay:?}"),
        Fault::Trickle { bytes, pause } => format!("trickle, {bytes} octets, {pause:?}"),
        Fault::None | Fault::Refuse | Fault::Hangup | Fault::Blackhole => format!("{fault:?}").to_lowercase(),
    }
}
