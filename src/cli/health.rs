//! `attache health`: one question to the health listener, for exec probes.

use clap::Args;
use hyper::Method;

use super::address::HealthAddress;
use super::http::ask;
use super::{Failed, Outcome, block_on, print};

/// Ask a running process once how it is.
///
/// Exit code 0 if all is well, else 1.
#[derive(Debug, Args)]
pub(super) struct Health {
    #[command(flatten)]
    question: Question,

    #[command(flatten)]
    address: HealthAddress,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct Question {
    /// Whether its threads answer.
    #[arg(long)]
    live: bool,

    /// Whether it is ready to serve (this is asked unless another is).
    #[arg(long)]
    ready: bool,

    /// Whether every route listens and holds a credential.
    #[arg(long)]
    started: bool,
}

impl Question {
    fn path(&self) -> &'static str {
        match (self.live, self.started) {
            (true, _) => "/livez",
            (_, true) => "/startupz",
            (false, false) => "/readyz",
        }
    }
}

impl Health {
    pub(super) fn run(self) -> Outcome {
        let address = self.address.find()?;
        let answer = block_on(ask(Method::GET, &address, self.question.path()))?.map_err(Failed::Because)?;
        print(&answer.body)?;
        if answer.is_ok() { Ok(()) } else { Err(Failed::AsTold) }
    }
}
