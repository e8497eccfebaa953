//! Log lines on standard error: JSON, or text on a terminal.

mod json;
mod outlet;

use std::io::IsTerminal;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

use crate::config::domain::{Level, Log, LogFormat};
use crate::events::Events;
use json::Json;
use outlet::{Outlet, StandardError};

/// How often lines that nobody has read are offered again, where no other line does.
const OFFER_AGAIN: Duration = Duration::from_secs(5);

/// The running log. Its last lines are written when it is dropped.
pub struct Logging {
    filter: reload::Handle<Targets, Registry>,
    events: Events,
    outlet: Option<LastLines>,
}

struct LastLines(Outlet<StandardError>);

impl Drop for LastLines {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl Logging {
    /// Changes the level. The format stays.
    pub fn change(&self, log: &Log) {
        // It fails only where the logger is gone, and then there is nobody to tell.
        let _ = self.filter.reload(filter(log));
    }

    /// Offers lines that nobody has read again, for as long as it is let.
    pub fn offer_again(&self) -> impl Future<Output = ()> + Send + use<> {
        let outlet = self.outlet.as_ref().map(|outlet| outlet.0.clone());
        async move {
            let Some(outlet) = outlet else { return };
            loop {
                tokio::time::sleep(OFFER_AGAIN).await;
                outlet.catch_up();
            }
        }
    }

    /// The last lines, for those who ask the process and not its log.
    pub fn events(&self) -> Events {
        self.events.clone()
    }
}

/// Starts to log.
pub fn start(log: &Log) -> Logging {
    let outlet = Outlet::new(StandardError::default(), is_text(log));
    let writer = outlet.clone();
    Logging { outlet: Some(LastLines(outlet)), ..start_to(log, move || writer.clone()) }
}

fn is_text(log: &Log) -> bool {
    match log.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    }
}

/// Terminals have colours, but for those that say they have none, and people who want none (`NO_COLOR`, which counts
/// unless it is empty: no-color.org).
fn may_have_colours() -> bool {
    let wants_none = std::env::var_os("NO_COLOR").is_some_and(|wish| !wish.is_empty());
    let has_none = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stderr().is_terminal() && !wants_none && !has_none
}

/// Starts to log to whatever stands before standard error.
pub fn start_to<W>(log: &Log, writer: W) -> Logging
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(log));
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = if is_text(log) {
        lines.with_target(false).with_ansi(may_have_colours()).boxed()
    } else {
        lines.event_format(Json).boxed()
    };
    let events = Events::default();
    // In a test process another logger may be there already.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).with(events.layer()).try_init();
    Logging { filter: handle, events, outlet: None }
}

/// Libraries are heard from warnings on: their details could hold what ours never do.
fn filter(log: &Log) -> Targets {
    Targets::new().with_default(LevelFilter::WARN).with_target("attache", level(log.level))
}

fn level(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}
