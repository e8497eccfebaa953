//! What happened lately, for whoever looks at the process: the last lines of the log, in memory.
//!
//! Names are those of the log, and secrets are as absent here as there. Sessions that end well are too many to be
//! kept; those that fail in the same way are one event that happened so many times.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Some screens full; state changes every few seconds at the worst.
const KEPT: usize = 100;
/// No line of ours has more facts.
const FACTS: usize = 24;
/// What is kept of one fact, in characters: a server's message may be long.
const FACT_LENGTH: usize = 300;
/// What tells a line about a session from others.
const OF_SESSION: &str = "session";
/// What differs between two sessions that failed in the same way.
const INDIVIDUAL: [&str; 7] =
    [OF_SESSION, "detail", "retries", "to_upstream", "to_client", "login_ms", "duration_ms"];

/// The last events of the process.
#[derive(Debug, Clone, Default)]
pub struct Events(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<VecDeque<Event>>,
    news: Notify,
}

/// One line of the log.
#[derive(Debug, Clone)]
pub struct Event {
    /// When it happened, or happened last.
    pub at: SystemTime,
    /// `info`, `warn` or `error`.
    pub level: &'static str,
    /// The log's message.
    pub name: String,
    pub route: Option<String>,
    /// The line's other fields.
    pub facts: Vec<(&'static str, String)>,
    pub times: u64,
}

impl Events {
    /// What has to be added to the log for events to be kept, whatever the log's own level is.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        Recorder(self.clone()).with_filter(filter_fn(is_kept).with_max_level_hint(LevelFilter::INFO))
    }

    /// Comes back when something has happened since the last time. For one who waits.
    pub async fn news(&self) {
        self.0.news.notified().await;
    }

    /// The newest first.
    pub fn latest(&self) -> Vec<Event> {
        self.lock().iter().rev().cloned().collect()
    }

    fn add(&self, mut event: Event) {
        let mut kept = self.lock();
        if event.is_of_session()
            && let Some(at) = kept.iter().position(|other| other.is_like(&event))
        {
            event.times += kept.remove(at).map_or(0, |before| before.times);
        }
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event);
        self.0.news.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Event {
    /// The value of a field.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    fn is_of_session(&self) -> bool {
        self.fact(OF_SESSION).is_some()
    }

    fn is_like(&self, other: &Self) -> bool {
        let shared = |event: &Self| {
            let facts = event.facts.iter().filter(|(name, _)| !INDIVIDUAL.contains(name));
            facts.cloned().collect::<Vec<_>>()
        };
        (&self.name, &self.route) == (&other.name, &other.route) && shared(self) == shared(other)
    }
}

/// By the place in the code alone: of a session that ends well nothing is looked at but that.
fn is_kept(metadata: &Metadata<'_>) -> bool {
    let is_ours = metadata.target().split("::").next() == Some("attache");
    let failed = *metadata.level() <= Level::WARN;
    let tells = *metadata.level() <= Level::INFO && metadata.fields().field(OF_SESSION).is_none();
    metadata.is_event() && is_ours && (failed || tells)
}

struct Recorder(Events);

impl<S: Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.add(Event {
            at: SystemTime::now(),
            level: level(event.metadata().level()),
            name: line.message,
            route: line.route,
            facts: line.facts,
            times: 1,
        });
    }
}

fn level(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The fields of a line, as they are told one after another.
#[derive(Default)]
struct Line {
    message: String,
    route: Option<String>,
    facts: Vec<(&'static str, String)>,
}

impl Line {
    fn take(&mut self, field: &Field, value: String) {
        let value = value.chars().take(FACT_LENGTH).collect();
        match field.name() {
            "message" => self.message = value,
            "route" => self.route = Some(value),
            name if self.facts.len() < FACTS && !value.is_empty() => self.facts.push((name, value)),
            _ => {}
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use tracing::{debug, info, warn};
    use tracing_subscriber::prelude::*;

    use super::*;

    fn told(tell: impl FnOnce()) -> Vec<Event> {
        let events = Events::default();
        let log = tracing_subscriber::registry().with(events.layer());
        tracing::subscriber::with_default(log, tell);
        events.latest()
    }

    #[test]
    fn lines_are_kept_with_their_names_and_facts_the_newest_first() {
        let events = told(|| {
            info!(route = "orders", generation = 2, "credential loaded");
            warn!(route = "orders", cause = "reset", detail = "", "endpoint down");
            debug!(route = "orders", "trying again");
            warn!(target: "rustls", "somebody else's words");
        });
        let names: Vec<_> = events.iter().map(|event| (event.level, event.name.as_str())).collect();
        assert_eq!(names, [("warn", "endpoint down"), ("info", "credential loaded")]);
        assert_eq!(events[1].route.as_deref(), Some("orders"));
        assert_eq!(events[1].facts, [("generation", "2".to_owned())]);
        assert_eq!(events[0].facts, [("cause", "reset".to_owned())], "what is empty tells nothing");
    }

    #[test]
    fn sessions_that_fail_alike_are_one_event_and_those_that_end_well_are_none() {
        let events = told(|| {
            for session in 0..3 {
                warn!(route = "a", session, result = "reset", duration_ms = session, "session ended");
                info!(route = "a", session, result = "ok", "session ended");
            }
            info!(route = "a", "endpoint up");
            warn!(route = "a", session = 9, result = "timed_out", "session ended");
            warn!(route = "a", session = 4, result = "reset", "session ended");
        });
        let told: Vec<_> =
            events.iter().map(|event| (event.times, event.fact("result"), event.fact("session"))).collect();
        assert_eq!(told, [(4, Some("reset"), Some("4")), (1, Some("timed_out"), Some("9")), (1, None, None)]);
    }

    #[test]
    fn only_the_last_events_are_kept_and_only_so_much_of_each() {
        let events = told(|| {
            for number in 0..KEPT + 5 {
                info!(number, detail = "x".repeat(9000), "again");
            }
        });
        assert_eq!(events.len(), KEPT);
        assert_eq!(events[0].fact("number"), Some((KEPT + 4).to_string().as_str()));
        assert_eq!(events[0].fact("detail").map(str::len), Some(FACT_LENGTH));
    }
}
