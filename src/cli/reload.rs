//! `attache reload`: have a running process read its configuration again.

use clap::Args;
use hyper::Method;

use super::address::ControlAddress;
use super::http::ask;
use super::{Failed, Outcome, block_on, print};

/// Have a running process read its configuration again.
///
/// Prints what that changed. A configuration that is wrong is not taken over: the old one stays, and what is
/// wrong is printed.
#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    address: ControlAddress,
}

impl Reload {
    pub(super) fn run(self) -> Outcome {
        let address = self.address.find()?;
        let answer = block_on(ask(Method::POST, &address, "/reload"))?.map_err(Failed::Because)?;
        if !answer.status.is_success() {
            return Err(Failed::Because(answer.reason()));
        }
        print(&format!("{}\n", answer.body))
    }
}
