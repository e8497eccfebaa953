//! `attache dev`: one route from one URL, for as long as somebody works with it.
//!
//! No configuration, no health and no control listener. The password comes from a file, from standard input or from
//! the terminal, never from an argument: those are shown to everyone on the machine.

mod command;
mod house;
mod target;

use std::ffi::OsString;
use std::path::PathBuf;

use attache_wire::{Directions, TlsWish};
use clap::{Args, ValueEnum};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::address::listen_address;
use super::{Failed, Outcome, block_on, print, run};
use crate::config::domain::{Level, ListenAddress, Log, LogFormat, Route};
use crate::log;
use crate::secret::given::Given;
use house::{House, Settings};
use target::Target;

/// Serve one database from a URL, on its own or for a command.
///
/// Without a command it prints how to connect and serves until Ctrl-C. With one, the command finds the database through
/// its environment (PGHOST, DATABASE_URL … as the protocol has them), gets our signals, and its exit code is ours: 127
/// where it is not found, 126 where it cannot be started. TLS is verified in full unless the URL or --tls says
/// otherwise.
#[derive(Debug, Args)]
pub(super) struct Dev {
    /// postgres://USER@HOST[:PORT][/DATABASE][?sslmode=…&sslrootcert=…] or tcp://HOST:PORT, without a password.
    #[arg(value_name = "URL")]
    url: String,

    /// A file with the password, followed when it changes; `-` is the first line of standard input. Without it you are
    /// asked, where there is a terminal.
    #[arg(long, value_name = "FILE", env = "ATTACHE_PASSWORD_FILE")]
    password_file: Option<PathBuf>,

    /// Where to listen on this machine [default: 127.0.0.1, the usual port of the protocol, or the next free one].
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    listen: Option<ListenAddress>,

    /// The certificate authorities to trust, as a PEM file, instead of those of the system.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// What is verified of the server.
    #[arg(long, value_name = "MODE")]
    tls: Option<Tls>,

    /// The name in the server's certificate, where it is not the host of the URL.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,

    /// How much to tell on standard error [default: warn, once it runs].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,

