//! `attache dev`: databases from URLs or from the project's file, for as long as somebody works with them.
//!
//! No configuration, no health and no control listener. A password comes from a file, from standard input or from the
//! terminal, never from an argument: those are shown to everyone on the machine.

mod advice;
mod command;
mod house;
mod interactive;
mod line;
mod options;
mod place;
mod signals;
mod surroundings;
mod target;
mod wanted;

use std::ffi::OsString;
use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::{Failed, Outcome, block_on, print, run};
use crate::config::domain::{Level, Log, LogFormat};
use crate::log;
use crate::secret::given::Given;
use house::{Database, House, Prepared};
use line::Line;
use surroundings::{Surroundings, Way, how_to_connect};
use wanted::{Databases, Wanted};

/// Serve databases from URLs or a project file, on their own or for a command.
///
/// Without a command it prints how to connect and serves until Ctrl-C. With one, the command finds the databases through
/// its environment (PGHOST, DATABASE_URL, REDIS_URL … as each protocol has them), gets our signals, and its exit code is
/// ours: 127 where it is not found, 126 where it cannot be started. TLS is verified in full unless the URL or --tls
/// says otherwise.
#[derive(Debug, Args)]
pub(super) struct Dev {
    #[command(flatten)]
    databases: Databases,

    /// How much to tell on standard error [default: warn, once it runs].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,

    /// A command to run while the databases are served.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Dev {
    pub(super) fn run(self) -> Outcome {
        keep_secrets_to_ourselves();
        let line = if self.command.is_empty() { Line::on_terminal() } else { None };
        let all = self.databases.wanted()?;
        let is_one = all.len() == 1;
        let mut routes = Vec::new();
        for wanted in &all {
            routes.push(house::configure(wanted, line.is_some()).map_err(Failed::Arguments)?);
        }
        refuse_to_share_standard_input(&all)?;
        let prepared = all.into_iter().zip(routes).map(|(wanted, route)| {
            let given = given(&wanted, is_one);
            Prepared { wanted, route, given }
        });
        let prepared = prepared.collect();
        if self.log_level.is_some() {
            self.start_log(line.as_ref());
        }
        block_on(self.serve(prepared, line))?
    }

    async fn serve(&self, prepared: Vec<Prepared>, line: Option<Line>) -> Outcome {
        let mut house = House::start(prepared).await.map_err(Failed::Because)?;
        let ways: Result<Vec<_>, _> = house.databases.iter().map(way).collect();
        let surroundings = Surroundings::of(&ways.map_err(Failed::Arguments)?);
        house.first_logins().await.map_err(Failed::Because)?;
        // Not before: what stands in the way of the first login is told in one line, above.
        self.start_log(line.as_ref());
        tell_what_was_raised(&house.databases);
        house.look_after();
        let outcome = match self.command.split_first() {
            Some((program, arguments)) => command::run(program, arguments, &surroundings).await,
            None => {
                let ways: Vec<_> = house.databases.iter().filter_map(|database| way(database).ok()).collect();
                match print(&how_to_connect(&house, &ways, &surroundings)) {
                    Ok(()) => interactive::serve(&house, line.as_ref()).await,
                    untold => untold,
                }
            }
        };
        house.end().await;
        outcome
    }

    fn start_log(&self, line: Option<&Line>) {
        let level = match self.log_level.unwrap_or(LogLevel::Warn) {
            LogLevel::Error => Level::Error,
            LogLevel::Warn => Level::Warn,
            LogLevel::Info => Level::Info,
            LogLevel::Debug => Level::Debug,
            LogLevel::Trace => Level::Trace,
        };
        let settings = Log { format: LogFormat::Text, level };
        match line {
            Some(line) => log::start_to(&settings, line.clone()),
            None => log::start(&settings),
        };
        std::panic::set_hook(Box::new(run::note_panic));
    }
}

fn way(database: &Database) -> Result<Way<'_>, String> {
    let Wanted { name, is_named, .. } = &database.wanted;
    Ok(Way { name, is_named: *is_named, directions: database.directions()? })
}

/// Where the password is; `None` where nobody logs in.
fn given(wanted: &Wanted, is_one: bool) -> Option<Given> {
    let Wanted { name, target, password_file, .. } = wanted;
    match (password_file, &target.user) {
        (Some(path), _) if path.as_os_str() == "-" => Some(Given::Input),
        (Some(path), _) => Some(Given::File(path.clone())),
        (None, None) => None,
        (None, Some(user)) if std::io::stdin().is_terminal() => {
            let of = if is_one { String::new() } else { format!("{name}: ") };
            Some(Given::Typed(format!("{of}Password of {user} at {}: ", target.servers())))
        }
        (None, Some(_)) => Some(Given::Nothing),
    }
}

/// Its first line is one password.
fn refuse_to_share_standard_input(all: &[Wanted]) -> Outcome {
    let reads = |wanted: &&Wanted| wanted.password_file.as_ref().is_some_and(|path| path.as_os_str() == "-");
    match all.iter().filter(reads).count() {
        0 | 1 => Ok(()),
        _ => {
            Err(Failed::Arguments("standard input holds one password: give the others with files".to_owned()))
        }
    }
}

fn tell_what_was_raised(databases: &[Database]) {
    for database in databases.iter().filter(|database| database.wanted.was_raised()) {
        tracing::warn!(
            route = database.wanted.name,
            "the URL asks for TLS without verification: the server was verified in full nevertheless"
        );
    }
}

/// No core file, and no debugger of another program: both would find the password. Unlike a limit, this is not
/// handed down to the command.
fn keep_secrets_to_ourselves() {
    // Where the system cannot do that, there is nothing else to be done.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
