//! The credential of one route, as everything that needs it sees it.
//!
//! A [`Source`] answers from memory and never touches a file: its [`Watcher`] does that, on the
//! control thread. Generations are handed out behind `Arc`s, so a session keeps the one it began with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use attache_wire::Secret;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Mount;
use super::generations::{Generations, InForce, State};
use super::ledger::Ledger;
use super::lockout::Lockout;
use super::material::{Contents, Material};
use super::picked::Picked;
use super::problem::{Problem, Warning};
use super::watch::Watcher;
use crate::bell::{Bell, Follower};

/// A handle on the credential of one route; clones share it, from any thread.
#[derive(Clone)]
pub struct Source(Arc<Shared>);

struct Shared {
    route: String,
    ledger: Ledger,
    known: Mutex<Known>,
    /// Counts the changes of the current generation.
    changes: Bell,
    /// Counts the server's verdicts that changed something.
    verdicts: Bell,
    /// Counts those among them that were a yes.
    accepted: Bell,
}

struct Known {
    generations: Generations,
    lockout: Lockout,
    /// Where those are heard who ask for a reading.
    requests: Requests,
    /// The last generation that was rejected at leisure.
    refused: Option<u64>,
    problem: Option<Problem>,
    warnings: Vec<Warning>,
}

/// Whoever waits for a reading.
pub(super) type Asker = oneshot::Sender<()>;
type Requests = mpsc::UnboundedSender<Asker>;

/// Leave to send one login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Nothing is known against it.
    Free,
    /// The last one was rejected. This one counts as if it were already.
    Counted,
}

/// How things stand, for status and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The current generation.
    pub generation: Option<u64>,
    /// The one before, which a login may still fall back to.
    pub previous: Option<u64>,
    /// When the current generation was taken over.
    pub loaded_at: Option<SystemTime>,
    /// When the youngest of its files was written.
    pub file_time: Option<SystemTime>,
    /// When its certificate expires, where it has one.
    pub certificate_not_after: Option<SystemTime>,
    /// The one that new sessions use.
    pub in_use: Option<u64>,
    /// The highest number that any generation of the route has had; 0 stands for none.
    pub last: u64,
    /// Whether anybody is logging in with another generation than the current one, also one of a credential that the route
    /// has had before.
    pub others_under_way: bool,
    pub state: State,
    /// Whether the server's last word on the current generation was no.
    pub rejected: bool,
    /// Why the folder's present content is not in use.
    pub problem: Option<Problem>,
    pub warnings: Vec<Warning>,
}

impl Source {
    /// Reads the folder once, at once; what went wrong is in [`standing`](Self::standing), and does
    /// not keep the watcher from trying again. Nothing changes unless the watcher runs.
    pub fn open(route: &str, mount: Mount) -> (Self, Watcher) {
        Self::open_in(&Ledger::default(), route, mount)
    }

    /// The same for a route that may have had other credentials, whose numbers are in its ledger.
    pub fn open_in(ledger: &Ledger, route: &str, mount: Mount) -> (Self, Watcher) {
        ledger.turn(None);
        let (source, inbox) = Self::empty(route, ledger.clone());
        let watcher = source.read_by(mount, inbox);
        (source, watcher)
    }

    /// The credential lies elsewhere from now on: what is read there is a rotation, or the same again. The watcher that there
    /// was is not heard any more, and is to end.
    pub fn moved(&self, mount: Mount) -> Watcher {
        let (requests, inbox) = mpsc::unbounded_channel();
        let mut known = self.known();
        known.requests = requests;
        // What is wrong with the new folder is news, even if it is the same.
        (known.problem, known.warnings) = (None, Vec::new());
        drop(known);
        self.read_by(mount, inbox)
    }

    fn read_by(&self, mount: Mount, inbox: mpsc::UnboundedReceiver<Asker>) -> Watcher {
        let watcher = Watcher::new(self.clone(), mount, inbox);
        // A folder that is being written to this very moment is the watcher's first task.
        let _ = watcher.read();
        watcher
    }

    /// A credential that was given once and never changes.
    pub(super) fn fixed(route: &str, user: Option<String>, secret: Option<Secret>) -> Self {
        // Without a watcher at the other end, nobody who asks for a reading waits for one.
        let (source, _) = Self::empty(route, Ledger::default());
        let contents = Contents { user, secret, identity: None, file_time: None };
        source.found(Ok(contents), Vec::new());
        source
    }

