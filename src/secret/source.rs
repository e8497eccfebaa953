//! The credential of one route, as everything that needs it sees it.
//!
//! A [`Source`] answers from memory and never touches a file: its [`Watcher`] does that, on the
//! control thread. Versions are handed out behind `Arc`s, so a session keeps the one it began with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use attache_wire::Secret;
use tokio::sync::{mpsc, oneshot, watch};

use super::Mount;
use super::material::{Contents, Material};
use super::problem::{Problem, Warning};
use super::watch::Watcher;

/// How long a version that was just rejected stays behind one that has worked since. After that it
/// is tried first again: the other half of a rotation may have arrived.
const REJECTED_FOR: Duration = Duration::from_secs(1);

/// A handle on the credential of one route; clones share it, from any thread.
#[derive(Clone)]
pub struct Source(Arc<Shared>);

struct Shared {
    route: String,
    versions: Mutex<Versions>,
    generation: watch::Sender<u64>,
    requests: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

/// What is known. Older versions than the previous one are let go.
#[derive(Default)]
struct Versions {
    current: Option<Version>,
    previous: Option<Version>,
    ever_worked: bool,
    problem: Option<Problem>,
    warnings: Vec<Warning>,
}

/// One version, and how the server took it.
struct Version {
    material: Arc<Material>,
    worked: Option<Instant>,
    rejected: Option<Instant>,
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
        let (source, inbox) = Self::empty(route);
        let watcher = Watcher::new(source.clone(), mount, inbox);
        // A folder that is being written to this very moment is the watcher's first task.
        let _ = watcher.read();
        (source, watcher)
    }

    /// A credential that was given once and never changes.
    pub(super) fn fixed(route: &str, user: String, secret: Option<Secret>) -> Self {
        // Without a watcher at the other end, nobody who asks for a reading waits for one.
        let (source, _) = Self::empty(route);
        let contents = Contents { user: Some(user), secret, identity: None, file_time: None };
        source.found(Ok(contents), Vec::new());
        source
    }

    fn empty(route: &str) -> (Self, mpsc::UnboundedReceiver<oneshot::Sender<()>>) {
        let (requests, inbox) = mpsc::unbounded_channel();
        let source = Self(Arc::new(Shared {
            route: route.to_owned(),
            versions: Mutex::default(),
            generation: watch::Sender::new(0),
            requests,
        }));
        (source, inbox)
    }

    /// The version that new sessions use.
    pub fn current(&self) -> Option<Arc<Material>> {
        self.versions().current.as_ref().map(|version| Arc::clone(&version.material))
    }

    /// The version before it.
    pub fn previous(&self) -> Option<Arc<Material>> {
        self.versions().previous.as_ref().map(|version| Arc::clone(&version.material))
    }

    /// The versions in the order in which a login should try them: newer first, except that one which
    /// was just rejected goes behind one that has worked since.
    pub fn candidates(&self) -> Vec<Arc<Material>> {
        self.versions().candidates(Instant::now())
    }

    /// Tells of every new generation; 0 stands for none yet.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.generation.subscribe()
    }

    /// Returns when the folder has been read by a reading that began after this call, or at once if
    /// nobody watches any more. All who wait share one reading.
    pub async fn reread(&self) {
        let (done, answer) = oneshot::channel();
        if self.0.requests.send(done).is_ok() {
            // An error means that the watcher has ended: nothing more to wait for.
            let _ = answer.await;
        }
    }

    /// The server accepted a login with this generation.
    pub fn worked(&self, generation: u64) {
        if self.versions().worked(generation, Instant::now()) {
            tracing::info!(route = self.0.route, generation, "credential accepted");
        }
    }

    /// The server rejected a login with this generation.
    pub fn rejected(&self, generation: u64) {
        if self.versions().rejected(generation, Instant::now()) {
            tracing::warn!(route = self.0.route, generation, "credential rejected");
        }
    }

    /// Whether any generation ever worked: if so, a rejection may be a rotation on its way.
    pub fn ever_worked(&self) -> bool {
        self.versions().ever_worked
    }

    /// How things stand.
    pub fn standing(&self) -> Standing {
        let versions = self.versions();
        let current = versions.current.as_ref();
        let material = current.map(|version| &version.material);
        Standing {
            generation: material.map(|material| material.generation()),
            previous: versions.previous.as_ref().map(|version| version.material.generation()),
            loaded_at: material.map(|material| material.loaded_at),
            file_time: material.and_then(|material| material.file_time),
            certificate_not_after: material.and_then(|material| material.identity.as_ref()?.not_after),
            rejected: current.is_some_and(Version::is_rejected),
            problem: versions.problem.clone(),
            warnings: versions.warnings.clone(),
        }
    }

    /// Takes over what a reading found, and says so where it is news.
    pub(super) fn found(&self, reading: Result<Contents, Problem>, warnings: Vec<Warning>) {
        let route = self.0.route.as_str();
        let mut versions = self.versions();
        for warning in warnings.iter().filter(|warning| !versions.warnings.contains(warning)) {
            tracing::warn!(route, warning = warning.name(), "credential folder: {warning}");
        }
        versions.warnings = warnings;
        match reading {
            Ok(contents) => {
                if versions.problem.take().is_some() {
                    tracing::info!(route, "credential folder is in order again");
                }
                let accepted = versions.accept(contents);
                drop(versions);
                if let Some(generation) = accepted {
                    tracing::info!(route, generation, "credential loaded");
                    self.0.generation.send_replace(generation);
                }
            }
            Err(problem) => {
                if versions.problem.as_ref() != Some(&problem) {
                    tracing::warn!(route, problem = problem.name(), "credential not read: {problem}");
                }
                versions.problem = Some(problem);
            }
        }
    }

    pub(super) fn route(&self) -> &str {
        &self.0.route
    }

    /// Nothing that panics runs under this lock, and each change under it is complete in itself.
    fn versions(&self) -> MutexGuard<'_, Versions> {
        self.0.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("route", &self.0.route).field("standing", &self.standing()).finish()
    }
}

