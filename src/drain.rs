//! How the process ends: serve on while sessions are left, then end them where it hurts least.
//!
//! One deadline. Until its last fifth sessions go on as they like; then each one ends at its next quiet
//! point; at the deadline whatever is left is cut.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::bell::{Bell, Listener};
use crate::config::domain;

/// The share of the deadline, and the most, that sessions are given to reach a quiet point.
const CLOSING_SHARE: u32 = 5;
const CLOSING_MOST: Duration = Duration::from_secs(5);
/// How long after the deadline the goodbyes may take to leave.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    Serving = 0,
    /// Not ready any more, but every session is served, also a new one.
    Draining,
    /// Sessions end at their next quiet point.
    Closing,
    /// Sessions end.
    Cut,
}

/// The process's end, as seen by everything that must know of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Drain {
    phase: Bell,
    sessions: Arc<watch::Sender<Count>>,
}

/// The phases, as a session follows them.
#[derive(Debug)]
pub struct Phases(Listener);

#[derive(Debug, Clone, Copy)]
struct Count {
    active: usize,
    last_came: Instant,
}

impl Default for Drain {
    fn default() -> Self {
        let count = Count { active: 0, last_came: Instant::now() };
        Self { phase: Bell::default(), sessions: Arc::new(watch::Sender::new(count)) }
    }
}

impl Phase {
    fn of(level: u64) -> Self {
        match level {
            0 => Self::Serving,
            1 => Self::Draining,
            2 => Self::Closing,
            _ => Self::Cut,
        }
    }
}

impl Phases {
    pub fn phase(&self) -> Phase {
        Phase::of(self.0.level())
    }

    /// Has this waker woken by the phases that begin from now on.
    pub fn sit_down(&mut self, waker: &Waker) {
        self.0.sit_down(waker);
    }
}

/// Counts a session for as long as it is kept.
#[derive(Debug)]
pub struct Present(Arc<watch::Sender<Count>>);

impl Drop for Present {
    fn drop(&mut self) {
        change(&self.0, |count| count.active -= 1);
    }
}

/// Tells those who wait for the end, and costs little while there are none. Whoever comes to wait meanwhile finds what was
/// changed: the count is locked until it is.
fn change(sessions: &watch::Sender<Count>, act: impl FnOnce(&mut Count)) {
    sessions.send_if_modified(|count| {
        act(count);
        sessions.receiver_count() > 0
    });
}

impl Drain {
    /// Counts a session in.
    pub fn enter(&self) -> Present {
        change(&self.sessions, |count| {
            count.active += 1;
            count.last_came = Instant::now();
        });
        Present(Arc::clone(&self.sessions))
    }

    pub fn phase(&self) -> Phase {
        Phase::of(self.phase.level())
    }

    /// Follows the phases.
    pub fn watch(&self) -> Phases {
        Phases(self.phase.listen())
    }

    /// Sessions being served, errands and clients that have not said what they want included.
    pub fn active(&self) -> usize {
        self.sessions.borrow().active
    }

    /// Begins to drain without an end: not ready any more, while every session is served, also a new one.
    /// Returns whether that is news.
    pub fn begin(&self) -> bool {
        self.phase.raise(Phase::Draining as u64)
    }

    /// Goes through the phases. Returns when no session is left and none has come for `linger`, or shortly
    /// after the deadline.
    pub async fn run(&self, policy: domain::Drain) {
        let start = Instant::now();
        self.begin();
        let serve_out = self.empty(start, policy.linger);
        tokio::pin!(serve_out);
        for (moment, phase) in moments(start, policy) {
            tokio::select! {
                biased;
                () = &mut serve_out => return,
                () = sleep_until(moment) => { self.phase.raise(phase as u64); }
            }
        }
        // What is cut still has its last words to say.
        let _ = tokio::time::timeout(LAST_WORDS, serve_out).await;
    }

    /// Ends every session at its next quiet point, and cuts what is left of them after `patience`.
    pub async fn close(&self, patience: Duration) {
        let start = Instant::now();
        self.phase.raise(Phase::Closing as u64);
        if tokio::time::timeout(patience, self.empty(start, Duration::ZERO)).await.is_err() {
            self.phase.raise(Phase::Cut as u64);
            let _ = tokio::time::timeout(LAST_WORDS, self.empty(start, Duration::ZERO)).await;
        }
    }