    fn empty(route: &str, ledger: Ledger) -> (Self, mpsc::UnboundedReceiver<Asker>) {
        let (requests, inbox) = mpsc::unbounded_channel();
        let known = Known {
            generations: Generations::of_ledger(ledger.clone()),
            lockout: Lockout::default(),
            requests,
            refused: None,
            problem: None,
            warnings: Vec::new(),
        };
        let source = Self(Arc::new(Shared {
            route: route.to_owned(),
            ledger,
            known: Mutex::new(known),
            changes: Bell::default(),
            verdicts: Bell::default(),
            accepted: Bell::default(),
        }));
        (source, inbox)
    }

    /// The newest generation, whether or not the server takes it.
    pub fn current(&self) -> Option<Arc<Material>> {
        self.known().generations.current().cloned()
    }

    /// The one that a login would fall back to.
    pub fn previous(&self) -> Option<Arc<Material>> {
        self.known().generations.previous().cloned()
    }

    /// The generations in the order in which a login should try them: newer first, except that one which the server has
    /// not accepted goes behind one that works.
    pub fn candidates(&self) -> Vec<Arc<Material>> {
        self.known().generations.candidates()
    }

    /// The current generation, while sessions go on with an older one because the server has not accepted it yet.
    pub fn on_trial(&self) -> Option<Arc<Material>> {
        self.known().generations.on_trial().cloned()
    }

    /// The most promising generation for a login, apart from those that were tried.
    pub fn pick(&self, tried: &[u64]) -> Option<Picked> {
        let known = self.known();
        let untried = |material: &Arc<Material>| !tried.contains(&material.generation());
        let material = known.generations.candidates().into_iter().find(untried)?;
        Some(Picked::new(material, self.0.ledger.clone()))
    }

    /// Whether this is what the route's folder holds, now that another credential may have taken this one's place.
    pub fn is_current(&self, generation: u64) -> bool {
        self.0.ledger.is_current(generation)
    }

    /// The generations whose sessions and links are good.
    pub fn in_force(&self) -> InForce {
        self.known().generations.in_force()
    }

    /// Tells whenever another generation becomes the current one.
    pub fn subscribe(&self) -> Follower {
        self.0.changes.follow()
    }

    /// Returns when the folder has been read by a reading that began after this call, or at once if
    /// nobody watches any more. All who wait share one reading.
    pub async fn reread(&self) {
        let (done, answer) = oneshot::channel();
        let asked = self.known().requests.send(done);
        if asked.is_ok() {
            // An error means that the watcher has ended: nothing more to wait for.
            let _ = answer.await;
        }
    }

    /// Tells of every verdict of the server that changed something.
    pub fn verdicts(&self) -> Follower {
        self.0.verdicts.follow()
    }

    /// Tells when the server accepts what it did not accept before, or has not seen before.
    pub fn acceptances(&self) -> Follower {
        self.0.accepted.follow()
    }

    /// Asks for leave to send a login. Where the last one with this generation was rejected, so many are sent a
    /// minute and no more: accounts are locked after a few.
    ///
    /// # Errors
    /// How long there is no leave to be had.
    pub fn leave(&self, generation: u64) -> Result<Leave, Duration> {
        let mut known = self.known();
        if !known.generations.is_rejected(generation) {
            return Ok(Leave::Free);
        }
        let is_current =
            known.generations.current().is_some_and(|material| material.generation() == generation);
        known.lockout.take(Instant::now(), is_current).map(|()| Leave::Counted)
    }

    /// How long a login with the current generation is not sent: no time, unless it was rejected.
    pub fn locked_out_for(&self) -> Duration {
        let known = self.known();
        let current = known.generations.current().map(|material| material.generation());
        match current.is_some_and(|generation| known.generations.is_rejected(generation)) {
            true => known.lockout.wait_for_current(Instant::now()),
            false => Duration::ZERO,
        }
    }

