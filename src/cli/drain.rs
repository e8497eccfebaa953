//! `attache drain`: fail readiness and serve on.

use clap::Args;
use hyper::Method;

use super::address::ControlAddress;
use super::http::ask;
use super::{Failed, Outcome, block_on, print};

/// Make a running process not ready, while it serves on.
///
/// Sessions, also new ones, are served until `attache quit` or a signal ends the process.
#[derive(Debug, Args)]
pub(super) struct Drain {
    #[command(flatten)]
    address: ControlAddress,
}

impl Drain {
    pub(super) fn run(self) -> Outcome {
        let address = self.address.find()?;
        let answer = block_on(ask(Method::POST, &address, "/drain"))?.map_err(Failed::Because)?;
        if !answer.status.is_success() {
            return Err(Failed::Because(format!("{address}: {}", answer.status)));
        }
        print(&answer.body)
    }
}
