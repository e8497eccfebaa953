//! What a credential's changes look like in the log. Alone in its process: which events are recorded is
//! decided once for all threads.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attache::secret::{Keys, Leave, Mount, Source};
use attache_kit::Mounted;
use tokio::time::{sleep, timeout};

fn watched(path: &Path) -> Source {
    let poll = Duration::from_secs(3600);
    let mount = Mount { path: path.to_owned(), keys: Keys::default(), user: None, poll, needs_user: true };
    let (source, watcher) = Source::open("orders", mount);
    tokio::spawn(watcher.run());
    source
}

async fn until(what: &str, source: &Source, holds: impl Fn(&Source) -> bool) {
    let wait = async {
        while !holds(source) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(Duration::from_secs(20), wait).await.is_ok(), "waited for: {what}; {source:?}");
}

/// What a test has logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn count(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).matches(text).count()
    }
}

#[tokio::test]
async fn each_change_is_logged_once_and_without_the_secret() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let volume = Mounted::new(&[("username", "user-hunter2"), ("password", "hunter2")]);
    let source = watched(volume.path());
    source.rejected(1, Leave::Free);
    source.rejected(1, Leave::Free);
    source.worked(1);
    source.worked(1);
    volume.break_();
    source.reread().await;
    source.reread().await;
    volume.heal();
    until("the return", &source, |source| source.standing().problem.is_none()).await;
    volume.credential("user-hunter2", "hunter2-too");
    until("the swap", &source, |source| source.standing().generation == Some(2)).await;

    assert_eq!(lines.count("credential loaded"), 2);
    assert_eq!(lines.count("credential rejected"), 1);
    assert_eq!(lines.count("credential accepted"), 1);
    assert_eq!(lines.count("folder_missing"), 1);
    assert_eq!(lines.count("in order again"), 1);
    assert_eq!(lines.count("hunter2"), 0);
}
