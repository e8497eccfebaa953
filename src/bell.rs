//! A level that only rises, and those who are woken when it does: for them, waiting is free.
//!
//! A session is woken twice for each query; asking a channel each time would take a lock each time. Here it
//! [sits down](Listener::sit_down) once, and from then on reads one atomic. All are woken in the order of their seats,
//! which a channel of the runtime draws: news is carried by bells for that too.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// The level, and the rope. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    level: AtomicU64,
    seats: Mutex<Slab<Waker>>,
}

/// One who listens. Belongs to one task.
#[derive(Debug)]
pub struct Listener {
    bell: Bell,
    seat: Option<usize>,
}

/// One who listens, and knows up to which level it has heard. Belongs to one task.
#[derive(Debug)]
pub struct Follower {
    listener: Listener,
    heard: u64,
}

impl Bell {
    pub fn level(&self) -> u64 {
        self.0.level.load(Ordering::Acquire)
    }

    /// Raises the level, and wakes everyone. Returns whether that is news.
    pub fn raise(&self, level: u64) -> bool {
        let news = self.0.level.fetch_max(level, Ordering::AcqRel) < level;
        if news {
            self.wake_everyone();
        }
        news
    }

    /// Raises the level by one, and wakes everyone.
    pub fn ring(&self) {
        self.0.level.fetch_add(1, Ordering::AcqRel);
        self.wake_everyone();
    }

    fn wake_everyone(&self) {
        self.0.seats().iter().for_each(|(_, waker)| waker.wake_by_ref());
    }

    pub fn listen(&self) -> Listener {
        Listener { bell: self.clone(), seat: None }
    }

    /// Listens for whatever comes after now.
    pub fn follow(&self) -> Follower {
        Follower { listener: self.listen(), heard: self.level() }
    }
}

impl Follower {
    /// The level, which is no news any more.
    pub fn catch_up(&mut self) -> u64 {
        self.heard = self.listener.level();
        self.heard
    }

    /// Waits until the level is above what was heard last. Whoever stops waiting has heard nothing.
    pub async fn changed(&mut self) {
        let Self { listener, heard } = self;
        *heard = poll_fn(|cx| listener.poll_above(cx, *heard)).await;
    }
}

impl Shared {
    fn seats(&self) -> MutexGuard<'_, Slab<Waker>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    pub fn level(&self) -> u64 {
        self.bell.level()
    }

    /// Has this waker woken by whoever raises the level from now on. What was raised before is for the level to tell.
    pub fn sit_down(&mut self, waker: &Waker) {
        let mut seats = self.bell.0.seats();
        match self.seat {
            Some(seat) => seats[seat].clone_from(waker),
            None => self.seat = Some(seats.insert(waker.clone())),
        }
    }

    /// Ready once the level is above this one.
    pub fn poll_above(&mut self, cx: &Context<'_>, known: u64) -> Poll<u64> {
        self.sit_down(cx.waker());
        match self.level() {
            level if level > known => Poll::Ready(level),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            self.bell.0.seats().remove(seat);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn whoever_listens_is_woken_once_the_level_rises() {
        let bell = Bell::default();
        let mut listener = bell.listen();
        let heard = tokio::spawn(async move { poll_fn(|cx| listener.poll_above(cx, 1)).await });
        tokio::task::yield_now().await;
        assert!(bell.raise(1));
        tokio::task::yield_now().await;
        assert!(!heard.is_finished());
        assert!(bell.raise(3));
        assert_eq!(heard.await.ok(), Some(3));
    }

    #[tokio::test]
    async fn a_follower_hears_each_change_once_and_none_from_before_it_came() {
        let bell = Bell::default();
        bell.ring();
        let mut follower = bell.follow();
        assert!(poll!(pin!(follower.changed())).is_pending());
        bell.ring();
        bell.ring();
        assert!(poll!(pin!(follower.changed())).is_ready());
        assert!(poll!(pin!(follower.changed())).is_pending());
        bell.ring();
        assert_eq!(follower.catch_up(), 4);
        assert!(poll!(pin!(follower.changed())).is_pending());
    }

    #[tokio::test]
    async fn all_are_woken_in_the_order_of_their_seats() {
        let bell = Bell::default();
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks = (0..20).map(|number| {
            let (mut follower, order) = (bell.follow(), Arc::clone(&order));
            tokio::spawn(async move {
                follower.changed().await;
                order.lock().expect("nobody panics").push(number);
            })
        });
        let tasks: Vec<_> = tasks.collect();
        tokio::task::yield_now().await;
        bell.ring();
        for task in tasks {
            task.await.expect("it ends");
        }
        assert!(order.lock().expect("nobody panics").iter().copied().eq(0..20));
    }

    #[test]
    fn a_lower_level_is_no_news() {
        let bell = Bell::default();
        assert!(bell.raise(2));
        assert!(!bell.raise(2) && !bell.raise(1));
        assert_eq!(bell.level(), 2);
    }

    #[tokio::test]
    async fn the_seat_goes_with_the_listener_and_the_waker_with_the_task() {
        let bell = Bell::default();
        let mut listener = bell.listen();
        {
            let mut waiting = pin!(poll_fn(|cx| listener.poll_above(cx, 0)));
            assert!(poll!(&mut waiting).is_pending());
        }
        let heard = tokio::spawn(async move { poll_fn(|cx| listener.poll_above(cx, 0)).await });
        tokio::task::yield_now().await;
        assert_eq!(bell.0.seats().len(), 1);
        bell.raise(1);
        assert_eq!(heard.await.ok(), Some(1));
        assert!(bell.0.seats().is_empty());
    }
}
