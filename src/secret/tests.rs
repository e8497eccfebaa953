//! A source and its folder, with the writers that fill such folders: what the tests have in common.

mod ledgers;
mod readings;
mod sources;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use attache_kit::{Mounted, Pki, Rendered, SubPath};
use attache_wire::Secret;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::*;

/// So rare that whatever is noticed was noticed by the watch.
const NEVER: Duration = Duration::from_secs(3600);
/// More than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

fn mount(path: &Path) -> Mount {
    Mount { path: path.to_owned(), keys: Keys::default(), user: None, poll: NEVER, needs_user: true }
}

fn secret(password: &str) -> Secret {
    Secret::new(Zeroizing::new(password.as_bytes().to_vec()))
}

/// Whether this is the user and the password of that generation.
fn is(material: &Material, user: &str, password: &str) -> bool {
    material.credential.user() == Some(user)
        && material.credential.secret().is_some_and(|found| found.same_as(&secret(password)))
}

fn holds(source: &Source, user: &str, password: &str) -> bool {
    source.current().is_some_and(|material| is(&material, user, password))
}

/// Opens a source and lets its watcher run until the test is over.
fn watched(mount: Mount) -> Source {
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
    assert!(timeout(DEADLINE, wait).await.is_ok(), "waited for: {what}; {source:?}");
}
