//! Notices that a mounted folder changed.
//!
//! The folder is watched, never a file in it: a watch on a file dies with the first swap. A poll is the safety
//! net, for file systems that tell nothing and for folders that are not there yet. What the news mean
//! is not decided here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::problem::Problem;
use super::source::{Asker, Source};
use super::stamp::SETTLE;
use super::{Mount, mount, snapshot};

/// At most ten readings a second, however many logins ask for one.
const GAP: Duration = Duration::from_millis(100);
/// A writer that does not come to rest is read at least this often.
const RESTLESS: Duration = Duration::from_secs(1);
/// How often a missing folder is looked for: nothing can be watched then.
const MISSING_POLL: Duration = Duration::from_secs(1);
/// After two seconds of change there is something to report.
const SETTLE_ATTEMPTS: usize = 20;

/// The background task behind a [`Source`]. Dropping it, or its future, ends the watch.
pub struct Watcher {
    source: Source,
    mount: Mount,
    requests: mpsc::UnboundedReceiver<Asker>,
    /// Those who wait for the next reading.
    waiting: Vec<Asker>,
    folder: FolderWatch,
}

impl Watcher {
    pub(super) fn new(source: Source, mount: Mount, requests: mpsc::UnboundedReceiver<Asker>) -> Self {
        Self { source, mount, requests, waiting: Vec::new(), folder: FolderWatch::default() }
    }

    /// Keeps the source up to date, until it is dropped.
    pub async fn run(mut self) {
        loop {
            // Watch first, then read: what changes behind the reading is noticed.
            self.folder.watch(&self.mount.path, self.source.route());
            self.read_settled().await;
            let next = Instant::now() + GAP;
            for asker in self.waiting.drain(..) {
                // Whoever does not listen any more has ended its session.
                let _ = asker.send(());
            }
            self.next_occasion().await;
            sleep_until(next).await;
            self.waiting.extend(std::iter::from_fn(|| self.requests.try_recv().ok()));
        }
    }

    /// Reads once. A folder that is being written to is left for later.
    pub(super) fn read(&self) -> Result<(), StillChanging> {
        let reading = snapshot::read(&self.mount);
        if matches!(reading, Err(Problem::Changing)) {
            return Err(StillChanging);
        }
        self.source.found(reading, mount::warnings(&self.mount));
        Ok(())
    }

    async fn read_settled(&self) {
        for _ in 0..SETTLE_ATTEMPTS {
            match self.read() {
                Ok(()) => return,
                Err(StillChanging) => sleep(SETTLE).await,
            }
        }
        self.source.found(Err(Problem::Changing), mount::warnings(&self.mount));
    }

    /// Waits for a reason to read again: a change, a request, or that time has passed.
    async fn next_occasion(&mut self) {
        let present = self.mount.path.exists();
        let poll = if present { self.mount.poll } else { self.mount.poll.min(MISSING_POLL) };
        tokio::select! {
            biased;
            asker = self.requests.recv() => self.waiting.extend(asker),
            () = self.folder.changed.notified() => self.rest().await,
            () = sleep(poll) => {}
        }
    }

    /// Lets the writer come to rest, unless someone is in a hurry.
    async fn rest(&mut self) {
        let latest = Instant::now() + RESTLESS;
        while self.requests.is_empty() && Instant::now() < latest {
            if timeout(SETTLE, self.folder.changed.notified()).await.is_err() {
                return;
            }
        }
    }
}

/// The folder is being written to.
#[derive(Debug)]
pub(super) struct StillChanging;

/// The system's notices about one folder.
#[derive(Default)]
struct FolderWatch {
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// The refusal of the system has been reported.
    refused: bool,
}

impl FolderWatch {
    /// Watches the folder that is at this path now. To do so again is cheap where it is still the same
    /// one, and the way to the new one where it was replaced.
    fn watch(&mut self, folder: &Path, route: &str) {
        // Its notices come at moments of the real clock.
        #[cfg(feature = "sim")]
        if crate::sim::world().is_some() {
            return;
        }
        match self.try_watch(folder) {
            Ok(()) => self.refused = false,
            Err(_) if !folder.exists() => {}
            Err(error) => {
                if !std::mem::replace(&mut self.refused, true) {
                    tracing::warn!(route, %error, "credential folder cannot be watched, only polled");
                }
            }
        }
    }

    fn try_watch(&mut self, folder: &Path) -> notify::Result<()> {
        let mut watcher = match self.watcher.take() {
            Some(watcher) => watcher,
            None => self.start()?,
        };
        let result = watcher.watch(folder, RecursiveMode::NonRecursive);
        self.watcher = Some(watcher);
        result
    }

    fn start(&self) -> notify::Result<RecommendedWatcher> {
        let changed = Arc::clone(&self.changed);
        notify::recommended_watcher(move |event| {
            if is_news(&event) {
                changed.notify_one();
            }
        })
    }
}

/// Reading is an event too; to answer it by reading would never end.
fn is_news(event: &notify::Result<Event>) -> bool {
    match event {
        Ok(Event { kind: EventKind::Access(access), .. }) => *access == AccessKind::Close(AccessMode::Write),
        Ok(_) | Err(_) => true,
    }
}
