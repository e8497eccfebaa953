//! `attache wait`: for a postStart hook, so that the application starts after us.

use std::time::Duration;

use clap::{Args, ValueEnum};
use hyper::Method;
use tokio::time::{Instant, sleep, timeout_at};

use super::address::HealthAddress;
use super::http::ask;
use super::{Failed, Outcome, block_on};
use crate::config;
use crate::config::domain::ListenAddress;

/// Between two questions: short beside the start of any application.
const PAUSE: Duration = Duration::from_millis(100);

/// Wait until a running process is started or ready.
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// How long to wait at most.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = config::duration)]
    timeout: Duration,

    /// What to wait for.
    #[arg(long = "for", value_name = "STATE", default_value = "started")]
    state: State,

    #[command(flatten)]
    address: HealthAddress,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    /// Every route listens and holds a credential.
    Started,
    /// Also not draining, and upstreams are up where a route asks for that.
    Ready,
}

impl Wait {
    pub(super) fn run(self) -> Outcome {
        let address = self.address.find()?;
        let path = match self.state {
            State::Started => "/startupz",
            State::Ready => "/readyz",
        };
        block_on(poll(&address, path, self.timeout))?
    }
}

async fn poll(address: &ListenAddress, path: &str, patience: Duration) -> Outcome {
    let deadline = Instant::now() + patience;
    let mut missing = format!("{address}: no answer");
    loop {
        match timeout_at(deadline, ask(Method::GET, address, path)).await {
            Ok(Ok(answer)) if answer.is_ok() => return Ok(()),
            Ok(Ok(answer)) => missing = answer.reason().replace('\n', ", "),
            Ok(Err(error)) => missing = error,
            // What was heard before, if anything, says more.
            Err(_) => {}
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(Failed::Because(format!("still waiting after {patience:?} for: {missing}")));
        }
        sleep(PAUSE).await;
    }
}
