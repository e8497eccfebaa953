//! Every load over every lane, again and again, every second time in reverse: what drifts meanwhile drifts for all.

use crate::house::House;
use crate::lanes::{DIRECT, Lane, Lanes};
use crate::load::{CONNECT, CONNECT_TLS, CONNECT_TLS_1, Load, PREPARED_8, SIMPLE_1, SIMPLE_8, Sample};
use crate::options::Options;
use crate::spread::Spread;

/// How long each load runs before anything counts: caches fill, links are opened.
const WARM_UP_SECONDS: usize = 1;

pub(crate) const LOADS: [Load; 6] = [SIMPLE_1, SIMPLE_8, PREPARED_8, CONNECT, CONNECT_TLS_1, CONNECT_TLS];
/// Those that go to a server with TLS.
const TLS: [Load; 2] = [CONNECT_TLS_1, CONNECT_TLS];

/// What was measured of one load over one lane, a sample for each pass.
pub(crate) struct Cell {
    pub(crate) load: Load,
    pub(crate) lane: Lane,
    samples: Vec<Sample>,
}

pub(crate) struct Passes(pub(crate) Vec<Cell>);

pub(crate) fn run(house: &House, lanes: &Lanes, options: &Options) -> Passes {
    let mut cells = Vec::new();
    for load in LOADS.into_iter().filter(|load| load.name.contains(&options.only)) {
        let lanes = if TLS.contains(&load) { &lanes.tls } else { &lanes.plain };
        cells.extend(lanes.iter().map(|lane| Cell { load, lane: lane.clone(), samples: Vec::new() }));
    }
    for cell in cells.iter().filter(|cell| [SIMPLE_8, CONNECT, CONNECT_TLS].contains(&cell.load)) {
        cell.load.run(house, &cell.lane, WARM_UP_SECONDS);
    }
    for pass in 0..options.passes {
        println!("pass {} of {} …", pass + 1, options.passes);
        let mut order: Vec<&mut Cell> = cells.iter_mut().collect();
        if pass % 2 == 1 {
            order.reverse();
        }
        for cell in order {
            cell.samples.push(cell.load.run(house, &cell.lane, options.seconds));
        }
    }
    Passes(cells)
}

impl Passes {
    pub(crate) fn cell(&self, load: Load, lane: &str) -> Option<&Cell> {
        self.0.iter().find(|cell| cell.load == load && cell.lane.name == lane)
    }

    /// A figure of each pass, made of this cell's sample and that of the direct lane.
    pub(crate) fn beside_direct(&self, cell: &Cell, figure: impl Fn(&Sample, &Sample) -> f64) -> Spread {
        let direct = self.cell(cell.load, DIRECT).expect("every load runs over the direct lane");
        cell.beside(direct, figure)
    }
}

impl Cell {
    pub(crate) fn beside(&self, other: &Cell, figure: impl Fn(&Sample, &Sample) -> f64) -> Spread {
        let pairs = self.samples.iter().zip(&other.samples);
        Spread::of(pairs.map(|(ours, theirs)| figure(ours, theirs))).expect("there is at least one pass")
    }

    pub(crate) fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(self.samples.iter().map(figure)).expect("there is at least one pass")
    }
}