    /// A command to run while the database is served.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Tls {
    /// The chain and the name.
    VerifyFull,
    /// The chain, not the name.
    VerifyCa,
    /// Nothing: whoever answers gets the password.
    InsecureNoVerify,
    /// There is no TLS.
    Off,
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
        let target = Target::parse(&self.url).map_err(Failed::Arguments)?;
        let settings = self.settings(&target)?;
        let route = house::configure(&target, &settings).map_err(Failed::Arguments)?;
        let given = self.password(&target)?;
        if self.log_level.is_some() {
            self.start_log();
        }
        block_on(self.serve(&target, &route, given))?
    }

    async fn serve(&self, target: &Target, route: &Route, given: Option<Given>) -> Outcome {
        let listen = self.listen.as_ref();
        let house = House::start(target, route, listen, given).await.map_err(Failed::Because)?;
        let directions = house.directions(target).map_err(Failed::Arguments)?;
        house.first_login().await.map_err(Failed::Because)?;
        // Not before: what stands in the way of the first login is told in one line, above.
        self.start_log();
        self.tell_what_was_raised(target);
        let outcome = match self.command.split_first() {
            Some((program, arguments)) => command::run(program, arguments, &directions).await,
            None => {
                print(&how_to_connect(&house, target, &directions));
                command::interrupted().await
            }
        };
        house.end().await;
        outcome
    }

    fn settings(&self, target: &Target) -> Result<Settings, Failed> {
        if let Some(ListenAddress::Tcp(address)) = &self.listen
            && !address.ip().to_canonical().is_loopback()
        {
            let reason =
                format!("other machines reach {address}: listen on 127.0.0.1, or write a configuration");
            return Err(Failed::Arguments(reason));
        }
        if matches!(self.tls, Some(Tls::Off | Tls::InsecureNoVerify)) && self.ca.is_some() {
            return Err(Failed::Arguments("--ca has no effect: --tls says to verify nothing".to_owned()));
        }
        let wish = target.tls.map(|wish| match wish {
            TlsWish::Off => Tls::Off,
            TlsWish::VerifyCa => Tls::VerifyCa,
            TlsWish::Unverified | TlsWish::VerifyFull => Tls::VerifyFull,
        });
        let tls = self.tls.or(wish).unwrap_or(Tls::VerifyFull);
        let verified = matches!(tls, Tls::VerifyFull | Tls::VerifyCa);
        // A URL's authorities are for the modes that heed them.
        let authorities = target.authorities.as_ref().filter(|_| verified);
        Ok(Settings {
            tls_mode: tls.name(),
            ca: self.ca.as_ref().or(authorities).cloned(),
            server_name: self.server_name.clone(),
        })
    }

    /// `None` where nobody logs in.
    fn password(&self, target: &Target) -> Result<Option<Given>, Failed> {
        let Some(user) = &target.user else {
            let superfluous = "--password-file has no effect: this protocol logs nobody in";
            return match &self.password_file {
                Some(_) => Err(Failed::Arguments(superfluous.to_owned())),
                None => Ok(None),
            };
        };
        Ok(Some(match &self.password_file {
            Some(path) if path.as_os_str() == "-" => Given::Input,
            Some(path) => Given::File(path.clone()),
            None if std::io::IsTerminal::is_terminal(&std::io::stdin()) => {
                Given::Typed(format!("Password of {user} at {}: ", target.servers()))
            }
            None => Given::Nothing,
        }))
    }

    fn start_log(&self) {
        let level = match self.log_level.unwrap_or(LogLevel::Warn) {
            LogLevel::Error => Level::Error,
            LogLevel::Warn => Level::Warn,
            LogLevel::Info => Level::Info,
            LogLevel::Debug => Level::Debug,
            LogLevel::Trace => Level::Trace,
        };
        log::start(&Log { format: LogFormat::Text, level });
        std::panic::set_hook(Box::new(run::note_panic));
    }

    fn tell_what_was_raised(&self, target: &Target) {
        if self.tls.is_none() && target.tls == Some(TlsWish::Unverified) {
            tracing::warn!(
                "the URL asks for TLS without verification: the server was verified in full nevertheless"
            );
        }
    }
}

impl Tls {
    /// As the configuration writes it.
    fn name(self) -> &'static str {
        match self {
            Self::VerifyFull => "verify-full",
            Self::VerifyCa => "verify-ca",
            Self::InsecureNoVerify => "insecure-no-verify",
            Self::Off => "off",
        }
    }
}

/// No core file, and no debugger of another program: both would find the password. Unlike a limit, this is not
/// handed down to the command.
fn keep_secrets_to_ourselves() {
    // Where the system cannot do that, there is nothing else to be done.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

fn how_to_connect(house: &House, target: &Target, directions: &Directions) -> String {
    let mut text = format!("{} at {}", target.servers(), house.address());
    if let Some(taken) = &house.taken {
        text += &format!(" ({taken} is taken)");
    }
    text += "\n\n";
    if !directions.example.is_empty() {
        let words: Vec<_> = directions.example.iter().map(|word| quoted(word)).collect();
        text += &format!("  {}\n\n", words.join(" "));
    }
    for (name, value) in &directions.env {
        text += &format!("  export {name}={}\n", quoted(value));
    }
    text + "\nCtrl-C ends it.\n"
}

/// For a shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@%+,=[]".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_where_a_shell_would_see_more_in_them() {
        assert_eq!(quoted("127.0.0.1"), "127.0.0.1");
        assert_eq!(
            quoted("postgresql://o@127.0.0.1:5432/o?a=b&c=d"),
            "'postgresql://o@127.0.0.1:5432/o?a=b&c=d'"
        );
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