impl Versions {
    /// The number of the new generation, if what was read is one.
    fn accept(&mut self, contents: Contents) -> Option<u64> {
        if self.current.as_ref().is_some_and(|current| contents.same_as(&current.material)) {
            return None;
        }
        let generation = self.current.as_ref().map_or(0, |current| current.material.generation()) + 1;
        let material = Arc::new(contents.accept(generation));
        self.previous = self.current.replace(Version { material, worked: None, rejected: None });
        Some(generation)
    }

    fn candidates(&self, now: Instant) -> Vec<Arc<Material>> {
        let (Some(current), Some(previous)) = (&self.current, &self.previous) else {
            return self.current.iter().map(|version| Arc::clone(&version.material)).collect();
        };
        let current_first = !current.is_behind(previous, now);
        let order = if current_first { [current, previous] } else { [previous, current] };
        order.map(|version| Arc::clone(&version.material)).to_vec()
    }

    /// Whether this is news.
    fn worked(&mut self, generation: u64, now: Instant) -> bool {
        self.ever_worked = true;
        let Some(version) = self.version(generation) else { return false };
        let news = version.is_rejected() || version.worked.is_none();
        version.worked = Some(now);
        news
    }

    /// Whether this is news.
    fn rejected(&mut self, generation: u64, now: Instant) -> bool {
        let Some(version) = self.version(generation) else { return false };
        let news = !version.is_rejected();
        version.rejected = Some(now);
        news
    }

    fn version(&mut self, generation: u64) -> Option<&mut Version> {
        let versions = [&mut self.current, &mut self.previous];
        versions.into_iter().flatten().find(|version| version.material.generation() == generation)
    }
}

impl Version {
    /// Whether the server's last word was no.
    fn is_rejected(&self) -> bool {
        self.rejected > self.worked
    }

    fn is_behind(&self, other: &Self, now: Instant) -> bool {
        self.is_rejected()
            && other.worked > self.rejected
            && self.rejected.is_some_and(|when| now.duration_since(when) < REJECTED_FOR)
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn contents(password: &str) -> Contents {
        let secret = Secret::new(Zeroizing::new(password.as_bytes().to_vec()));
        Contents { user: Some("orders".into()), secret: Some(secret), identity: None, file_time: None }
    }

    fn versions(passwords: &[&str]) -> Versions {
        let mut versions = Versions::default();
        for password in passwords {
            versions.accept(contents(password));
        }
        versions
    }

    fn order(versions: &Versions, now: Instant) -> Vec<u64> {
        versions.candidates(now).iter().map(|material| material.generation()).collect()
    }

    #[test]
    fn equal_content_is_no_new_generation() {
        let mut versions = versions(&["a"]);
        assert_eq!(versions.accept(contents("a")), None);
        assert_eq!(versions.accept(contents("b")), Some(2));
        assert_eq!(versions.accept(contents("a")), Some(3));
    }

    #[test]
    fn only_the_current_and_the_previous_generation_are_kept() {
        let mut versions = versions(&["a"]);
        let first = Arc::downgrade(&versions.current.as_ref().expect("a version").material);
        versions.accept(contents("b"));
        assert!(first.upgrade().is_some());
        versions.accept(contents("c"));
        assert!(first.upgrade().is_none());
    }

    #[test]
    fn the_newer_generation_comes_first() {
        let now = Instant::now();
        assert_eq!(order(&Versions::default(), now), [0u64; 0]);
        assert_eq!(order(&versions(&["a"]), now), [1]);
        assert_eq!(order(&versions(&["a", "b", "c"]), now), [3, 2]);
    }

    #[test]
    fn a_rejected_generation_goes_behind_one_that_has_worked_since() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut versions = versions(&["a", "b"]);
        versions.worked(1, at(0));
        versions.rejected(2, at(10));
        assert_eq!(order(&versions, at(20)), [2, 1], "the old one has not worked since");
        versions.worked(1, at(30));
        assert_eq!(order(&versions, at(40)), [1, 2]);
        assert_eq!(order(&versions, at(1009)), [1, 2]);
        assert_eq!(order(&versions, at(1010)), [2, 1], "after a second the new one is tried again");
        versions.rejected(2, at(1011));
        versions.worked(1, at(1012));
        versions.worked(2, at(1013));
        assert_eq!(order(&versions, at(1014)), [2, 1]);
    }

    #[test]
    fn verdicts_are_news_once() {
        let now = Instant::now();
        let mut versions = versions(&["a"]);
        assert!(!versions.ever_worked);
        assert!(versions.rejected(1, now));
        assert!(!versions.rejected(1, now));
        assert!(!versions.ever_worked);
        assert!(versions.worked(1, now + Duration::from_millis(1)));
        assert!(!versions.worked(1, now + Duration::from_millis(2)));
        assert!(versions.ever_worked);
        assert!(!versions.worked(7, now), "a generation that was let go");
    }
}