    async fn empty(&self, start: Instant, linger: Duration) {
        let mut sessions = self.sessions.subscribe();
        loop {
            let count = *sessions.borrow_and_update();
            let quiet_since = count.last_came.max(start) + linger;
            match count.active {
                0 if quiet_since <= Instant::now() => return,
                0 => {
                    tokio::select! {
                        biased;
                        () = sleep_until(quiet_since) => {}
                        _ = sessions.changed() => {}
                    }
                }
                _ => {
                    let _ = sessions.changed().await;
                }
            }
        }
    }
}

/// When sessions are to end at quiet points, and when whatever is left of them is cut.
pub fn moments(start: Instant, policy: domain::Drain) -> [(Instant, Phase); 2] {
    let deadline = start + policy.deadline;
    let closing = deadline - (policy.deadline / CLOSING_SHARE).min(CLOSING_MOST);
    [(closing, Phase::Closing), (deadline, Phase::Cut)]
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    const POLICY: domain::Drain = domain::Drain { deadline: Duration::from_secs(25), linger: Duration::ZERO };

    async fn took(drain: &Drain, policy: domain::Drain) -> Duration {
        let start = Instant::now();
        drain.run(policy).await;
        start.elapsed()
    }

    async fn after(phases: &mut Phases, phase: Phase) -> Phase {
        let further = poll_fn(|cx| {
            phases.sit_down(cx.waker());
            Some(phases.phase()).filter(|now| *now > phase).map_or(Poll::Pending, Poll::Ready)
        });
        further.await
    }

    #[tokio::test(start_paused = true)]
    async fn ends_at_once_when_nobody_is_there() {
        assert_eq!(took(&Drain::default(), POLICY).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn ends_with_the_last_session() {
        let drain = Drain::default();
        let session = drain.enter();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(session);
        });
        assert_eq!(took(&drain, POLICY).await, Duration::from_secs(3));
        assert_eq!(drain.phase(), Phase::Draining);
    }

    #[tokio::test(start_paused = true)]
    async fn lingers_for_sessions_that_may_still_come() {
        let drain = Drain::default();
        let late = drain.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(4)).await;
            drop(late.enter());
        });
        let policy = domain::Drain { linger: Duration::from_secs(5), ..POLICY };
        assert_eq!(took(&drain, policy).await, Duration::from_secs(9));
    }

    #[tokio::test(start_paused = true)]
    async fn closes_then_cuts_at_the_one_deadline() {
        let drain = Drain::default();
        let _stubborn = drain.enter();
        let mut phases = drain.watch();
        let mut phase = drain.phase();
        let seen = tokio::spawn(async move {
            let start = Instant::now();
            let mut seen = vec![];
            while phase != Phase::Cut {
                phase = after(&mut phases, phase).await;
                seen.push((phase, start.elapsed().as_secs()));
            }
            seen
        });
        assert_eq!(took(&drain, POLICY).await, Duration::from_millis(25_500));
        let seen = seen.await.expect("the follower ends");
        assert_eq!(seen, [(Phase::Draining, 0), (Phase::Closing, 20), (Phase::Cut, 25)]);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_waits_for_quiet_moments_and_cuts_what_has_none() {
        let patience = Duration::from_secs(5);
        let closed = |drain: Drain| async move {
            let start = Instant::now();
            drain.close(patience).await;
            (start.elapsed(), drain.phase())
        };
        assert_eq!(closed(Drain::default()).await, (Duration::ZERO, Phase::Closing));
        let drain = Drain::default();
        let session = drain.enter();
        let mut phases = drain.watch();
        tokio::spawn(async move {
            after(&mut phases, Phase::Serving).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(session);
        });
        assert_eq!(closed(drain).await, (Duration::from_secs(1), Phase::Closing));
        let drain = Drain::default();
        let _stubborn = drain.enter();
        assert_eq!(closed(drain.clone()).await, (patience + LAST_WORDS, Phase::Cut));
    }
}
