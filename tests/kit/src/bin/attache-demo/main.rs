//! The demonstration behind `make demo`: real databases, clients that hold no password, and passwords that change under
//! load.
#![expect(clippy::print_stdout, reason = "telling a story is what it is for")]

mod load;
mod mariadb;
mod postgres;
mod redis;
mod scene;
mod stage;

use std::process::ExitCode;

use stage::Stage;

fn main() -> ExitCode {
    let binary = std::env::args().nth(1).expect("usage: attache-demo PATH-OF-ATTACHE");
    println!("\nAttaché: applications that hold no password, while the passwords change.\n");
    let stage = Stage::set(&binary);
    stage.ask_who_we_are();
    let loads = stage.start_loads();
    stage.rotate_under_load();
    let lost = stage.settle(loads);
    stage.show_generations();
    stage.show_health();
    stage.end();
    match lost {
        0 => println!("\nNot one operation failed, and not one is missing.\n"),
        lost => println!("\n{lost} operations failed or are missing: that should not be.\n"),
    }
    ExitCode::from(u8::from(lost > 0))
}
