//! One protocol's soak from its servers' start to its report.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use attache_kit::Chance;

use crate::changes::Credential;
use crate::ending;
use crate::ground::Ground;
use crate::house::{House, Settings};
use crate::load::{self, World};
use crate::report::{Report, Size};
use crate::upheavals::Surroundings;

/// How often the size of the process is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Lines of the log that a failure shows.
const LINES: usize = 60;

pub struct Plan {
    pub name: &'static str,
    pub seed: u64,
    pub time: Duration,
}

/// Nothing where the servers are not installed.
pub fn soak<G: Ground>(plan: &Plan, start: impl FnOnce() -> Option<G>) -> Option<Report> {
    let ground = start()?;
    let chance = Chance::new(plan.seed).of(plan.name);
    let house = House::start(&ground, &Settings::plain());
    let world = World::new();
    let mut report = Report { name: plan.name, ..Report::default() };
    report.at_first = ending::settled(&house, &world, &ground);
    let start = Instant::now();
    let guarded = |what: &'static str, work: &mut dyn FnMut()| {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            world.complain(format!("{what} broke off: its panic is printed above"));
        }
    };
    thread::scope(|scope| {
        let (world, ground, house, guarded) = (&world, &ground, &house, &guarded);
        let changes = chance.of("changes");
        let upheavals = chance.of("upheavals");
        scope.spawn(move || guarded("the load", &mut || load::work::<G::Driver>(world, house.addr())));
        scope.spawn(move || {
            guarded("the credential's script", &mut || {
                Credential::new(world, ground, house).play(changes.clone());
            });
        });
        scope.spawn(move || {
            guarded("the surroundings' script", &mut || {
                let surroundings = Surroundings { world, ground, house };
                surroundings.play(upheavals.clone());
                surroundings.reload(&Settings::plain());
            });
        });
        while start.elapsed() < plan.time && !world.is_over() {
            report.at_most = larger(report.at_most, house.size());
            thread::sleep(LOOK);
        }
        world.over.store(true, Ordering::SeqCst);
    });
    report.took = start.elapsed();
    // Taken before the end adds to it.
    let log = house.attache().stderr();
    ending::check(&mut report, &house, &world, &ground);
    report.spells = world.timeline.spells();
    report.tally = std::mem::take(&mut world.tally.lock().unwrap());
    if report.has_failed() {
        report.log = telling(&log);
    }
    Some(report)
}

fn larger(one: Size, other: Size) -> Size {
    Size { resident: one.resident.max(other.resident), files: one.files.max(other.files) }
}

/// The last lines, without those of sessions that went well.
fn telling(log: &str) -> Vec<String> {
    let lines: Vec<_> = log.lines().filter(|line| !line.contains(r#""result":"ok""#)).collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| (*line).to_owned()).collect()
}