    /// The server accepted a login with this generation.
    pub fn worked(&self, generation: u64) {
        let mut known = self.known();
        if known.generations.worked(generation) {
            let (route, state) = (self.0.route.as_str(), known.generations.state().name());
            drop(known);
            tracing::info!(route, generation, state, "credential accepted");
            self.0.verdicts.ring();
            self.0.accepted.ring();
        }
    }

    /// The server rejected a login with this generation, for which there was this leave.
    pub fn rejected(&self, generation: u64, leave: Leave) {
        let mut known = self.known();
        if leave == Leave::Free {
            known.lockout.charge(Instant::now());
        }
        if known.generations.rejected(generation) {
            let (route, state) = (self.0.route.as_str(), known.generations.state().name());
            let in_use = known.generations.used().map(|material| material.generation());
            drop(known);
            tracing::warn!(route, generation, state, in_use, "credential rejected");
            self.0.verdicts.ring();
        }
    }

    /// The login for which there was this leave was not rejected.
    pub fn was_not_rejected(&self, leave: Leave) {
        match leave {
            Leave::Free => {}
            Leave::Counted => self.known().lockout.refund(),
        }
    }

    /// Asks for leave to send a login for which nobody waits: of a session that lives. Where one with this generation
    /// was rejected, so many are sent a minute and no more.
    ///
    /// # Errors
    /// How long there is no leave to be had.
    pub fn leave_at_leisure(&self, generation: u64) -> Result<Leave, Duration> {
        if self.known().refused != Some(generation) {
            return self.leave(generation);
        }
        self.known().lockout.take(Instant::now(), true).map(|()| Leave::Counted)
    }

    /// The server rejected such a login. That is no verdict on the generation, for a session may be on one of many servers:
    /// others find out.
    pub fn rejected_at_leisure(&self, generation: u64, leave: Leave) {
        let mut known = self.known();
        if leave == Leave::Free {
            known.lockout.charge(Instant::now());
        }
        known.refused = Some(generation);
    }

    /// Whether any generation ever worked: if so, a rejection may be a rotation on its way.
    pub fn ever_worked(&self) -> bool {
        self.known().generations.ever_worked
    }

    /// How things stand.
    pub fn standing(&self) -> Standing {
        let known = self.known();
        let Known { generations, problem, warnings, .. } = &*known;
        let material = generations.current();
        let generation = material.map(|material| material.generation());
        Standing {
            generation,
            previous: generations.previous().map(|material| material.generation()),
            loaded_at: material.map(|material| material.loaded_at),
            file_time: material.and_then(|material| material.file_time),
            certificate_not_after: material.and_then(|material| material.identity.as_ref()?.not_after),
            in_use: generations.used().map(|material| material.generation()),
            last: self.0.ledger.last(),
            others_under_way: self.0.ledger.others_under_way(generation),
            state: generations.state(),
            rejected: generation.is_some_and(|generation| generations.is_rejected(generation)),
            problem: problem.clone(),
            warnings: warnings.clone(),
        }
    }

    /// Takes over what a reading found, and says so where it is news.
    pub(super) fn found(&self, reading: Result<Contents, Problem>, warnings: Vec<Warning>) {
        let route = self.0.route.as_str();
        let mut known = self.known();
        for warning in warnings.iter().filter(|warning| !known.warnings.contains(warning)) {
            tracing::warn!(route, warning = warning.name(), "credential folder: {warning}");
        }
        known.warnings = warnings;
        match reading {
            Ok(contents) => {
                if known.problem.take().is_some() {
                    tracing::info!(route, "credential folder is in order again");
                }
                let accepted = known.generations.accept(contents);
                accepted.into_iter().for_each(|generation| self.0.ledger.turn(Some(generation)));
                let state = known.generations.state().name();
                drop(known);
                if let Some(generation) = accepted {
                    tracing::info!(route, generation, state, "credential loaded");
                    self.0.changes.ring();
                }
            }
            Err(problem) => {
                if known.problem.as_ref() != Some(&problem) {
                    tracing::warn!(route, problem = problem.name(), "credential not read: {problem}");
                }
                known.problem = Some(problem);
            }
        }
    }

    pub(super) fn route(&self) -> &str {
        &self.0.route
    }

    /// Nothing that panics runs under this lock, and each change under it is complete in itself.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("route", &self.0.route).field("standing", &self.standing()).finish()
    }
}
