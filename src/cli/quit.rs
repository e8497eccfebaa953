//! `attache quit`: drain and end, for images without a shell to send a signal.

use std::time::Duration;

use clap::Args;
use hyper::Method;
use tokio::time::{Instant, sleep};

use super::address::ControlAddress;
use super::http::{ask, is_there};
use super::{Failed, Outcome, block_on};
use crate::config;
use crate::config::domain::ListenAddress;

/// Between two looks whether the process is still there.
const PAUSE: Duration = Duration::from_millis(50);

/// Drain a running process and end it.
#[derive(Debug, Args)]
pub(super) struct Quit {
    /// Come back when the process has gone.
    #[arg(long)]
    wait: bool,

    /// How long to wait for that.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = config::duration, requires = "wait")]
    timeout: Duration,

    #[command(flatten)]
    address: ControlAddress,
}

impl Quit {
    pub(super) fn run(self) -> Outcome {
        let address = self.address.find()?;
        block_on(async {
            let answer = ask(Method::POST, &address, "/quit").await.map_err(Failed::Because)?;
            if !answer.status.is_success() {
                return Err(Failed::Because(format!("{address}: {}", answer.status)));
            }
            if self.wait { gone(&address, self.timeout).await } else { Ok(()) }
        })?
    }
}

/// The control listener is the last thing that a process gives up.
async fn gone(address: &ListenAddress, patience: Duration) -> Outcome {
    let deadline = Instant::now() + patience;
    while is_there(address).await {
        if Instant::now() >= deadline {
            return Err(Failed::Because(format!("the process still answers after {patience:?}")));
        }
        sleep(PAUSE).await;
    }
    Ok(())
}
