//! Wiring, and nothing else: reads top to bottom as the life of the process.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::Admin;
use crate::config::Complaints;
use crate::config::domain::Config;
use crate::drain::Drain;
use crate::failure::StartError;
use crate::house::{Answer, House, Outcome};
use crate::log::Logging;
use crate::metrics::Metrics;
use crate::net::authorities::Authorities;
use crate::net::resolve::Resolver;
use crate::room::Room;
use crate::serving::{Common, Serving};
use crate::session::Ids;
use crate::sockets::Spare;
use crate::trace::{Sending, Traces};
use crate::worker::Worker;

/// Runs until a signal or `quit` ends it. `reread` reads the configuration again, for SIGHUP and `reload`.
///
/// # Errors
/// What could not be started: an address that is taken, a thread that the system does not give.
pub async fn run(
    mut config: Config,
    reread: impl Fn() -> Result<Config, Complaints>,
    logging: Logging,
) -> Result<(), StartError> {
    let room = Room::of(raise_limits());
    let mut signals =
        Signals::listen().map_err(|error| StartError::new("cannot listen for signals", error))?;
    let drain = Drain::default();
    let metrics = Metrics::new();
    let workers = start_workers(config.workers, &drain, &room)?;
    let (traces, sending) = start_traces(&config, &metrics);
    let mut serving = Serving::new(Common { traces, ..common(&metrics) });
    let mut sockets = Spare::beyond([], &config)?;
    serving.apply(&config, &mut sockets, &workers);

    let (house, mut asked) = House::new(metrics, drain, workers, logging.events());
    house.show(serving.routes());
    let mut admin = Admin::new(Arc::clone(&house));
    admin.serve(&config, &mut sockets);
    let pulse = tokio::spawn(Arc::clone(&house).keep_pulse());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        routes = config.routes.len(),
        workers = house.workers.len(),
        "started"
    );
    let readiness = tokio::spawn(Arc::clone(&house).watch_readiness());
    let unread = tokio::spawn(logging.offer_again());

    loop {
        let answer: Option<Answer> = tokio::select! {
            order = signals.next() => match order {
                Order::End => break,
                Order::Reload => None,
            },
            () = house.quit.notified() => break,
            answer = asked.recv() => answer,
        };
        let outcome = change(&mut config, &reread, &mut serving, &mut admin, &logging);
        house.show(serving.routes());
        house.note_reload(&outcome);
        if let Some(answer) = answer {
            let _ = answer.send(outcome);
        }
    }

    // Whoever asks for a reload from now on is told that there will be none.
    drop(asked);
    house.begin_drain();
    tokio::select! {
        () = house.drain.run(config.drain) => {}
        () = signals.end() => {}
    }
    drop(serving);
    let sessions_cut = house.drain.active();
    house.workers.iter().for_each(Worker::end);
    if let Some(sending) = sending {
        sending.end().await;
    }
    // Whoever asked for the end over HTTP still gets the answer.
    admin.end().await;
    pulse.abort();
    readiness.abort();
    unread.abort();
    tracing::info!(sessions_cut, "ended");
    Ok(())
}

/// Takes a new configuration over, or leaves everything as it is.
fn change(
    config: &mut Config,
    reread: &impl Fn() -> Result<Config, Complaints>,
    serving: &mut Serving,
    admin: &mut Admin,
    logging: &Logging,
) -> Outcome {
    let new = reread()?;
    let mut sockets = Spare::beyond(serving.addresses().chain(admin.addresses()), &new)?;
    admin.give_up(&new, &mut sockets);
    let changes = serving.apply(&new, &mut sockets, admin.workers());
    admin.serve(&new, &mut sockets);
    sockets.close();
    logging.change(&new.log);
    let fixed = |config: &Config| (config.workers, config.log.format, config.telemetry.clone());
    if fixed(&new) != fixed(config) {
        tracing::warn!("a change of `workers`, `log.format` or `telemetry` takes effect with the next start");
    }
    *config = new;
    Ok(changes)
}

/// What routes are built from.
pub fn common(metrics: &Arc<Metrics>) -> Common {
    Common {
        metrics: Arc::clone(metrics),
        resolver: Resolver::from_system(),
        authorities: Authorities::default(),
        ids: Arc::new(Ids::new()),
        traces: Traces::default(),
    }
}

/// Traces for the sessions, where the configuration names a collector, and who sends them.
fn start_traces(config: &Config, metrics: &Metrics) -> (Traces, Option<Sending>) {
    let Some(settings) = config.telemetry.traces.clone() else { return (Traces::default(), None) };
    let (traces, sender) = Traces::to(settings, Resolver::from_system(), metrics);
    (traces, Some(sender.start()))
}

fn start_workers(count: Option<usize>, drain: &Drain, room: &Room) -> Result<Vec<Worker>, StartError> {
    (0..count.unwrap_or_else(usual_workers))
        .map(|number| Worker::start(number, drain.clone(), room.clone()))
        .collect::<io::Result<_>>()
        .map_err(|error| StartError::new("cannot start a worker", error))
}

/// One for two cores: the application needs the other one, and a worker that always finds several sessions ready
/// spends less on falling asleep than two that rarely do.
fn usual_workers() -> usize {
    // Heeds the container's CPU quota and the affinity of the process.
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

/// As many descriptors as the system lets us have, and no core file: it would hold the credentials. Returns how many
/// descriptors that are.
fn raise_limits() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let files = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(%error, "cannot forbid core files");
    }
    getrlimit(Resource::Nofile).current
}

/// What a signal orders.
enum Order {
    End,
    Reload,
}

/// The signals that mean something here.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::End,
            _ = self.interrupt.recv() => Order::End,
            _ = self.hangup.recv() => Order::Reload,
        }
    }

    /// Waits for one that ends the process. Others have no meaning any more.
    async fn end(&mut self) {
        while matches!(self.next().await, Order::Reload) {}
    }
}
