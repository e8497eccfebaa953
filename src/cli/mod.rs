//! Arguments, and one file for each command.
//!
//! This is the only place that prints: standard output is the product of a command, and standard error says why
//! there is none.

mod address;
mod check;
mod completions;
mod dev;
mod drain;
mod files;
mod health;
mod http;
mod inject;
mod quit;
mod reload;
mod report;
mod run;
mod schema;
mod status;
mod table;
mod wait;
mod webhook;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::Complaints;

/// Exit codes of the operator's contract. Done is 0.
const FAILED: u8 = 1;
const WRONG: u8 = 2;

/// An ambassador sidecar proxy: it logs in to the database so that the application need not.
#[derive(Debug, Parser)]
#[command(name = "attache", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Dev(dev::Dev),
    Check(check::Check),
    Wait(wait::Wait),
    Health(health::Health),
    Status(status::Status),
    Drain(drain::Drain),
    Quit(quit::Quit),
    Reload(reload::Reload),
    Inject(inject::Inject),
    Webhook(webhook::Webhook),
    Schema(schema::Schema),
    Completions(completions::Completions),
}

/// What a command came to; `Ok` is exit code 0.
type Outcome = Result<(), Failed>;

/// Why a command ends with another exit code than 0.
#[derive(Debug)]
enum Failed {
    /// 1, with a line that says why.
    Because(String),
    /// 1, where the output has told already.
    AsTold,
    /// The status of a command that was run for the person who asked.
    Status(u8),
    /// 2, with all that is wrong with the configuration.
    Configuration(Complaints),
    /// 2, with a line that says what is wrong with the arguments.
    Arguments(String),
}

/// Reads the arguments, runs the command and says how it went.
pub fn main() -> ExitCode {
    // Ends the process with 2 where the arguments are wrong, and with 0 after --help and --version.
    let command = Arguments::parse().command;
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => ExitCode::from(tell(&failed)),
    }
}

fn run(command: Command) -> Outcome {
    match command {
        Command::Run(run) => run.run(),
        Command::Dev(dev) => dev.run(),
        Command::Check(check) => check.run(),
        Command::Wait(wait) => wait.run(),
        Command::Health(health) => health.run(),
        Command::Status(status) => status.run(),
        Command::Drain(drain) => drain.run(),
        Command::Quit(quit) => quit.run(),
        Command::Reload(reload) => reload.run(),
        Command::Inject(inject) => inject.run(),
        Command::Webhook(webhook) => webhook.run(),
        Command::Schema(schema) => schema.run(),
        Command::Completions(completions) => completions.run(&mut Arguments::command()),
    }
}

fn tell(failed: &Failed) -> u8 {
    match failed {
        Failed::Because(reason) => {
            complain(reason);
            FAILED
        }
        Failed::AsTold => FAILED,
        Failed::Status(status) => *status,
        Failed::Configuration(complaints) => {
            complain(&complaints.to_string());
            WRONG
        }
        Failed::Arguments(reason) => {
            complain(reason);
            WRONG
        }
    }
}

#[expect(clippy::print_stderr, reason = "a command that fails says why")]
fn complain(text: &str) {
    eprintln!("{text}");
}

/// Writes to standard output. A reader that has gone, such as `head`, has read enough; what a full disk has cut off
/// must not pass for the whole.
fn print(text: &str) -> Outcome {
    use std::io::{ErrorKind, Write as _};
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failed::Because(format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Runs a command that waits for something on a runtime of its own, on this thread.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failed::Because(format!("cannot start a runtime: {error}")))?;
    Ok(runtime.block_on(work))
}
