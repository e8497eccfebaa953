//! Log lines on standard error: JSON, or text on a terminal.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

use crate::config::domain::{Level, Log, LogFormat};
use crate::events::Events;

/// The running log.
pub struct Logging {
    filter: reload::Handle<Targets, Registry>,
    events: Events,
}

impl Logging {
    /// Changes the level. The format stays.
    pub fn change(&self, log: &Log) {
        // It fails only where the logger is gone, and then there is nobody to tell.
        let _ = self.filter.reload(filter(log));
    }

    /// The last lines, for those who ask the process and not its log.
    pub fn events(&self) -> Events {
        self.events.clone()
    }
}

/// Starts to log.
pub fn start(log: &Log) -> Logging {
    start_to(log, std::io::stderr)
}

/// Starts to log to whatever stands before standard error.
pub fn start_to<W>(log: &Log, writer: W) -> Logging
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let text = match log.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let (filter, handle) = reload::Layer::new(filter(log));
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = if text {
        lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    };
    let events = Events::default();
    // In a test process another logger may be there already.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).with(events.layer()).try_init();
    Logging { filter: handle, events }
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
