//! The measurements behind `make bench`: what a session through Attaché costs, beside its peers, in one run.
//!
//! Absolute rates of a virtual machine mean little from one minute to the next. Every figure of speed is a ratio
//! to the direct connection in the same pass, and passes alternate their order. CPU time and memory are absolute.
#![expect(clippy::print_stdout, reason = "its report is what it is for")]

mod beside;
mod house;
mod idle;
mod lanes;
mod load;
mod machine;
mod mysql;
mod options;
mod passes;
mod recipe;
mod redis;
mod report;
mod sidecar;
mod spread;
mod start;

use std::process::ExitCode;

use house::House;
use machine::Machine;
use options::Options;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(complaint) => {
            println!("{complaint}");
            return ExitCode::from(2);
        }
    };
    let before = Machine::look();
    println!("{before}");
    machine::allow_many_files(options.idle);
    let house = House::build(options.idle);
    let recipes = recipe::all(&options, &house);
    if options.sidecar {
        sidecar::run(&house, &recipes, &options);
        println!("\n{}", before.since());
        return ExitCode::SUCCESS;
    }

    let idle = idle::measure(&recipes.for_idling(), options.idle);
    let starts = start::measure(&recipes.for_starting());
    let lanes = lanes::open(&house, &recipes);
    let passes = passes::run(&house, &lanes, &options);

    report::rates(&passes);
    mysql::run(&options);
    redis::run(&options);
    report::memory(&idle, options.idle);
    report::starts(&starts);
    report::targets(&passes, &idle);
    println!("\n{}", before.since());
    ExitCode::SUCCESS
}
