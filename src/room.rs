//! How many clients the process takes in at once.
//!
//! Each needs two descriptors: its own, and one for its server. Clients that took all that there are would leave none for
//! their servers and none for the health listener, and a liveness probe without an answer ends everybody's sessions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Descriptors that are not for clients, where there are enough: those of listeners, of health and control, of files,
/// probes and trials, and of links that wait.
const KEPT_BACK: usize = 128;
/// Those of a client.
const EACH: usize = 2;
/// A house that is full again sooner than this has been full all the time, and said so.
const QUIET: Duration = Duration::from_secs(60);

/// The room that there is for clients, as all workers share it.
#[derive(Debug, Clone)]
pub struct Room(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Arc<Semaphore>,
    most: usize,
    /// When somebody found no place last.
    full: Mutex<Option<Instant>>,
}

/// A client's place, until it is dropped.
pub type Place = OwnedSemaphorePermit;

impl Room {
    /// Of a process that may open so many files.
    pub fn of(descriptors: Option<u64>) -> Self {
        let descriptors = descriptors.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let for_clients = descriptors - KEPT_BACK.min(descriptors / 2);
        let most = (for_clients / EACH).clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner { places: Arc::new(Semaphore::new(most)), most, full: Mutex::default() }))
    }

    /// A place for a client, once there is one. That it has to wait is said once.
    pub async fn place(&self) -> Place {
        if let Ok(place) = Arc::clone(&self.0.places).try_acquire_owned() {
            return place;
        }
        if self.is_news() {
            let error = format!(
                "{} are served, and the rest of the open files that the system permits is for their servers, health and \
                 Secrets",
                self.0.most
            );
            tracing::error!(error, "cannot take clients in: waiting for sessions to end");
        }
        Arc::clone(&self.0.places).acquire_owned().await.expect("the room is never closed")
    }

    fn is_news(&self) -> bool {
        let now = Instant::now();
        let last = self.0.full.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        last.is_none_or(|last| now.duration_since(last) >= QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_as_many_descriptors_as_clients_and_some_are_kept_back() {
        let most = |descriptors| Room::of(Some(descriptors)).0.most;
        assert_eq!([64, 1024, 20_000].map(most), [16, 448, 9936]);
        assert_eq!([0, 1].map(most), [1, 1]);
        assert_eq!(Room::of(None).0.most, Semaphore::MAX_PERMITS);
        assert_eq!(Room::of(Some(u64::MAX)).0.most, Semaphore::MAX_PERMITS);
    }

    #[tokio::test]
    async fn a_place_that_is_given_back_is_the_next_ones() {
        let room = Room::of(Some(8));
        let mut places = vec![room.place().await, room.place().await];
        let third = tokio::spawn({
            let room = room.clone();
            async move { room.place().await }
        });
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        places.pop();
        drop(third.await);
    }
}
