//! The tables, and a verdict for each target.

use crate::idle::Idle;
use crate::lanes::{ATTACHE, DIRECT, PGBOUNCER, PGBOUNCER_TRANSACTIONS, REUSED};
use crate::load::{CONNECT_TLS, CONNECT_TLS_1, Load, PREPARED_8, SIMPLE_1, SIMPLE_8, Sample};
use crate::passes::{Cell, LOADS, Passes};
use crate::spread::Spread;
use crate::start::Start;

const MIB: f64 = 1024.0 * 1024.0;
const KIB: f64 = 1024.0;
/// The most that an idle session without TLS may keep resident, in octets.
const IDLE_TARGET: f64 = 4.0 * KIB;

pub(crate) fn rates(passes: &Passes) {
    println!("\nEach figure is the median (least..most) of the passes.");
    for load in LOADS.into_iter().filter(|load| passes.cell(*load, DIRECT).is_some()) {
        let rows = passes.0.iter().filter(|cell| cell.load == load).map(|cell| row(passes, cell));
        let alone = if load == SIMPLE_1 { "added µs, p50" } else { "" };
        let head = ["", "queries/s", "ratio to direct", "its CPU µs/query", "user", "system", alone];
        println!("\n{}", load.name);
        table(std::iter::once(head.map(str::to_owned)).chain(rows));
    }
}

fn row(passes: &Passes, cell: &Cell) -> [String; 7] {
    let rate = format!("{:.0}", cell.spread(|sample| sample.rate).median);
    if cell.lane.name == DIRECT {
        let latency = alone(cell, |cell| format!("{:.0} in all", cell.spread(latency).median));
        return [
            DIRECT.to_owned(),
            rate,
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            latency,
        ];
    }
    let added = |cell: &Cell| {
        format!("{:.0}", passes.beside_direct(cell, |ours, direct| latency(ours) - latency(direct)))
    };
    [
        cell.lane.name.to_owned(),
        rate,
        format!("{:.2}", passes.beside_direct(cell, |ours, direct| ours.rate / direct.rate)),
        format!("{:.1}", cell.spread(cpu)),
        format!("{:.1}", cell.spread(|sample| sample.user).median),
        format!("{:.1}", cell.spread(|sample| sample.system).median),
        alone(cell, added),
    ]
}

fn alone(cell: &Cell, text: impl Fn(&Cell) -> String) -> String {
    if cell.load == SIMPLE_1 { text(cell) } else { String::new() }
}

fn latency(sample: &Sample) -> f64 {
    sample.latency.expect("a single client's latency is measured")
}

fn cpu(sample: &Sample) -> f64 {
    sample.user + sample.system
}

pub(crate) fn memory(idle: &[Idle], sessions: usize) {
    if idle.is_empty() {
        return;
    }
    println!("\nResident memory");
    let head = ["", "KiB/idle session", &format!("MiB/{sessions}"), "MiB at start"].map(str::to_owned);
    let rows = idle.iter().map(|idle| {
        let all = idle.each * sessions as f64 / MIB;
        [
            idle.name.to_owned(),
            format!("{:.2}", idle.each / KIB),
            format!("{all:.1}"),
            format!("{:.1}", idle.base as f64 / MIB),
        ]
    });
    table(std::iter::once(head).chain(rows));
}

pub(crate) fn starts(starts: &[Start]) {
    println!("\nStart");
    let head = ["", "ms until it listens", "MiB of its file"].map(str::to_owned);
    let rows = starts.iter().map(|start| {
        let size = format!("{:.1}", start.octets as f64 / MIB);
        [start.name.to_owned(), format!("{:.1}", start.milliseconds), size]
    });
    table(std::iter::once(head).chain(rows));
}

pub(crate) fn targets(passes: &Passes, idle: &[Idle]) {
    println!("\nTargets");
    for load in [SIMPLE_1, SIMPLE_8, PREPARED_8] {
        match cpu_beside_pgbouncer(passes, load) {
            Some(ratio) => {
                let what = format!("CPU per query no more than PgBouncer's, {}: {ratio:.2} of it", load.name);
                verdict(&what, ratio.median <= 1.0);
            }
            None => println!("  not known  CPU per query, {}: PgBouncer is not there", load.name),
        }
    }
    for load in [CONNECT_TLS_1, CONNECT_TLS] {
        match logins_beside(passes, load, PGBOUNCER) {
            Some(ratio) => {
                let what =
                    format!("with reused links no fewer than PgBouncer's, {}: {ratio:.2} of it", load.name);
                verdict(&what, ratio.median >= 1.0);
            }
            None => println!("  not known  {}: PgBouncer is not there", load.name),
        }
        if let Some(ratio) = logins_beside(passes, load, PGBOUNCER_TRANSACTIONS) {
            println!("  aim        as many as its transaction mode, {}: {ratio:.2} of it", load.name);
        }
    }
    match idle.iter().find(|idle| idle.name == ATTACHE) {
        Some(idle) => {
            let what = format!("at most 4 KiB for an idle plain session: {:.2}", idle.each / KIB);
            verdict(&what, idle.each <= IDLE_TARGET);
        }
        None => println!("  not known  memory of an idle session: it was left out"),
    }
}

fn cpu_beside_pgbouncer(passes: &Passes, load: Load) -> Option<Spread> {
    let (ours, theirs) = (passes.cell(load, ATTACHE)?, passes.cell(load, PGBOUNCER)?);
    Some(ours.beside(theirs, |ours, theirs| cpu(ours) / cpu(theirs)))
}

fn logins_beside(passes: &Passes, load: Load, peer: &str) -> Option<Spread> {
    let (ours, theirs) = (passes.cell(load, REUSED)?, passes.cell(load, peer)?);
    Some(ours.beside(theirs, |ours, theirs| ours.rate / theirs.rate))
}

fn verdict(what: &str, met: bool) {
    println!("  {}  {what}", if met { "met      " } else { "not met  " });
}

/// Columns as wide as they need to be: names to the left, figures to the right.
pub(crate) fn table<const COLUMNS: usize>(rows: impl Iterator<Item = [String; COLUMNS]>) {
    let rows: Vec<_> = rows.collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    for row in &rows {
        let figures = row.iter().zip(widths).skip(1).map(|(figure, width)| format!("  {figure:>width$}"));
        let line = format!("  {:<width$}{}", row[0], figures.collect::<String>(), width = widths[0]);
        println!("{}", line.trim_end());
    }
}
